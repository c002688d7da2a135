//! `PipeTransport`: its state, what both ends have, the first callback.

use std::os::fd::RawFd;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict};

use super::{PipeWork, ending};
use crate::event_loop::entry::{Entry, Watcher};
use crate::event_loop::readers::{self, Direction};
use crate::event_loop::{Loop, report};
use crate::ffi::cell::LoopCell;
use crate::ffi::class::{Class, Native, NativeRef, Payload, Visitor};
use crate::ffi::context;
use crate::ffi::fastcall::{Args, Definition, method};
use crate::py::imports::Imports;
use crate::py::{errors, names};
use crate::watch::connections::Facts;
use crate::watch::counted::{Connection, Counted};

/// One end of a pipe, native.
pub struct PipeTransport<H> {
    pub(super) owner: Py<Loop>,
    pub(super) context: Py<PyAny>,
    pub(super) state: LoopCell<State<H>>,
}

pub(super) struct State<H> {
    /// Counted while it is there.
    pub(super) counted: Option<Counted>,
    /// The file object, until it is closed.
    pub pipe: Option<Py<PyAny>>,
    pub fd: RawFd,
    pub phase: Phase,
    pub protocol: Option<Py<PyAny>>,
    /// Whom to tell that the transport is ready for use.
    pub waiter: Option<Py<PyAny>>,
    /// What `connection_lost` will be called with.
    pub error: Option<Py<PyAny>>,
    pub half: H,
}

/// How far the end has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// No new data is accepted; what is queued is still written.
    Closing,
    /// `connection_lost` is on its way, or has run.
    Losing,
}

/// What the two ends do each in their own way.
pub trait Half: Sized + Send + Sync + 'static {
    /// The name of the class, for `repr`.
    const NAME: &'static str;

    fn class() -> &'static Class<PipeTransport<Self>>;

    fn watcher(transport: NativeRef<PipeTransport<Self>>) -> Watcher;

    fn entry(transport: NativeRef<PipeTransport<Self>>, work: PipeWork) -> Entry;

    /// The protocol knows of the transport: watch what has to be watched.
    ///
    /// # Errors
    /// `OSError` when the kernel refuses to watch the descriptor.
    fn begun(slf: &Native<'_, PipeTransport<Self>>) -> PyResult<()>;

    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` from the protocol.
    fn readable(slf: &Native<'_, PipeTransport<Self>>) -> PyResult<()>;

    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` from the protocol.
    fn writable(slf: &Native<'_, PipeTransport<Self>>) -> PyResult<()>;

    /// Stops everything and gives up what is queued, to be dropped by the caller.
    fn stop(&mut self) -> Vec<crate::ffi::buffer::Chunk>;

    /// Adds to what is told of the transport.
    fn tell(&self, facts: &mut Facts);

    /// What `repr` tells beyond the descriptor.
    fn describe(&self) -> String;
}

impl<H: Half> Payload for PipeTransport<H> {
    const ATTRIBUTES: bool = true;
    const FINALIZE: Option<fn(&Native<'_, Self>)> = Some(ending::abandoned::<H>);
    const REPR: Option<fn(&Native<'_, Self>) -> PyResult<Py<PyAny>>> = Some(repr::<H>);

    fn class() -> &'static Class<Self> {
        H::class()
    }

    fn traverse(&self, visit: &mut Visitor) {
        visit.object(&self.owner);
        visit.object(&self.context);
        // In use: then what it holds is not shown, looks referenced from outside, and stays.
        let _ = self.state.peek(|state| {
            visit.option(state.pipe.as_ref());
            visit.option(state.protocol.as_ref());
            visit.option(state.waiter.as_ref());
            visit.option(state.error.as_ref());
        });
    }

    fn clear(&self, _py: Python<'_>) {
        let taken = self.state.peek(|state| {
            (
                state.protocol.take(),
                state.waiter.take(),
                state.error.take(),
            )
        });
        drop(taken);
    }
}

/// What can be told of one end.
///
/// # Errors
/// `RuntimeError` when its state is in use.
pub fn describe<H: Half>(slf: &Native<'_, PipeTransport<H>>) -> PyResult<Facts> {
    slf.state.with(slf.py(), |state| {
        let mut facts = Facts::of("callback", state.fd);
        facts.closing = state.phase != Phase::Open;
        facts.objects.push(slf.as_ptr() as usize);
        state.half.tell(&mut facts);
        facts
    })
}

/// Where a pipe comes from.
pub struct Origin {
    pub pipe: Py<PyAny>,
    pub fd: RawFd,
    pub protocol: Py<PyAny>,
    pub waiter: Option<Py<PyAny>>,
    /// Further facts for `get_extra_info`.
    pub extra: Option<Py<PyDict>>,
}

/// Makes the transport of one end, and queues what begins it.
///
/// # Errors
/// `RuntimeError` for a closed loop, or a descriptor that a connection or a server uses.
pub(super) fn open<'py, H: Half>(
    owner: &Bound<'py, Loop>,
    origin: Origin,
    half: H,
) -> PyResult<Native<'py, PipeTransport<H>>> {
    let py = owner.py();
    owner.get().check_open()?;
    readers::ensure_not_used(owner, origin.fd, origin.pipe.bind(py))?;
    let extra = origin
        .extra
        .map_or_else(|| PyDict::new(py), |extra| extra.into_bound(py));
    extra.set_item(names::pipe(py), &origin.pipe)?;
    let state = State {
        counted: Some(Counted::new(owner.get().page(), Connection::Pipe)),
        pipe: Some(origin.pipe),
        fd: origin.fd,
        phase: Phase::Open,
        protocol: Some(origin.protocol),
        waiter: origin.waiter,
        error: None,
        half,
    };
    let transport = H::class().instance(
        py,
        PipeTransport {
            owner: owner.clone().unbind(),
            context: context::copy_current(py)?,
            state: LoopCell::new(state),
        },
    )?;
    // The slot that asyncio's own get_extra_info reads.
    transport.as_any().setattr(names::extra(py), extra)?;
    push(&transport, PipeWork::Begin)?;
    Ok(transport)
}

