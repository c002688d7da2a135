//! Closing, aborting, failing, and the protocol's last callback.

use epicycle_reactor::stream::{Closing, PeerEnd};
use pyo3::exceptions::{PyException, PyOSError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::class::{Backlog, TlsTransport, boolean};
use super::engine::Outcome;
use super::{TlsWork, handshake, read, write};
use crate::event_loop::report;
use crate::ffi::call;
use crate::ffi::class::Native;
use crate::ffi::fastcall::Args;
use crate::py::imports::Imports;
use crate::py::{errors, names};

/// `transport.close()`
pub(super) fn close(slf: &Native<'_, TlsTransport>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    if slf
        .state
        .with(slf.py(), |state| state.session.mark_closed())?
    {
        begin(slf)?;
    }
    Ok(slf.py().None())
}

/// `transport.abort()`
pub(super) fn abort(slf: &Native<'_, TlsTransport>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    give_up(slf, None)?;
    Ok(slf.py().None())
}

/// `transport._force_close(exc)`, which a TLS session on top of this one calls.
pub(super) fn force_close(
    slf: &Native<'_, TlsTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    let [error] = args.bind(&["exc"], 1)?;
    give_up(
        slf,
        error
            .filter(|error| !error.is_none())
            .map(|error| error.clone().unbind()),
    )?;
    Ok(slf.py().None())
}

/// `transport.is_closing()`
pub(super) fn is_closing(
    slf: &Native<'_, TlsTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let py = slf.py();
    let mut closing = slf.state.with(py, |state| state.session.is_closed())?;
    if let (false, Some(lower)) = (closing, TlsTransport::lower(slf)?) {
        closing = call::method0(&lower, names::is_closing(py))?.is_truthy()?;
    }
    Ok(boolean(py, closing))
}

fn give_up(slf: &Native<'_, TlsTransport>, error: Option<Py<PyAny>>) -> PyResult<()> {
    slf.state.with(slf.py(), |state| {
        state.session.mark_closed();
        state.session.abandon();
    })?;
    drop_lower(slf, error)
}

/// Drops the lower transport; `connection_lost` follows from that.
pub(super) fn drop_lower(slf: &Native<'_, TlsTransport>, error: Option<Py<PyAny>>) -> PyResult<()> {
    let py = slf.py();
    let Some(lower) = TlsTransport::lower(slf)? else {
        return Ok(());
    };
    if lower.hasattr(names::force_close(py))? {
        let error = error.map_or_else(|| py.None().into_bound(py), |error| error.into_bound(py));
        return call::method1(&lower, names::force_close(py), &error).map(drop);
    }
    call::method0(&lower, names::abort(py)).map(drop)
}

/// Ends the session in order: the application closes, or the peer has said goodbye.
pub(super) fn begin(slf: &Native<'_, TlsTransport>) -> PyResult<()> {
    match slf.state.with(slf.py(), |state| state.session.close())? {
        Closing::Nothing => Ok(()),
        Closing::Abort => give_up(slf, None),
        Closing::Flush => {
            TlsTransport::arm(slf, &slf.shutdown_timeout)?;
            flush(slf)
        }
    }
}

/// Hands over what has arrived, encrypts what was written, and says goodbye.
pub(super) fn flush(slf: &Native<'_, TlsTransport>) -> PyResult<()> {
    read::last(slf)?;
    // The lower transport sends what it was given before it closes, so it may be given more than it likes.
    write::pump_or_fail(slf, true)?;
    if slf.state.with(slf.py(), |state| state.session.flushed())? {
        read::release_lower(slf)?;
        say_goodbye(slf)?;
    }
    Ok(())
}

/// Says goodbye, or listens for the peer's.
pub(super) fn say_goodbye(slf: &Native<'_, TlsTransport>) -> PyResult<()> {
    let py = slf.py();
    let outcome = if slf.state.with(py, |state| state.session.has_eof())? {
        Outcome::Done(())
    } else {
        slf.engine.shutdown(py)?
    };
    match outcome {
        Outcome::Again => write::flush(slf),
        Outcome::Failed(error) => {
            TlsTransport::disarm(slf)?;
            fatal(slf, error, "Fatal error on transport")
        }
        Outcome::Done(()) => {
            write::flush(slf)?;
            tell_eof(slf)?;
            // The lower transport may still have to send, to a peer that may not read: the time-out stays.
            if slf.state.with(py, |state| state.timer.is_none())? {
                TlsTransport::arm(slf, &slf.shutdown_timeout)?;
            }
            TlsTransport::queue(slf, TlsWork::CloseLower)
        }
    }
}

/// Both sides have said goodbye.
pub(super) fn close_lower(slf: &Native<'_, TlsTransport>) -> PyResult<()> {
    match TlsTransport::lower(slf)? {
        Some(lower) => call::method0(&lower, names::close(slf.py())).map(drop),
        None => Ok(()),
    }
}

/// Tells the application that the peer sends nothing more.
pub(super) fn tell_eof(slf: &Native<'_, TlsTransport>) -> PyResult<()> {
    let py = slf.py();
    if !slf.state.with(py, |state| state.session.tell_eof())? {
        return Ok(());
    }
    let Some((protocol, _)) = TlsTransport::protocol(slf)? else {
        return Ok(());
    };
    let answer =
        call::method0(&protocol, names::eof_received(py)).and_then(|answer| answer.is_truthy());
    match answer {
        Ok(false) => Ok(()),
        Ok(true) => {
            let text = "returning true from eof_received() has no effect when using ssl";
            Imports::get(py)?
                .logger
                .bind(py)
                .call_method1("warning", (text,))
                .map(drop)
        }
        Err(error) => fatal(slf, error, "Error calling eof_received()"),
    }
}

/// The lower transport's input has ended.  Whether the lower transport is to stay open.
pub(super) fn peer_ended(slf: &Native<'_, TlsTransport>) -> PyResult<bool> {
    let py = slf.py();
    if slf.owner.get().debug() {
        handshake::debug(slf, "%r received EOF")?;
    }
    let what = slf.state.with(py, |state| state.session.peer_ended())?;
    let outcome = match what {
        PeerEnd::Nothing => Ok(()),
        PeerEnd::Wait => return Ok(true),
        PeerEnd::FailHandshake => handshake::cut_off(slf),
        PeerEnd::Flush | PeerEnd::Finish => flush(slf),
        PeerEnd::Shutdown => say_goodbye(slf),
    };
    if outcome.is_err() {
        close_lower(slf)?;
    }
    outcome.map(|()| false)
}

/// An error that ends the connection.  Errors of the system and of TLS are part of life; anything else is reported.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt` pass.
#[cold]
pub(super) fn fatal(slf: &Native<'_, TlsTransport>, error: PyErr, message: &str) -> PyResult<()> {
    let py = slf.py();
    if errors::passes(py, &error) {
        return Err(error);
    }
    let value = errors::into_value(py, error.clone_ref(py)).into_any();
    let lower = TlsTransport::lower(slf)?;
    drop_lower(slf, Some(value.clone_ref(py)))?;
    let owner = slf.owner.bind(py);
    if error.is_instance_of::<PyOSError>(py) {
        if owner.get().debug() {
            let options = PyDict::new(py);
            options.set_item("exc_info", &value)?;
            let arguments = ("%r: %s", slf.as_any(), message);
            Imports::get(py)?
                .logger
                .bind(py)
                .call_method("debug", arguments, Some(&options))?;
        }
        return Ok(());
    }
    if !error.is_instance_of::<PyException>(py) {
        // A cancellation is nobody's fault.
        return Ok(());
    }
    let link = slf.state.with(py, |state| {
        state.link.as_ref().map(|link| link.bind(py).clone())
    })?;
    let lower = lower.unwrap_or_else(|| slf.as_any().clone());
    report::connection_failed(owner, error, message, &lower, link.as_ref())
}

/// The lower transport is gone: the last callback, `connection_lost`.
///
/// asyncio would call it in the turn after this one.  A program whose loop stops in between would keep the connection
/// alive, and with it the context and its keys.
pub(super) fn lost(slf: &Native<'_, TlsTransport>, error: Option<Py<PyAny>>) -> PyResult<()> {
    let py = slf.py();
    let (tell, protocol, rest) = slf.state.with(py, |state| {
        let backlog: Backlog = std::mem::take(&mut state.backlog);
        state.counted = None;
        let rest = (state.lower.take(), state.link.take(), backlog);
        (state.session.lost(), state.protocol.take(), rest)
    })?;
    TlsTransport::disarm(slf)?;
    let mut outcome = Ok(());
    if let (true, Some(protocol)) = (tell, &protocol) {
        let protocol = protocol.bind(py);
        let argument = error
            .as_ref()
            .map_or_else(|| py.None(), |error| error.clone_ref(py));
        let told = TlsTransport::in_context(slf, || {
            call::method1(protocol, names::connection_lost(py), argument.bind(py)).map(drop)
        });
        if let Err(error) = told {
            let name = names::connection_lost(py);
            outcome = report::protocol_callback_failed(slf.owner.bind(py), error, protocol, name);
        }
    }
    let woken = handshake::wake(slf, error, protocol.as_ref());
    drop(rest);
    outcome.and(woken)
}

/// The transport is going away unclosed.
pub(super) fn abandoned(slf: &Native<'_, TlsTransport>) {
    let py = slf.py();
    let unclosed = slf.state.peek(|state| state.session.mark_closed());
    if unclosed != Some(true) {
        return;
    }
    if let Err(error) = report::unclosed(slf.as_any()) {
        error.write_unraisable(py, Some(slf.as_any()));
    }
}
