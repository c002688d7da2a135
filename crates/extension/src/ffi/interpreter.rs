//! Which interpreter this is: the native classes exist once per process, on the main interpreter's asyncio.

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;

/// Refuses every interpreter but the main one.
///
/// # Errors
/// `ImportError`
pub fn only_main(_py: Python<'_>) -> PyResult<()> {
    // SAFETY: attached, so there is a current interpreter.
    let number = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
    if number == 0 {
        return Ok(());
    }
    Err(PyImportError::new_err(
        "epicycle works in the main interpreter only, not in a subinterpreter",
    ))
}
