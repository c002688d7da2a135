//! `DatagramTransport`: the class, its state, its methods.

use std::os::fd::RawFd;

use epicycle_reactor::datagram::{Batch, DatagramQueue};
use epicycle_reactor::interest::Interest;
use epicycle_reactor::kernel::Kernel;
use epicycle_reactor::stream::{Action, Flow, Lifecycle};
use epicycle_reactor::token::Token;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyType};

use super::destination::{Destination, Seen};
use super::{ending, receiving, sending};
use crate::event_loop::core::RECEIVE_BUFFER;
use crate::event_loop::entry::{Entry, Source, StreamWork};
use crate::event_loop::{Loop, report};
use crate::ffi::buffer::Chunk;
use crate::ffi::cell::LoopCell;
use crate::ffi::class::{Class, Native, Payload, Visitor};
use crate::ffi::context;
use crate::ffi::fastcall::{Args, method};
use crate::net::address::Family;
use crate::py::imports::Imports;
use crate::py::{errors, names, properties};
use crate::watch::connections::Facts;
use crate::watch::counted::{Connection, Counted};

/// What each queued datagram counts for beside its contents, in bytes; Python 3.13 began to count it.
const HEADER: usize = if cfg!(Py_3_13) { 8 } else { 0 };

/// An endpoint of datagrams: an `asyncio.DatagramTransport`, native.
pub struct DatagramTransport {
    pub(super) owner: Py<Loop>,
    pub(super) context: Py<PyAny>,
    pub(super) fd: RawFd,
    pub(super) family: Family,
    /// The socket has a peer, and whether that peer has a name.
    pub(super) connected: bool,
    pub(super) peer_is_named: bool,
    /// Where everything goes, if that was fixed when the endpoint was made: as Python has it, and as we send it.
    pub(super) fixed: Option<(Py<PyAny>, Destination)>,
    /// What `get_extra_info` knows.
    extra: Py<PyDict>,
    pub(super) state: LoopCell<State>,
}

pub(super) struct State {
    /// Counted while it is there.
    pub(super) counted: Option<Counted>,
    /// Owns the descriptor; none once closed.
    pub socket: Option<Py<PyAny>>,
    pub token: Option<Token>,
    pub life: Lifecycle,
    pub queue: DatagramQueue<Chunk, Destination>,
    pub flow: Flow,
    pub batch: Batch,
    /// Whether the descriptor is watched for reading.
    pub watching: bool,
    pub protocol: Option<Py<PyAny>>,
    /// Whom to tell that the endpoint is ready for use.
    pub waiter: Option<Py<PyAny>>,
    /// What `connection_lost` will be called with.
    pub error: Option<Py<PyAny>>,
    /// The sender of the last datagram, and the last address that was sent to.
    pub sender: Option<Seen>,
    pub receiver: Option<Seen>,
}

static CLASS: Class<DatagramTransport> = Class::unmade();

impl Payload for DatagramTransport {
    const ATTRIBUTES: bool = true;
    const FINALIZE: Option<fn(&Native<'_, Self>)> = Some(ending::abandoned);
    const REPR: Option<fn(&Native<'_, Self>) -> PyResult<Py<PyAny>>> = Some(repr);

    fn class() -> &'static Class<Self> {
        &CLASS
    }

    fn traverse(&self, visit: &mut Visitor) {
        visit.object(&self.owner);
        visit.object(&self.context);
        visit.object(&self.extra);
        if let Some((address, destination)) = &self.fixed {
            visit.object(address);
            visit.option(destination.python());
        }
        // In use: then what it holds is not shown, looks referenced from outside, and stays.
        let _ = self.state.peek(|state| {
            for object in [&state.socket, &state.protocol, &state.waiter, &state.error] {
                visit.option(object.as_ref());
            }
            for (_, destination) in state.queue.iter() {
                visit.option(destination.python());
            }
            for seen in [&state.sender, &state.receiver].into_iter().flatten() {
                visit.object(&seen.object);
            }
        });
    }

    fn clear(&self, _py: Python<'_>) {
        let taken = self.state.peek(|state| {
            let objects = [
                state.protocol.take(),
                state.waiter.take(),
                state.error.take(),
            ];
            (
                objects,
                state.queue.clear(),
                state.sender.take(),
                state.receiver.take(),
            )
        });
        drop(taken);
    }
}

/// What an endpoint is made from.
pub struct Origin<'py> {
    pub socket: Bound<'py, PyAny>,
    pub fd: RawFd,
    pub protocol: Py<PyAny>,
    /// Where everything is sent to; nothing for an endpoint that says so with each datagram.
    pub address: Option<Py<PyAny>>,
    pub waiter: Option<Py<PyAny>>,
    pub extra: Option<Py<PyDict>>,
}

