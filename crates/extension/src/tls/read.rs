//! Decrypting, handing over, pausing the lower transport.

use epicycle_reactor::stream::{Arrival, Told};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::class::{TlsTransport, boolean};
use super::engine::{Outcome, RECORD, Scratch};
use super::{TlsWork, ending, handshake, write};
use crate::ffi::buffer::View;
use crate::ffi::call;
use crate::ffi::class::Native;
use crate::ffi::context::Nesting;
use crate::ffi::fastcall::Args;
use crate::py::{errors, names};
use crate::streams::Feed;

/// How much OpenSSL's buffer is given at once: it keeps the room for the most it ever had.
const SLICE: usize = 32 * 1024;

/// How decrypting ended.
enum End {
    /// Nothing more has arrived, or nobody wants it now.
    Dry,
    /// The peer has said goodbye.
    Goodbye,
    Failed(PyErr),
}

/// Bytes have arrived.  `plain` is room to decrypt into.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt`, and what `connection_made` raises.
pub fn arrived(slf: &Native<'_, TlsTransport>, data: &[u8], plain: &mut [u8]) -> PyResult<()> {
    TlsTransport::in_context(slf, || take(slf, data, plain))
}

fn take(slf: &Native<'_, TlsTransport>, data: &[u8], plain: &mut [u8]) -> PyResult<()> {
    let py = slf.py();
    let what = slf.state.with(py, |state| state.session.arrived())?;
    if what == Arrival::Read {
        return hand_over(slf, data, plain);
    }
    if what != Arrival::Drop {
        slf.engine.receive(py, data)?;
    }
    match what {
        Arrival::Handshake => handshake::step(slf, plain),
        Arrival::Keep => control_lower(slf),
        Arrival::Flush => ending::flush(slf),
        Arrival::Shutdown => ending::say_goodbye(slf),
        Arrival::Read | Arrival::Drop => Ok(()),
    }
}

/// Hands over what is there already.
pub(super) fn go_on(slf: &Native<'_, TlsTransport>, plain: &mut [u8]) -> PyResult<()> {
    if slf.state.with(slf.py(), |state| state.session.can_read())? {
        hand_over(slf, &[], plain)?;
    } else {
        control_lower(slf)?;
    }
    Ok(())
}

/// Decrypts `data` and what is left from before, and hands it to the application.
fn hand_over(slf: &Native<'_, TlsTransport>, data: &[u8], plain: &mut [u8]) -> PyResult<()> {
    let outcome = decrypt(slf, data, plain)
        .and_then(|()| write::pump(slf, false))
        .and_then(|()| control_lower(slf));
    match outcome {
        Err(error) => ending::fatal(slf, error, "Fatal error on SSL protocol"),
        Ok(()) => Ok(()),
    }
}

fn decrypt(slf: &Native<'_, TlsTransport>, data: &[u8], plain: &mut [u8]) -> PyResult<()> {
    let buffered = TlsTransport::protocol(slf)?.is_some_and(|(_, buffered)| buffered);
    let end = if buffered {
        fill(slf, data)?
    } else {
        copy(slf, data, plain)?
    };
    match end {
        End::Dry => Ok(()),
        End::Goodbye => {
            ending::tell_eof(slf)?;
            ending::begin(slf)
        }
        End::Failed(error) => Err(error),
    }
}

/// For a protocol with `data_received`: decrypts as much as there is, and hands it over in one piece.
fn copy(slf: &Native<'_, TlsTransport>, mut data: &[u8], plain: &mut [u8]) -> PyResult<End> {
    let py = slf.py();
    let mut filled = 0;
    let end = 'all: loop {
        let (slice, rest) = data.split_at(data.len().min(SLICE));
        data = rest;
        slf.engine.receive(py, slice)?;
        loop {
            if plain.len() - filled < RECORD {
                // Whatever the application does now, it finds everything where it expects it.
                slf.engine.receive(py, std::mem::take(&mut data))?;
                deliver(slf, &plain[..std::mem::take(&mut filled)])?;
                match TlsTransport::protocol(slf)? {
                    Some((_, true)) => return fill(slf, &[]),
                    Some(_) if slf.state.with(py, |state| state.session.can_read())? => {}
                    _ => return Ok(End::Dry),
                }
            }
            match slf.engine.read(py, &mut plain[filled..])? {
                Outcome::Done(0) => break 'all End::Goodbye,
                Outcome::Done(count) => filled += count,
                Outcome::Again => break,
                Outcome::Failed(error) => break 'all End::Failed(error),
            }
        }
        if data.is_empty() {
            break End::Dry;
        }
    };
    // What follows a goodbye or an error is nothing that anybody could read.
    if filled > 0 {
        deliver(slf, &plain[..filled])?;
    }
    Ok(end)
}

