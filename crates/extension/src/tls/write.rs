//! Queueing, encrypting, flow control.

use epicycle_reactor::stream::{TlsWrite, Told};
use pyo3::exceptions::{PyNotImplementedError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PyString};

use super::class::{TlsTransport, boolean};
use super::ending;
use super::engine::Outcome;
use crate::event_loop::report;
use crate::ffi::buffer::View;
use crate::ffi::call;
use crate::ffi::class::Native;
use crate::ffi::fastcall::Args;
use crate::py::imports::Imports;
use crate::py::{errors, names};
use crate::transport::{self, StreamTransport};

/// How much is encrypted before it goes to the lower transport: OpenSSL's buffer keeps the room for the most it had.
const PORTION: usize = 64 * 1024;

/// `transport.write(data)`
pub(super) fn write(slf: &Native<'_, TlsTransport>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let object = match args.get(0) {
        Some(object) if args.len() == 1 && !args.has_keywords() => object,
        _ => {
            let [object] = args.bind(&["data"], 1)?;
            object.ok_or_else(|| args.missing("data"))?
        }
    };
    let data = frozen(object)?;
    if !data.as_bytes().is_empty() {
        queue(slf, [data])?;
    }
    Ok(py.None())
}

/// `transport.writelines(list_of_data)`
pub(super) fn writelines(
    slf: &Native<'_, TlsTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    let [objects] = args.bind(&["list_of_data"], 1)?;
    let data = objects
        .ok_or_else(|| args.missing("list_of_data"))?
        .try_iter()?
        .map(|object| frozen(&object?))
        .collect::<PyResult<Vec<_>>>()?;
    queue(slf, data)?;
    Ok(slf.py().None())
}

/// `transport._test__append_write_backlog(data)`: queues without encrypting, which a peer cannot bring about at will.
/// asyncio has it for its tests.
pub(super) fn append_write_backlog(
    slf: &Native<'_, TlsTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    let [data] = args.bind(&["data"], 1)?;
    let data = frozen(data.ok_or_else(|| args.missing("data"))?)?;
    let length = data.as_bytes().len();
    let data = data.unbind();
    slf.state
        .with(slf.py(), |state| state.backlog.push(data, length))?;
    Ok(slf.py().None())
}

/// The data as `bytes`: itself, or a copy of what could change before it is encrypted.
fn frozen<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(bytes.clone());
    }
    if object.is_instance_of::<PyByteArray>() || object.is_instance_of::<PyMemoryView>() {
        return Ok(PyBytes::new(object.py(), View::read(object)?.bytes()));
    }
    Err(PyTypeError::new_err(format!(
        "data: expecting a bytes-like instance, got {}",
        object.get_type().name()?
    )))
}

fn queue<'py>(
    slf: &Native<'py, TlsTransport>,
    data: impl IntoIterator<Item = Bound<'py, PyBytes>>,
) -> PyResult<()> {
    let py = slf.py();
    let verdict = slf.state.with(py, |state| state.session.write())?;
    if let TlsWrite::Discard { warn } = verdict {
        if warn {
            let logger = Imports::get(py)?.logger.bind(py);
            logger.call_method1("warning", ("SSL connection is closed",))?;
        }
        return Ok(());
    }
    for chunk in data {
        let length = chunk.as_bytes().len();
        let chunk = chunk.unbind();
        slf.state
            .with(py, |state| state.backlog.push(chunk, length))?;
    }
    match verdict {
        TlsWrite::Send => pump_or_fail(slf, false),
        TlsWrite::Hold | TlsWrite::Discard { .. } => Ok(()),
    }
}

/// As `pump`; an error ends the connection.
pub(super) fn pump_or_fail(slf: &Native<'_, TlsTransport>, everything: bool) -> PyResult<()> {
    match pump(slf, everything) {
        Err(error) => ending::fatal(slf, error, "Fatal error on SSL protocol"),
        Ok(()) => Ok(()),
    }
}

/// Encrypts what is queued as long as the lower transport has room, or `everything`; tells the protocol of flow control.
///
/// # Errors
/// What OpenSSL says.
pub(super) fn pump(slf: &Native<'_, TlsTransport>, everything: bool) -> PyResult<()> {
    let py = slf.py();
    let busy = slf
        .state
        .with(py, |state| std::mem::replace(&mut state.encrypting, true))?;
    if busy {
        return Ok(());
    }
    let outcome = encrypt(slf, everything);
    slf.state.with(py, |state| state.encrypting = false)?;
    outcome?;
    flush(slf)?;
    control_application(slf)
}

