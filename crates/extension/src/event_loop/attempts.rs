//! A call that would have blocked, tried again whenever its descriptor is ready: what the `sock_*` methods wait for.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::entry::Watcher;
use super::readers::{self, Direction};
use super::sockets::{self, Tried};
use super::{Loop, tasks};
use crate::ffi::call;
use crate::py::imports::Imports;
use crate::py::{errors, names};

/// What is tried.
pub enum Trial {
    /// `function(*arguments)`
    Call(Py<PyAny>, Py<PyTuple>),
    /// `sock.recv(count)`
    Receive(Py<PyAny>),
    /// `sock.recv_into(buffer)`
    ReceiveInto(Py<PyAny>),
}

/// The call, and the future that gets its outcome.
#[pyclass(frozen, module = "epicycle._epicycle")]
pub struct Attempt {
    owner: Py<Loop>,
    file: Py<PyAny>,
    fd: i32,
    direction: Direction,
    trial: Trial,
    /// Whether the socket counts us among its users, and so stays open when it is closed: its number, given to another
    /// file, would have this one served.
    kept: AtomicBool,
    #[pyo3(get)]
    future: Py<PyAny>,
}

#[pymethods]
impl Attempt {
    /// Tries no more, if it still does, and lets the socket go.
    fn stop(slf: &Bound<'_, Self>) -> PyResult<()> {
        let unwatched = unwatch(slf, false);
        let this = slf.get();
        if this.kept.swap(false, Ordering::Relaxed) {
            call::method0(this.file.bind(slf.py()), names::lose_user(slf.py()))?;
        }
        unwatched
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.owner)?;
        visit.call(&self.file)?;
        match &self.trial {
            Trial::Call(function, arguments) => {
                visit.call(function)?;
                visit.call(arguments)?;
            }
            Trial::Receive(argument) | Trial::ReceiveInto(argument) => visit.call(argument)?,
        }
        visit.call(&self.future)
    }
}

impl Attempt {
    fn again<'py>(&self, py: Python<'py>) -> Tried<Bound<'py, PyAny>> {
        let (owner, file) = (self.owner.bind(py), self.file.bind(py));
        match &self.trial {
            Trial::Call(function, arguments) => sockets::unless_it_blocks(
                py,
                call::call_tuple(function.bind(py), arguments.bind(py)),
            ),
            Trial::Receive(count) => sockets::receive(owner, file, count.bind(py)),
            Trial::ReceiveInto(buffer) => sockets::receive_into(owner, file, buffer.bind(py)),
        }
    }
}

fn unwatch(slf: &Bound<'_, Attempt>, reported: bool) -> PyResult<()> {
    let this = slf.get();
    if this.owner.get().is_closed() {
        // A closed loop watches nothing.
        return Ok(());
    }
    let watcher = this.owner.get().cell.with(slf.py(), |core| {
        readers::unwatch(
            core,
            this.fd,
            this.direction,
            reported,
            |watcher| matches!(watcher, Watcher::Attempt(attempt) if attempt.is(slf)),
        )
    })?;
    drop(watcher);
    Ok(())
}

/// Somebody else was faster: the next report is waited for.
fn ask_again(slf: &Bound<'_, Attempt>) -> PyResult<()> {
    let this = slf.get();
    let asked = this.owner.get().cell.with(slf.py(), |core| {
        match core.turn.registry.token_of(this.fd) {
            Some(token) => core.turn.ask_again(token),
            None => Ok(()),
        }
    })?;
    asked.map_err(|error| errors::os_error(slf.py(), &error))
}

/// Watches the descriptor of `file`, and tries when it is ready, until that would not block any more.
///
/// # Errors
/// `ValueError` for what is no descriptor, `RuntimeError` for one that a transport owns and for a closed loop, `OSError`
/// when the kernel refuses it.
pub fn begin<'py>(
    slf: &Bound<'py, Loop>,
    file: &Bound<'py, PyAny>,
    direction: Direction,
    trial: Trial,
) -> PyResult<Bound<'py, Attempt>> {
    let py = slf.py();
    let fd = readers::descriptor_for_callbacks(slf, file)?;
    slf.get().check_open()?;
    let attempt = Bound::new(
        py,
        Attempt {
            owner: slf.clone().unbind(),
            file: file.clone().unbind(),
            fd,
            direction,
            trial,
            kept: AtomicBool::new(false),
            future: tasks::new_future(slf)?.unbind(),
        },
    )?;
    // By its true class: what only says that it is a socket need not count its users.
    let sockets = Imports::get(py)?.sockets.class.bind(py);
    if file.get_type().is_subclass(sockets)? {
        let users = file.getattr(names::users(py))?.add(1)?;
        file.setattr(names::users(py), users)?;
        attempt.get().kept.store(true, Ordering::Relaxed);
    }
    let watcher = Watcher::Attempt(attempt.clone().unbind());
    if let Err(error) = readers::replace(slf, fd, direction, watcher) {
        Attempt::stop(&attempt)?;
        return Err(error);
    }
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
    let outcome = match this.again(py) {
        Ok(None) => return ask_again(slf),
        Ok(Some(result)) => Ok(result),
        Err(error) if errors::passes(py, &error) => return Err(error),
        Err(error) => Err(errors::into_value(py, error)),
    };
    unwatch(slf, true)?;
    match outcome {
        Ok(result) => call::method1(future, names::set_result(py), &result),
        Err(error) => call::method1(future, names::set_exception(py), error.bind(py)),
    }
    .map(drop)
}
