//! A call that would have blocked, tried again whenever its descriptor is ready: what the `sock_*` methods wait for.

use pyo3::PyTraverseError;
use pyo3::exceptions::{PyBlockingIOError, PyInterruptedError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::entry::Watcher;
use super::readers::{self, Direction};
use super::{Loop, tasks};
use crate::ffi::call;
use crate::py::{errors, names};

/// The call, and the future that gets its outcome.
#[pyclass(frozen, module = "epicycle._epicycle")]
pub struct Attempt {
    owner: Py<Loop>,
    fd: i32,
    direction: Direction,
    function: Py<PyAny>,
    arguments: Py<PyTuple>,
    #[pyo3(get)]
    future: Py<PyAny>,
}

#[pymethods]
impl Attempt {
    /// Tries no more, if it still does.
    fn stop(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        let py = slf.py();
        if this.owner.get().is_closed() {
            // A closed loop watches nothing.
            return Ok(());
        }
        let watcher = this.owner.get().cell.with(py, |core| {
            readers::unwatch(
                core,
                this.fd,
                this.direction,
                |watcher| matches!(watcher, Watcher::Attempt(attempt) if attempt.is(slf)),
            )
        })?;
        drop(watcher);
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.owner)?;
        visit.call(&self.function)?;
        visit.call(&self.arguments)?;
        visit.call(&self.future)
    }
}

/// Watches the descriptor of `file`, and calls `function` with `arguments` when it is ready, until that does not say any
/// more that it would block.
///
/// # Errors
/// `ValueError` for what is no descriptor, `RuntimeError` for one that a transport owns and for a closed loop, `OSError`
/// when the kernel refuses it.
pub fn begin<'py>(
    slf: &Bound<'py, Loop>,
    file: &Bound<'py, PyAny>,
    writing: bool,
    function: &Bound<'py, PyAny>,
    arguments: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, Attempt>> {
    let py = slf.py();
    let fd = readers::descriptor_for_callbacks(slf, file)?;
    slf.get().check_open()?;
    let direction = if writing {
        Direction::Write
    } else {
        Direction::Read
    };
    let attempt = Bound::new(
        py,
        Attempt {
            owner: slf.clone().unbind(),
            fd,
            direction,
            function: function.clone().unbind(),
            arguments: arguments.clone().unbind(),
            future: tasks::new_future(slf)?.unbind(),
        },
    )?;
    let watcher = Watcher::Attempt(attempt.clone().unbind());
    readers::replace(slf, fd, direction, watcher)?;
    Ok(attempt)
}

/// The descriptor is ready.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt` from the call.
pub fn ready(slf: &Bound<'_, Attempt>) -> PyResult<()> {
    let this = slf.get();
    let py = slf.py();
    let future = this.future.bind(py);
    if call::method0(future, names::done(py))?.is_truthy()? {
        return Ok(());
    }
    match call::call_tuple(this.function.bind(py), this.arguments.bind(py)) {
        Err(error)
            if error.is_instance_of::<PyBlockingIOError>(py)
                || error.is_instance_of::<PyInterruptedError>(py) =>
        {
            Ok(())
        }
        Err(error) if errors::passes(py, &error) => Err(error),
        outcome => {
            Attempt::stop(slf)?;
            match outcome {
                Ok(result) => call::method1(future, names::set_result(py), &result),
                Err(error) => call::method1(
                    future,
                    names::set_exception(py),
                    errors::into_value(py, error).bind(py),
                ),
            }
            .map(drop)
        }
    }
}
