//! `TlsTransport` (`SSLTransport` in Python): the class, its state, its methods.

use std::collections::VecDeque;

use epicycle_reactor::stream::{Marks, TlsSession};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyTuple, PyType};

use super::engine::Engine;
use super::{TlsWork, ending, handshake, info, read, write};
use crate::event_loop::entry::Entry;
use crate::event_loop::{Loop, clock};
use crate::ffi::call;
use crate::ffi::cell::LoopCell;
use crate::ffi::class::{Class, Native, NativeRef, Payload, Visitor};
use crate::ffi::context;
use crate::ffi::fastcall::{Args, method};
use crate::handle::TimerHandle;
use crate::handle::kinds::new_timer_handle;
use crate::handle::slots::Work;
use crate::py::imports::Imports;
use crate::py::names;
use crate::watch::counted::Counted;

/// A TLS session as its application sees it: an `asyncio.Transport`, native.
pub struct TlsTransport {
    pub(super) owner: Py<Loop>,
    pub(super) context: Py<PyAny>,
    pub(super) engine: Engine,
    /// The `ssl.SSLContext`.
    pub(super) ssl_context: Py<PyAny>,
    /// Seconds, as the user gave them.
    pub(super) handshake_timeout: Py<PyAny>,
    pub(super) shutdown_timeout: Py<PyAny>,
    pub(super) state: LoopCell<State>,
}

pub(super) struct State {
    /// Counted while it is there.
    pub(super) counted: Option<Counted>,
    pub session: TlsSession,
    /// The transport underneath, while it lives.
    pub lower: Option<Py<PyAny>>,
    /// The protocol that the transport underneath sees.
    pub link: Option<Py<PyAny>>,
    pub protocol: Option<Py<PyAny>>,
    /// The protocol is an `asyncio.BufferedProtocol`.
    pub buffered: bool,
    pub backlog: Backlog,
    pub writing: Marks,
    /// Of what has arrived and was not decrypted; paused means that the lower transport's reading is.
    pub reading: Marks,
    /// The lower transport has told us to pause.
    pub lower_full: bool,
    /// Somebody further up the stack is encrypting the backlog.
    pub encrypting: bool,
    /// The session's context is entered further up the stack.
    pub entered: bool,
    /// Whom to tell that the session is ready for use.
    pub waiter: Option<Py<PyAny>>,
    /// Accepted by a server: in debug mode a failed handshake is reported.
    pub accepted: bool,
    /// Of the handshake, then of the end.
    pub timer: Option<NativeRef<TimerHandle>>,
    /// When the handshake began, in debug mode.
    pub started: Option<f64>,
    /// Facts for `get_extra_info` that were asked for.
    pub facts: Option<Py<PyDict>>,
}

/// What the application wrote and OpenSSL has not taken.
#[derive(Default)]
pub(super) struct Backlog {
    chunks: VecDeque<Py<PyBytes>>,
    /// Bytes of the first chunk that are taken.
    taken: usize,
    pub size: usize,
}

impl Backlog {
    pub fn push(&mut self, data: Py<PyBytes>, length: usize) {
        if length > 0 {
            self.size += length;
            self.chunks.push_back(data);
        }
    }

    /// The first chunk, and how much of it is taken.
    pub fn first(&self, py: Python<'_>) -> Option<(Py<PyBytes>, usize)> {
        self.chunks
            .front()
            .map(|chunk| (chunk.clone_ref(py), self.taken))
    }

    /// `count` further bytes of the first chunk, which has `length`, are taken.  A finished chunk is handed back.
    pub fn advance(&mut self, count: usize, length: usize) -> Option<Py<PyBytes>> {
        self.size -= count;
        self.taken += count;
        if self.taken < length {
            return None;
        }
        self.taken = 0;
        self.chunks.pop_front()
    }
}

/// Its name in Python has "SSL" in it, because programs look for that in the name of a transport's class.
static CLASS: Class<TlsTransport> = Class::unmade();

