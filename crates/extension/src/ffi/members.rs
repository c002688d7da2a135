//! The slots (`__slots__`) of classes that are defined in Python, read and written in place.
//!
//! `asyncio.Handle` keeps its callback, arguments and flags in slots.  Our handles derive from it and use those very
//! slots, so that everything asyncio's Python code does with a handle (repr, ordering, debug output) sees the truth.

use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicIsize, AtomicPtr, AtomicU32, Ordering};

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyAnyMethods, PyString, PyType};

use super::class::{Native, Payload};

/// `Py_T_OBJECT_EX`: a slot holding an object, absent while NULL.
const T_OBJECT_EX: i32 = 16;

/// Where one slot lies in every instance of `P`'s class.
pub struct Member<P> {
    offset: isize,
    of: PhantomData<fn() -> P>,
}

impl<P: Payload> Member<P> {
    /// The slot `name` of `base`, the class that `P`'s class derives from.
    ///
    /// # Errors
    /// `ImportError` when this Python's class has no such slot: the extension does not fit this interpreter.
    pub fn find(base: &Bound<'_, PyType>, name: &str) -> PyResult<Self> {
        Ok(Self {
            offset: slot(base, name)?,
            of: PhantomData,
        })
    }

    #[inline(always)]
    fn place(&self, object: &Native<'_, P>) -> *mut *mut ffi::PyObject {
        // SAFETY: `find` read the offset from a base class of P's class, so it lies inside every instance.
        unsafe { object.as_ptr().cast::<u8>().offset(self.offset).cast() }
    }

    /// The slot's value.
    #[inline(always)]
    pub fn get<'py>(&self, object: &Native<'py, P>) -> Option<Bound<'py, PyAny>> {
        // SAFETY: the slot holds NULL or a reference that it owns; a new one is taken.
        unsafe { Bound::from_borrowed_ptr_or_opt(object.py(), *self.place(object)) }
    }

    /// Whether the slot holds exactly this object.
    #[inline(always)]
    pub fn is(&self, object: &Native<'_, P>, other: *mut ffi::PyObject) -> bool {
        // SAFETY: reads a pointer inside the instance.
        unsafe { *self.place(object) == other }
    }

    /// Stores the first value of a slot that is still empty, as all are in a new instance.
    #[inline(always)]
    pub fn fill(&self, object: &Native<'_, P>, value: Py<PyAny>) {
        let place = self.place(object);
        // SAFETY: the slot owns its reference.  Were it not empty after all, the old value would leak, no more.
        unsafe { *place = value.into_ptr() };
    }

    /// Stores a value; what was there before is dropped afterwards (and may run Python code).
    #[inline(always)]
    pub fn set(&self, object: &Native<'_, P>, value: Py<PyAny>) {
        let place = self.place(object);
        // SAFETY: the slot owns its reference; the new one is in place before the old one is released.
        unsafe {
            let old = std::mem::replace(&mut *place, value.into_ptr());
            ffi::Py_XDECREF(old);
        }
    }

    /// As `set`; without a value the slot is emptied.
    pub fn assign(&self, object: &Native<'_, P>, value: Option<Py<PyAny>>) {
        let place = self.place(object);
        // SAFETY: as in `set`.
        unsafe {
            let new = value.map_or(std::ptr::null_mut(), Py::into_ptr);
            ffi::Py_XDECREF(std::mem::replace(&mut *place, new));
        }
    }
}

/// An attribute that is a slot in the instances of one class that is defined in Python, and any attribute in all others.
pub struct Field {
    name: for<'py> fn(Python<'py>) -> &'py Bound<'py, PyString>,
    /// That class, once known; it is never freed then.
    class: AtomicPtr<ffi::PyTypeObject>,
    offset: AtomicIsize,
}

