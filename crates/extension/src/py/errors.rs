//! Operating-system errors as Python raises them.

use std::io;

use pyo3::exceptions::{
    PyBaseException, PyBlockingIOError, PyInterruptedError, PyKeyboardInterrupt, PyOSError,
    PySystemExit,
};
use pyo3::prelude::*;

use super::imports::Imports;

/// The `OSError` (of the subclass that fits its errno) with errno and text, as the interpreter itself raises it.
pub fn os_error(py: Python<'_>, error: &io::Error) -> PyErr {
    let Some(number) = error.raw_os_error() else {
        return PyOSError::new_err(error.to_string());
    };
    let made = Imports::get(py).and_then(|imports| {
        let text = imports.strerror.bind(py).call1((number,))?;
        py.get_type::<PyOSError>().call1((number, text))
    });
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// Whether the system says that a call has to wait.
#[inline]
pub fn would_block(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// Whether a method of Python's says so.
pub fn blocks(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyBlockingIOError>(py) || error.is_instance_of::<PyInterruptedError>(py)
}

/// Whether an exception must pass through the loop instead of being reported by it.
pub fn passes(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py)
}

/// The exception object itself, for handing to a protocol or an exception handler.
pub fn into_value(py: Python<'_>, error: PyErr) -> Py<PyBaseException> {
    error.into_value(py)
}
