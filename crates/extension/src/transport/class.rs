//! `StreamTransport`: the class, its state, its methods.

use std::os::fd::RawFd;

use epicycle_reactor::interest::Interest;
use epicycle_reactor::kernel::Kernel;
use epicycle_reactor::net::Address;
use epicycle_reactor::stream::{Action, Bursts, Flow, Lifecycle, WriteQueue};
use epicycle_reactor::token::Token;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyType};

use super::sendfile::{self, Sendfile};
use super::socket::Endpoint;
use super::{ending, info, read, write};
use crate::event_loop::core::Core;
use crate::event_loop::entry::{Entry, Source, StreamWork};
use crate::event_loop::{Loop, report};
use crate::ffi::buffer::Chunk;
use crate::ffi::call;
use crate::ffi::cell::LoopCell;
use crate::ffi::class::{Class, Native, Payload, Repr, Visitor};
use crate::ffi::context;
use crate::ffi::fastcall::{Args, method};
use crate::py::{errors, names, properties};
use crate::streams;
use crate::tls::TlsLink;
use crate::watch::counted::{Connection, Counted};

/// A connection: an `asyncio.Transport`, native.
pub struct StreamTransport {
    pub(super) owner: Py<Loop>,
    pub(super) context: Py<PyAny>,
    pub(super) state: LoopCell<State>,
}

pub(super) struct State {
    /// Counted while it is there.
    pub(super) counted: Option<Counted>,
    pub endpoint: Endpoint,
    pub fd: RawFd,
    pub token: Option<Token>,
    pub peer: Option<Address>,
    pub local: Option<Address>,
    pub life: Lifecycle,
    pub queue: WriteQueue<Chunk>,
    pub flow: Flow,
    /// None where packets are not made of bytes.
    pub bursts: Option<Bursts>,
    /// Whether the descriptor is watched for reading; the end of the input stops that without pausing.
    pub watching: bool,
    pub protocol: Option<Py<PyAny>>,
    pub kind: Kind,
    pub server: Option<Py<PyAny>>,
    /// Whom to tell that the connection is ready for use.
    pub waiter: Option<Py<PyAny>>,
    /// What `connection_lost` will be called with.
    pub error: Option<Py<PyAny>>,
    /// Further facts for `get_extra_info`, as a dict.
    pub extra: Option<Py<PyDict>>,
    pub sendfile: Option<Sendfile>,
}

/// How the protocol wants what arrives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As `bytes`, with `data_received`.
    Data,
    /// In its own memory: it is an `asyncio.BufferedProtocol`.
    Buffered,
    /// At the end of its reader's buffer: it is asyncio's own `StreamReaderProtocol`.
    Streams,
    /// Straight from the receive buffer: it is a TLS session of ours.
    Tls,
}

impl Kind {
    fn of(protocol: &Bound<'_, PyAny>) -> PyResult<Self> {
        if Native::<TlsLink>::cast(protocol).is_some() {
            return Ok(Self::Tls);
        }
        if streams::is_standard(protocol)? {
            return Ok(Self::Streams);
        }
        let imports = crate::py::imports::Imports::get(protocol.py())?;
        let buffered = protocol.is_instance(imports.buffered_protocol.bind(protocol.py()))?;
        Ok(if buffered { Self::Buffered } else { Self::Data })
    }
}

static CLASS: Class<StreamTransport> = Class::unmade();

impl Payload for StreamTransport {
    const ATTRIBUTES: bool = true;
    const FINALIZE: Option<fn(&Native<'_, Self>)> = Some(ending::abandoned);
    const REPR: Option<Repr<Self>> = Some(info::repr);

    fn class() -> &'static Class<Self> {
        &CLASS
    }

    fn traverse(&self, visit: &mut Visitor) {
        visit.object(&self.owner);
        visit.object(&self.context);
        // In use: then what it holds is not shown, looks referenced from outside, and stays.
        let _ = self.state.peek(|state| {
            visit.option(state.endpoint.python());
            visit.option(state.protocol.as_ref());
            visit.option(state.server.as_ref());
            visit.option(state.waiter.as_ref());
            visit.option(state.error.as_ref());
            visit.option(state.extra.as_ref());
            visit.option(state.sendfile.as_ref().map(|sending| &sending.waiter));
        });
    }

