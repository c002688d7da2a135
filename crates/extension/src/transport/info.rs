//! get_extra_info and repr.

use epicycle_reactor::kernel::Kernel;
use epicycle_reactor::net::Address;
use pyo3::prelude::*;
use pyo3::types::PyDictMethods;

use super::class::StreamTransport;
use super::socket::{self, Endpoint};
use crate::ffi::class::Native;
use crate::ffi::fastcall::Args;
use crate::net::address;
use crate::py::imports::Imports;

/// `transport.get_extra_info(name, default=None)`
pub(super) fn get_extra_info(
    slf: &Native<'_, StreamTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let [name, default] = args.bind(&["name", "default"], 1)?;
    let name = name.ok_or_else(|| args.missing("name"))?;
    let extra = slf.state.with(py, |state| {
        state.extra.as_ref().map(|extra| extra.clone_ref(py))
    })?;
    if let Some(extra) = extra
        && let Some(value) = extra.bind(py).get_item(name)?
    {
        return Ok(value.unbind());
    }
    let known = match name.extract::<&str>().unwrap_or_default() {
        "socket" => python_socket(slf)?,
        "sockname" => known_address(py, local(slf)?)?,
        "peername" => known_address(py, slf.state.with(py, |state| state.peer.clone())?)?,
        _ => None,
    };
    Ok(known.unwrap_or_else(|| default.map_or_else(|| py.None(), |value| value.clone().unbind())))
}

fn known_address(py: Python<'_>, known: Option<Address>) -> PyResult<Option<Py<PyAny>>> {
    known
        .map(|known| address::to_python(py, &known))
        .transpose()
}

/// Our own address, asked once.
fn local(slf: &Native<'_, StreamTransport>) -> PyResult<Option<Address>> {
    let py = slf.py();
    slf.state.with(py, |state| {
        if state.local.is_none() && !state.endpoint.is_gone() {
            let asked = slf
                .owner
                .get()
                .cell
                .with(py, |core| core.turn.kernel.local_address(state.fd));
            state.local = asked.ok().and_then(Result::ok);
        }
        state.local.clone()
    })
}

/// The socket as asyncio shows it, made when it is first asked for.
fn python_socket(slf: &Native<'_, StreamTransport>) -> PyResult<Option<Py<PyAny>>> {
    let py = slf.py();
    let wrap = |socket: &Py<PyAny>| -> PyResult<Option<Py<PyAny>>> {
        Ok(Some(
            Imports::get(py)?.transport_socket.call1(py, (socket,))?,
        ))
    };
    enum Found {
        Python(Py<PyAny>),
        Ours(std::os::fd::RawFd, Option<Address>),
        Gone(Option<Py<PyAny>>, Option<Address>),
    }
    let found = slf.state.with(py, |state| match &state.endpoint {
        Endpoint::Python(socket) => Found::Python(socket.clone_ref(py)),
        Endpoint::Ours(fd) => Found::Ours(socket::number(fd), state.peer.clone()),
        Endpoint::Gone(socket) => Found::Gone(
            socket.as_ref().map(|socket| socket.clone_ref(py)),
            state.peer.clone(),
        ),
    })?;
    match found {
        Found::Python(socket) => wrap(&socket),
        Found::Ours(fd, peer) => {
            let made = socket::into_python(py, fd, peer.as_ref())?;
            let kept = made.clone_ref(py);
            let ours = slf.state.with(py, |state| {
                matches!(state.endpoint, Endpoint::Ours(_))
                    .then(|| std::mem::replace(&mut state.endpoint, Endpoint::Python(kept)))
            })?;
            let Some(Endpoint::Ours(fd)) = ours else {
                // Making it ran Python code, and somebody (another thread, a finaliser) was faster.  Two owners would
                // close the descriptor twice.
                made.call_method0(py, pyo3::intern!(py, "detach"))?;
                return python_socket(slf);
            };
            // The socket object owns it from here on.
            socket::release(fd);
            // asyncio's sockets do not block; the kernel's mode was set at accept.
            made.call_method1(py, "setblocking", (false,))?;
            wrap(&made)
        }
        Found::Gone(Some(socket), _) => wrap(&socket),
        Found::Gone(None, peer) => wrap(&socket::closed(py, peer.as_ref())?),
    }
}

/// `repr(transport)`
pub(super) fn repr(slf: &Native<'_, StreamTransport>) -> PyResult<Py<PyAny>> {
    let text = slf.state.with(slf.py(), |state| {
        let mut text = String::from("<StreamTransport");
        if state.endpoint.is_gone() {
            text.push_str(" closed");
        } else if state.life.is_closing() {
            text.push_str(" closing");
        }
        text.push_str(&format!(" fd={}", state.fd));
        if !state.endpoint.is_gone() {
            let read = if state.watching { "polling" } else { "idle" };
            let size = state.queue.len_bytes();
            let write = if size > 0 { "polling" } else { "idle" };
            text.push_str(&format!(" read={read} write=<{write}, bufsize={size}>"));
        }
        text.push('>');
        text
    })?;
    Ok(text.into_pyobject(slf.py())?.into_any().unbind())
}
