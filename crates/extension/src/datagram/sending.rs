//! sendto: at once where the kernel takes it, queued where it does not; flow control.

use epicycle_reactor::kernel::Kernel;
use epicycle_reactor::stream::WriteVerdict;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString};

use super::class::DatagramTransport;
use super::destination::{self, Destination};
use super::ending;
use crate::event_loop::report;
use crate::ffi::call;
use crate::ffi::class::Native;
use crate::ffi::context;
use crate::ffi::fastcall::Args;
use crate::py::imports::Imports;
use crate::py::{errors, names};
use crate::transport::{Data, Marks};

/// The most queued datagrams sent in a row; then everybody else gets a turn.
const MOST_AT_ONCE: usize = 64;

const FAILED: &str = "Fatal write error on datagram transport";

/// What became of a datagram.
enum Sent {
    Done,
    /// There is no room for it now.
    Blocked,
    /// The kernel will not send it, or reports what became of an earlier one.
    Refused(PyErr),
    Failed(PyErr),
}

/// `transport.sendto(data, addr=None)`
pub(super) fn sendto(
    slf: &Native<'_, DatagramTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    let py = args.py();
    let [object, given] = args.bind(&["data", "addr"], 1)?;
    let object = object.ok_or_else(|| args.missing("data"))?;
    let data = Data::of(object, "a bytes-like object")?;
    // Before 3.13 an empty datagram was taken for nothing to send.
    if !cfg!(Py_3_13) && data.bytes().is_empty() {
        return Ok(py.None());
    }
    destination::check(slf, given)?;
    let (verdict, waits) = slf.state.with(py, |state| {
        // As in asyncio, an endpoint that says with each datagram where it goes sends until its socket is closed.
        let verdict = if slf.fixed.is_none() && !state.life.is_lost() {
            WriteVerdict::Accept
        } else {
            state.life.write()
        };
        (verdict, !state.queue.is_empty())
    })?;
    if let WriteVerdict::Discard { warn } = verdict {
        if warn {
            let logger = Imports::get(py)?.logger.bind(py);
            logger.call_method1("warning", ("socket.send() raised exception.",))?;
        }
        return Ok(py.None());
    }
    let to = destination::resolve(slf, given)?;
    if !waits {
        match send(slf, data.bytes(), &to)? {
            Sent::Done => return Ok(py.None()),
            Sent::Blocked => {}
            Sent::Refused(error) => {
                // In the context of whoever sends, and what it raises is the sender's, as in asyncio.
                if let Some(protocol) = DatagramTransport::protocol(slf)? {
                    let error = errors::into_value(py, error);
                    protocol.call_method1(names::error_received(py), (error,))?;
                }
                return Ok(py.None());
            }
            Sent::Failed(error) => {
                ending::fail(slf, error, FAILED)?;
                return Ok(py.None());
            }
        }
    }
    if slf.state.with(py, |state| state.life.is_losing())? {
        // Nobody will wait for room any more.
        return Ok(py.None());
    }
    let pause = slf.state.with(py, |state| {
        state.queue.push(data.rest(0), to);
        state.flow.after_growth(state.queue.size())
    })?;
    DatagramTransport::update_interest(slf)?;
    if pause {
        tell_flow(slf, names::pause_writing(py))?;
    }
    Ok(py.None())
}

#[inline(always)]
fn send(slf: &Native<'_, DatagramTransport>, data: &[u8], to: &Destination) -> PyResult<Sent> {
    let py = slf.py();
    let sent = slf.owner.get().cell.with(py, |core| {
        let kernel = &mut core.turn.kernel;
        let sent = match to {
            Destination::Peer => kernel.send(slf.fd, data),
            Destination::Address(address) => kernel.send_to(slf.fd, data, address),
            Destination::Python(_) => return None,
        };
        core.turn
            .counters
            .bytes_out
            .add(*sent.as_ref().unwrap_or(&0) as u64);
        Some(sent)
    })?;
    Ok(match (sent, to) {
        (Some(Ok(_)), _) => Sent::Done,
        (Some(Err(error)), _) if errors::would_block(&error) => Sent::Blocked,
        (Some(Err(error)), _) => Sent::Refused(errors::os_error(py, &error)),
        (None, Destination::Python(address)) => send_foreign(slf, data, address)?,
        (None, _) => Sent::Done,
    })
}