/// Makes the transport of a datagram socket, and queues what begins it.
///
/// # Errors
/// `RuntimeError` for a closed loop; what the socket raises when it is asked for its address.
pub fn open<'py>(
    owner: &Bound<'py, Loop>,
    origin: Origin<'py>,
) -> PyResult<Native<'py, DatagramTransport>> {
    let py = owner.py();
    let (socket, fd) = (origin.socket, origin.fd);
    let local = owner
        .get()
        .cell
        .with(py, |core| core.turn.kernel.local_address(fd))?;
    let family = local.map_or(Family::Other, |address| Family::of(&address));
    let (extra, peer) = facts_of(&socket, origin.extra)?;
    let connected = peer.is_some();
    let peer_is_named = match &peer {
        Some(peer) => peer.is_truthy()?,
        None => false,
    };
    let fixed = match origin.address {
        Some(address) if address.bind(py).is_truthy()? => {
            let destination = if peer_is_named {
                Destination::Peer
            } else {
                Destination::of(family, address.bind(py))?
            };
            Some((address, destination))
        }
        _ => None,
    };
    let state = State {
        counted: Some(Counted::new(owner.get().page(), Connection::Udp)),
        socket: Some(socket.unbind()),
        token: None,
        life: Lifecycle::new(),
        queue: DatagramQueue::new(HEADER),
        flow: Flow::new(),
        batch: Batch::new(),
        watching: false,
        protocol: Some(origin.protocol),
        waiter: origin.waiter,
        error: None,
        sender: None,
        receiver: None,
    };
    let payload = DatagramTransport {
        owner: owner.clone().unbind(),
        context: context::copy_current(py)?,
        fd,
        family,
        connected,
        peer_is_named,
        fixed,
        extra,
        state: LoopCell::new(state),
    };
    let transport = CLASS.instance(py, payload)?;
    let entry = Entry::Datagram(transport.clone().unbind(), StreamWork::Begin);
    owner.get().cell.with(py, |core| core.push(entry))?;
    Ok(transport)
}

/// The facts about the socket, taken once as asyncio takes them, and the peer's address if there is a peer.
fn facts_of<'py>(
    socket: &Bound<'py, PyAny>,
    given: Option<Py<PyDict>>,
) -> PyResult<(Py<PyDict>, Option<Bound<'py, PyAny>>)> {
    let py = socket.py();
    let ask = |name: &str| match socket.call_method0(name) {
        Ok(address) => Ok(Some(address)),
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyOSError>(py) => Ok(None),
        Err(error) => Err(error),
    };
    let extra = match given {
        Some(given) => given.bind(py).copy()?,
        None => PyDict::new(py),
    };
    let peer = ask("getpeername")?;
    extra.set_item(
        names::socket(py),
        Imports::get(py)?
            .transport_socket
            .bind(py)
            .call1((socket,))?,
    )?;
    extra.set_item("sockname", ask("getsockname")?)?;
    if !extra.contains("peername")? {
        extra.set_item("peername", &peer)?;
    }
    Ok((extra.unbind(), peer))
}

impl State {
    fn interest(&self) -> Interest {
        let mut interest = Interest::NONE;
        if self.watching {
            interest = interest.with(Interest::READ);
        }
        if !self.queue.is_empty() && !self.life.is_losing() {
            interest = interest.with(Interest::WRITE);
        }
        interest
    }
}

