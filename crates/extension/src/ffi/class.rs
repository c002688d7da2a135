//! Native classes on top of asyncio's own.
//!
//! `isinstance(transport, asyncio.Transport)` must hold, and so must everything that follows from real inheritance.
//! PyO3 cannot derive from a class that is defined in Python, so these classes are made at run time: the base's
//! instance comes first, our `Body` behind it, and the size is computed from the base that this interpreter has.
//!
//! The classes are made once per process (PyO3 refuses to load the module in a second interpreter), cannot be derived
//! from, and cannot be instantiated from Python.

use std::ffi::{CStr, c_int, c_void};
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use pyo3::PyTraverseError;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

use super::fastcall::{Definition, attached, guard};
use super::members::all_slots;
use super::nesting;
use super::place::Place;

/// How an instance describes itself.
pub type Repr<P> = fn(&Native<'_, P>) -> PyResult<Py<PyAny>>;

/// The Rust part of an instance.
pub trait Payload: Sized + Send + Sync + 'static {
    /// Whether instances have a `__dict__` and can be referenced weakly.  Not for a base that already provides it.
    const ATTRIBUTES: bool;

    /// The class, once made.
    fn class() -> &'static Class<Self>;

    /// Shows every Python object that the payload owns to the garbage collector.
    fn traverse(&self, visit: &mut Visitor);

    /// Gives up every Python object that could take part in a cycle.
    fn clear(&self, py: Python<'_>);

    /// The places of the payload, for an instance that is hidden from the garbage collector: all that it owns.
    fn places(&self) -> &[Place] {
        &[]
    }

    /// Called once before the instance goes away (`__del__`).
    const FINALIZE: Option<fn(&Native<'_, Self>)> = None;

    /// How many freed instances are kept for the next ones.
    const SPARE: usize = 0;

    /// `repr()`; `None` leaves it to the base class.
    const REPR: Option<Repr<Self>> = None;
}

#[repr(C)]
struct Body<P> {
    dict: *mut ffi::PyObject,
    weaklist: *mut ffi::PyObject,
    payload: P,
}

/// A native class, filled in by `Class::make`.
pub struct Class<P> {
    type_object: AtomicPtr<ffi::PyTypeObject>,
    /// Where the `Body` lies in an instance.
    offset: AtomicUsize,
    /// Offsets of the base's slots, `length` of them; never freed.
    slots: AtomicPtr<isize>,
    length: AtomicUsize,
    /// The freed instances that are kept: each holds the next one in its first word behind the head.
    spare: AtomicPtr<ffi::PyObject>,
    spares: AtomicUsize,
    of: PhantomData<fn() -> P>,
}

impl<P: Payload> Class<P> {
    pub const fn unmade() -> Self {
        Self {
            type_object: AtomicPtr::new(ptr::null_mut()),
            offset: AtomicUsize::new(0),
            slots: AtomicPtr::new(ptr::null_mut()),
            length: AtomicUsize::new(0),
            spare: AtomicPtr::new(ptr::null_mut()),
            spares: AtomicUsize::new(0),
            of: PhantomData,
        }
    }

    /// Makes the class `name` (`"epicycle.Handle"`) deriving from `base`.
    ///
    /// # Errors
    /// What CPython raises for a base that cannot be derived from.
    pub fn make<'py>(
        &self,
        name: &'static CStr,
        doc: &'static CStr,
        base: &Bound<'py, PyType>,
        methods: Vec<Definition>,
    ) -> PyResult<Bound<'py, PyType>> {
        self.make_with(name, doc, base, methods, Vec::new())
    }

    /// The same, with attributes that are computed.
    ///
    /// # Errors
    /// As `make`.
    pub fn make_with<'py>(
        &self,
        name: &'static CStr,
        doc: &'static CStr,
        base: &Bound<'py, PyType>,
        methods: Vec<Definition>,
        mut attributes: Vec<ffi::PyGetSetDef>,
    ) -> PyResult<Bound<'py, PyType>> {
        let py = base.py();
        // SAFETY: reads a field of a live type object.
        let base_size = unsafe { (*base.as_type_ptr()).tp_basicsize } as usize;
        let offset = base_size.next_multiple_of(align_of::<Body<P>>());
        let body = if size_of::<P>() == 0 && !P::ATTRIBUTES {
            0
        } else {
            size_of::<Body<P>>()
        };

        let mut table: Vec<ffi::PyMethodDef> =
            methods.into_iter().map(Definition::into_raw).collect();
        table.push(ffi::PyMethodDef::zeroed());
        let table = Box::leak(table.into_boxed_slice());
        attributes.push(ffi::PyGetSetDef::default());
        let attributes = Box::leak(attributes.into_boxed_slice());

        let member = |name: &'static CStr, inside: usize| ffi::PyMemberDef {
            name: name.as_ptr(),
            type_code: ffi::Py_T_PYSSIZET,
            offset: (offset + inside) as ffi::Py_ssize_t,
            flags: ffi::Py_READONLY,
            doc: ptr::null(),
        };
        let mut members = Vec::new();
        if P::ATTRIBUTES {
            members.push(member(
                c"__dictoffset__",
                std::mem::offset_of!(Body<P>, dict),
            ));
            members.push(member(
                c"__weaklistoffset__",
                std::mem::offset_of!(Body<P>, weaklist),
            ));
        }
        // SAFETY: all-zero is the table's end mark.
        members.push(unsafe { std::mem::zeroed() });
        let members = Box::leak(members.into_boxed_slice());

        let slot = |slot: c_int, pfunc: *mut c_void| ffi::PyType_Slot { slot, pfunc };
        let mut slots = vec![
            slot(ffi::Py_tp_dealloc, dealloc::<P> as *mut c_void),
            slot(ffi::Py_tp_traverse, traverse::<P> as *mut c_void),
            slot(ffi::Py_tp_clear, clear::<P> as *mut c_void),
            slot(ffi::Py_tp_methods, table.as_mut_ptr().cast()),
            slot(ffi::Py_tp_members, members.as_mut_ptr().cast()),
            slot(ffi::Py_tp_getset, attributes.as_mut_ptr().cast()),
            slot(ffi::Py_tp_doc, doc.as_ptr() as *mut c_void),
        ];
        if P::FINALIZE.is_some() {
            slots.push(slot(ffi::Py_tp_finalize, finalize::<P> as *mut c_void));
        }
        if P::REPR.is_some() {
            slots.push(slot(ffi::Py_tp_repr, repr::<P> as *mut c_void));
        }
        slots.push(slot(0, ptr::null_mut()));
        let mut spec = ffi::PyType_Spec {
            name: name.as_ptr(),
            basicsize: (offset + body) as c_int,
            itemsize: 0,
            flags: (ffi::Py_TPFLAGS_DEFAULT
                | ffi::Py_TPFLAGS_HAVE_GC
                | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION) as std::ffi::c_uint,
            slots: slots.as_mut_ptr(),
        };
        let bases = PyTuple::new(py, [base])?;
        // SAFETY: the spec and its tables are well formed; CPython copies the spec, the tables are never freed.
        let class = unsafe {
            Bound::from_owned_ptr_or_err(
                py,
                ffi::PyType_FromSpecWithBases(&raw mut spec, bases.as_ptr()),
            )?
            .cast_into_unchecked::<PyType>()
        };
        let offsets = Box::leak(all_slots(base)?.into_boxed_slice());
        self.offset.store(offset, Ordering::Relaxed);
        self.length.store(offsets.len(), Ordering::Relaxed);
        self.slots.store(offsets.as_mut_ptr(), Ordering::Relaxed);
        // The class stays for the life of the process: this reference is never given back.
        self.type_object
            .store(class.clone().into_ptr().cast(), Ordering::Release);
        Ok(class)
    }

    #[inline(always)]
    fn pointer(&self) -> *mut ffi::PyTypeObject {
        self.type_object.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn body(&self, object: *mut ffi::PyObject) -> *mut Body<P> {
        // SAFETY: only called with instances of this class, which are `offset + size_of::<Body<P>>()` bytes long.
        unsafe {
            object
                .cast::<u8>()
                .add(self.offset.load(Ordering::Relaxed))
                .cast()
        }
    }

    fn slots(&self) -> &[isize] {
        let pointer = self.slots.load(Ordering::Relaxed);
        if pointer.is_null() {
            return &[];
        }
        // SAFETY: set together in `make`, from a slice that is never freed.
        unsafe { std::slice::from_raw_parts(pointer, self.length.load(Ordering::Relaxed)) }
    }

    /// Whether the object is an instance of exactly this class.
    #[inline(always)]
    pub fn is_type_of(&self, object: &Bound<'_, PyAny>) -> bool {
        // SAFETY: reads the type of a live object.
        unsafe { ffi::Py_TYPE(object.as_ptr()) == self.pointer() }
    }

    /// A new instance; the base's slots are empty.
    ///
    /// # Errors
    /// `RuntimeError` before the class is made, `MemoryError`.
    #[inline(always)]
    pub fn instance<'py>(&self, py: Python<'py>, payload: P) -> PyResult<Native<'py, P>> {
        let made = self.hidden_instance(py, payload)?;
        // SAFETY: new, so not tracked yet; payload and slots are in order.
        unsafe { ffi::PyObject_GC_Track(made.as_ptr().cast()) };
        Ok(made)
    }

    /// A new instance that the garbage collector does not know of yet; see [`NativeRef::release`].
    ///
    /// # Errors
    /// As `instance`.
    #[inline(always)]
    pub fn hidden_instance<'py>(&self, py: Python<'py>, payload: P) -> PyResult<Native<'py, P>> {
        let class = self.pointer();
        if class.is_null() {
            return Err(PyRuntimeError::new_err(
                "native class used before it was made",
            ));
        }
        // SAFETY: the allocator gives `tp_basicsize` bytes behind which nothing of ours lies, with the object's head
        // written; the rest is zeroed (empty slots, no dict, no weak references), as it is in a spare instance; then the
        // payload is written.
        unsafe {
            let object = match self.reuse(class) {
                Some(object) => object,
                None => {
                    let object = ffi::PyObject_GC_New::<ffi::PyObject>(class);
                    if object.is_null() {
                        return Err(PyErr::fetch(py));
                    }
                    let head = size_of::<ffi::PyObject>();
                    let size = (*class).tp_basicsize as usize;
                    ptr::write_bytes(object.cast::<u8>().add(head), 0, size - head);
                    object
                }
            };
            if size_of::<P>() != 0 {
                ptr::write(&raw mut (*self.body(object)).payload, payload);
            }
            Ok(Native {
                object: Bound::from_owned_ptr(py, object),
                of: PhantomData,
            })
        }
    }
}

