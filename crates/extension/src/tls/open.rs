//! Where TLS transports come from: a new socket, an accepted one, another transport.

use epicycle_reactor::kernel::Kernel;
use epicycle_reactor::stream::{Marks, TlsSession};
use pyo3::PyTraverseError;
use pyo3::exceptions::PyValueError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyTuple};

use super::class::{Backlog, State, TlsTransport, is_buffered};
use super::engine::Engine;
use super::{TlsWork, link};
use crate::event_loop::{Loop, readers};
use crate::ffi::call;
use crate::ffi::cell::LoopCell;
use crate::ffi::class::Native;
use crate::ffi::context;
use crate::py::names;
use crate::transport::{self, Endpoint, Origin};
use crate::watch::counted::{Connection, Counted};

/// Seconds for the handshake unless the user says otherwise, as in asyncio.
const HANDSHAKE_TIMEOUT: f64 = 60.0;
/// Seconds for the end, likewise.
const SHUTDOWN_TIMEOUT: f64 = 30.0;
/// Marks of the buffers, in bytes, likewise.
const WRITE_HIGH: usize = 512 * 1024;
const READ_HIGH: usize = 256 * 1024;

/// How a session is to be made.
pub struct TlsOptions {
    /// An `ssl.SSLContext`, or None for the default one of a client.
    pub context: Py<PyAny>,
    pub server_side: bool,
    pub server_hostname: Option<Py<PyAny>>,
    pub handshake_timeout: Option<Py<PyAny>>,
    pub shutdown_timeout: Option<Py<PyAny>>,
}

impl TlsOptions {
    fn duplicate(&self, py: Python<'_>) -> Self {
        let copy = |value: &Option<Py<PyAny>>| value.as_ref().map(|value| value.clone_ref(py));
        Self {
            context: self.context.clone_ref(py),
            server_side: self.server_side,
            server_hostname: copy(&self.server_hostname),
            handshake_timeout: copy(&self.handshake_timeout),
            shutdown_timeout: copy(&self.shutdown_timeout),
        }
    }
}

/// What the session is for.
struct Purpose {
    protocol: Py<PyAny>,
    waiter: Option<Py<PyAny>>,
    accepted: bool,
    /// The protocol knows of the connection already.
    connected: bool,
}

/// A number of seconds, which has to be positive.
fn timeout(
    py: Python<'_>,
    given: Option<Py<PyAny>>,
    name: &str,
    default: f64,
) -> PyResult<Py<PyAny>> {
    match given {
        None => Ok(PyFloat::new(py, default).into_any().unbind()),
        Some(value) if value.bind(py).le(0)? => Err(PyValueError::new_err(format!(
            "{name} should be a positive number, got {}",
            value.bind(py).str()?
        ))),
        Some(value) => Ok(value),
    }
}

/// The context of a client that named none.
fn default_context<'py>(
    py: Python<'py>,
    server_side: bool,
    server_hostname: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    if server_side {
        return Err(PyValueError::new_err(
            "Server side SSL needs a valid SSLContext",
        ));
    }
    // Looked up each time: programs put their own in its place.
    let context = py.import("ssl")?.call_method0("create_default_context")?;
    if server_hostname.is_none() {
        context.setattr("check_hostname", false)?;
    }
    Ok(context)
}

/// The transport of a session, and the protocol for the transport underneath.
fn make<'py>(
    owner: &Bound<'py, Loop>,
    options: TlsOptions,
    purpose: Purpose,
) -> PyResult<(Native<'py, TlsTransport>, Bound<'py, PyAny>)> {
    let py = owner.py();
    let handshake_timeout = timeout(
        py,
        options.handshake_timeout,
        "ssl_handshake_timeout",
        HANDSHAKE_TIMEOUT,
    )?;
    let shutdown_timeout = timeout(
        py,
        options.shutdown_timeout,
        "ssl_shutdown_timeout",
        SHUTDOWN_TIMEOUT,
    )?;
    let mut server_hostname = options.server_hostname.map(|name| name.into_bound(py));
    if let Some(name) = &server_hostname
        && (options.server_side || !name.is_truthy()?)
    {
        server_hostname = None;
    }
    let ssl_context = options.context.into_bound(py);
    let ssl_context = if ssl_context.is_truthy()? {
        ssl_context
    } else {
        default_context(py, options.server_side, server_hostname.as_ref())?
    };
    let buffered = is_buffered(purpose.protocol.bind(py))?;
    let engine = Engine::wrap(&ssl_context, options.server_side, server_hostname.as_ref())?;
    let state = State {
        counted: Some(Counted::new(owner.get().page(), Connection::Tls)),
        session: TlsSession::new(purpose.connected),
        lower: None,
        link: None,
        protocol: Some(purpose.protocol),
        buffered,
        backlog: Backlog::default(),
        writing: Marks::new(WRITE_HIGH),
        reading: Marks::new(READ_HIGH),
        lower_full: false,
        encrypting: false,
        entered: false,
        waiter: purpose.waiter,
        accepted: purpose.accepted,
        timer: None,
        started: None,
        facts: None,
    };
    let payload = TlsTransport {
        owner: owner.clone().unbind(),
        context: context::copy_current(py)?,
        engine,
        ssl_context: ssl_context.unbind(),
        handshake_timeout,
        shutdown_timeout,
        state: LoopCell::new(state),
    };
    let transport = TlsTransport::instance(py, payload)?;
    let link = link::make(&transport)?;
    let kept = link.clone().unbind();
    transport.state.with(py, |state| state.link = Some(kept))?;
    Ok((transport, link))
}

