//! get_extra_info and repr.

use epicycle_reactor::kernel::Kernel;
use epicycle_reactor::net::Address;
use pyo3::prelude::*;
use pyo3::types::PyDictMethods;

use super::class::{Kind, StreamTransport};
use super::socket::{self, Endpoint};
use crate::ffi::class::Native;
use crate::ffi::fastcall::Args;
use crate::net::address;
use crate::py::imports::Imports;
use crate::tls::{self, TlsLink};
use crate::watch::connections::Facts;

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
    let known = match name.extract::<&str>() {
        Ok(name) => known_info(slf, name)?,
        // What cannot be the key of a dictionary is refused all the same.
        Err(_) => name.hash().map(|_| None)?,
    };
    Ok(known.unwrap_or_else(|| default.map_or_else(|| py.None(), |value| value.clone().unbind())))
}

/// What a connection knows under this name.
fn known_info(slf: &Native<'_, StreamTransport>, name: &str) -> PyResult<Option<Py<PyAny>>> {
    let py = slf.py();
    Ok(match name {
        "socket" => python_socket(slf)?,
        "sockname" => known_address(py, local(slf)?)?,
        "peername" => known_address(py, slf.state.with(py, |state| state.peer.clone())?)?,
        _ => None,
    })
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

/// What can be told of the connection, a TLS session on top of it included.
///
/// # Errors
/// `RuntimeError` when its state is in use.
pub fn describe(slf: &Native<'_, StreamTransport>) -> PyResult<Facts> {
    let py = slf.py();
    let local = local(slf)?;
    let (mut facts, protocol) = slf.state.with(py, |state| {
        let facts = Facts {
            kind: match (&state.peer, &local) {
                (Some(Address::V4(_) | Address::V6(_)), _) => "tcp",
                (_, Some(Address::V4(_) | Address::V6(_))) => "tcp",
                _ => "unix",
            },
            fd: state.fd,
            local: local.as_ref().and_then(address::to_text),
            peer: state.peer.as_ref().and_then(address::to_text),
            buffer: state.queue.len_bytes(),
            limits: Some((state.flow.low(), state.flow.high())),
            reading: state.life.is_reading(),
            closing: state.life.is_closing(),
            writing_paused: state.flow.is_paused(),
            objects: vec![slf.as_ptr() as usize],
        };
        let secured = state.kind == Kind::Tls;
        let protocol = secured.then(|| state.protocol.as_ref().map(|it| it.clone_ref(py)));
        (facts, protocol.flatten())
    })?;
    if let Some(protocol) = protocol
        && let Some(link) = Native::<TlsLink>::cast(protocol.bind(py))
    {
        tls::describe(TlsLink::transport(link), &mut facts)?;
    }
    Ok(facts)
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
