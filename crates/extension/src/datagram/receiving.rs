//! The descriptor is readable.

use epicycle_reactor::kernel::Kernel;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::class::{DatagramTransport, answer};
use super::{destination, ending};
use crate::event_loop::core::RECEIVE_BUFFER;
use crate::ffi::class::Native;
use crate::ffi::fastcall::Args;
use crate::net::address::Family;
use crate::py::{errors, names};

/// What one receive brought.
enum Received<'py> {
    Datagram(Bound<'py, PyAny>, Py<PyAny>),
    Nothing,
    /// The kernel reports what became of an earlier datagram, or of this one.
    Refused(PyErr),
    Failed(PyErr),
}

/// A few receives, as many as datagrams have come between two turns lately and never more than 32: then everybody else
/// gets a turn.  Whatever is left is reported again.
#[inline(always)]
pub(super) fn ready(slf: &Native<'_, DatagramTransport>) -> PyResult<()> {
    let py = slf.py();
    let limit = slf.state.with(py, |state| state.batch.limit())?;
    for count in 0..limit {
        // Paused or closed by a callback, and perhaps given another protocol.
        let protocol = slf.state.with(py, |state| match &state.protocol {
            Some(protocol) if state.watching => Some(protocol.bind(py).clone()),
            _ => None,
        })?;
        let Some(protocol) = protocol else {
            return Ok(());
        };
        match receive(slf)? {
            Received::Datagram(data, from) => {
                let name = names::datagram_received(py);
                DatagramTransport::tell(slf, &protocol, name, || {
                    protocol.call_method1(name, (data, from)).map(drop)
                })?;
            }
            Received::Nothing => return slf.state.with(py, |state| state.batch.ran_dry(count)),
            Received::Refused(error) => {
                let name = names::error_received(py);
                let error = errors::into_value(py, error);
                return DatagramTransport::tell(slf, &protocol, name, || {
                    protocol.call_method1(name, (error,)).map(drop)
                });
            }
            Received::Failed(error) => {
                return ending::fail(slf, error, "Fatal read error on datagram transport");
            }
        }
    }
    slf.state.with(py, |state| state.batch.filled())
}

#[inline(always)]
fn receive<'py>(slf: &Native<'py, DatagramTransport>) -> PyResult<Received<'py>> {
    let py = slf.py();
    if slf.family == Family::Other {
        return receive_foreign(slf);
    }
    let received = slf.owner.get().cell.with(py, |core| {
        let (length, from) = core.turn.kernel.recv_from(slf.fd, &mut core.buffer)?;
        core.turn.counters.bytes_in.add(length as u64);
        Ok((PyBytes::new(py, &core.buffer[..length]), from))
    })?;
    match received {
        Ok((data, from)) => Ok(Received::Datagram(
            data.into_any(),
            destination::sender(slf, from)?,
        )),
        Err(error) if errors::would_block(&error) => Ok(Received::Nothing),
        Err(error) => Ok(Received::Refused(errors::os_error(py, &error))),
    }
}

/// Sockets of families that only Python's socket knows the addresses of.
#[cold]
fn receive_foreign<'py>(slf: &Native<'py, DatagramTransport>) -> PyResult<Received<'py>> {
    let py = slf.py();
    let socket = slf.state.with(py, |state| {
        state.socket.as_ref().map(|socket| socket.clone_ref(py))
    })?;
    let Some(socket) = socket else {
        return Ok(Received::Nothing);
    };
    let received = socket
        .call_method1(py, pyo3::intern!(py, "recvfrom"), (RECEIVE_BUFFER,))
        .and_then(|both| both.extract::<(Bound<'py, PyAny>, Py<PyAny>)>(py));
    Ok(match received {
        Ok((data, from)) => Received::Datagram(data, from),
        Err(error) if errors::blocks(py, &error) => Received::Nothing,
        Err(error) if error.is_instance_of::<PyOSError>(py) => Received::Refused(error),
        Err(error) => Received::Failed(error),
    })
}

/// `transport.pause_reading()`
pub(super) fn pause_reading(
    slf: &Native<'_, DatagramTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let action = slf
        .state
        .with(slf.py(), |state| state.life.pause_reading())?;
    DatagramTransport::carry_out(slf, action)?;
    Ok(slf.py().None())
}

/// `transport.resume_reading()`
pub(super) fn resume_reading(
    slf: &Native<'_, DatagramTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let action = slf
        .state
        .with(slf.py(), |state| state.life.resume_reading())?;
    DatagramTransport::carry_out(slf, action)?;
    Ok(slf.py().None())
}

/// `transport.is_reading()`
pub(super) fn is_reading(
    slf: &Native<'_, DatagramTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    Ok(answer(
        slf.py(),
        slf.state.with(slf.py(), |state| state.life.is_reading())?,
    ))
}