/// Queues work for the transport.
pub(super) fn push<H: Half>(slf: &Native<'_, PipeTransport<H>>, work: PipeWork) -> PyResult<()> {
    let entry = H::entry(slf.clone().unbind(), work);
    slf.owner.get().cell.with(slf.py(), |core| core.push(entry))
}

/// The first callback: `connection_made`; then watching starts, and whoever waits is told.
pub(super) fn begin<H: Half>(slf: &Native<'_, PipeTransport<H>>) -> PyResult<()> {
    let py = slf.py();
    let mut outcome = Ok(());
    if let Some(protocol) = protocol(slf)? {
        let name = names::connection_made(py);
        let made = in_context(slf, || {
            protocol.call_method1(name, (slf.as_any(),)).map(drop)
        });
        if let Err(error) = made {
            outcome = report::protocol_callback_failed(slf.owner.bind(py), error, &protocol, name);
        }
    }
    if let Err(error) = H::begun(slf) {
        // A device that cannot be watched (/dev/null, say) may still be written to.
        let message = "Fatal error: the pipe cannot be watched.";
        report::connection_failed(slf.owner.bind(py), error, message, slf.as_any(), None)?;
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

/// Runs a callback of the protocol in the transport's context.
pub(super) fn in_context<H: Half, R>(
    slf: &Native<'_, PipeTransport<H>>,
    body: impl FnOnce() -> PyResult<R>,
) -> PyResult<R> {
    context::run(slf.py(), &slf.context, body)
}

/// The protocol, while there is one.
pub(super) fn protocol<'py, H: Half>(
    slf: &Native<'py, PipeTransport<H>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = slf.py();
    slf.state.with(py, |state| {
        state.protocol.as_ref().map(|it| it.bind(py).clone())
    })
}

/// Watches one direction of the descriptor.
///
/// # Errors
/// `OSError` when the kernel refuses.
pub(super) fn watch<H: Half>(
    slf: &Native<'_, PipeTransport<H>>,
    direction: Direction,
) -> PyResult<()> {
    let py = slf.py();
    let fd = slf.state.with(py, |state| state.fd)?;
    let watcher = H::watcher(slf.clone().unbind());
    let watched = slf
        .owner
        .get()
        .cell
        .with(py, |core| readers::watch(core, fd, direction, watcher))?;
    match watched {
        Ok(replaced) => readers::cancel(py, replaced),
        Err((error, _source)) => Err(errors::os_error(py, &error)),
    }
}

/// Stops watching one direction; somebody else's watch of it is left alone.
pub(super) fn unwatch<H: Half>(
    slf: &Native<'_, PipeTransport<H>>,
    direction: Direction,
) -> PyResult<()> {
    let py = slf.py();
    let fd = slf.state.with(py, |state| state.fd)?;
    let ours = |watcher: &Watcher| watcher.as_py().as_ptr() == slf.as_ptr();
    let taken = slf.owner.get().cell.with(py, |core| {
        readers::unwatch(core, fd, direction, false, ours)
    })?;
    drop(taken);
    Ok(())
}

/// Says something of the transport in the log, in debug mode.
pub(super) fn note<H: Half>(
    slf: &Native<'_, PipeTransport<H>>,
    level: &str,
    format: &str,
) -> PyResult<()> {
    if !slf.owner.get().debug() {
        return Ok(());
    }
    let logger = Imports::get(slf.py())?.logger.bind(slf.py());
    logger.call_method1(level, (format, slf.as_any())).map(drop)
}

/// The methods that both ends have.
pub(super) fn common_methods<H: Half>() -> Vec<Definition> {
    vec![
        method(
            c"is_closing",
            is_closing::<H>,
            c"Whether the end is closing or closed.",
        ),
        method(c"get_protocol", get_protocol::<H>, c"The current protocol."),
        method(
            c"set_protocol",
            set_protocol::<H>,
            c"Switches to another protocol.",
        ),
    ]
}

fn is_closing<H: Half>(
    slf: &Native<'_, PipeTransport<H>>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let closing = slf
        .state
        .with(slf.py(), |state| state.phase != Phase::Open)?;
    Ok(PyBool::new(slf.py(), closing)
        .to_owned()
        .into_any()
        .unbind())
}

fn get_protocol<H: Half>(
    slf: &Native<'_, PipeTransport<H>>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    Ok(protocol(slf)?.map_or_else(|| slf.py().None(), Bound::unbind))
}

fn set_protocol<H: Half>(
    slf: &Native<'_, PipeTransport<H>>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    let [protocol] = args.bind(&["protocol"], 1)?;
    let protocol = protocol
        .ok_or_else(|| args.missing("protocol"))?
        .clone()
        .unbind();
    let before = slf
        .state
        .with(slf.py(), |state| state.protocol.replace(protocol))?;
    drop(before);
    Ok(slf.py().None())
}

fn repr<H: Half>(slf: &Native<'_, PipeTransport<H>>) -> PyResult<Py<PyAny>> {
    let text = slf.state.with(slf.py(), |state| {
        let phase = match (&state.pipe, state.phase) {
            (None, _) => " closed",
            (Some(_), Phase::Open) => "",
            (Some(_), Phase::Closing | Phase::Losing) => " closing",
        };
        let more = match &state.pipe {
            None => String::new(),
            Some(_) if slf.owner.get().check_open().is_err() => " open".to_owned(),
            Some(_) => state.half.describe(),
        };
        format!("<{}{phase} fd={}{more}>", H::NAME, state.fd)
    })?;
    Ok(text.into_pyobject(slf.py())?.into_any().unbind())
}
