//! A listening socket: accepts, and makes transports.

use std::os::fd::{AsRawFd, RawFd};

use epicycle_reactor::interest::Interest;
use epicycle_reactor::kernel::Kernel;
use epicycle_reactor::time::Nanos;
use epicycle_reactor::token::Token;
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::event_loop::entry::{Entry, Source};
use crate::event_loop::{Loop, clock, readers, report};
use crate::ffi::cell::LoopCell;
use crate::ffi::context;
use crate::py::imports::Imports;
use crate::py::{errors, names};
use crate::tls::{self, SecureFactory};
use crate::transport::{self, Endpoint, Origin};

/// How long to leave a socket alone after accepting failed for want of descriptors or memory, as asyncio does.
const RETRY_DELAY: Nanos = Nanos::from_secs(1);

/// A socket that the loop accepts connections on.
#[pyclass(frozen, module = "epicycle._epicycle")]
pub struct Listener {
    owner: Py<Loop>,
    fd: RawFd,
    socket: Py<PyAny>,
    factory: Py<PyAny>,
    server: Py<PyAny>,
    context: Py<PyAny>,
    backlog: usize,
    state: LoopCell<State>,
}

struct State {
    token: Option<Token>,
    stopped: bool,
    /// How many connections to take at once; the kernel says again when there are more.
    expected: usize,
    /// The last turn in which as many were taken.
    filled: u64,
}

#[pymethods]
impl Listener {
    /// Accepts no more connections; the socket stays open.
    fn stop(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        let py = slf.py();
        let token = this.state.with(py, |state| {
            state.stopped = true;
            state.token.take()
        })?;
        if let Some(token) = token {
            let source = this
                .owner
                .get()
                .cell
                .with(py, |core| core.turn.unwatch(token))?;
            drop(source);
        }
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.owner)?;
        visit.call(&self.socket)?;
        visit.call(&self.factory)?;
        visit.call(&self.server)?;
        visit.call(&self.context)
    }
}

/// Starts to accept on `socket`, making a protocol with `factory` for each connection.
///
/// # Errors
/// `RuntimeError` for a closed loop, `ValueError` for a closed socket, `OSError` when the kernel refuses it.
pub fn listen<'py>(
    owner: &Bound<'py, Loop>,
    factory: Bound<'py, PyAny>,
    socket: Bound<'py, PyAny>,
    server: Bound<'py, PyAny>,
    backlog: usize,
) -> PyResult<Bound<'py, Listener>> {
    let py = owner.py();
    owner.get().check_open()?;
    let fd = readers::descriptor(&socket)?;
    readers::ensure_not_used(owner, fd, &socket)?;
    let listener = Bound::new(
        py,
        Listener {
            owner: owner.clone().unbind(),
            fd,
            socket: socket.unbind(),
            factory: factory.unbind(),
            server: server.unbind(),
            context: context::copy_current(py)?,
            backlog,
            state: LoopCell::new(State {
                token: None,
                stopped: false,
                expected: 1,
                filled: u64::MAX,
            }),
        },
    )?;
    watch(&listener)?;
    Ok(listener)
}

fn watch(slf: &Bound<'_, Listener>) -> PyResult<()> {
    let this = slf.get();
    let py = slf.py();
    let source = Source::Listener(slf.clone().unbind());
    let outcome = this.owner.get().cell.with(py, |core| {
        core.turn.try_watch(this.fd, source, Interest::READ)
    })?;
    match outcome {
        Ok(token) => this.state.with(py, |state| state.token = Some(token)),
        Err((error, _source)) => Err(errors::os_error(py, &error)),
    }
}

