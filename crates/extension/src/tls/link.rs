//! The protocol that the lower transport sees.
//!
//! A transport of ours recognises it and hands it bytes without a Python object in between (`transport/read.rs`); to
//! any other transport it is an `asyncio.Protocol`.

use pyo3::prelude::*;
use pyo3::types::PyType;

use super::class::TlsTransport;
use super::engine::Scratch;
use super::{ending, handshake, read, write};
use crate::ffi::buffer::View;
use crate::ffi::class::{Class, Native, NativeRef, Payload, Visitor};
use crate::ffi::fastcall::{Args, method};

/// The lower side of a TLS session: an `asyncio.Protocol`, native.
pub struct TlsLink {
    transport: NativeRef<TlsTransport>,
}

static CLASS: Class<TlsLink> = Class::unmade();

impl Payload for TlsLink {
    const ATTRIBUTES: bool = true;
    const REPR: Option<fn(&Native<'_, Self>) -> PyResult<Py<PyAny>>> = Some(repr);

    fn class() -> &'static Class<Self> {
        &CLASS
    }

    fn traverse(&self, visit: &mut Visitor) {
        visit.object(self.transport.as_py());
    }

    fn clear(&self, _py: Python<'_>) {}
}

impl TlsLink {
    /// The session that the protocol belongs to.
    #[inline]
    pub fn transport<'a, 'py>(slf: &'a Native<'py, Self>) -> &'a Native<'py, TlsTransport> {
        slf.transport.bind(slf.py())
    }
}

/// The protocol for the lower transport of `transport`.
pub(super) fn make<'py>(transport: &Native<'py, TlsTransport>) -> PyResult<Bound<'py, PyAny>> {
    let link = TlsLink {
        transport: transport.clone().unbind(),
    };
    Ok(CLASS.instance(transport.py(), link)?.into_any())
}

/// Makes the class; called when the module is made.
///
/// # Errors
/// What CPython raises for a base that cannot be derived from.
pub(super) fn make_class(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let base = module
        .py()
        .import("asyncio.protocols")?
        .getattr("Protocol")?
        .cast_into::<PyType>()?;
    let table = vec![
        method(
            c"connection_made",
            connection_made,
            c"Begins the handshake.",
        ),
        method(c"data_received", data_received, c"Takes encrypted bytes."),
        method(
            c"eof_received",
            eof_received,
            c"The peer sends nothing more.",
        ),
        method(
            c"pause_writing",
            pause_writing,
            c"The lower transport has enough for now.",
        ),
        method(
            c"resume_writing",
            resume_writing,
            c"The lower transport has room again.",
        ),
        method(
            c"connection_lost",
            connection_lost,
            c"The lower transport is gone.",
        ),
        method(
            c"_get_transport",
            get_transport,
            c"The transport underneath, while there is one.",
        ),
    ];
    let class = CLASS.make(
        c"epicycle.TlsLink",
        c"The protocol by which an SSLTransport speaks to the transport underneath.",
        &base,
        table,
    )?;
    let property = module.py().import("builtins")?.getattr("property")?;
    class.setattr(
        "_transport",
        property.call1((class.getattr("_get_transport")?,))?,
    )?;
    module.add("TlsLink", class)
}

/// The transport underneath, by the name that asyncio has for it.
fn get_transport(slf: &Native<'_, TlsLink>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let lower = TlsTransport::lower(TlsLink::transport(slf))?;
    Ok(lower.map_or_else(|| slf.py().None(), Bound::unbind))
}

fn connection_made(slf: &Native<'_, TlsLink>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let [lower] = args.bind(&["transport"], 1)?;
    let py = slf.py();
    let lower = lower
        .ok_or_else(|| args.missing("transport"))?
        .clone()
        .unbind();
    let transport = TlsLink::transport(slf);
    let before = transport
        .state
        .with(py, |state| state.lower.replace(lower))?;
    drop(before);
    TlsTransport::in_context(transport, || handshake::start(transport))?;
    Ok(py.None())
}

fn data_received(slf: &Native<'_, TlsLink>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let [data] = args.bind(&["data"], 1)?;
    let data = View::read(data.ok_or_else(|| args.missing("data"))?)?;
    let transport = TlsLink::transport(slf);
    let owner = transport.owner.bind(slf.py());
    let mut scratch = Scratch::borrow(owner)?;
    let outcome = read::arrived(transport, data.bytes(), &mut scratch.plain);
    scratch.give_back(owner)?;
    outcome?;
    Ok(slf.py().None())
}

fn eof_received(slf: &Native<'_, TlsLink>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let transport = TlsLink::transport(slf);
    let keep_open = TlsTransport::in_context(transport, || ending::peer_ended(transport))?;
    Ok(super::class::boolean(slf.py(), keep_open))
}

fn pause_writing(slf: &Native<'_, TlsLink>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let py = slf.py();
    TlsLink::transport(slf)
        .state
        .with(py, |state| state.lower_full = true)?;
    Ok(py.None())
}

fn resume_writing(slf: &Native<'_, TlsLink>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let py = slf.py();
    let transport = TlsLink::transport(slf);
    transport.state.with(py, |state| state.lower_full = false)?;
    TlsTransport::in_context(transport, || write::pump_or_fail(transport, false))?;
    Ok(py.None())
}

fn connection_lost(slf: &Native<'_, TlsLink>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let [error] = args.bind(&["exc"], 1)?;
    let error = error
        .filter(|error| !error.is_none())
        .map(|error| error.clone().unbind());
    ending::lost(TlsLink::transport(slf), error)?;
    Ok(slf.py().None())
}

/// `repr(protocol)`
fn repr(slf: &Native<'_, TlsLink>) -> PyResult<Py<PyAny>> {
    let text = format!("<TlsLink of {}>", TlsLink::transport(slf).as_any().repr()?);
    Ok(text.into_pyobject(slf.py())?.into_any().unbind())
}