impl<P: Payload> Class<P> {
    /// Where a spare instance holds the next one.
    ///
    /// # Safety
    /// An instance of this class that nobody refers to.
    #[inline(always)]
    unsafe fn next_spare(object: *mut ffi::PyObject) -> *mut *mut ffi::PyObject {
        // SAFETY: every class with spares has slots, so a word behind the head is inside.
        unsafe { object.cast::<u8>().add(size_of::<ffi::PyObject>()).cast() }
    }

    /// A spare instance, if there is one: with a head as of a new object, zeroed up to its payload.
    ///
    /// # Safety
    /// `class` is this class's type.
    #[inline(always)]
    unsafe fn reuse(&self, class: *mut ffi::PyTypeObject) -> Option<*mut ffi::PyObject> {
        // Without a GIL two threads could take the same one.
        if P::SPARE == 0 || cfg!(Py_GIL_DISABLED) {
            return None;
        }
        let object = self.spare.load(Ordering::Relaxed);
        if object.is_null() {
            return None;
        }
        // SAFETY: put there by `keep`, and taken out once, for the GIL is held; initialising it takes a reference to the
        // type, like making it did.
        unsafe {
            let next = ptr::replace(Self::next_spare(object), ptr::null_mut());
            self.spare.store(next, Ordering::Relaxed);
            self.spares
                .store(self.spares.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
            Some(ffi::PyObject_Init(object, class))
        }
    }

    /// Keeps a freed instance for `reuse`, if there is room.
    ///
    /// # Safety
    /// Its reference count is zero, the collector does not know it, its slots and its dictionary are empty, its payload is
    /// dropped.
    #[inline(always)]
    unsafe fn keep(&self, object: *mut ffi::PyObject) -> bool {
        let spares = self.spares.load(Ordering::Relaxed);
        if cfg!(Py_GIL_DISABLED) || spares >= P::SPARE {
            return false;
        }
        // SAFETY: nobody else has the object any more.
        unsafe { *Self::next_spare(object) = self.spare.load(Ordering::Relaxed) };
        self.spare.store(object, Ordering::Relaxed);
        self.spares.store(spares + 1, Ordering::Relaxed);
        true
    }
}

/// A live instance of P's class.
#[repr(transparent)]
pub struct Native<'py, P> {
    object: Bound<'py, PyAny>,
    of: PhantomData<fn() -> P>,
}

