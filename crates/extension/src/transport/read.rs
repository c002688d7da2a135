//! The descriptor is readable.

use std::io;

use epicycle_reactor::kernel::Kernel;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes};

use super::class::{Kind, StreamTransport};
use super::ending;
use crate::ffi::buffer::View;
use crate::ffi::call;
use crate::ffi::class::Native;
use crate::ffi::fastcall::Args;
use crate::py::{errors, names};
use crate::streams::Feed;
use crate::tls::{self, Scratch, TlsLink};

/// What one receive brought.
enum Received<T> {
    Data(T),
    End,
    Nothing,
    Failed(io::Error),
}

impl<T> Received<T> {
    fn from(outcome: io::Result<usize>, data: impl FnOnce(usize) -> T) -> Self {
        match outcome {
            Ok(0) => Self::End,
            Ok(count) => Self::Data(data(count)),
            Err(error) if errors::would_block(&error) => Self::Nothing,
            Err(error) => Self::Failed(error),
        }
    }
}

/// One receive, as much as one read may bring; then the next connection gets its turn.
#[inline(always)]
pub(super) fn ready(slf: &Native<'_, StreamTransport>) -> PyResult<()> {
    let py = slf.py();
    let current = slf.state.with(py, |state| {
        // Paused or closed by a callback that ran after the kernel's report.
        if !state.watching {
            return None;
        }
        let protocol = state.protocol.as_ref()?.bind(py).clone();
        Some((state.fd, protocol, state.kind))
    })?;
    let Some((fd, protocol, kind)) = current else {
        return Ok(());
    };
    match kind {
        Kind::Data => {}
        Kind::Streams => {
            if let Some(feed) = Feed::of(&protocol)? {
                return ready_streams(slf, fd, &protocol, &feed);
            }
        }
        Kind::Buffered => return ready_buffered(slf, fd, &protocol),
        Kind::Tls => return ready_tls(slf, fd, &protocol),
    }
    let received = slf.owner.get().cell.with(py, |core| {
        let outcome = core.turn.kernel.recv(fd, &mut core.buffer);
        Received::from(outcome, |count| {
            core.turn.counters.bytes_in.add(count as u64);
            PyBytes::new(py, &core.buffer[..count])
        })
    })?;
    match received {
        Received::Data(data) => deliver(slf, &protocol, &data),
        other => without_data(slf, &protocol, other),
    }
}

#[inline(always)]
fn deliver(
    slf: &Native<'_, StreamTransport>,
    protocol: &Bound<'_, PyAny>,
    data: &Bound<'_, PyBytes>,
) -> PyResult<()> {
    let py = slf.py();
    let outcome = StreamTransport::in_context(slf, || {
        call::method1(protocol, names::data_received(py), data.as_any()).map(drop)
    });
    data_received(slf, outcome)
}

#[inline(always)]
fn data_received(slf: &Native<'_, StreamTransport>, outcome: PyResult<()>) -> PyResult<()> {
    outcome.or_else(|error| {
        let message = "Fatal error: protocol.data_received() call failed.";
        ending::fail(slf, error, message)
    })
}

/// What arrives goes straight from the receive buffer to the reader's.
fn ready_streams(
    slf: &Native<'_, StreamTransport>,
    fd: i32,
    protocol: &Bound<'_, PyAny>,
    feed: &Feed<'_>,
) -> PyResult<()> {
    let py = slf.py();
    let received = slf.owner.get().cell.with(py, |core| {
        let outcome = core.turn.kernel.recv(fd, &mut core.buffer);
        Received::from(outcome, |count| {
            core.turn.counters.bytes_in.add(count as u64);
            let data = &core.buffer[..count];
            feed.append(data).map_err(|_| PyBytes::new(py, data))
        })
    })?;
    match received {
        Received::Data(Ok(())) => {
            let outcome = StreamTransport::in_context(slf, || feed.tell());
            data_received(slf, outcome)
        }
        // It could not be appended: asyncio's own code says why.
        Received::Data(Err(data)) => deliver(slf, protocol, &data),
        other => without_data(slf, protocol, other),
    }
}