impl DatagramTransport {
    /// Asks the kernel for exactly the directions that matter now.
    ///
    /// # Errors
    /// `OSError` when the kernel refuses the descriptor.
    pub(super) fn update_interest(slf: &Native<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let outcome = slf.state.with(py, |state| {
            let interest = state.interest();
            slf.owner.get().cell.with(py, |core| match state.token {
                Some(token) => core.turn.set_interest(token, interest),
                None if interest.is_empty() => Ok(()),
                None => {
                    let source = Source::Datagram(slf.clone().unbind());
                    let token = core
                        .turn
                        .try_watch(slf.fd, source, interest)
                        .map_err(|(error, _)| error)?;
                    state.token = Some(token);
                    Ok(())
                }
            })
        })??;
        outcome.map_err(|error| errors::os_error(py, &error))
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
            // A datagram endpoint has no writing half to end.
            Action::Nothing | Action::ShutdownWrite => Ok(()),
            Action::StartReading | Action::StopReading => {
                let watching = matches!(action, Action::StartReading);
                slf.state.with(py, |state| state.watching = watching)?;
                Self::update_interest(slf)
            }
            Action::Lose => ending::lose(slf),
            Action::LoseNow => {
                Self::unwatch(slf)?;
                ending::finish(slf)
            }
        }
    }

    /// The protocol, while there is one.
    #[inline(always)]
    pub(super) fn protocol<'py>(slf: &Native<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        slf.state.with(py, |state| {
            state.protocol.as_ref().map(|it| it.bind(py).clone())
        })
    }

    /// Runs a callback of the protocol in the endpoint's context; what it raises is reported and changes nothing.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`.
    #[inline(always)]
    pub(super) fn tell(
        slf: &Native<'_, Self>,
        protocol: &Bound<'_, PyAny>,
        name: &Bound<'_, pyo3::types::PyString>,
        call: impl FnOnce() -> PyResult<()>,
    ) -> PyResult<()> {
        let py = slf.py();
        match context::run(py, &slf.context, call) {
            Ok(()) => Ok(()),
            Err(error) => {
                report::protocol_callback_failed(slf.owner.bind(py), error, protocol, name)
            }
        }
    }
}

