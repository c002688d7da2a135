//! Memory lent to objects of the `ssl` module for the length of one call.
//!
//! A `memoryview` of memory that Python does not own is only safe with a callee that forgets it when it returns.  The
//! two C types of `_ssl` do; a class of the user's might not, so nothing else can be lent to.

use std::ffi::c_int;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use super::call;

/// An instance of exactly `_ssl.MemoryBIO` or `_ssl._SSLSocket`.
pub struct Borrower(Py<PyAny>);

impl Borrower {
    /// The object, if it is an instance of exactly `kind`, which must be one of the two.
    ///
    /// # Errors
    /// `ImportError` without the `ssl` module.
    pub fn of(object: &Bound<'_, PyAny>, kind: &'static str) -> PyResult<Option<Self>> {
        let class = object
            .py()
            .import("_ssl")?
            .getattr(kind)?
            .cast_into::<PyType>()?;
        let lends = matches!(kind, "MemoryBIO" | "_SSLSocket") && object.get_type().is(&class);
        Ok(lends.then(|| Self(object.clone().unbind())))
    }

    pub fn as_py(&self) -> &Py<PyAny> {
        &self.0
    }

    /// `object.name(memory)`
    ///
    /// # Errors
    /// What the method raises.
    #[inline]
    pub fn give<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyString>,
        memory: &[u8],
    ) -> PyResult<Bound<'py, PyAny>> {
        let view = View::of(py, memory.as_ptr(), memory.len(), ffi::PyBUF_READ)?;
        call::method1(self.0.bind(py), name, &view.0)
    }

    /// `object.name(length, memory)`: the method fills the memory.
    ///
    /// # Errors
    /// What the method raises.
    #[inline]
    pub fn fill<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyString>,
        memory: &mut [u8],
    ) -> PyResult<Bound<'py, PyAny>> {
        let length = memory.len().into_pyobject(py)?;
        let view = View::of(py, memory.as_mut_ptr(), memory.len(), ffi::PyBUF_WRITE)?;
        call::method2(self.0.bind(py), name, &length, &view.0)
    }
}

/// A `memoryview` that is released before the memory goes back to its owner: whoever found it meanwhile (through the
/// garbage collector, from another thread) holds an empty shell.
struct View<'py>(Bound<'py, PyAny>);

impl<'py> View<'py> {
    #[inline]
    fn of(py: Python<'py>, memory: *const u8, length: usize, flags: c_int) -> PyResult<Self> {
        // SAFETY: the memory outlives the view, which `Drop` releases inside the call it was lent for; the borrower
        // does not keep it (see above).
        unsafe {
            let view = ffi::PyMemoryView_FromMemory(
                memory.cast_mut().cast(),
                length as ffi::Py_ssize_t,
                flags,
            );
            Bound::from_owned_ptr_or_err(py, view).map(Self)
        }
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        let py = self.0.py();
        // Fails only while somebody holds an export, which the borrowers do not.
        if let Err(error) = call::method0(&self.0, pyo3::intern!(py, "release")) {
            error.write_unraisable(py, None);
        }
    }
}