/// Takes what is waiting, up to the backlog; the rest waits for the next turn.
///
/// Connections mostly come one by one, and asking for another that is not there costs as much as taking one.  So only one
/// is taken at first, and twice as many in each of the turns of a rush.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt` from the protocol factory.
pub fn accept(slf: &Bound<'_, Listener>) -> PyResult<()> {
    let this = slf.get();
    let py = slf.py();
    let owner = this.owner.bind(py);
    let turn = owner
        .get()
        .cell
        .with(py, |core| core.turn.counters.turns.get())?;
    let most = this.backlog.max(1);
    let (stopped, paused, expected) = this.state.with(py, |state| {
        let rush = state.filled.wrapping_add(1) == turn;
        state.expected = if rush {
            state.expected.saturating_mul(2).min(most)
        } else {
            1
        };
        (state.stopped, state.token.is_none(), state.expected)
    })?;
    if stopped {
        return Ok(());
    }
    if paused {
        // Back from a time-out after the system ran out of something.
        watch(slf)?;
    }
    for _ in 0..expected {
        let accepted = owner.get().cell.with(py, |core| {
            let accepted = core.turn.kernel.accept(this.fd);
            core.turn.counters.accepts.add(u64::from(accepted.is_ok()));
            accepted
        })?;
        match accepted {
            Ok((fd, peer)) => {
                let number = fd.as_raw_fd();
                let endpoint = Endpoint::Ours(fd);
                let made = context::run(py, &this.context, || {
                    let protocol = this.factory.call0(py)?;
                    let origin = Origin {
                        endpoint,
                        fd: number,
                        peer: Some(peer),
                        protocol,
                        waiter: None,
                        server: Some(this.server.clone_ref(py)),
                        extra: None,
                    };
                    match this.factory.bind(py).cast::<SecureFactory>() {
                        Ok(secure) => tls::accept(owner, origin, &secure.get().options),
                        Err(_) => transport::open(owner, origin).map(drop),
                    }
                });
                if let Err(error) = made {
                    refused(slf, error)?;
                }
                if this.state.with(py, |state| state.stopped)? {
                    return Ok(());
                }
            }
            Err(error) => return failed(slf, &error),
        }
    }
    this.state.with(py, |state| state.filled = turn)
}

/// The protocol factory raised: the connection is closed already, and the user is told.
#[cold]
fn refused(slf: &Bound<'_, Listener>, error: PyErr) -> PyResult<()> {
    let py = slf.py();
    if errors::passes(py, &error) {
        return Err(error);
    }
    let report = PyDict::new(py);
    report.set_item(
        names::message(py),
        "Error on transport creation for incoming connection",
    )?;
    report.set_item(names::exception(py), errors::into_value(py, error))?;
    report::to_handler(slf.get().owner.bind(py), &report)
}

/// Accepting failed: nobody was there after all, or the system has run out of something.
#[cold]
fn failed(slf: &Bound<'_, Listener>, error: &std::io::Error) -> PyResult<()> {
    use std::io::ErrorKind;
    let this = slf.get();
    let py = slf.py();
    let owner = this.owner.bind(py);
    if matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted
    ) {
        return Ok(());
    }
    let exhausted = py.import("errno").and_then(|errno| {
        for name in ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"] {
            if error.raw_os_error() == Some(errno.getattr(name)?.extract()?) {
                return Ok(true);
            }
        }
        Ok(false)
    })?;
    let report = PyDict::new(py);
    let socket = Imports::get(py)?
        .transport_socket
        .call1(py, (&this.socket,))?;
    report.set_item(
        names::exception(py),
        errors::into_value(py, errors::os_error(py, error)),
    )?;
    report.set_item(names::socket(py), socket)?;
    if !exhausted {
        report.set_item(names::message(py), "socket.accept() failed")?;
        return report::to_handler(owner, &report);
    }
    report.set_item(names::message(py), "socket.accept() out of system resource")?;
    // The socket stays readable; watching it would only burn time until something is given back.
    let token = this.state.with(py, |state| state.token.take())?;
    if let Some(token) = token {
        drop(owner.get().cell.with(py, |core| core.turn.unwatch(token))?);
    }
    let again = clock::now(owner)?.saturating_add(RETRY_DELAY);
    let entry = Entry::Accept(slf.clone().unbind());
    owner
        .get()
        .cell
        .with(py, |core| core.turn.schedule(again, entry))?;
    report::to_handler(owner, &report)
}

impl Listener {
    /// The listening socket's descriptor.
    pub fn fd(&self) -> RawFd {
        self.fd
    }

    /// Adds the class to the module.
    pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add_class::<Self>()
    }
}
