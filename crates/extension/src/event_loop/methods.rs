//! The methods of the loop that Python sees, but for those that are called too often for the general convention.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use epicycle_reactor::kernel::Kernel;
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::Loop;
use super::attempts::{self, Attempt, Trial};
use super::class::{CLOSED, FORKED, OPEN, this_thread};
use super::core::Core;
use super::entry::Entry;
use super::readers::{self, Direction};
use super::{run, schedule, watched};
use crate::datagram;
use crate::ffi::cell::LoopCell;
use crate::ffi::class::Native;
use crate::ffi::context::Nesting;
use crate::ffi::cutoff::Held;
use crate::ffi::interpreter;
use crate::frames::running;
use crate::handle::Handle;
use crate::handle::kinds::new_handle;
use crate::handle::slots::Work;
use crate::net::listener::{self, Listener};
use crate::pipe;
use crate::py::errors;
use crate::py::imports::Imports;
use crate::tls::{self, TlsOptions};
use crate::transport::{self, Endpoint, Origin};
use crate::watch::connections;
use crate::watch::page::{LoopPage, monotonic};
use crate::watch::reader::Page;

#[pymethods]
impl Loop {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        py: Python<'_>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        Imports::get(py)?;
        let page = LoopPage::new(interpreter::version(), running::layout(py).ok().as_ref())
            .map_err(|error| errors::os_error(py, &error))?;
        let core = Core::new(&page).map_err(|error| errors::os_error(py, &error))?;
        Ok(Self {
            inbox: Arc::clone(&core.turn.inbox),
            waker: core.turn.kernel.waker(),
            cell: LoopCell::new(core),
            state: AtomicU8::new(OPEN),
            debug: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            time_replaced: AtomicBool::new(false),
            nests: AtomicBool::new(false),
            thread: AtomicU64::new(0),
            factory: LoopCell::new(None),
            timed: AtomicBool::new(page.recording.load(Ordering::Relaxed) != 0),
            page,
        })
    }

    /// Turns until `stop()`.
    fn _run(slf: &Bound<'_, Self>) -> PyResult<()> {
        /// Puts back what was there before: nothing, or the run that this one is nested in.
        struct Running<'a> {
            this: &'a Loop,
            thread: u64,
            stopping: bool,
        }
        impl Drop for Running<'_> {
            fn drop(&mut self) {
                self.this.stopping.store(self.stopping, Ordering::Relaxed);
                self.this.thread.store(self.thread, Ordering::Release);
            }
        }
        let this = slf.get();
        this.check_open()?;
        let thread = this.thread.swap(this_thread(), Ordering::AcqRel);
        // A `stop()` from before the outermost run is for that run; one from before an inner run is for the outer.
        let stopping = thread != 0 && this.stopping.swap(false, Ordering::Relaxed);
        let _running = Running {
            this,
            thread,
            stopping,
        };
        let _nesting = this.nests.load(Ordering::Relaxed).then(Nesting::new);
        // What a signal left behind before the run.
        this._signals_pending(slf.py())?;
        let _held = Held::here();
        let _shown = watched::OnPage::new(slf.py(), this.page(), this_thread());
        run::run(slf)
    }

    /// From now on the loop may be run from within a run.
    fn _allow_nesting(&self) {
        self.nests.store(true, Ordering::Relaxed);
    }

    /// Ends `run_forever()` after the current turn.
    fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether the loop runs.
    fn is_running(&self) -> bool {
        self.thread.load(Ordering::Relaxed) != 0
    }

    /// Whether the loop was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Relaxed) != OPEN
    }

    /// Whether debug mode is on.
    fn get_debug(&self) -> bool {
        self.debug()
    }

    fn _set_debug(&self, enabled: bool) {
        self.debug.store(enabled, Ordering::Relaxed);
    }

    /// Raises `RuntimeError` when the loop is closed.
    fn _check_closed(&self) -> PyResult<()> {
        self.check_open()
    }

    /// Raises `RuntimeError` when another thread runs the loop.
    fn _check_thread(&self) -> PyResult<()> {
        self.check_thread()
    }

    /// Raises `TypeError` for what cannot be a callback.
    fn _check_callback(&self, callback: &Bound<'_, PyAny>, method: &str) -> PyResult<()> {
        schedule::check_callback(callback, method)
    }

    /// The watched descriptor tells of news by `_signals_pending()` too: a busy loop need not ask for it in every turn.
    fn _hush(&self, py: Python<'_>, fd: i32) -> PyResult<()> {
        self.cell.with(py, |core| {
            if let Some(token) = core.turn.registry.token_of(fd) {
                core.turn.hush(token);
            }
        })
    }

    /// A signal has come, and its number lies in the hushed descriptor.
    fn _signals_pending(&self, py: Python<'_>) -> PyResult<()> {
        self.cell.with(py, |core| core.turn.want_poll())
    }

    /// Says whether `loop.time` has been replaced, so that timers follow the replacement.
    fn _follow_time(&self, replaced: bool) {
        self.time_replaced.store(replaced, Ordering::Relaxed);
    }

    /// Raises `RuntimeError` when a transport uses the descriptor.
    fn _ensure_fd_no_transport(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<()> {
        readers::ensure_not_used(slf, readers::descriptor(fd)?, fd)
    }

    fn _set_task_factory(&self, py: Python<'_>, factory: Option<Py<PyAny>>) -> PyResult<()> {
        let before = self
            .factory
            .with(py, |place| std::mem::replace(place, factory))?;
        drop(before);
        Ok(())
    }

    /// The factory of tasks, or None.
    fn get_task_factory(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.task_factory(py)
    }

    /// A handle that is not queued anywhere yet.
    fn _make_handle(
        slf: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        args: Py<PyTuple>,
    ) -> PyResult<Py<PyAny>> {
        let handle = new_handle(slf, Work::of(callback, args)?)?;
        Ok(handle.into_any().unbind())
    }

    /// Calls `function(*arguments)` whenever the descriptor is ready, until it does not raise BlockingIOError any more.
    #[pyo3(signature = (fd, writing, function, *arguments))]
    fn _attempt<'py>(
        slf: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        writing: bool,
        function: Py<PyAny>,
        arguments: Py<PyTuple>,
    ) -> PyResult<Bound<'py, Attempt>> {
        let direction = if writing {
            Direction::Write
        } else {
            Direction::Read
        };
        attempts::begin(slf, fd, direction, Trial::Call(function, arguments))
    }

    /// Whether the socket has a peer.
    fn _is_connected(&self, py: Python<'_>, fd: i32) -> PyResult<bool> {
        self.cell
            .with(py, |core| core.turn.kernel.peer_address(fd).is_ok())
    }

    /// Queues a handle, perhaps once more, from any thread.
    fn _queue_handle(&self, handle: &Bound<'_, PyAny>) -> PyResult<()> {
        let entry = match Native::<Handle>::cast(handle) {
            Some(handle) => Entry::Handle(handle.clone().unbind()),
            None => Entry::Foreign(handle.clone().unbind()),
        };
        self.deliver(handle.py(), entry)
    }

    /// Accepts connections on a listening socket.
    fn _start_listening<'py>(
        slf: &Bound<'py, Self>,
        protocol_factory: Bound<'py, PyAny>,
        sock: Bound<'py, PyAny>,
        server: Bound<'py, PyAny>,
        backlog: usize,
    ) -> PyResult<Bound<'py, Listener>> {
        listener::listen(slf, protocol_factory, sock, server, backlog)
    }

    /// The transport of a connected stream socket, which it owns from here on.
    #[pyo3(signature = (sock, protocol, waiter=None, *, extra=None, server=None))]
    fn _make_socket_transport(
        slf: &Bound<'_, Self>,
        sock: Bound<'_, PyAny>,
        protocol: Py<PyAny>,
        waiter: Option<Py<PyAny>>,
        extra: Option<Py<PyDict>>,
        server: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        slf.get().check_open()?;
        let fd = readers::descriptor(&sock)?;
        readers::ensure_not_used(slf, fd, &sock)?;
        let peer = slf
            .get()
            .cell
            .with(py, |core| core.turn.kernel.peer_address(fd))?
            .ok();
        let endpoint = Endpoint::Python(sock.unbind());
        let origin = Origin {
            endpoint,
            fd,
            peer,
            protocol,
            waiter,
            server,
            extra,
        };
        Ok(transport::open(slf, origin)?.into_any().unbind())
    }

    /// The transport of a datagram socket, which it owns from here on.  `address`: where everything is sent to.
    #[pyo3(signature = (sock, protocol, address=None, waiter=None, extra=None))]
    fn _make_datagram_transport(
        slf: &Bound<'_, Self>,
        sock: Bound<'_, PyAny>,
        protocol: Py<PyAny>,
        address: Option<Py<PyAny>>,
        waiter: Option<Py<PyAny>>,
        extra: Option<Py<PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        slf.get().check_open()?;
        let fd = readers::descriptor(&sock)?;
        readers::ensure_not_used(slf, fd, &sock)?;
        let origin = datagram::Origin {
            socket: sock,
            fd,
            protocol,
            address,
            waiter,
            extra,
        };
        Ok(datagram::open(slf, origin)?.into_any().unbind())
    }

    /// The transport of a pipe's reading end, whose file it owns from here on.  `fd` is set not to block.
    fn _open_read_pipe(
        slf: &Bound<'_, Self>,
        pipe: Py<PyAny>,
        fd: i32,
        protocol: Py<PyAny>,
        waiter: Option<Py<PyAny>>,
        extra: Option<Py<PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        pipe::read::open(
            slf,
            pipe::Origin {
                pipe,
                fd,
                protocol,
                waiter,
                extra,
            },
        )
    }

    /// The same of a writing end; `notices` says whether the end of all readers makes it readable.
    fn _open_write_pipe(
        slf: &Bound<'_, Self>,
        pipe: Py<PyAny>,
        fd: i32,
        notices: bool,
        protocol: Py<PyAny>,
        waiter: Option<Py<PyAny>>,
        extra: Option<Py<PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        pipe::write::open(
            slf,
            pipe::Origin {
                pipe,
                fd,
                protocol,
                waiter,
                extra,
            },
            notices,
        )
    }

    /// The TLS transport over a connected stream socket, which it owns from here on.
    #[expect(clippy::too_many_arguments, reason = "asyncio's signature")]
    #[pyo3(signature = (rawsock, protocol, sslcontext, waiter=None, *, server_side=false, server_hostname=None, extra=None,
                        server=None, ssl_handshake_timeout=None, ssl_shutdown_timeout=None))]
    fn _make_ssl_transport(
        slf: &Bound<'_, Self>,
        rawsock: Py<PyAny>,
        protocol: Py<PyAny>,
        sslcontext: Py<PyAny>,
        waiter: Option<Py<PyAny>>,
        server_side: bool,
        server_hostname: Option<Py<PyAny>>,
        extra: Option<Py<PyDict>>,
        server: Option<Py<PyAny>>,
        ssl_handshake_timeout: Option<Py<PyAny>>,
        ssl_shutdown_timeout: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let options = TlsOptions {
            context: sslcontext,
            server_side,
            server_hostname,
            handshake_timeout: ssl_handshake_timeout,
            shutdown_timeout: ssl_shutdown_timeout,
        };
        let socket = tls::Socket {
            socket: rawsock,
            protocol,
            waiter,
            extra,
            server,
        };
        Ok(tls::over_socket(slf, socket, options)?.into_any().unbind())
    }

    /// The TLS transport over another transport; the handshake begins in the next turn and `waiter` learns of its end.
    #[expect(clippy::too_many_arguments, reason = "the parameters of start_tls")]
    fn _secure(
        slf: &Bound<'_, Self>,
        transport: &Bound<'_, PyAny>,
        protocol: &Bound<'_, PyAny>,
        sslcontext: Py<PyAny>,
        waiter: Py<PyAny>,
        server_side: bool,
        server_hostname: Option<Py<PyAny>>,
        ssl_handshake_timeout: Option<Py<PyAny>>,
        ssl_shutdown_timeout: Option<Py<PyAny>>,
        arrived: &[u8],
    ) -> PyResult<Py<PyAny>> {
        let options = TlsOptions {
            context: sslcontext,
            server_side,
            server_hostname,
            handshake_timeout: ssl_handshake_timeout,
            shutdown_timeout: ssl_shutdown_timeout,
        };
        let secured = tls::over_transport(slf, transport, protocol, waiter, options, arrived)?;
        Ok(secured.into_any().unbind())
    }

    /// Forgets everything that is queued and gives the kernel its descriptors back.
    fn _close(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_closed() {
            return Ok(());
        }
        self.state.store(CLOSED, Ordering::Relaxed);
        self.forget(py)?;
        self.page.retire();
        self.cell.with(py, |core| {
            core.turn.retire();
            (core.bell, core.board) = (None, None);
        })
    }

    /// In a child made by fork(): the kernel's objects are shared with the parent and must not be touched.
    fn _after_fork(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_closed() {
            return Ok(());
        }
        self.state.store(FORKED, Ordering::Relaxed);
        self.thread.store(0, Ordering::Relaxed);
        self.page.part();
        self.cell.with(py, |core| {
            core.turn.retire();
            (core.bell, core.board) = (None, None);
        })
    }

    /// Numbers for tests and tools: what the loop holds now, and what it has done.
    fn _counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let numbers = self.cell.with(py, |core| {
            let turn = &core.turn;
            [
                ("ready", turn.ready.len() as u64),
                ("timers", turn.timers.len() as u64),
                ("sources", core.sources() as u64),
            ]
        })?;
        let dict = PyDict::new(py);
        for (name, number) in numbers.into_iter().chain(self.page.counters.iter()) {
            dict.set_item(name, number)?;
        }
        Ok(dict)
    }

    /// A portion of what the loop watches, for whoever looks into it, and whether there is more.
    fn _connections<'py>(
        slf: &Bound<'py, Self>,
        first: usize,
        most: usize,
    ) -> PyResult<(Vec<Bound<'py, PyDict>>, bool)> {
        connections::portion(slf, first, most)
    }

    /// The page, as others see it.
    #[pyo3(name = "_page")]
    fn page_to_read(&self) -> Page {
        Page::here(&self.page)
    }

    /// What runs now, asked from any thread: its kind as in `Page.facts()`, and the task, callback or transport.
    fn _what_runs<'py>(slf: &Bound<'py, Self>) -> (&'static str, Option<Bound<'py, PyAny>>) {
        watched::runs(slf)
    }

    /// What runs now, as a number that is another one for something else; 0 for nothing.
    fn _running(&self) -> u64 {
        self.page.now.running.get()
    }

    /// The number that the loop has in this process.
    fn _serial(&self) -> u64 {
        self.page.serial.load(Ordering::Relaxed)
    }

    /// Waits without the interpreter until somebody rings: whether somebody did within `seconds`.
    fn _await_bell(slf: &Bound<'_, Self>, seconds: f64) -> PyResult<bool> {
        watched::await_bell(slf, seconds)
    }

    /// Puts a snapshot where those who look find it.
    fn _publish_snapshot(slf: &Bound<'_, Self>, data: &[u8]) -> PyResult<()> {
        watched::publish(slf, data)
    }

    /// From now on an agent answers the bell.
    fn _agent_begins(slf: &Bound<'_, Self>) -> PyResult<()> {
        watched::agent(slf, true)
    }

    /// From now on the loop itself listens to the bell again.
    fn _agent_ends(slf: &Bound<'_, Self>) -> PyResult<()> {
        watched::agent(slf, false)
    }

    /// Sums up what each task does from now on, or no more.
    fn _time_steps(slf: &Bound<'_, Self>, on: bool) -> PyResult<()> {
        watched::time_steps(slf, on)
    }

    /// What each task has done since the last call: by its id, steps, nanoseconds busy, nanoseconds scheduled without
    /// running, and when its last step began.
    fn _step_times<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        watched::step_times(slf)
    }

    /// The collector of garbage begins or ends on the loop's thread.
    fn _collects(&self, begins: bool) {
        let now = if begins { monotonic() } else { 0 };
        self.page.collecting.store(now, Ordering::Relaxed);
    }

    /// An executor was given a job.
    fn _count_job(&self) {
        self.page.counters.executor_jobs.add(1);
    }

    /// A name is looked up.
    fn _count_lookup(&self) {
        self.page.counters.dns_lookups.add(1);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(Some(factory)) = self
            .factory
            .peek(|factory| factory.as_ref().map(|it| visit.call(it)))
        {
            factory?;
        }
        let shown = self.cell.peek(|core| {
            visit.call(&core.snapshot)?;
            visit.call(&core.keywords)?;
            for entry in core.turn.ready.iter().chain(core.turn.timers.iter()) {
                entry.traverse(&visit)?;
            }
            for (_, _, source) in core.turn.registry.iter() {
                source.traverse(&visit)?;
            }
            Ok(())
        });
        shown.unwrap_or(Ok(()))?;
        // Without a GIL a thread may have been stopped while it held the inbox's lock.
        let mut arrivals = Ok(());
        if cfg!(not(Py_GIL_DISABLED)) {
            self.inbox.for_each(|entry| {
                if arrivals.is_ok() {
                    arrivals = entry.traverse(&visit);
                }
            });
        }
        arrivals
    }

    fn __clear__(&self, py: Python<'_>) {
        let factory = self.factory.peek(Option::take);
        drop(factory);
        // Only fails while the loop is in use, and then it is not garbage.
        let _ = self.forget(py);
    }
}