impl Payload for TlsTransport {
    const ATTRIBUTES: bool = true;
    const FINALIZE: Option<fn(&Native<'_, Self>)> = Some(ending::abandoned);
    const REPR: Option<fn(&Native<'_, Self>) -> PyResult<Py<PyAny>>> = Some(info::repr);

    fn class() -> &'static Class<Self> {
        &CLASS
    }

    fn traverse(&self, visit: &mut Visitor) {
        visit.object(&self.owner);
        visit.object(&self.context);
        visit.object(&self.ssl_context);
        self.engine.traverse(visit);
        // In use: then what it holds is not shown, looks referenced from outside, and stays.
        let _ = self.state.peek(|state| {
            visit.option(state.lower.as_ref());
            visit.option(state.link.as_ref());
            visit.option(state.protocol.as_ref());
            visit.option(state.waiter.as_ref());
            visit.option(state.timer.as_ref().map(NativeRef::as_py));
            visit.option(state.facts.as_ref());
        });
    }

    fn clear(&self, _py: Python<'_>) {
        let taken = self.state.peek(|state| {
            (
                state.lower.take(),
                state.link.take(),
                state.protocol.take(),
                state.waiter.take(),
                state.timer.take(),
                state.facts.take(),
            )
        });
        drop(taken);
    }
}

impl TlsTransport {
    /// A transport without a lower one.
    ///
    /// # Errors
    /// `MemoryError`
    pub(super) fn instance<'py>(py: Python<'py>, payload: Self) -> PyResult<Native<'py, Self>> {
        CLASS.instance(py, payload)
    }

    /// Runs what calls the application's protocol in the connection's context, unless we are in it already.
    #[inline]
    pub(super) fn in_context<R>(
        slf: &Native<'_, Self>,
        body: impl FnOnce() -> PyResult<R>,
    ) -> PyResult<R> {
        let py = slf.py();
        if slf
            .state
            .with(py, |state| std::mem::replace(&mut state.entered, true))?
        {
            return body();
        }
        let outcome = context::run(py, &slf.context, body);
        slf.state.with(py, |state| state.entered = false)?;
        outcome
    }

    /// The application's protocol, while there is one, and whether it provides the buffers itself.
    #[inline]
    pub(super) fn protocol<'py>(
        slf: &Native<'py, Self>,
    ) -> PyResult<Option<(Bound<'py, PyAny>, bool)>> {
        let py = slf.py();
        slf.state.with(py, |state| {
            state
                .protocol
                .as_ref()
                .map(|it| (it.bind(py).clone(), state.buffered))
        })
    }

    /// The transport underneath, while there is one.
    #[inline]
    pub(super) fn lower<'py>(slf: &Native<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        slf.state.with(py, |state| {
            state.lower.as_ref().map(|it| it.bind(py).clone())
        })
    }

    /// Has something done in the next turn.
    ///
    /// # Errors
    /// `RuntimeError` when the loop is closed.
    pub(super) fn queue(slf: &Native<'_, Self>, work: TlsWork) -> PyResult<()> {
        let owner = slf.owner.get();
        owner.check_open()?;
        let entry = Entry::Tls(slf.clone().unbind(), work);
        owner.cell.with(slf.py(), |core| core.push(entry))
    }

    /// Has `_timed_out()` called after `delay` seconds, instead of what was to come before.
    ///
    /// # Errors
    /// `RuntimeError` when the loop is closed.
    pub(super) fn arm(slf: &Native<'_, Self>, delay: &Py<PyAny>) -> PyResult<()> {
        let py = slf.py();
        let owner = slf.owner.bind(py);
        owner.get().check_open()?;
        let when = clock::seconds(owner)?.add(delay.bind(py))?;
        let deadline = clock::on_time_line(when.extract()?);
        let callback = slf.as_any().getattr(pyo3::intern!(py, "_timed_out"))?;
        let work = Work::of(&callback, PyTuple::empty(py).unbind())?;
        let handle = new_timer_handle(owner, work, when.unbind())?;
        let entry = Entry::Timer(handle.clone().unbind());
        owner
            .get()
            .cell
            .with(py, |core| core.turn.schedule(deadline, entry))?;
        let before = slf
            .state
            .with(py, |state| state.timer.replace(handle.unbind()))?;
        cancel(py, before)
    }

    /// Calls the time-out off.
    pub(super) fn disarm(slf: &Native<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let timer = slf.state.with(py, |state| state.timer.take())?;
        cancel(py, timer)
    }
}

fn cancel(py: Python<'_>, timer: Option<NativeRef<TimerHandle>>) -> PyResult<()> {
    match timer {
        Some(timer) => call::method0(timer.as_py().bind(py), names::cancel(py)).map(drop),
        None => Ok(()),
    }
}

