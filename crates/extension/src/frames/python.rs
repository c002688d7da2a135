//! `read_stack`, `frame_layout` and `thread_state` of the extension module.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::layout::Layout;
use super::memory::Memory;
use super::running;
use super::stack::stack;
use crate::ffi::runtime;
use crate::py::errors;

/// The stack of a thread of process `pid`: file, qualified name and line (0: unknown) of each frame, innermost first.
///
/// `thread_state` and `layout` are what these functions return there.  OSError (ProcessLookupError, PermissionError)
/// when it cannot be read; ValueError when `layout` is no such table.
#[pyfunction]
pub fn read_stack(
    py: Python<'_>,
    pid: u32,
    thread_state: u64,
    layout: Vec<u64>,
) -> PyResult<Vec<(String, String, u32)>> {
    let layout = Layout::from_words(&layout)
        .ok_or_else(|| PyValueError::new_err("not a frame layout of this version of Epicycle"))?;
    let frames = py
        .detach(|| stack(&Memory::of(pid), thread_state, &layout))
        .map_err(|error| errors::os_error(py, &error))?;
    let rows = frames
        .into_iter()
        .map(|frame| (frame.file, frame.function, frame.line));
    Ok(rows.collect())
}

/// Where this interpreter keeps what a stack consists of, as words for `read_stack`.
///
/// OSError when it does not say, or does not let itself be read.
#[pyfunction]
pub fn frame_layout(py: Python<'_>) -> PyResult<Vec<u64>> {
    let layout = running::layout(py).map_err(|error| errors::os_error(py, &error))?;
    Ok(layout.to_words().to_vec())
}

/// The address of this thread's `PyThreadState`, for `read_stack`.
#[pyfunction]
pub fn thread_state(py: Python<'_>) -> u64 {
    runtime::thread_state(py)
}
