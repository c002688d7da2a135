//! Entering, leaving and copying `contextvars.Context`.

use pyo3::ffi;
use pyo3::prelude::*;

/// `contextvars.copy_context()`
#[inline(always)]
pub fn copy_current(py: Python<'_>) -> PyResult<Py<PyAny>> {
    // SAFETY: attached; a new reference, or NULL with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) }.map(Bound::unbind)
}

/// Runs `body` inside `context`, as `context.run(body)` would.
///
/// # Errors
/// What `body` returns; `RuntimeError` when the context is already entered; `TypeError` when it is no context.
#[inline(always)]
pub fn run<R>(
    py: Python<'_>,
    context: &Py<PyAny>,
    body: impl FnOnce() -> PyResult<R>,
) -> PyResult<R> {
    struct Exit<'a>(&'a Py<PyAny>, bool);
    impl Drop for Exit<'_> {
        fn drop(&mut self) {
            if self.1 {
                // Only reached when `body` panicked; the panic is about to become an exception.
                // SAFETY: attached, and this context was entered and not yet left.
                unsafe { ffi::PyContext_Exit(self.0.as_ptr()) };
            }
        }
    }
    // SAFETY: attached; CPython checks the type and that the context is not entered already.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } < 0 {
        return Err(PyErr::fetch(py));
    }
    let mut exit = Exit(context, true);
    let outcome = body();
    exit.1 = false;
    // SAFETY: attached; entered above by this thread; no exception is set, `outcome` holds it.
    if unsafe { ffi::PyContext_Exit(context.as_ptr()) } < 0 {
        let failure = PyErr::fetch(py);
        return outcome.and(Err(failure));
    }
    outcome
}