impl<P> Clone for Native<'_, P> {
    fn clone(&self) -> Self {
        Self {
            object: self.object.clone(),
            of: PhantomData,
        }
    }
}

impl<'py, P: Payload> Native<'py, P> {
    /// The object as an instance of P's class, if it is one.
    #[inline(always)]
    pub fn cast<'a>(object: &'a Bound<'py, PyAny>) -> Option<&'a Self> {
        // SAFETY: the type was compared.
        P::class()
            .is_type_of(object)
            .then(|| unsafe { Self::from_checked(object) })
    }

    /// # Safety
    /// The object is an instance of P's class.
    #[inline(always)]
    pub(super) unsafe fn from_checked<'a>(object: &'a Bound<'py, PyAny>) -> &'a Self {
        // SAFETY: `Native` is a transparent wrapper of `Bound`.
        unsafe { &*ptr::from_ref(object).cast::<Self>() }
    }

    #[inline(always)]
    pub fn py(&self) -> Python<'py> {
        self.object.py()
    }

    #[inline(always)]
    pub fn as_ptr(&self) -> *mut ffi::PyObject {
        self.object.as_ptr()
    }

    #[inline(always)]
    pub fn as_any(&self) -> &Bound<'py, PyAny> {
        &self.object
    }

    #[inline(always)]
    pub fn into_any(self) -> Bound<'py, PyAny> {
        self.object
    }

    /// A reference to keep.
    #[inline(always)]
    pub fn unbind(self) -> NativeRef<P> {
        NativeRef {
            object: self.object.unbind(),
            of: PhantomData,
        }
    }
}

