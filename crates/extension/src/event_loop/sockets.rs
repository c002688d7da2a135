//! The tries of `sock_recv`, `sock_recv_into` and `sock_sendall`: the system call at once where the socket is exactly
//! Python's own and does not block, the socket's method everywhere else.

use std::io;

use epicycle_reactor::kernel::Kernel;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyInt, PyMemoryView, PyString};

use super::Loop;
use super::attempts::{self, Trial};
use super::core::RECEIVE_BUFFER;
use super::readers::Direction;
use crate::ffi::buffer::View;
use crate::ffi::call;
use crate::ffi::fastcall::Args;
use crate::py::imports::Imports;
use crate::py::{errors, names};

/// The outcome of a try: nothing when it would have blocked.
pub type Tried<T> = PyResult<Option<T>>;

/// What the socket's method or any other call returns, unless it would block.
///
/// # Errors
/// What it raises.
pub fn unless_it_blocks<T>(py: Python<'_>, outcome: PyResult<T>) -> Tried<T> {
    match outcome {
        Ok(result) => Ok(Some(result)),
        Err(error) if errors::blocks(py, &error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn tried<T>(py: Python<'_>, outcome: io::Result<T>) -> Tried<T> {
    match outcome {
        Ok(result) => Ok(Some(result)),
        Err(error) if errors::would_block(&error) => Ok(None),
        Err(error) => Err(errors::os_error(py, &error)),
    }
}

/// The descriptor of a socket whose method `name` does nothing but the system call: its class is `socket.socket`, where
/// nobody has put another method, and it does not block.
fn plain(
    sock: &Bound<'_, PyAny>,
    name: &Bound<'_, PyString>,
    method: &Py<PyAny>,
) -> PyResult<Option<i32>> {
    let py = sock.py();
    let class = sock.get_type();
    if !class.is(Imports::get(py)?.sockets.class.bind(py)) || !class.getattr(name)?.is(method) {
        return Ok(None);
    }
    let timeout = call::method0(sock, names::gettimeout(py))?;
    if timeout.extract::<f64>().is_ok_and(|seconds| seconds == 0.0) {
        let fd: i32 = call::method0(sock, names::fileno(py))?.extract()?;
        return Ok((fd >= 0).then_some(fd));
    }
    Ok(None)
}

/// `sock.recv(count)`
///
/// # Errors
/// What that raises.
pub fn receive<'py>(
    slf: &Bound<'py, Loop>,
    sock: &Bound<'py, PyAny>,
    count: &Bound<'py, PyAny>,
) -> Tried<Bound<'py, PyAny>> {
    let py = slf.py();
    let sockets = &Imports::get(py)?.sockets;
    let size = count
        .cast_exact::<PyInt>()
        .ok()
        .and_then(|count| count.extract::<usize>().ok())
        .filter(|size| (1..=RECEIVE_BUFFER).contains(size));
    if let Some(size) = size
        && let Some(fd) = plain(sock, names::recv(py), &sockets.recv)?
    {
        let received = slf.get().cell.with(py, |core| {
            let count = core.turn.kernel.recv(fd, &mut core.buffer[..size])?;
            Ok(PyBytes::new(py, &core.buffer[..count]).into_any())
        })?;
        return tried(py, received);
    }
    unless_it_blocks(py, call::method1(sock, names::recv(py), count))
}

/// `sock.recv_into(buffer)`
///
/// # Errors
/// What that raises.
pub fn receive_into<'py>(
    slf: &Bound<'py, Loop>,
    sock: &Bound<'py, PyAny>,
    buffer: &Bound<'py, PyAny>,
) -> Tried<Bound<'py, PyAny>> {
    let py = slf.py();
    let sockets = &Imports::get(py)?.sockets;
    if (buffer.is_exact_instance_of::<PyByteArray>() || buffer.is_instance_of::<PyMemoryView>())
        && let Ok(mut view) = View::write(buffer)
        && view.len() > 0
        && let Some(fd) = plain(sock, names::recv_into(py), &sockets.recv_into)?
    {
        let memory = view.bytes_mut()?;
        let received = slf
            .get()
            .cell
            .with(py, |core| core.turn.kernel.recv(fd, memory))?;
        let count = tried(py, received)?;
        return Ok(count.map(|count| PyInt::new(py, count).into_any()));
    }
    unless_it_blocks(py, call::method1(sock, names::recv_into(py), buffer))
}

/// `loop._receive(sock, n)`
pub fn receive_or_wait(slf: &Bound<'_, Loop>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let (sock, count) = (checked(slf, args)?, args.parameter(1, "n")?);
    match receive(slf, sock, count)? {
        Some(data) => Ok(data.unbind()),
        None => wait(slf, sock, Trial::Receive(count.clone().unbind())),
    }
}

/// `loop._receive_into(sock, buf)`
pub fn receive_into_or_wait(slf: &Bound<'_, Loop>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let (sock, buffer) = (checked(slf, args)?, args.parameter(1, "buf")?);
    match receive_into(slf, sock, buffer)? {
        Some(count) => Ok(count.unbind()),
        None => wait(slf, sock, Trial::ReceiveInto(buffer.clone().unbind())),
    }
}

fn wait(slf: &Bound<'_, Loop>, sock: &Bound<'_, PyAny>, trial: Trial) -> PyResult<Py<PyAny>> {
    attempts::begin(slf, sock, Direction::Read, trial).map(|attempt| attempt.into_any().unbind())
}

/// The socket of a call, as asyncio wants it.
fn checked<'a, 'py>(
    slf: &Bound<'py, Loop>,
    args: &Args<'a, 'py>,
) -> PyResult<&'a Bound<'py, PyAny>> {
    let py = slf.py();
    let sock = args.parameter(0, "sock")?;
    let ordinary = sock.get_type().is(Imports::get(py)?.sockets.class.bind(py));
    if slf.get().debug() || !ordinary {
        slf.call_method1(names::check_socket(py), (sock,))?;
    }
    Ok(sock)
}

/// `loop._send(sock, data)`: how many bytes `sock.send(data)` took, and `None` for all.
pub fn send_once(slf: &Bound<'_, Loop>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let (sock, data) = (checked(slf, args)?, args.parameter(1, "data")?);
    let sockets = &Imports::get(py)?.sockets;
    if (data.is_exact_instance_of::<PyBytes>() || data.is_exact_instance_of::<PyByteArray>())
        && let Some(fd) = plain(sock, names::send(py), &sockets.send)?
    {
        let view = View::read(data)?;
        let sent = slf
            .get()
            .cell
            .with(py, |core| core.turn.kernel.send(fd, view.bytes()))?;
        let count = tried(py, sent)?.unwrap_or(0);
        return Ok(if count < view.len() {
            PyInt::new(py, count).into_any().unbind()
        } else {
            py.None()
        });
    }
    let sent = unless_it_blocks(py, call::method1(sock, names::send(py), data))?;
    Ok(sent
        .unwrap_or_else(|| PyInt::new(py, 0).into_any())
        .unbind())
}