    fn clear(&self, _py: Python<'_>) {
        let taken = self.state.peek(|state| {
            (
                state.protocol.take(),
                state.server.take(),
                state.waiter.take(),
                state.error.take(),
                state.extra.take(),
                state.sendfile.take(),
            )
        });
        drop(taken);
    }
}

/// Where a connection comes from.
pub struct Origin {
    pub endpoint: Endpoint,
    pub fd: RawFd,
    pub peer: Option<Address>,
    pub protocol: Py<PyAny>,
    pub waiter: Option<Py<PyAny>>,
    pub server: Option<Py<PyAny>>,
    pub extra: Option<Py<PyDict>>,
}

/// Makes the transport of a connection, and queues what begins it.
///
/// # Errors
/// `TypeError` for a protocol that is none; `RuntimeError` for a closed loop.
pub fn open<'py>(
    owner: &Bound<'py, Loop>,
    origin: Origin,
) -> PyResult<Native<'py, StreamTransport>> {
    let py = owner.py();
    let kind = Kind::of(origin.protocol.bind(py))?;
    let server = origin.server.as_ref().map(|server| server.clone_ref(py));
    let fd = origin.fd;
    let inet = matches!(origin.peer, Some(Address::V4(_) | Address::V6(_)));
    let counted = if inet {
        Connection::Tcp
    } else {
        Connection::Unix
    };
    let state = State {
        counted: Some(Counted::new(owner.get().page(), counted)),
        endpoint: origin.endpoint,
        fd,
        token: None,
        peer: origin.peer,
        local: None,
        life: Lifecycle::new(),
        queue: WriteQueue::new(),
        flow: Flow::new(),
        bursts: inet.then(Bursts::default),
        watching: false,
        protocol: Some(origin.protocol),
        kind,
        server: origin.server,
        waiter: origin.waiter,
        error: None,
        extra: origin.extra,
        sendfile: None,
    };
    let transport = CLASS.instance(
        py,
        StreamTransport {
            owner: owner.clone().unbind(),
            context: context::copy_current(py)?,
            state: LoopCell::new(state),
        },
    )?;
    if let Some(server) = server {
        server.call_method1(py, names::attach(py), (transport.as_any(),))?;
    }
    let entry = Entry::Stream(transport.clone().unbind(), StreamWork::Begin);
    owner.get().cell.with(py, |core| {
        if inet {
            // Small writes should not wait for the acknowledgement of earlier ones.  Not being able to say so is no
            // reason to refuse the connection.
            let _ = core.turn.kernel.set_nodelay(fd, true);
        }
        core.push(entry);
    })?;
    Ok(transport)
}

impl State {
    fn interest(&self) -> Interest {
        let mut interest = Interest::NONE;
        if self.watching {
            interest = interest.with(Interest::READ);
        }
        let waits = !self.queue.is_empty() || self.sendfile.as_ref().is_some_and(|it| it.room);
        if waits && !self.life.is_losing() {
            interest = interest.with(Interest::WRITE);
        }
        interest
    }
}

impl StreamTransport {
    /// Asks the kernel for exactly the directions that matter now.
    ///
    /// # Errors
    /// `RuntimeError` when the loop is closed; `OSError` when the kernel refuses the descriptor.
    pub(super) fn update_interest(slf: &Native<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        slf.owner.get().check_open()?;
        let fd = Self::descriptor(slf)?;
        let outcome = slf.state.with(py, |state| {
            let interest = state.interest();
            match state.token {
                // Closed behind our back: the kernel has forgotten it already.
                _ if fd < 0 && interest.is_empty() => Ok(Ok(())),
                // The kernel says what is wrong with it.
                Some(token) if fd < 0 => slf
                    .owner
                    .get()
                    .cell
                    .with(py, |core| core.turn.kernel.modify(fd, token, interest)),
                Some(token) => slf
                    .owner
                    .get()
                    .cell
                    .with(py, |core| core.turn.set_interest(token, interest)),
                None if interest.is_empty() => Ok(Ok(())),
                None => slf.owner.get().cell.with(py, |core| {
                    state.token = Some(Self::register(slf, core, fd, interest)?);
                    Ok(())
                }),
            }
        })??;
        outcome.map_err(|error| errors::os_error(py, &error))
    }

    fn register(
        slf: &Native<'_, Self>,
        core: &mut Core,
        fd: RawFd,
        interest: Interest,
    ) -> std::io::Result<Token> {
        let source = Source::Stream(slf.clone().unbind());
        core.turn
            .try_watch(fd, source, interest)
            .map_err(|(error, _source)| error)
    }