impl<P: Payload> Deref for Native<'_, P> {
    type Target = P;

    #[inline(always)]
    fn deref(&self) -> &P {
        // SAFETY: an instance of P's class, whose payload was written when it was made and stays until it is freed.
        unsafe { &(*P::class().body(self.as_ptr())).payload }
    }
}

/// A reference to an instance of P's class, kept without a `Python` token.
pub struct NativeRef<P> {
    object: Py<PyAny>,
    of: PhantomData<fn() -> P>,
}

impl<P: Payload> NativeRef<P> {
    #[inline(always)]
    pub fn bind<'a, 'py>(&'a self, py: Python<'py>) -> &'a Native<'py, P> {
        // SAFETY: made from a `Native`.
        unsafe { Native::from_checked(self.object.bind(py)) }
    }

    #[inline(always)]
    pub fn into_bound(self, py: Python<'_>) -> Native<'_, P> {
        Native {
            object: self.object.into_bound(py),
            of: PhantomData,
        }
    }

    #[inline(always)]
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            object: self.object.clone_ref(py),
            of: PhantomData,
        }
    }

    pub fn as_py(&self) -> &Py<PyAny> {
        &self.object
    }

    /// Gives up a reference to an instance that was hidden from the garbage collector.
    ///
    /// Most such instances are owned by one queue alone and die with this reference: for them the collector would
    /// have worked in vain.  One that somebody else holds is shown to it now.
    #[inline(always)]
    pub fn release(self, _py: Python<'_>) {
        let object = self.object.as_ptr();
        // SAFETY: attached, and the reference is still ours.
        unsafe {
            if ffi::Py_REFCNT(object) > 1 && ffi::PyObject_GC_IsTracked(object) == 0 {
                ffi::PyObject_GC_Track(object.cast());
            }
        }
    }

    /// Shows the instance to the garbage collector, on behalf of the one queue that owns it.
    ///
    /// If it is hidden and nobody else holds it, then what it holds is the queue's; if it is hidden and somebody else
    /// holds it, nothing is shown, and what hangs on it stays alive.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let object = self.object.as_ptr();
        // SAFETY: the collector runs; the object is alive; slots hold NULL or a reference, and a `Py` is a pointer.
        unsafe {
            if ffi::PyObject_GC_IsTracked(object) != 0 {
                return visit.call(&self.object);
            }
            if ffi::Py_REFCNT(object) == 1 {
                let mut outcome = Ok(());
                let mut show = |pointer: *mut ffi::PyObject| {
                    if outcome.is_ok() && !pointer.is_null() {
                        outcome = visit.call(&*(&raw const pointer).cast::<Py<PyAny>>());
                    }
                };
                for offset in P::class().slots() {
                    show(*object.cast::<u8>().offset(*offset).cast());
                }
                if size_of::<P>() != 0 {
                    for place in (*P::class().body(object)).payload.places() {
                        show(place.pointer());
                    }
                }
                return outcome;
            }
        }
        Ok(())
    }
}

/// The garbage collector's question which objects an object owns.
pub struct Visitor {
    visit: ffi::visitproc,
    argument: *mut c_void,
    outcome: c_int,
}

impl Visitor {
    pub fn object<T>(&mut self, object: &Py<T>) {
        if self.outcome == 0 {
            // SAFETY: the collector's own function and argument; the object is alive, its owner shows it.
            self.outcome = unsafe { (self.visit)(object.as_ptr(), self.argument) };
        }
    }

    /// An object, or NULL.
    pub(super) fn pointer(&mut self, object: *mut ffi::PyObject) {
        if self.outcome == 0 && !object.is_null() {
            // SAFETY: as above.
            self.outcome = unsafe { (self.visit)(object, self.argument) };
        }
    }

