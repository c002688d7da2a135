//! A place for one Python object inside a native instance, empty or filled, read and changed through `&self`.

use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

use super::class::Visitor;

/// Owns the object that it holds.  Whoever reads or writes has the interpreter attached.
#[derive(Default)]
pub struct Place(AtomicPtr<ffi::PyObject>);

impl Place {
    /// What is there.
    #[inline(always)]
    pub fn get<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        // SAFETY: attached; the place holds NULL or a reference that it owns, and a new one is taken.
        unsafe { Bound::from_borrowed_ptr_or_opt(py, self.pointer()) }
    }

    /// Whether nothing is there.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.pointer().is_null()
    }

    /// Puts an object in; what was there is handed back, to be dropped when the state is in order.
    #[inline(always)]
    pub fn put<'py>(&self, object: Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        let py = object.py();
        self.exchange(py, object.into_ptr())
    }

    /// Takes out what is there.
    #[inline(always)]
    pub fn take<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        if self.is_empty() {
            return None;
        }
        self.exchange(py, std::ptr::null_mut())
    }

    /// Shows what is there to the garbage collector.
    pub fn show(&self, visit: &mut Visitor) {
        visit.pointer(self.pointer());
    }

    #[inline(always)]
    pub(super) fn pointer(&self) -> *mut ffi::PyObject {
        self.0.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn exchange<'py>(&self, py: Python<'py>, new: *mut ffi::PyObject) -> Option<Bound<'py, PyAny>> {
        // With a GIL a plain load and store suffice.
        #[cfg(not(Py_GIL_DISABLED))]
        let old = {
            let old = self.pointer();
            self.0.store(new, Ordering::Relaxed);
            old
        };
        #[cfg(Py_GIL_DISABLED)]
        let old = self.0.swap(new, Ordering::AcqRel);
        // SAFETY: the place owned its reference, which passes to the caller.
        unsafe { Bound::from_owned_ptr_or_opt(py, old) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // SAFETY: places live inside native instances, which are emptied by functions that CPython calls; the reference
        // is given back once, for the place is gone.
        unsafe { ffi::Py_XDECREF(self.pointer()) };
    }
}
