//! Closing, aborting, failing, and the protocol's last callback.

use pyo3::prelude::*;

use super::class::{DatagramTransport, answer};
use crate::event_loop::entry::{Entry, StreamWork};
use crate::event_loop::report;
use crate::ffi::class::Native;
use crate::ffi::fastcall::Args;
use crate::py::names;

/// `transport.close()`
pub(super) fn close(
    slf: &Native<'_, DatagramTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let action = slf
        .state
        .with(slf.py(), |state| state.life.close(!state.queue.is_empty()))?;
    DatagramTransport::carry_out(slf, action)?;
    Ok(slf.py().None())
}

/// `transport.abort()`
pub(super) fn abort(
    slf: &Native<'_, DatagramTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    lose_with(slf, None)?;
    Ok(slf.py().None())
}

/// `transport.is_closing()`
pub(super) fn is_closing(
    slf: &Native<'_, DatagramTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    Ok(answer(
        slf.py(),
        slf.state.with(slf.py(), |state| state.life.is_closing())?,
    ))
}

fn lose_with(slf: &Native<'_, DatagramTransport>, error: Option<Py<PyAny>>) -> PyResult<()> {
    let (action, unused) = slf.state.with(slf.py(), |state| {
        if state.life.is_losing() {
            return (state.life.abort(), error);
        }
        (
            state.life.abort(),
            std::mem::replace(&mut state.error, error),
        )
    })?;
    drop(unused);
    DatagramTransport::carry_out(slf, action)
}

/// An error that ends the endpoint.  Errors of the system are part of life; anything else is reported.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt` pass.
#[cold]
pub(super) fn fail(
    slf: &Native<'_, DatagramTransport>,
    error: PyErr,
    message: &str,
) -> PyResult<()> {
    let py = slf.py();
    let protocol = DatagramTransport::protocol(slf)?;
    let owner = slf.owner.bind(py);
    let value = report::connection_error(owner, error, message, slf.as_any(), protocol.as_ref())?;
    lose_with(slf, Some(value))
}

/// Stops everything, and calls `connection_lost` in the next turn.
pub(super) fn lose(slf: &Native<'_, DatagramTransport>) -> PyResult<()> {
    let py = slf.py();
    DatagramTransport::unwatch(slf)?;
    let queued = slf.state.with(py, |state| state.queue.clear())?;
    drop(queued);
    let owner = slf.owner.get();
    owner.check_open()?;
    let entry = Entry::Datagram(slf.clone().unbind(), StreamWork::End);
    owner.cell.with(py, |core| core.push(entry))
}

/// The last callback: `connection_lost`; then the socket is closed.
pub(super) fn finish(slf: &Native<'_, DatagramTransport>) -> PyResult<()> {
    let py = slf.py();
    let protocol = DatagramTransport::protocol(slf)?;
    let error = slf.state.with(py, |state| state.error.take())?;
    let mut outcome = Ok(());
    if let Some(protocol) = protocol {
        let name = names::connection_lost(py);
        let error = error.map_or_else(|| py.None().into_bound(py), |error| error.into_bound(py));
        outcome = DatagramTransport::tell(slf, &protocol, name, || {
            protocol.call_method1(name, (error,)).map(drop)
        });
    }
    let (socket, rest) = slf.state.with(py, |state| {
        state.life.finish();
        state.counted = None;
        (
            state.socket.take(),
            (
                state.protocol.take(),
                state.sender.take(),
                state.receiver.take(),
            ),
        )
    })?;
    drop(rest);
    let closed = socket.map_or(Ok(()), |socket| {
        socket.call_method0(py, names::close(py)).map(drop)
    });
    outcome.and(closed)
}

/// The transport is going away unclosed.
pub(super) fn abandoned(slf: &Native<'_, DatagramTransport>) {
    let py = slf.py();
    let Some(Some(socket)) = slf
        .state
        .peek(|state| state.socket.as_ref().map(|it| it.clone_ref(py)))
    else {
        return;
    };
    let warned = report::unclosed(slf.as_any());
    let unwatched = DatagramTransport::unwatch(slf);
    let taken = slf.state.peek(|state| state.socket.take());
    let closed = socket.call_method0(py, names::close(py)).map(drop);
    drop(taken);
    for outcome in [warned, unwatched, closed] {
        if let Err(error) = outcome {
            error.write_unraisable(py, Some(slf.as_any()));
        }
    }
}
