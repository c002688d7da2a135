//! Closing, aborting, failing, and the protocol's last callback.

use epicycle_reactor::kernel::Kernel;
use pyo3::prelude::*;
use pyo3::types::PyBool;

use super::class::StreamTransport;
use super::sendfile;
use crate::event_loop::entry::{Entry, StreamWork};
use crate::event_loop::report;
use crate::ffi::class::Native;
use crate::ffi::fastcall::Args;
use crate::py::names;

/// `transport.close()`
pub(super) fn close(slf: &Native<'_, StreamTransport>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let action = slf
        .state
        .with(slf.py(), |state| state.life.close(!state.queue.is_empty()))?;
    StreamTransport::carry_out(slf, action)?;
    Ok(slf.py().None())
}

/// `transport.abort()`
pub(super) fn abort(slf: &Native<'_, StreamTransport>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    lose_with(slf, None)?;
    Ok(slf.py().None())
}

/// `transport._force_close(exc)`, which asyncio's TLS layer calls.
pub(super) fn force_close(
    slf: &Native<'_, StreamTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    let [error] = args.bind(&["exc"], 1)?;
    let error = error.filter(|error| !error.is_none());
    lose_with(slf, error.map(|error| error.clone().unbind()))?;
    Ok(slf.py().None())
}

/// `transport.is_closing()`
pub(super) fn is_closing(
    slf: &Native<'_, StreamTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let closing = slf.state.with(slf.py(), |state| state.life.is_closing())?;
    Ok(PyBool::new(slf.py(), closing)
        .to_owned()
        .into_any()
        .unbind())
}

fn lose_with(slf: &Native<'_, StreamTransport>, error: Option<Py<PyAny>>) -> PyResult<()> {
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
    StreamTransport::carry_out(slf, action)
}

/// An error that ends the connection.  Errors of the system are part of life; anything else is reported.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt` pass.
#[cold]
pub(super) fn fail(slf: &Native<'_, StreamTransport>, error: PyErr, message: &str) -> PyResult<()> {
    let py = slf.py();
    let protocol = StreamTransport::protocol(slf)?;
    let owner = slf.owner.bind(py);
    let value = report::connection_error(owner, error, message, slf.as_any(), protocol.as_ref())?;
    lose_with(slf, Some(value))
}

/// Stops everything, and calls `connection_lost` in the next turn.
pub(super) fn lose(slf: &Native<'_, StreamTransport>) -> PyResult<()> {
    let py = slf.py();
    StreamTransport::unwatch(slf)?;
    let queued = slf.state.with(py, |state| state.queue.clear())?;
    drop(queued);
    sendfile::give_up(slf)?;
    let owner = slf.owner.get();
    owner.check_open()?;
    let entry = Entry::Stream(slf.clone().unbind(), StreamWork::End);
    owner.cell.with(py, |core| core.push(entry))
}

/// The last callback: `connection_lost`; then the descriptor is closed.
pub(super) fn finish(slf: &Native<'_, StreamTransport>) -> PyResult<()> {
    let py = slf.py();
    let protocol = StreamTransport::protocol(slf)?;
    let error = slf.state.with(py, |state| state.error.take())?;
    let mut outcome = Ok(());
    if let Some(protocol) = protocol {
        let error = error.map_or_else(|| py.None().into_bound(py), |error| error.into_bound(py));
        let told = StreamTransport::in_context(slf, || {
            protocol
                .call_method1(names::connection_lost(py), (error,))
                .map(drop)
        });
        if let Err(error) = told {
            let name = names::connection_lost(py);
            outcome = report::protocol_callback_failed(slf.owner.bind(py), error, &protocol, name);
        }
    }
    let (endpoint, server, protocol) = slf.state.with(py, |state| {
        state.life.finish();
        state.counted = None;
        let asked = slf.owner.get().cell.with(py, |core| {
            core.turn.corks.forget(state.fd);
            // Who asks for the address afterwards is told, as asyncio tells.
            match state.local {
                Some(_) => None,
                None => core.turn.kernel.local_address(state.fd).ok(),
            }
        });
        state.local = state.local.take().or(asked.ok().flatten());
        (
            state.endpoint.take(py),
            state.server.take(),
            state.protocol.take(),
        )
    })?;
    drop(protocol);
    let closed = endpoint.close(py);
    if let Some(server) = server {
        server.call_method1(py, names::detach(py), (slf.as_any(),))?;
    }
    outcome.and(closed)
}

/// The transport is going away unclosed.
pub(super) fn abandoned(slf: &Native<'_, StreamTransport>) {
    let py = slf.py();
    if slf.state.peek(|state| state.endpoint.is_gone()) != Some(false) {
        return;
    }
    if let Err(error) = report::unclosed(slf.as_any()) {
        error.write_unraisable(py, Some(slf.as_any()));
    }
    let taken = slf.state.peek(|state| {
        // Others that go away with it may still call it; there is nothing any more that they could write to.
        state.life.finish();
        let _ = slf
            .owner
            .get()
            .cell
            .peek(|core| core.turn.corks.forget(state.fd));
        state.endpoint.take(py)
    });
    if let Err(error) = StreamTransport::unwatch(slf) {
        error.write_unraisable(py, Some(slf.as_any()));
    }
    if let Some(endpoint) = taken
        && let Err(error) = endpoint.close(py)
    {
        error.write_unraisable(py, Some(slf.as_any()));
    }
}