fn deliver(slf: &Native<'_, TlsTransport>, plain: &[u8]) -> PyResult<()> {
    let py = slf.py();
    let Some((protocol, _)) = TlsTransport::protocol(slf)? else {
        return Ok(());
    };
    if let Some(feed) = Feed::of(&protocol)?
        && feed.append(plain).is_ok()
    {
        return feed.tell();
    }
    let data = PyBytes::new(py, plain);
    call::method1(&protocol, names::data_received(py), data.as_any()).map(drop)
}

/// For a protocol that provides the buffers: decrypts straight into them.
fn fill(slf: &Native<'_, TlsTransport>, mut data: &[u8]) -> PyResult<End> {
    let py = slf.py();
    // What an inner run of the loop receives has to come behind all of this.
    let at_once = if Nesting::is_allowed() {
        data.len()
    } else {
        SLICE
    };
    loop {
        let (slice, rest) = data.split_at(data.len().min(at_once));
        data = rest;
        slf.engine.receive(py, slice)?;
        loop {
            let wanted = slf
                .state
                .with(py, |state| state.session.can_read() && state.buffered)?;
            let Some((protocol, _)) = TlsTransport::protocol(slf)?.filter(|_| wanted) else {
                slf.engine.receive(py, data)?;
                return Ok(End::Dry);
            };
            match fill_once(slf, &protocol)? {
                None => {}
                Some(End::Dry) => break,
                Some(end) => return Ok(end),
            }
        }
        if data.is_empty() {
            return Ok(End::Dry);
        }
    }
}

/// One buffer of the protocol's.  `None` when it was filled to the brim.
fn fill_once(slf: &Native<'_, TlsTransport>, protocol: &Bound<'_, PyAny>) -> PyResult<Option<End>> {
    let py = slf.py();
    if slf.engine.is_dry(py)? {
        return Ok(Some(End::Dry));
    }
    let hint = slf.engine.incoming_pending(py)?.into_pyobject(py)?;
    let buffer = call::method1(protocol, names::get_buffer(py), &hint)?;
    let mut view = View::write(&buffer)?;
    let memory = view.bytes_mut()?;
    if memory.is_empty() {
        return Err(PyRuntimeError::new_err(
            "get_buffer() returned an empty buffer",
        ));
    }
    let mut filled = 0;
    let mut end = None;
    while filled < memory.len() {
        match slf.engine.read(py, &mut memory[filled..])? {
            Outcome::Done(0) => end = Some(End::Goodbye),
            Outcome::Done(count) => {
                filled += count;
                continue;
            }
            Outcome::Again => end = Some(End::Dry),
            Outcome::Failed(error) => end = Some(End::Failed(error)),
        }
        break;
    }
    drop(view);
    drop(buffer);
    if filled > 0 {
        let count = filled.into_pyobject(py)?;
        call::method1(protocol, names::buffer_updated(py), &count)?;
    }
    Ok(end)
}

/// Room to decrypt into, outside of an arrival.
fn with_scratch<R>(
    slf: &Native<'_, TlsTransport>,
    body: impl FnOnce(&mut [u8]) -> PyResult<R>,
) -> PyResult<R> {
    let owner = slf.owner.bind(slf.py());
    let mut scratch = Scratch::borrow(owner)?;
    let outcome = body(&mut scratch.plain);
    scratch.give_back(owner)?;
    outcome
}

