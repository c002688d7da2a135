//! The slots (`__slots__`) of asyncio's own classes, read and written in place.
//!
//! `asyncio.Handle` keeps its callback, arguments and flags in slots.  Our handles derive from it and use those very
//! slots, so that everything asyncio's Python code does with a handle (repr, ordering, debug output) sees the truth.

use std::marker::PhantomData;

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyAnyMethods, PyType};

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
        let descriptor = base.getattr(name)?;
        match offset_of(&descriptor) {
            Some(offset) => Ok(Self {
                offset,
                of: PhantomData,
            }),
            None => Err(PyImportError::new_err(format!(
                "{base} has no slot {name}: this build of epicycle does not fit this version of Python"
            ))),
        }
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