/// Encrypted bytes go straight from the receive buffer to the session.
fn ready_tls(
    slf: &Native<'_, StreamTransport>,
    fd: i32,
    protocol: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = slf.py();
    let owner = slf.owner.bind(py);
    let Some(link) = Native::<TlsLink>::cast(protocol) else {
        return Ok(());
    };
    let mut scratch = Scratch::borrow(owner)?;
    let received = owner.get().cell.with(py, |core| {
        let outcome = core.turn.kernel.recv(fd, &mut scratch.cipher);
        Received::from(outcome, |count| {
            core.turn.counters.bytes_in.add(count as u64);
            count
        })
    })?;
    let outcome = match received {
        Received::Data(count) => {
            let Scratch { cipher, plain } = &mut *scratch;
            Some(tls::arrived(
                TlsLink::transport(link),
                &cipher[..count],
                plain,
            ))
        }
        _ => None,
    };
    scratch.give_back(owner)?;
    match outcome {
        None => without_data(slf, protocol, received),
        Some(Ok(())) => Ok(()),
        Some(Err(error)) => ending::fail(
            slf,
            error,
            "Fatal error: protocol.buffer_updated() call failed.",
        ),
    }
}

fn ready_buffered(
    slf: &Native<'_, StreamTransport>,
    fd: i32,
    protocol: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = slf.py();
    let buffer = StreamTransport::in_context(slf, || {
        let buffer = protocol.call_method1(names::get_buffer(py), (-1,))?;
        if buffer.len()? == 0 {
            return Err(PyRuntimeError::new_err(
                "get_buffer() returned an empty buffer",
            ));
        }
        Ok(buffer)
    });
    let buffer = match buffer {
        Ok(buffer) => buffer,
        Err(error) => {
            return ending::fail(
                slf,
                error,
                "Fatal error: protocol.get_buffer() call failed.",
            );
        }
    };
    let received = writable(&buffer).and_then(|mut view| {
        let memory = view.bytes_mut()?;
        slf.owner.get().cell.with(py, |core| {
            let outcome = core.turn.kernel.recv(fd, memory);
            Received::from(outcome, |count| {
                core.turn.counters.bytes_in.add(count as u64);
                count
            })
        })
    });
    match received {
        Ok(Received::Data(count)) => {
            let outcome = StreamTransport::in_context(slf, || {
                protocol
                    .call_method1(names::buffer_updated(py), (count,))
                    .map(drop)
            });
            match outcome {
                Ok(()) => Ok(()),
                Err(error) => ending::fail(
                    slf,
                    error,
                    "Fatal error: protocol.buffer_updated() call failed.",
                ),
            }
        }
        Ok(other) => without_data(slf, protocol, other),
        Err(error) => ending::fail(slf, error, "Fatal read error on socket transport"),
    }
}

/// The protocol's buffer.
///
/// # Errors
/// `TypeError` for one that cannot be written to, as `socket.recv_into` has it.
fn writable(buffer: &Bound<'_, PyAny>) -> PyResult<View> {
    View::write(buffer).map_err(|_| match buffer.get_type().name() {
        Ok(kind) => PyTypeError::new_err(format!(
            "recv_into() argument 1 must be read-write bytes-like object, not {kind}"
        )),
        Err(error) => error,
    })
}

fn without_data<T>(
    slf: &Native<'_, StreamTransport>,
    protocol: &Bound<'_, PyAny>,
    received: Received<T>,
) -> PyResult<()> {
    match received {
        Received::End => ended(slf, protocol),
        Received::Failed(error) => {
            let error = errors::os_error(slf.py(), &error);
            ending::fail(slf, error, "Fatal read error on socket transport")
        }
        Received::Nothing | Received::Data(_) => Ok(()),
    }
}

/// The peer sends nothing more.
fn ended(slf: &Native<'_, StreamTransport>, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = slf.py();
    let answer = StreamTransport::in_context(slf, || {
        call::method0(protocol, names::eof_received(py))?.is_truthy()
    });
    match answer {
        Ok(keep_open) => {
            let action = slf.state.with(py, |state| {
                state.life.peer_eof(keep_open, !state.queue.is_empty())
            })?;
            StreamTransport::carry_out(slf, action)
        }
        Err(error) => ending::fail(
            slf,
            error,
            "Fatal error: protocol.eof_received() call failed.",
        ),
    }
}

/// `transport.pause_reading()`
pub(super) fn pause_reading(
    slf: &Native<'_, StreamTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let action = slf
        .state
        .with(slf.py(), |state| state.life.pause_reading())?;
    StreamTransport::carry_out(slf, action)?;
    Ok(slf.py().None())
}

/// `transport.resume_reading()`
pub(super) fn resume_reading(
    slf: &Native<'_, StreamTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let action = slf
        .state
        .with(slf.py(), |state| state.life.resume_reading())?;
    StreamTransport::carry_out(slf, action)?;
    Ok(slf.py().None())
}

/// `transport.is_reading()`
pub(super) fn is_reading(
    slf: &Native<'_, StreamTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let reading = slf.state.with(slf.py(), |state| state.life.is_reading())?;
    Ok(PyBool::new(slf.py(), reading)
        .to_owned()
        .into_any()
        .unbind())
}