/// The session ends: hands over what has arrived, or throws it away if the application does not take it.
pub(super) fn last(slf: &Native<'_, TlsTransport>) -> PyResult<()> {
    let py = slf.py();
    if slf.engine.is_dry(py)? {
        return Ok(());
    }
    let wanted = slf.state.with(py, |state| state.session.can_read())?;
    with_scratch(slf, |plain| {
        if wanted {
            return hand_over(slf, &[], plain);
        }
        while let Outcome::Done(1..) = slf.engine.read(py, plain)? {}
        Ok(())
    })
}

/// Pauses the lower transport when more has arrived than the application takes, and has it go on later.
pub(super) fn control_lower(slf: &Native<'_, TlsTransport>) -> PyResult<()> {
    let py = slf.py();
    let size = slf.engine.incoming_pending(py)?;
    let told = slf.state.with(py, |state| state.reading.at(size))?;
    let Some(lower) = TlsTransport::lower(slf)? else {
        return Ok(());
    };
    match told {
        Told::Nothing => Ok(()),
        Told::Pause => call::method0(&lower, names::pause_reading(py)).map(drop),
        Told::Resume => call::method0(&lower, names::resume_reading(py)).map(drop),
    }
}

/// Has the lower transport go on whatever has arrived: the rest of the session has to be heard.
pub(super) fn release_lower(slf: &Native<'_, TlsTransport>) -> PyResult<()> {
    let py = slf.py();
    if !slf.state.with(py, |state| state.reading.release())? {
        return Ok(());
    }
    match TlsTransport::lower(slf)? {
        Some(lower) => call::method0(&lower, names::resume_reading(py)).map(drop),
        None => Ok(()),
    }
}

/// The application has resumed reading, in the turn before this one.
pub(super) fn resumed(slf: &Native<'_, TlsTransport>) -> PyResult<()> {
    let py = slf.py();
    let what = slf.state.with(py, |state| state.session.resumed())?;
    let outcome = match what {
        Arrival::Read => with_scratch(slf, |plain| hand_over(slf, &[], plain)),
        Arrival::Flush => ending::flush(slf),
        Arrival::Shutdown => ending::say_goodbye(slf),
        Arrival::Handshake | Arrival::Keep | Arrival::Drop => Ok(()),
    };
    match outcome {
        Err(error) if errors::passes(py, &error) => Err(error),
        Err(error) => ending::fatal(slf, error, "Fatal error on SSL protocol"),
        Ok(()) => Ok(()),
    }
}

/// `transport.pause_reading()`
pub(super) fn pause_reading(
    slf: &Native<'_, TlsTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    slf.state
        .with(slf.py(), |state| state.session.pause_reading())?;
    Ok(slf.py().None())
}

/// `transport.resume_reading()`
pub(super) fn resume_reading(
    slf: &Native<'_, TlsTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    if slf
        .state
        .with(slf.py(), |state| state.session.resume_reading())?
    {
        TlsTransport::queue(slf, TlsWork::Resumed)?;
    }
    Ok(slf.py().None())
}

/// `transport.is_reading()`
pub(super) fn is_reading(
    slf: &Native<'_, TlsTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let paused = slf
        .state
        .with(slf.py(), |state| state.session.is_reading_paused())?;
    Ok(boolean(slf.py(), !paused))
}

/// `transport.get_read_buffer_size()`
pub(super) fn get_read_buffer_size(
    slf: &Native<'_, TlsTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let py = slf.py();
    Ok(slf
        .engine
        .incoming_pending(py)?
        .into_pyobject(py)?
        .into_any()
        .unbind())
}

/// `transport.get_read_buffer_limits()`
pub(super) fn get_read_buffer_limits(
    slf: &Native<'_, TlsTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let limits = slf.state.with(slf.py(), |state| state.reading.limits())?;
    Ok(limits.into_pyobject(slf.py())?.into_any().unbind())
}

/// `transport.set_read_buffer_limits(high=None, low=None)`
pub(super) fn set_read_buffer_limits(
    slf: &Native<'_, TlsTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    let (high, low) = crate::transport::limits(args)?;
    slf.state
        .with(slf.py(), |state| state.reading.set(high, low))?
        .map_err(write::wrong_limits)?;
    control_lower(slf)?;
    Ok(slf.py().None())
}