impl Field {
    /// The attribute of this name, of a class that is not yet known.
    pub const fn named(name: for<'py> fn(Python<'py>) -> &'py Bound<'py, PyString>) -> Self {
        Self {
            name,
            class: AtomicPtr::new(ptr::null_mut()),
            offset: AtomicIsize::new(0),
        }
    }

    /// Learns where the slot lies in the instances of this class.
    ///
    /// # Errors
    /// `ImportError` when it has no such slot.
    pub fn learn(&self, class: &Bound<'_, PyType>) -> PyResult<()> {
        let name = (self.name)(class.py());
        self.offset
            .store(slot(class, &name.to_string_lossy())?, Ordering::Relaxed);
        // The reference is never given back.
        self.class
            .store(class.clone().into_ptr().cast(), Ordering::Release);
        Ok(())
    }

    /// Where the value lies, if the object is an instance of exactly that class.
    #[inline(always)]
    fn place(&self, object: &Bound<'_, PyAny>) -> Option<*mut *mut ffi::PyObject> {
        if object.get_type_ptr() != self.class.load(Ordering::Relaxed) {
            return None;
        }
        let offset = self.offset.load(Ordering::Relaxed);
        // SAFETY: the offset was read from the class that the object is an instance of, so it lies inside.
        Some(unsafe { object.as_ptr().cast::<u8>().offset(offset).cast() })
    }

    /// The attribute's value.
    ///
    /// # Errors
    /// What looking it up raises.
    #[inline(always)]
    pub fn get<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = object.py();
        // SAFETY: the slot holds NULL or a reference that it owns; a new one is taken.
        let value = self
            .place(object)
            .and_then(|place| unsafe { Bound::from_borrowed_ptr_or_opt(py, *place) });
        match value {
            Some(value) => Ok(value),
            None => object.getattr((self.name)(py)),
        }
    }

    /// Stores a value; what was there before is dropped afterwards (and may run Python code).
    ///
    /// # Errors
    /// What setting the attribute raises.
    #[inline(always)]
    pub fn set<'py>(&self, object: &Bound<'py, PyAny>, value: Bound<'py, PyAny>) -> PyResult<()> {
        match self.place(object) {
            Some(place) => {
                // SAFETY: the slot owns its reference; the new one is in place before the old one is released.
                unsafe {
                    let old = std::mem::replace(&mut *place, value.into_ptr());
                    ffi::Py_XDECREF(old);
                }
                Ok(())
            }
            None => object.setattr((self.name)(object.py()), value),
        }
    }

    /// Whether the attribute's value is true.
    ///
    /// # Errors
    /// What looking it up raises.
    #[inline(always)]
    pub fn is_true(&self, object: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.get(object)?.is_truthy()
    }
}

/// Attributes of a class's base, and whether they are still what they were.
pub struct Unchanged {
    class: Py<PyType>,
    base: Py<PyType>,
    attributes: Vec<(Py<PyString>, Py<PyAny>)>,
    /// The version of the class for which that was found.
    version: AtomicU32,
}

impl Unchanged {
    /// Those attributes of `base`, from which the class derives, with what they are to be.
    pub fn new(
        class: &Bound<'_, PyType>,
        base: &Bound<'_, PyType>,
        attributes: Vec<(Py<PyString>, Py<PyAny>)>,
    ) -> Self {
        Self {
            class: class.clone().unbind(),
            base: base.clone().unbind(),
            attributes,
            version: AtomicU32::new(0),
        }
    }

    /// Whether they are.
    ///
    /// The interpreter gives a class another version, or none, whenever something about one of its bases changes.
    ///
    /// # Errors
    /// What looking up an attribute raises.
    #[inline(always)]
    pub fn holds(&self, py: Python<'_>) -> PyResult<bool> {
        let version = self.current(py);
        if version != 0 && version == self.version.load(Ordering::Relaxed) {
            return Ok(true);
        }
        self.look(py)
    }

    #[cold]
    fn look(&self, py: Python<'_>) -> PyResult<bool> {
        for (name, expected) in &self.attributes {
            if !self.base.bind(py).getattr(name.bind(py))?.is(expected) {
                return Ok(false);
            }
        }
        // Looking something up on a class gives it a version.
        self.class.bind(py).getattr("__doc__")?;
        self.version.store(self.current(py), Ordering::Relaxed);
        Ok(true)
    }

    #[inline(always)]
    fn current(&self, py: Python<'_>) -> u32 {
        // SAFETY: attached; reads a field of a live type object.
        unsafe { (*self.class.bind(py).as_type_ptr()).tp_version_tag }
    }
}

/// Offset of the slot `name` of a class.
fn slot(class: &Bound<'_, PyType>, name: &str) -> PyResult<isize> {
    offset_of(&class.getattr(name)?).ok_or_else(|| {
        PyImportError::new_err(format!(
            "{class} has no slot {name}: this build of epicycle does not fit this version of Python"
        ))
    })
}

/// Offset of a slot, when the object is the descriptor of one.
fn offset_of(descriptor: &Bound<'_, PyAny>) -> Option<isize> {
    // SAFETY: the type is compared exactly before the cast; `d_member` points at the definition inside the class.
    unsafe {
        if ffi::Py_TYPE(descriptor.as_ptr()) != &raw mut ffi::PyMemberDescr_Type {
            return None;
        }
        let member = (*descriptor.as_ptr().cast::<ffi::PyMemberDescrObject>()).d_member;
        ((*member).type_code == T_OBJECT_EX).then(|| (*member).offset)
    }
}

/// Offsets of every object slot that `base` and its ancestors define.
pub(super) fn all_slots(base: &Bound<'_, PyType>) -> PyResult<Vec<isize>> {
    let mut offsets = Vec::new();
    for class in base.getattr("__mro__")?.try_iter()? {
        for value in class?
            .getattr("__dict__")?
            .call_method0("values")?
            .try_iter()?
        {
            offsets.extend(offset_of(&value?));
        }
    }
    offsets.sort_unstable();
    offsets.dedup();
    Ok(offsets)
}