    /// The descriptor's number; -1 when it does not stand for the connection any more.
    ///
    /// Whoever else holds the socket object may have closed or detached it.  The number may be another connection's by
    /// now, and what is meant for this one must not go there.
    #[inline(always)]
    pub(super) fn descriptor(slf: &Native<'_, Self>) -> PyResult<RawFd> {
        let py = slf.py();
        let (fd, socket) = slf.state.with(py, |state| match &state.endpoint {
            Endpoint::Ours(_) => (state.fd, None),
            Endpoint::Python(socket) => (state.fd, Some(socket.clone_ref(py))),
            Endpoint::Gone(_) => (-1, None),
        })?;
        let Some(socket) = socket else {
            return Ok(fd);
        };
        let number: RawFd = call::method0(socket.bind(py), names::fileno(py))?.extract()?;
        Ok(if number == fd { fd } else { -1 })
    }

    /// Stops watching the descriptor, whatever for.
    pub(super) fn unwatch(slf: &Native<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let source = slf.state.with(py, |state| {
            state.watching = false;
            match state.token.take() {
                Some(token) => slf
                    .owner
                    .get()
                    .cell
                    .with(py, |core| core.turn.unwatch(token)),
                None => Ok(None),
            }
        })??;
        drop(source);
        Ok(())
    }

    /// Carries out what the lifecycle decided.
    ///
    /// # Errors
    /// `RuntimeError` when the loop is closed; `OSError` when the kernel refuses.
    pub(super) fn carry_out(slf: &Native<'_, Self>, action: Action) -> PyResult<()> {
        let py = slf.py();
        match action {
            Action::Nothing => Ok(()),
            Action::StartReading => {
                slf.state.with(py, |state| state.watching = true)?;
                Self::update_interest(slf)
            }
            Action::StopReading => {
                slf.state.with(py, |state| state.watching = false)?;
                if slf.owner.get().check_open().is_err() {
                    // A closed loop watches nothing.
                    return Ok(());
                }
                Self::update_interest(slf)
            }
            Action::ShutdownWrite => write::shutdown(slf),
            Action::Lose => ending::lose(slf),
            Action::LoseNow => {
                Self::unwatch(slf)?;
                ending::finish(slf)
            }
        }
    }

    /// Runs a callback of the protocol in the connection's context.
    #[inline(always)]
    pub(super) fn in_context<R>(
        slf: &Native<'_, Self>,
        body: impl FnOnce() -> PyResult<R>,
    ) -> PyResult<R> {
        context::run(slf.py(), &slf.context, body)
    }

    /// The protocol, while there is one.
    #[inline(always)]
    pub(super) fn protocol<'py>(slf: &Native<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        slf.state.with(py, |state| {
            state.protocol.as_ref().map(|it| it.bind(py).clone())
        })
    }
}

/// The first callback: `connection_made`; then reading starts, and whoever waits is told.
pub(super) fn begin(slf: &Native<'_, StreamTransport>) -> PyResult<()> {
    let py = slf.py();
    let owner = slf.owner.bind(py);
    let mut outcome = Ok(());
    if let Some(protocol) = StreamTransport::protocol(slf)? {
        let made = StreamTransport::in_context(slf, || {
            protocol
                .call_method1(names::connection_made(py), (slf.as_any(),))
                .map(drop)
        });
        if let Err(error) = made {
            let name = names::connection_made(py);
            outcome = report::protocol_callback_failed(owner, error, &protocol, name);
        }
    }
    let reads = slf.state.with(py, |state| state.life.is_reading())?;
    if reads && let Err(error) = StreamTransport::carry_out(slf, Action::StartReading) {
        ending::fail(slf, error, "Fatal error: the connection cannot be watched.")?;
    }
    let waiter = slf.state.with(py, |state| state.waiter.take())?;
    if let Some(waiter) = waiter {
        let waiter = waiter.bind(py);
        if !waiter
            .call_method0(pyo3::intern!(py, "done"))?
            .is_truthy()?
        {
            waiter.call_method1(names::set_result(py), (py.None(),))?;
        }
    }
    outcome
}

