//! `Loop`: what it holds, and the states it may be in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use epicycle_reactor::inbox::Inbox;
use epicycle_reactor::kernel::Kernel;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::attempts::Attempt;
use super::core::{Core, LoopKernel};
use super::entry::Entry;
use super::{clock, readers, schedule, sockets, tasks};
use crate::ffi::cell::LoopCell;
use crate::ffi::fastcall::{add_methods, method, method_untold};
use crate::watch::page::LoopPage;

pub(super) const OPEN: u8 = 0;
pub(super) const CLOSED: u8 = 1;
/// This process is a child of the one that made the loop.
pub(super) const FORKED: u8 = 2;

/// The native half of `epicycle.EventLoop`.
#[pyclass(subclass, frozen, weakref, module = "epicycle._epicycle")]
pub struct Loop {
    pub(crate) cell: LoopCell<Core>,
    pub(super) inbox: Arc<Inbox<Entry>>,
    pub(super) waker: <LoopKernel as Kernel>::Waker,
    pub(super) state: AtomicU8,
    pub(super) debug: AtomicBool,
    pub(super) stopping: AtomicBool,
    pub(super) time_replaced: AtomicBool,
    /// Whether it may be run from within a run.
    pub(super) nests: AtomicBool,
    /// `threading.get_ident()` of the thread that runs the loop; 0 while it does not run.
    pub(super) thread: AtomicU64,
    pub(super) factory: LoopCell<Option<Py<PyAny>>>,
    /// What others can see of it.
    pub(super) page: Arc<LoopPage>,
    /// Somebody wants to know when steps begin and end.
    pub(super) timed: AtomicBool,
}

impl Loop {
    #[inline(always)]
    pub fn debug(&self) -> bool {
        self.debug.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(super) fn time_replaced(&self) -> bool {
        self.time_replaced.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(super) fn is_timed(&self) -> bool {
        self.timed.load(Ordering::Relaxed)
    }

    pub(super) fn set_timed(&self, timed: bool) {
        self.timed.store(timed, Ordering::Relaxed);
    }

    pub fn page(&self) -> Arc<LoopPage> {
        Arc::clone(&self.page)
    }

    pub(super) fn task_factory(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.factory
            .peek(|factory| factory.as_ref().map(|factory| factory.clone_ref(py)))
            .flatten()
    }

    /// # Errors
    /// `RuntimeError` when the loop is closed, or belongs to the parent process.
    #[inline(always)]
    pub fn check_open(&self) -> PyResult<()> {
        match self.state.load(Ordering::Relaxed) {
            OPEN => Ok(()),
            state => Err(unusable(state)),
        }
    }

    /// # Errors
    /// `RuntimeError` when the loop belongs to the parent process.
    pub(super) fn check_not_forked(&self) -> PyResult<()> {
        match self.state.load(Ordering::Relaxed) {
            FORKED => Err(unusable(FORKED)),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// `RuntimeError` when another thread runs the loop.
    pub(super) fn check_thread(&self) -> PyResult<()> {
        let thread = self.thread.load(Ordering::Relaxed);
        if thread == 0 || thread == this_thread() {
            return Ok(());
        }
        Err(PyRuntimeError::new_err(
            "Non-thread-safe operation invoked on an event loop other than the current one",
        ))
    }

    /// Whether the loop runs, and on another thread than this one.
    pub(super) fn is_running_elsewhere(&self) -> bool {
        let thread = self.thread.load(Ordering::Acquire);
        thread != 0 && thread != this_thread()
    }
}

pub(super) fn this_thread() -> u64 {
    crate::ffi::call::thread_ident()
}

#[cold]
fn unusable(state: u8) -> PyErr {
    PyRuntimeError::new_err(if state == FORKED {
        "this event loop belongs to the parent process: a child made by fork() has to make its own"
    } else {
        "Event loop is closed"
    })
}

impl Loop {
    /// Takes everything out of the queues, then drops it: finalisers may run, and may call back.
    pub(super) fn forget(&self, py: Python<'_>) -> PyResult<()> {
        let arrivals = self.inbox.close();
        let taken = self.cell.with(py, |core| {
            let turn = &mut core.turn;
            let tokens: Vec<_> = turn.registry.iter().map(|(token, _, _)| token).collect();
            let sources: Vec<_> = tokens
                .into_iter()
                .map(|token| turn.unwatch(token))
                .collect();
            let shared = (core.snapshot.take(), core.keywords.take());
            let turn = &mut core.turn;
            (
                turn.ready.drain_all(),
                turn.timers.drain_all(),
                (sources, shared),
            )
        })?;
        let (ready, timers, others) = taken;
        for entry in arrivals.into_iter().chain(ready).chain(timers) {
            entry.discard(py);
        }
        drop(others);
        Ok(())
    }

    /// Adds the class to the module, and the methods that are called too often for the general convention.
    ///
    /// # Errors
    /// What CPython raises when a class cannot be made.
    pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add_class::<Self>()?;
        module.add_class::<Attempt>()?;
        add_methods::<Self>(
            module.py(),
            vec![
                method(c"call_soon", schedule::call_soon, c"call_soon($self, callback, *args, context=None)\n--\n\nCalls back in the next turn, in the order of the calls. Returns an asyncio.Handle."),
                method_untold(c"call_soon_threadsafe", schedule::call_soon_threadsafe, c"call_soon_threadsafe($self, callback, *args, context=None)\n--\n\nAs call_soon(), from any thread."),
                method(c"call_later", schedule::call_later, c"call_later($self, delay, callback, *args, context=None)\n--\n\nCalls back after delay seconds, never earlier. Returns an asyncio.TimerHandle."),
                method(c"call_at", schedule::call_at, c"call_at($self, when, callback, *args, context=None)\n--\n\nCalls back when loop.time() has reached when, never earlier. Returns an asyncio.TimerHandle."),
                method(c"time", clock::time, c"time($self)\n--\n\nThe loop's clock in seconds: monotonic, the same as time.monotonic()."),
                method(c"create_future", tasks::create_future, c"create_future($self)\n--\n\nA new asyncio.Future of this loop."),
                method(c"create_task", tasks::create_task, tasks::CREATE_TASK_DOC),
                method(c"add_reader", readers::add_reader, c"add_reader($self, fd, callback, *args)\n--\n\nCalls back whenever fd is readable."),
                method(c"_add_reader", readers::add_reader_handle, c"_add_reader($self, fd, callback, *args)\n--\n\nAs add_reader(); returns the handle."),
                method(c"_add_writer", readers::add_writer_handle, c"_add_writer($self, fd, callback, *args)\n--\n\nAs add_writer(); returns the handle."),
                method(c"remove_reader", readers::remove_reader, c"remove_reader($self, fd)\n--\n\nUndoes add_reader(). Whether there was something to undo."),
                method(c"_receive", sockets::receive_or_wait, c"_receive($self, sock, n)\n--\n\nWhat sock.recv(n) returns, or an Attempt of it."),
                method(c"_receive_into", sockets::receive_into_or_wait, c"_receive_into($self, sock, buf)\n--\n\nWhat sock.recv_into(buf) returns, or an Attempt of it."),
                method(c"_send", sockets::send_once, c"_send($self, sock, data)\n--\n\nHow many bytes sock.send(data) took, or None for all."),
                method(c"add_writer", readers::add_writer, c"add_writer($self, fd, callback, *args)\n--\n\nCalls back whenever fd is writable."),
                method(c"remove_writer", readers::remove_writer, c"remove_writer($self, fd)\n--\n\nUndoes add_writer(). Whether there was something to undo."),
            ],
        )
    }
}