/// The first callback: `connection_made`; then reading starts, and whoever waits is told.
pub(super) fn begin(slf: &Native<'_, DatagramTransport>) -> PyResult<()> {
    let py = slf.py();
    let mut outcome = Ok(());
    if let Some(protocol) = DatagramTransport::protocol(slf)? {
        let name = names::connection_made(py);
        outcome = DatagramTransport::tell(slf, &protocol, name, || {
            protocol.call_method1(name, (slf.as_any(),)).map(drop)
        });
    }
    if slf.state.with(py, |state| state.life.is_reading())?
        && let Err(error) = DatagramTransport::carry_out(slf, Action::StartReading)
    {
        ending::fail(slf, error, "Fatal error: the endpoint cannot be watched.")?;
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
    // asyncio's own are both, though they write nothing but datagrams.
    let transports = py.import("asyncio.transports")?;
    let bases = (
        transports.getattr("Transport")?,
        transports.getattr("DatagramTransport")?,
    );
    let slots = PyDict::new(py);
    slots.set_item("__slots__", ())?;
    let base = py
        .get_type::<PyType>()
        .call1(("DatagramTransport", bases, slots))?
        .cast_into::<PyType>()?;
    let table = vec![
        method(
            c"sendto",
            sending::sendto,
            c"Sends one datagram; returns at once. See asyncio.DatagramTransport.sendto.",
        ),
        method(
            c"get_write_buffer_size",
            sending::get_write_buffer_size,
            c"Bytes waiting to be sent.",
        ),
        method(
            c"get_write_buffer_limits",
            sending::get_write_buffer_limits,
            c"The marks of flow control in bytes: (low, high).",
        ),
        method(
            c"set_write_buffer_limits",
            sending::set_write_buffer_limits,
            c"Sets the marks of flow control in bytes. ValueError unless high >= low >= 0.",
        ),
        method(
            c"pause_reading",
            receiving::pause_reading,
            c"Stops calling the protocol's datagram_received() until resume_reading().",
        ),
        method(
            c"resume_reading",
            receiving::resume_reading,
            c"Undoes pause_reading().",
        ),
        method(
            c"is_reading",
            receiving::is_reading,
            c"Whether datagrams reach the protocol.",
        ),
        method(
            c"close",
            ending::close,
            c"Closes the endpoint after everything queued has been sent.",
        ),
        method(
            c"abort",
            ending::abort,
            c"Closes the endpoint at once; what is queued is thrown away.",
        ),
        method(
            c"is_closing",
            ending::is_closing,
            c"Whether the endpoint is closing or closed.",
        ),
        method(c"get_protocol", get_protocol, c"The current protocol."),
        method(
            c"set_protocol",
            set_protocol,
            c"Switches to another protocol.",
        ),
        method(
            c"get_extra_info",
            get_extra_info,
            c"A fact about the endpoint: 'socket', 'sockname', 'peername'.",
        ),
        method(c"_sock", get_sock, c"The socket; None once closed."),
    ];
    let class = CLASS.make(
        c"epicycle.DatagramTransport",
        c"An endpoint of datagrams; see asyncio.DatagramTransport.",
        &base,
        table,
    )?;
    class.setattr("max_size", RECEIVE_BUFFER)?;
    properties::make(&class, &["_sock"])?;
    module.add("DatagramTransport", class)
}

fn get_protocol(slf: &Native<'_, DatagramTransport>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let py = slf.py();
    Ok(DatagramTransport::protocol(slf)?.map_or_else(|| py.None(), Bound::unbind))
}

fn set_protocol(slf: &Native<'_, DatagramTransport>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let [protocol] = args.bind(&["protocol"], 1)?;
    let protocol = protocol
        .ok_or_else(|| args.missing("protocol"))?
        .clone()
        .unbind();
    let py = slf.py();
    let before = slf
        .state
        .with(py, |state| state.protocol.replace(protocol))?;
    drop(before);
    Ok(py.None())
}

/// `transport._sock`, which programs reach for where asyncio has it.
fn get_sock(slf: &Native<'_, DatagramTransport>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let py = slf.py();
    let socket = slf.state.with(py, |state| {
        state.socket.as_ref().map(|socket| socket.clone_ref(py))
    })?;
    Ok(socket.unwrap_or_else(|| py.None()))
}

/// `transport.get_extra_info(name, default=None)`
fn get_extra_info(slf: &Native<'_, DatagramTransport>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let [name, default] = args.bind(&["name", "default"], 1)?;
    let name = name.ok_or_else(|| args.missing("name"))?;
    let known = slf.extra.bind(py).get_item(name)?;
    Ok(known
        .or_else(|| default.cloned())
        .map_or_else(|| py.None(), Bound::unbind))
}

/// What can be told of the endpoint, but for its addresses.
///
/// # Errors
/// `RuntimeError` when its state is in use.
pub fn describe(slf: &Native<'_, DatagramTransport>) -> PyResult<Facts> {
    slf.state.with(slf.py(), |state| Facts {
        buffer: state.queue.size(),
        limits: Some((state.flow.low(), state.flow.high())),
        reading: state.life.is_reading(),
        closing: state.life.is_closing(),
        writing_paused: state.flow.is_paused(),
        objects: vec![slf.as_ptr() as usize],
        ..Facts::of("udp", slf.fd)
    })
}

fn repr(slf: &Native<'_, DatagramTransport>) -> PyResult<Py<PyAny>> {
    let text = slf.state.with(slf.py(), |state| {
        let ending = match (&state.socket, state.life.is_closing()) {
            (None, _) => " closed",
            (Some(_), true) => " closing",
            (Some(_), false) => "",
        };
        let mut text = format!("<DatagramTransport{ending} fd={}", slf.fd);
        if state.socket.is_some() {
            let polling = |is: bool| if is { "polling" } else { "idle" };
            let (read, write) = (polling(state.watching), polling(!state.queue.is_empty()));
            text.push_str(&format!(
                " read={read} write=<{write}, bufsize={}>",
                state.queue.size()
            ));
        }
        text.push('>');
        text
    })?;
    Ok(text.into_pyobject(slf.py())?.into_any().unbind())
}

/// `is_reading()` and `is_closing()` answer with this.
pub(super) fn answer(py: Python<'_>, yes: bool) -> Py<PyAny> {
    PyBool::new(py, yes).to_owned().into_any().unbind()
}