fn encrypt(slf: &Native<'_, TlsTransport>, everything: bool) -> PyResult<()> {
    let py = slf.py();
    let mut waiting = 0;
    loop {
        let first = slf.state.with(py, |state| {
            if !state.session.can_encrypt() || (state.lower_full && !everything) {
                return None;
            }
            state.backlog.first(py)
        })?;
        let Some((chunk, taken)) = first else {
            return Ok(());
        };
        let chunk = chunk.into_bound(py);
        match slf.engine.write(py, &chunk, taken)? {
            Outcome::Again => return Ok(()),
            Outcome::Failed(error) => return Err(error),
            Outcome::Done(count) => {
                let length = chunk.as_bytes().len();
                let finished = slf
                    .state
                    .with(py, |state| state.backlog.advance(count, length))?;
                drop(finished);
                waiting += count;
            }
        }
        if waiting >= PORTION {
            waiting = 0;
            flush(slf)?;
        }
    }
}

/// Gives what OpenSSL has for the peer to the lower transport.
///
/// # Errors
/// What a lower transport that is not ours raises.
pub(super) fn flush(slf: &Native<'_, TlsTransport>) -> PyResult<()> {
    let py = slf.py();
    let Some(data) = slf.engine.outgoing(py)? else {
        return Ok(());
    };
    let Some(lower) = TlsTransport::lower(slf)? else {
        return Ok(());
    };
    match Native::<StreamTransport>::cast(&lower) {
        Some(lower) => transport::send(lower, &data),
        None => call::method1(&lower, names::write(py), data.as_any()).map(drop),
    }
}

/// Tells the protocol to pause or to go on, where a mark has been passed.
pub(super) fn control_application(slf: &Native<'_, TlsTransport>) -> PyResult<()> {
    let py = slf.py();
    let told = slf
        .state
        .with(py, |state| state.writing.at(state.backlog.size))?;
    match told {
        Told::Nothing => Ok(()),
        Told::Pause => tell(slf, names::pause_writing(py)),
        Told::Resume => tell(slf, names::resume_writing(py)),
    }
}

/// What `pause_writing` or `resume_writing` raises is reported and changes nothing.
fn tell(slf: &Native<'_, TlsTransport>, name: &Bound<'_, PyString>) -> PyResult<()> {
    let py = slf.py();
    let Some((protocol, _)) = TlsTransport::protocol(slf)? else {
        return Ok(());
    };
    match call::method0(&protocol, name).map(drop) {
        Ok(()) => Ok(()),
        Err(error) if errors::passes(py, &error) => Err(error),
        Err(error) => {
            let message = format!("protocol.{name}() failed");
            report::connection_failed(
                slf.owner.bind(py),
                error,
                &message,
                slf.as_any(),
                Some(&protocol),
            )
        }
    }
}

/// `transport.write_eof()`
pub(super) fn write_eof(
    _slf: &Native<'_, TlsTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    Err(PyNotImplementedError::new_err(()))
}

/// `transport.can_write_eof()`
pub(super) fn can_write_eof(
    slf: &Native<'_, TlsTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    Ok(boolean(slf.py(), false))
}

/// `transport.get_write_buffer_size()`
pub(super) fn get_write_buffer_size(
    slf: &Native<'_, TlsTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let py = slf.py();
    let size = slf.state.with(py, |state| state.backlog.size)?;
    Ok(size.into_pyobject(py)?.into_any().unbind())
}

/// `transport.get_write_buffer_limits()`
pub(super) fn get_write_buffer_limits(
    slf: &Native<'_, TlsTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let limits = slf.state.with(slf.py(), |state| state.writing.limits())?;
    Ok(limits.into_pyobject(slf.py())?.into_any().unbind())
}

/// `transport.set_write_buffer_limits(high=None, low=None)`
pub(super) fn set_write_buffer_limits(
    slf: &Native<'_, TlsTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    let (high, low) = crate::transport::limits(args)?;
    slf.state
        .with(slf.py(), |state| state.writing.set(high, low))?
        .map_err(wrong_limits)?;
    control_application(slf)?;
    Ok(slf.py().None())
}

/// The error for marks that do not fit together.
pub(super) fn wrong_limits((high, low): (i64, i64)) -> PyErr {
    PyValueError::new_err(format!("high ({high}) must be >= low ({low}) must be >= 0"))
}

/// `transport._protocol_paused`
pub(super) fn is_protocol_paused(
    slf: &Native<'_, TlsTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let paused = slf
        .state
        .with(slf.py(), |state| state.writing.is_paused())?;
    Ok(boolean(slf.py(), paused))
}