/// Makes the class; called when the module is made.
///
/// # Errors
/// What CPython raises for a base that cannot be derived from.
pub(super) fn make_class(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let base = py
        .import("asyncio.transports")?
        .getattr("Transport")?
        .cast_into::<PyType>()?;
    let table = vec![
        method(c"write", write::write, c"Encrypts and sends bytes-like data; returns at once. See asyncio.WriteTransport.write."),
        method(c"writelines", write::writelines, c"Writes an iterable of bytes-like objects."),
        method(c"write_eof", write::write_eof, c"Not possible over TLS: raises NotImplementedError."),
        method(c"can_write_eof", write::can_write_eof, c"Whether write_eof() is supported: False."),
        method(c"get_write_buffer_size", write::get_write_buffer_size, c"Bytes waiting to be encrypted."),
        method(c"get_write_buffer_limits", write::get_write_buffer_limits, c"The marks of flow control in bytes: (low, high)."),
        method(c"set_write_buffer_limits", write::set_write_buffer_limits, c"Sets the marks of flow control in bytes. ValueError unless high >= low >= 0."),
        method(c"_is_protocol_paused", write::is_protocol_paused, c"Whether the protocol has been told to pause writing."),
        method(c"_test__append_write_backlog", write::append_write_backlog, c"Queues data without encrypting it."),
        method(c"get_read_buffer_size", read::get_read_buffer_size, c"Bytes that have arrived and were not decrypted."),
        method(c"get_read_buffer_limits", read::get_read_buffer_limits, c"The marks in bytes at which the lower transport's reading goes on and pauses: (low, high)."),
        method(c"set_read_buffer_limits", read::set_read_buffer_limits, c"Sets those marks. ValueError unless high >= low >= 0."),
        method(c"pause_reading", read::pause_reading, c"Stops calling the protocol's data_received() until resume_reading()."),
        method(c"resume_reading", read::resume_reading, c"Undoes pause_reading()."),
        method(c"is_reading", read::is_reading, c"Whether new data reaches the protocol."),
        method(c"close", ending::close, c"Closes the connection after everything written has been sent."),
        method(c"abort", ending::abort, c"Closes the connection at once; what is queued is thrown away."),
        method(c"_force_close", ending::force_close, c"As abort(), with an exception for connection_lost()."),
        method(c"is_closing", ending::is_closing, c"Whether the connection is closing or closed."),
        method(c"_timed_out", handshake::timed_out, c"The handshake, or the end, has taken too long."),
        method(c"get_protocol", get_protocol, c"The current protocol."),
        method(c"set_protocol", set_protocol, c"Switches to another protocol."),
        method(c"get_extra_info", info::get_extra_info, c"A fact about the connection: 'ssl_object', 'sslcontext', 'peercert', 'cipher', 'compression', and what the lower transport knows."),
        method(c"_get_link", info::get_link, c"The protocol that the lower transport sees."),
    ];
    let class = CLASS.make(
        c"epicycle.SSLTransport",
        c"A TLS connection over another transport; see asyncio.Transport.",
        &base,
        table,
    )?;
    // asyncio's names for what others ask of a transport's class.
    class.setattr("_start_tls_compatible", true)?;
    let modes = py.import("asyncio.constants")?.getattr("_SendfileMode")?;
    class.setattr("_sendfile_compatible", modes.getattr("FALLBACK")?)?;
    let property = py.import("builtins")?.getattr("property")?;
    for (name, getter) in [
        ("_protocol_paused", "_is_protocol_paused"),
        ("_ssl_protocol", "_get_link"),
    ] {
        class.setattr(name, property.call1((class.getattr(getter)?,))?)?;
    }
    module.add("SSLTransport", class)
}

/// Whether the protocol wants to provide the buffers itself.
pub(super) fn is_buffered(protocol: &Bound<'_, PyAny>) -> PyResult<bool> {
    let imports = Imports::get(protocol.py())?;
    protocol.is_instance(imports.buffered_protocol.bind(protocol.py()))
}

fn get_protocol(slf: &Native<'_, TlsTransport>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let py = slf.py();
    Ok(TlsTransport::protocol(slf)?.map_or_else(|| py.None(), |(protocol, _)| protocol.unbind()))
}

fn set_protocol(slf: &Native<'_, TlsTransport>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let [protocol] = args.bind(&["protocol"], 1)?;
    let protocol = protocol.ok_or_else(|| args.missing("protocol"))?;
    let py = slf.py();
    let buffered = is_buffered(protocol)?;
    let protocol = protocol.clone().unbind();
    let before = slf.state.with(py, |state| {
        state.buffered = buffered;
        state.protocol.replace(protocol)
    })?;
    drop(before);
    Ok(py.None())
}

/// A Python `bool`.
pub(super) fn boolean(py: Python<'_>, value: bool) -> Py<PyAny> {
    PyBool::new(py, value).to_owned().into_any().unbind()
}