/// What `_make_ssl_transport` was called with besides the options.
pub struct Socket {
    pub socket: Py<PyAny>,
    pub protocol: Py<PyAny>,
    pub waiter: Option<Py<PyAny>>,
    pub extra: Option<Py<PyDict>>,
    pub server: Option<Py<PyAny>>,
}

/// TLS over a connected socket, which the transport owns from here on.
///
/// # Errors
/// `ValueError` for options that do not fit together, `RuntimeError` for a closed loop, and what the context raises.
pub fn over_socket<'py>(
    owner: &Bound<'py, Loop>,
    socket: Socket,
    options: TlsOptions,
) -> PyResult<Native<'py, TlsTransport>> {
    let py = owner.py();
    owner.get().check_open()?;
    let fd = readers::descriptor(socket.socket.bind(py))?;
    readers::ensure_not_used(owner, fd, socket.socket.bind(py))?;
    let peer = owner
        .get()
        .cell
        .with(py, |core| core.turn.kernel.peer_address(fd))?
        .ok();
    let purpose = Purpose {
        protocol: socket.protocol,
        waiter: socket.waiter,
        accepted: false,
        connected: false,
    };
    let origin = Origin {
        endpoint: Endpoint::Python(socket.socket),
        fd,
        peer,
        protocol: py.None(),
        waiter: None,
        server: socket.server,
        extra: socket.extra,
    };
    on(owner, origin, options, purpose)
}

fn on<'py>(
    owner: &Bound<'py, Loop>,
    mut origin: Origin,
    options: TlsOptions,
    purpose: Purpose,
) -> PyResult<Native<'py, TlsTransport>> {
    let py = owner.py();
    let (transport, link) = make(owner, options, purpose)?;
    origin.protocol = link.unbind();
    let lower = transport::open(owner, origin)?.into_any().unbind();
    transport
        .state
        .with(py, |state| state.lower = Some(lower))?;
    Ok(transport)
}

/// TLS over a connection that a server has accepted; `origin` has the application's protocol.
///
/// # Errors
/// As `over_socket`; the connection is closed then.
pub fn accept(owner: &Bound<'_, Loop>, mut origin: Origin, options: &TlsOptions) -> PyResult<()> {
    let py = owner.py();
    let purpose = Purpose {
        protocol: std::mem::replace(&mut origin.protocol, py.None()),
        waiter: None,
        accepted: true,
        connected: false,
    };
    on(owner, origin, options.duplicate(py), purpose).map(drop)
}

/// TLS over a transport that was a plain one so far; begins in the next turn.  `arrived` are bytes of the handshake
/// that the plain protocol has got already.
///
/// # Errors
/// As `over_socket`, and what the transport raises.
pub fn over_transport<'py>(
    owner: &Bound<'py, Loop>,
    lower: &Bound<'py, PyAny>,
    protocol: &Bound<'py, PyAny>,
    waiter: Py<PyAny>,
    options: TlsOptions,
    arrived: &[u8],
) -> PyResult<Native<'py, TlsTransport>> {
    let py = owner.py();
    owner.get().check_open()?;
    let purpose = Purpose {
        protocol: protocol.clone().unbind(),
        waiter: Some(waiter),
        accepted: false,
        connected: true,
    };
    let (transport, link) = make(owner, options, purpose)?;
    transport.engine.receive(py, arrived)?;
    // Nothing may arrive before the handshake has begun.
    call::method0(lower, names::pause_reading(py))?;
    call::method1(lower, pyo3::intern!(py, "set_protocol"), &link)?;
    let kept = lower.clone().unbind();
    transport.state.with(py, |state| state.lower = Some(kept))?;
    TlsTransport::queue(&transport, TlsWork::Start)?;
    Ok(transport)
}

/// A protocol factory whose connections are to speak TLS; what a listening socket is given.
#[pyclass(frozen, module = "epicycle._epicycle")]
pub struct SecureFactory {
    factory: Py<PyAny>,
    pub options: TlsOptions,
}

#[pymethods]
impl SecureFactory {
    #[new]
    #[pyo3(signature = (factory, sslcontext, ssl_handshake_timeout=None, ssl_shutdown_timeout=None))]
    fn new(
        factory: Py<PyAny>,
        sslcontext: Py<PyAny>,
        ssl_handshake_timeout: Option<Py<PyAny>>,
        ssl_shutdown_timeout: Option<Py<PyAny>>,
    ) -> Self {
        let options = TlsOptions {
            context: sslcontext,
            server_side: true,
            server_hostname: None,
            handshake_timeout: ssl_handshake_timeout,
            shutdown_timeout: ssl_shutdown_timeout,
        };
        Self { factory, options }
    }

    #[pyo3(signature = (*args))]
    fn __call__(&self, py: Python<'_>, args: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        self.factory.call1(py, args)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.factory)?;
        visit.call(&self.options.context)?;
        visit.call(&self.options.handshake_timeout)?;
        visit.call(&self.options.shutdown_timeout)
    }
}