/// Makes the class; called when the module is made.
///
/// # Errors
/// What CPython raises for a base that cannot be derived from.
pub fn make_class(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let base = py
        .import("asyncio.transports")?
        .getattr("Transport")?
        .cast_into::<PyType>()?;
    let table = vec![
        method(
            c"write",
            write::write,
            c"Writes bytes-like data; returns at once. See asyncio.WriteTransport.write.",
        ),
        method(
            c"writelines",
            write::writelines,
            c"Writes an iterable of bytes-like objects.",
        ),
        method(
            c"write_eof",
            write::write_eof,
            c"Ends the writing half once everything queued has been sent.",
        ),
        method(
            c"can_write_eof",
            can_write_eof,
            c"Whether write_eof() is supported: True.",
        ),
        method(
            c"get_write_buffer_size",
            write::get_write_buffer_size,
            c"Bytes waiting to be sent.",
        ),
        method(
            c"get_write_buffer_limits",
            write::get_write_buffer_limits,
            c"The marks of flow control in bytes: (low, high).",
        ),
        method(
            c"set_write_buffer_limits",
            write::set_write_buffer_limits,
            c"Sets the marks of flow control in bytes. ValueError unless high >= low >= 0.",
        ),
        method(
            c"pause_reading",
            read::pause_reading,
            c"Stops calling the protocol's data_received() until resume_reading().",
        ),
        method(
            c"resume_reading",
            read::resume_reading,
            c"Undoes pause_reading().",
        ),
        method(
            c"is_reading",
            read::is_reading,
            c"Whether new data reaches the protocol.",
        ),
        method(
            c"close",
            ending::close,
            c"Closes the connection after everything queued has been sent.",
        ),
        method(
            c"abort",
            ending::abort,
            c"Closes the connection at once; what is queued is thrown away.",
        ),
        method(
            c"_force_close",
            ending::force_close,
            c"As abort(), with an exception for connection_lost().",
        ),
        method(
            c"is_closing",
            ending::is_closing,
            c"Whether the connection is closing or closed.",
        ),
        method(c"get_protocol", get_protocol, c"The current protocol."),
        method(
            c"set_protocol",
            set_protocol,
            c"Switches to another protocol.",
        ),
        method(
            c"get_extra_info",
            info::get_extra_info,
            c"A fact about the connection: 'socket', 'sockname', 'peername'.",
        ),
        method(c"get_loop", get_loop, c"The event loop of the connection."),
        method(
            c"_protocol_paused",
            write::is_protocol_paused,
            c"Whether the protocol has been told to pause writing.",
        ),
        method(
            c"_make_empty_waiter",
            sendfile::make_empty_waiter,
            c"A future of an empty write queue; nothing can be written from now on.",
        ),
        method(
            c"_make_room_waiter",
            sendfile::make_room_waiter,
            c"A future of room in the socket, while nothing can be written.",
        ),
        method(
            c"_reset_empty_waiter",
            sendfile::reset_empty_waiter,
            c"Undoes _make_empty_waiter().",
        ),
    ];
    let class = CLASS.make(
        c"epicycle.StreamTransport",
        c"A connection over a stream socket; see asyncio.Transport.",
        &base,
        table,
    )?;
    // asyncio's names for what `sendfile` asks of a transport.
    let modes = py.import("asyncio.constants")?.getattr("_SendfileMode")?;
    class.setattr("_sendfile_compatible", modes.getattr("TRY_NATIVE")?)?;
    properties::make(&class, &["_protocol_paused"])?;
    // asyncio's name for what `start_tls` asks of a transport's class.
    class.setattr("_start_tls_compatible", true)?;
    module.add("StreamTransport", class)
}

fn can_write_eof(slf: &Native<'_, StreamTransport>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    Ok(PyBool::new(slf.py(), true).to_owned().into_any().unbind())
}

fn get_loop(slf: &Native<'_, StreamTransport>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    Ok(slf.owner.clone_ref(slf.py()).into_any())
}

fn get_protocol(slf: &Native<'_, StreamTransport>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let py = slf.py();
    Ok(StreamTransport::protocol(slf)?.map_or_else(|| py.None(), Bound::unbind))
}

fn set_protocol(slf: &Native<'_, StreamTransport>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let [protocol] = args.bind(&["protocol"], 1)?;
    let protocol = protocol.ok_or_else(|| args.missing("protocol"))?;
    let py = slf.py();
    let kind = Kind::of(protocol)?;
    let protocol = protocol.clone().unbind();
    let before = slf.state.with(py, |state| {
        state.kind = kind;
        state.protocol.replace(protocol)
    })?;
    drop(before);
    Ok(py.None())
}
