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

/// The interpreter's version, as PY_VERSION_HEX has it.
pub fn version() -> u64 {
    // SAFETY: a constant that is there as long as the interpreter.
    unsafe { ffi::Py_Version }
}

/// The object whose address a loop has noted because it runs.
///
/// Without a GIL the loop's thread may let go of it at any time, so there nobody gets it.
pub fn running_object<'py>(py: Python<'py>, address: u64) -> Option<Bound<'py, PyAny>> {
    if cfg!(Py_GIL_DISABLED) || address == 0 {
        return None;
    }
    let pointer = std::ptr::with_exposed_provenance_mut(address as usize);
    // SAFETY: the loop's thread notes an object while it holds it, and takes the note back before it lets go; both with
    // the GIL, which we hold now.
    Some(unsafe { Bound::from_borrowed_ptr(py, pointer) })
}
