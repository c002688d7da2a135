//! What `loop.sendfile` asks of a connection: that everything written before has gone, that nothing is written
//! meanwhile, and to be told when the kernel has room.

use pyo3::exceptions::{PyConnectionError, PyRuntimeError};
use pyo3::prelude::*;

use super::class::StreamTransport;
use crate::event_loop::tasks::new_future;
use crate::ffi::class::Native;
use crate::ffi::fastcall::Args;
use crate::py::names;

/// A file is being sent, past the write queue.
pub(super) struct Sendfile {
    /// What the sender waits for: an empty queue at first, then room in the socket, again and again.
    pub waiter: Py<PyAny>,
    /// Whether it waits for room.
    pub room: bool,
}

/// `transport._make_empty_waiter()`: a future of the moment when the queue is empty.  From now on nothing can be written.
pub(super) fn make_empty_waiter(
    slf: &Native<'_, StreamTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let py = slf.py();
    let waiter = new_future(slf.owner.bind(py))?;
    let sending = Sendfile {
        waiter: waiter.clone().unbind(),
        room: false,
    };
    let refused = slf.state.with(py, |state| match state.sendfile {
        Some(_) => Some(sending),
        None => {
            state.sendfile = Some(sending);
            None
        }
    })?;
    if refused.is_some() {
        return Err(PyRuntimeError::new_err("Empty waiter is already set"));
    }
    if slf.state.with(py, |state| state.queue.is_empty())? {
        waiter.call_method1(names::set_result(py), (py.None(),))?;
    }
    Ok(waiter.unbind())
}

/// `transport._make_room_waiter()`: a future of the moment when the kernel takes more.
pub(super) fn make_room_waiter(
    slf: &Native<'_, StreamTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let py = slf.py();
    let waiter = new_future(slf.owner.bind(py))?;
    let lost = slf.state.with(py, |state| state.life.is_losing())?;
    if lost {
        return Err(gone());
    }
    let sending = Sendfile {
        waiter: waiter.clone().unbind(),
        room: true,
    };
    let before = slf
        .state
        .with(py, |state| state.sendfile.replace(sending))?;
    drop(before);
    StreamTransport::update_interest(slf)?;
    Ok(waiter.unbind())
}

/// `transport._reset_empty_waiter()`: the file has been sent, or not; writing goes on.
pub(super) fn reset_empty_waiter(
    slf: &Native<'_, StreamTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let py = slf.py();
    let before = slf.state.with(py, |state| state.sendfile.take())?;
    drop(before);
    if !slf.state.with(py, |state| state.life.is_losing())? {
        StreamTransport::update_interest(slf)?;
    }
    Ok(py.None())
}

/// The queue has run empty, or the kernel has room: the sender may go on.
pub(super) fn go_on(slf: &Native<'_, StreamTransport>) -> PyResult<()> {
    let py = slf.py();
    let waiting = slf.state.with(py, |state| {
        let empty = state.queue.is_empty();
        let sending = state.sendfile.as_mut().filter(|_| empty)?;
        let roomy = std::mem::replace(&mut sending.room, false);
        Some((sending.waiter.clone_ref(py), roomy))
    })?;
    let Some((waiter, roomy)) = waiting else {
        return Ok(());
    };
    if roomy {
        StreamTransport::update_interest(slf)?;
    }
    let waiter = waiter.bind(py);
    if !waiter
        .call_method0(pyo3::intern!(py, "done"))?
        .is_truthy()?
    {
        waiter.call_method1(names::set_result(py), (py.None(),))?;
    }
    Ok(())
}

/// The connection is being lost: the sender is told.
pub(super) fn give_up(slf: &Native<'_, StreamTransport>) -> PyResult<()> {
    let py = slf.py();
    let waiting = slf.state.with(py, |state| {
        let sending = state.sendfile.as_ref()?;
        let error = state.error.as_ref().map(|error| error.clone_ref(py));
        Some((sending.waiter.clone_ref(py), error))
    })?;
    let Some((waiter, error)) = waiting else {
        return Ok(());
    };
    let waiter = waiter.bind(py);
    if waiter
        .call_method0(pyo3::intern!(py, "done"))?
        .is_truthy()?
    {
        return Ok(());
    }
    let error = error.unwrap_or_else(|| gone().into_value(py).into_any());
    waiter
        .call_method1(pyo3::intern!(py, "set_exception"), (error,))
        .map(drop)
}

#[cold]
fn gone() -> PyErr {
    PyConnectionError::new_err("Connection is closed by peer")
}