    pub fn option<T>(&mut self, object: Option<&Py<T>>) {
        if let Some(object) = object {
            self.object(object);
        }
    }
}

unsafe extern "C" fn traverse<P: Payload>(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut c_void,
) -> c_int {
    let class = P::class();
    let mut visitor = Visitor {
        visit,
        argument,
        outcome: 0,
    };
    // SAFETY: called by the collector on a live instance.  A heap type is owned by its instances.  Slots hold NULL or
    // an object.  Payloads only show what they own and take no references.
    unsafe {
        let mut show = |pointer: *mut ffi::PyObject| {
            if visitor.outcome == 0 && !pointer.is_null() {
                visitor.outcome = (visitor.visit)(pointer, visitor.argument);
            }
        };
        show(ffi::Py_TYPE(object).cast());
        for offset in class.slots() {
            show(
                *object
                    .cast::<u8>()
                    .offset(*offset)
                    .cast::<*mut ffi::PyObject>(),
            );
        }
        if P::ATTRIBUTES {
            show((*class.body(object)).dict);
        }
        if size_of::<P>() != 0 {
            (*class.body(object)).payload.traverse(&mut visitor);
        }
    }
    visitor.outcome
}

/// # Safety
/// A live instance of P's class.
unsafe fn clear_slots<P: Payload>(object: *mut ffi::PyObject) {
    let class = P::class();
    // SAFETY: each slot owns its reference and is emptied before the reference is given back.
    unsafe {
        let take = |place: *mut *mut ffi::PyObject| {
            let old = ptr::replace(place, ptr::null_mut());
            ffi::Py_XDECREF(old);
        };
        for offset in class.slots() {
            take(object.cast::<u8>().offset(*offset).cast());
        }
        if P::ATTRIBUTES {
            take(&raw mut (*class.body(object)).dict);
        }
    }
}

unsafe extern "C" fn clear<P: Payload>(object: *mut ffi::PyObject) -> c_int {
    attached(|py| {
        // SAFETY: called by the collector on a live instance.
        unsafe {
            if size_of::<P>() != 0 {
                (*P::class().body(object)).payload.clear(py);
            }
            clear_slots::<P>(object);
        }
    });
    0
}

unsafe extern "C" fn finalize<P: Payload>(object: *mut ffi::PyObject) {
    let Some(finalize) = P::FINALIZE else { return };
    attached(|py| {
        // An exception that is on its way must survive the finaliser.
        let pending = PyErr::take(py);
        // SAFETY: called on a live instance, at most once.
        finalize(unsafe { Native::from_checked(Bound::ref_from_ptr(py, &object)) });
        if let Some(error) = pending {
            error.restore(py);
        }
    });
}

unsafe extern "C" fn dealloc<P: Payload>(object: *mut ffi::PyObject) {
    // SAFETY: the object's last reference is gone: it is finalised (which may revive it), taken from the collector, and
    // loses its weak references.  Then nothing leads to it any more.
    attached(|_| unsafe {
        if P::FINALIZE.is_some() && ffi::PyObject_CallFinalizerFromDealloc(object) < 0 {
            return;
        }
        ffi::PyObject_GC_UnTrack(object.cast());
        if (*ffi::Py_TYPE(object)).tp_weaklistoffset != 0 {
            ffi::PyObject_ClearWeakRefs(object);
        }
        nesting::bounded(object, dismantle::<P>);
    });
}

/// The end of `dealloc`: empties the instance and frees it.
///
/// # Safety
/// Attached; an instance of P's class that nothing leads to any more.
unsafe fn dismantle<P: Payload>(object: *mut ffi::PyObject) {
    // SAFETY: the object is ours alone: it is emptied, freed by its type's own function, and gives back its reference to
    // the type.
    unsafe {
        let class = ffi::Py_TYPE(object);
        if size_of::<P>() != 0 {
            ptr::drop_in_place(&raw mut (*P::class().body(object)).payload);
        }
        clear_slots::<P>(object);
        if !P::class().keep(object)
            && let Some(free) = (*class).tp_free
        {
            free(object.cast());
        }
        ffi::Py_DECREF(class.cast());
    }
}

unsafe extern "C" fn repr<P: Payload>(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    guard(|py| {
        // SAFETY: called on a live instance.
        let slf = unsafe { Native::<P>::from_checked(Bound::ref_from_ptr(py, &object)) };
        match P::REPR {
            Some(text) => text(slf).map(Py::into_ptr),
            None => Ok(slf.as_any().as_any().repr()?.into_any().into_ptr()),
        }
    })
}
