//! From the first byte to `connection_made`.

use pyo3::exceptions::{PyConnectionAbortedError, PyConnectionResetError, PyTimeoutError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::class::TlsTransport;
use super::engine::{Library, Outcome, Scratch};
use super::{ending, read, write};
use crate::event_loop::{clock, report};
use crate::ffi::call;
use crate::ffi::class::Native;
use crate::ffi::fastcall::Args;
use crate::py::imports::Imports;
use crate::py::{errors, names};

/// Begins the handshake: the lower transport is there.
pub(super) fn start(slf: &Native<'_, TlsTransport>) -> PyResult<()> {
    let py = slf.py();
    if !slf.state.with(py, |state| state.session.start())? {
        return Ok(());
    }
    let owner = slf.owner.bind(py);
    if owner.get().debug() {
        debug(slf, "%r starts SSL handshake")?;
        let now = clock::seconds(owner)?.extract()?;
        slf.state.with(py, |state| state.started = Some(now))?;
    }
    TlsTransport::arm(slf, &slf.handshake_timeout)?;
    step_with_scratch(slf)
}

fn step_with_scratch(slf: &Native<'_, TlsTransport>) -> PyResult<()> {
    let owner = slf.owner.bind(slf.py());
    let mut scratch = Scratch::borrow(owner)?;
    let outcome = step(slf, &mut scratch.plain);
    scratch.give_back(owner)?;
    outcome
}

/// Begins on a transport that was a plain one so far, unless it is gone or nobody waits any more.
pub(super) fn secure(slf: &Native<'_, TlsTransport>) -> PyResult<()> {
    let py = slf.py();
    let waiter = slf
        .state
        .with(py, |state| state.waiter.as_ref().map(|it| it.clone_ref(py)))?;
    if let Some(waiter) = waiter
        && call::method0(waiter.bind(py), names::done(py))?.is_truthy()?
    {
        return Ok(());
    }
    start(slf)?;
    match TlsTransport::lower(slf)? {
        Some(lower) => call::method0(&lower, names::resume_reading(py)).map(drop),
        None => Ok(()),
    }
}

/// Goes on with the handshake as far as what has arrived allows.
pub(super) fn step(slf: &Native<'_, TlsTransport>, plain: &mut [u8]) -> PyResult<()> {
    let py = slf.py();
    match slf.engine.do_handshake(py)? {
        Outcome::Again => write::flush(slf),
        Outcome::Done(()) => succeeded(slf, plain),
        Outcome::Failed(error) => failed(slf, error),
    }
}

fn succeeded(slf: &Native<'_, TlsTransport>, plain: &mut [u8]) -> PyResult<()> {
    let py = slf.py();
    TlsTransport::disarm(slf)?;
    let (tell, started) = slf.state.with(py, |state| {
        (state.session.establish(), state.started.take())
    })?;
    if let Some(started) = started {
        let taken = clock::seconds(slf.owner.bind(py))?.extract::<f64>()? - started;
        let arguments = ("%r: SSL handshake took %.1f ms", slf.as_any(), taken * 1e3);
        Imports::get(py)?
            .logger
            .bind(py)
            .call_method1("debug", arguments)?;
    }
    if tell && let Some((protocol, _)) = TlsTransport::protocol(slf)? {
        call::method1(&protocol, names::connection_made(py), slf.as_any())?;
    }
    wake(slf, None, None)?;
    // Our last message of the handshake goes out even if the application has paused reading.
    write::pump_or_fail(slf, false)?;
    read::go_on(slf, plain)
}

/// The handshake has failed: the alert goes out, and the connection goes down.
#[cold]
pub(super) fn failed(slf: &Native<'_, TlsTransport>, error: PyErr) -> PyResult<()> {
    let py = slf.py();
    if errors::passes(py, &error) {
        return Err(error);
    }
    TlsTransport::disarm(slf)?;
    slf.state.with(py, |state| state.session.abandon())?;
    let message = if error.is_instance(py, Library::get(py)?.certificate_error.bind(py)) {
        "SSL handshake failed on verifying the certificate"
    } else {
        "SSL handshake failed"
    };
    write::flush(slf)?;
    let value = errors::into_value(py, error.clone_ref(py)).into_any();
    ending::fatal(slf, error, message)?;
    let protocol = TlsTransport::protocol(slf)?.map(|(protocol, _)| protocol.unbind());
    wake(slf, Some(value), protocol.as_ref())
}

/// The peer hung up in the middle of the handshake.
#[cold]
pub(super) fn cut_off(slf: &Native<'_, TlsTransport>) -> PyResult<()> {
    failed(slf, PyConnectionResetError::new_err(()))
}

/// Tells whoever waits for the handshake.
pub(super) fn wake(
    slf: &Native<'_, TlsTransport>,
    error: Option<Py<PyAny>>,
    protocol: Option<&Py<PyAny>>,
) -> PyResult<()> {
    let py = slf.py();
    let (waiter, accepted) = slf.state.with(py, |state| {
        (state.waiter.take(), std::mem::take(&mut state.accepted))
    })?;
    if let (true, Some(error)) = (accepted && slf.owner.get().debug(), &error) {
        report_refused(slf, error, protocol)?;
    }
    let Some(waiter) = waiter else { return Ok(()) };
    let waiter = waiter.bind(py);
    if call::method0(waiter, names::done(py))?.is_truthy()? {
        return Ok(());
    }
    match error {
        Some(error) => call::method1(waiter, names::set_exception(py), error.bind(py)),
        None => call::method1(waiter, names::set_result(py), &py.None().into_bound(py)),
    }
    .map(drop)
}

/// A client did not get through the handshake.  That is the client's affair; in debug mode it is told.
#[cold]
fn report_refused(
    slf: &Native<'_, TlsTransport>,
    error: &Py<PyAny>,
    protocol: Option<&Py<PyAny>>,
) -> PyResult<()> {
    let py = slf.py();
    let context = PyDict::new(py);
    context.set_item(
        names::message(py),
        "Error on transport creation for incoming connection",
    )?;
    context.set_item(names::exception(py), error)?;
    if let Some(protocol) = protocol {
        context.set_item(names::protocol(py), protocol)?;
    }
    context.set_item(names::transport(py), slf.as_any())?;
    report::to_handler(slf.owner.bind(py), &context)
}

/// `transport._timed_out()`: the handshake, or the end, has taken too long.
pub(super) fn timed_out(
    slf: &Native<'_, TlsTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let py = slf.py();
    let (handshake, ending) = slf.state.with(py, |state| {
        (state.session.in_handshake(), state.session.is_ending())
    })?;
    if handshake {
        let error = PyConnectionAbortedError::new_err(format!(
            "SSL handshake is taking longer than {} seconds: aborting the connection",
            slf.handshake_timeout.bind(py).str()?
        ));
        ending::fatal(slf, error, "Fatal error on transport")?;
    } else if ending {
        let error = PyTimeoutError::new_err("SSL shutdown timed out");
        ending::drop_lower(slf, Some(errors::into_value(py, error).into_any()))?;
    }
    Ok(py.None())
}

/// A line of the debug log about the transport.
pub(super) fn debug(slf: &Native<'_, TlsTransport>, text: &str) -> PyResult<()> {
    let logger = Imports::get(slf.py())?.logger.bind(slf.py());
    logger.call_method1("debug", (text, slf.as_any())).map(drop)
}
