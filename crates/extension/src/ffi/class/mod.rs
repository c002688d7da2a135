//! Native classes on top of asyncio's own.
//!
//! `isinstance(transport, asyncio.Transport)` must hold, and so must everything that follows from real inheritance.
//! PyO3 cannot derive from a class that is defined in Python, so these classes are made at run time: the base's
//! instance comes first, our `Body` behind it, and the size is computed from the base that this interpreter has.
//!
//! - `mod.rs`    making a class and its instances; the freed ones that are kept
//! - `native.rs` instances, borrowed or kept
//! - `calls.rs`  what the interpreter calls
//! - `awaited.rs` the same for instances that are awaited
//!
//! The classes are made once per process (PyO3 refuses to load the module in a second interpreter), cannot be derived
//! from, and cannot be instantiated from Python.

use std::ffi::{CStr, c_int, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

use super::fastcall::Definition;
use super::members::all_slots;
use super::place::Place;

mod awaited;
mod calls;
mod native;

pub use awaited::Stepped;
pub use calls::Visitor;
pub use native::{Native, NativeRef};

use calls::{clear, dealloc, finalize, repr, traverse};

/// How an instance describes itself.
pub type Repr<P> = fn(&Native<'_, P>) -> PyResult<Py<PyAny>>;

/// How an instance that is awaited goes on.
pub type Step<P> = for<'py> fn(&Native<'py, P>) -> PyResult<Stepped<'py>>;

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

    /// Whether `FINALIZE` has nothing to do any more.  Called on the way to freeing the instance.
    fn is_over(&self) -> bool {
        false
    }

    /// How many freed instances are kept for the next ones.
    const SPARE: usize = 0;

    /// `repr()`; `None` leaves it to the base class.
    const REPR: Option<Repr<Self>> = None;

    /// Goes on until the next thing to wait for, or the end; `None` for what cannot be awaited.
    const STEP: Option<Step<Self>> = None;
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
        if P::STEP.is_some() {
            slots.push(slot(ffi::Py_am_await, awaited::itself as *mut c_void));
            slots.push(slot(ffi::Py_tp_iter, awaited::itself as *mut c_void));
            slots.push(slot(ffi::Py_am_send, awaited::send::<P> as *mut c_void));
            slots.push(slot(ffi::Py_tp_iternext, awaited::next::<P> as *mut c_void));
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
        // SAFETY: the object's memory is whole.  Once finalised it stays so, and would not be a second time.
        if P::FINALIZE.is_some() && unsafe { ffi::PyObject_GC_IsFinalized(object) } != 0 {
            return false;
        }
        // SAFETY: nobody else has the object any more.
        unsafe { *Self::next_spare(object) = self.spare.load(Ordering::Relaxed) };
        self.spare.store(object, Ordering::Relaxed);
        self.spares.store(spares + 1, Ordering::Relaxed);
        true
    }
}