/// By Python's socket, which knows every kind of address and words every refusal.
#[cold]
fn send_foreign(
    slf: &Native<'_, DatagramTransport>,
    data: &[u8],
    address: &Py<PyAny>,
) -> PyResult<Sent> {
    let py = slf.py();
    let socket = slf.state.with(py, |state| {
        state.socket.as_ref().map(|socket| socket.clone_ref(py))
    })?;
    let Some(socket) = socket else {
        return Ok(Sent::Done);
    };
    let arguments = (PyBytes::new(py, data), address);
    Ok(
        match socket.call_method1(py, pyo3::intern!(py, "sendto"), arguments) {
            Ok(_) => Sent::Done,
            Err(error) if errors::blocks(py, &error) => Sent::Blocked,
            Err(error) if error.is_instance_of::<PyOSError>(py) => Sent::Refused(error),
            Err(error) => Sent::Failed(error),
        },
    )
}

/// The kernel has room again.
pub(super) fn ready(slf: &Native<'_, DatagramTransport>) -> PyResult<()> {
    let py = slf.py();
    for _ in 0..MOST_AT_ONCE {
        let Some((data, to)) = slf.state.with(py, |state| state.queue.pop())? else {
            break;
        };
        match send(slf, data.as_ref(), &to)? {
            Sent::Done => {}
            Sent::Blocked => {
                slf.state.with(py, |state| state.queue.put_back(data, to))?;
                break;
            }
            Sent::Refused(error) => {
                let Some(protocol) = DatagramTransport::protocol(slf)? else {
                    break;
                };
                let name = names::error_received(py);
                let error = errors::into_value(py, error);
                DatagramTransport::tell(slf, &protocol, name, || {
                    protocol.call_method1(name, (error,)).map(drop)
                })?;
                break;
            }
            Sent::Failed(error) => return ending::fail(slf, error, FAILED),
        }
    }
    let resume = slf.state.with(py, |state| {
        !state.life.is_losing() && state.flow.after_shrink(state.queue.size())
    })?;
    if resume {
        context::run(py, &slf.context, || {
            tell_flow(slf, names::resume_writing(py))
        })?;
    }
    // The protocol may have sent more when it was told to go on.
    let drained = slf.state.with(py, |state| {
        (state.queue.is_empty() && !state.life.is_losing()).then(|| state.life.drained())
    })?;
    match drained {
        Some(action) => {
            DatagramTransport::update_interest(slf)?;
            DatagramTransport::carry_out(slf, action)
        }
        None => Ok(()),
    }
}

/// Calls `pause_writing` or `resume_writing`; what it raises is reported and changes nothing.
fn tell_flow(slf: &Native<'_, DatagramTransport>, name: &Bound<'_, PyString>) -> PyResult<()> {
    let py = slf.py();
    let Some(protocol) = DatagramTransport::protocol(slf)? else {
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

/// `transport.get_write_buffer_size()`
pub(super) fn get_write_buffer_size(
    slf: &Native<'_, DatagramTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let size = slf.state.with(slf.py(), |state| state.queue.size())?;
    Ok(PyInt::new(slf.py(), size).into_any().unbind())
}

/// `transport.get_write_buffer_limits()`
pub(super) fn get_write_buffer_limits(
    slf: &Native<'_, DatagramTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let limits = slf
        .state
        .with(slf.py(), |state| (state.flow.low(), state.flow.high()))?;
    Ok(limits.into_pyobject(slf.py())?.into_any().unbind())
}

/// `transport.set_write_buffer_limits(high=None, low=None)`
pub(super) fn set_write_buffer_limits(
    slf: &Native<'_, DatagramTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let marks = Marks::of(args)?;
    let pause = slf.state.with(py, |state| {
        marks.set(&mut state.flow)?;
        Ok(state.flow.after_growth(state.queue.size()))
    })?;
    if pause.map_err(Marks::refused)? {
        tell_flow(slf, names::pause_writing(py))?;
    }
    Ok(py.None())
}
