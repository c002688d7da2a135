//! The handle of `call_soon_threadsafe` from Python 3.14 on: while its callback runs, `cancel()` and `cancelled()` from
//! another thread wait.
//!
//! asyncio's own holds a re-entrant lock while the callback runs.  Here the handle notes who runs it: a word that is
//! written twice.  No lock is held while Python code runs, so none can be waited for with the GIL held.  Hardly any
//! handle is ever waited for, so there is one place to wait in for all of them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBool;

use super::call;
use super::kinds::{SPARE, base};
use super::shared::Shared;
use super::slots::{Held, Scheduled, Slots, Work, attributes};
use crate::event_loop::Loop;
use crate::ffi::call::thread_ident;
use crate::ffi::class::{Class, Native, Payload, Visitor};
use crate::ffi::fastcall::{Args, method};
use crate::ffi::place::Place;

/// How long a wait for another thread's callback may leave a signal unnoticed.
const SIGNALS_NOTICED_WITHIN: Duration = Duration::from_millis(50);

/// `asyncio.events._ThreadSafeHandle`, native.
#[derive(Default)]
pub struct LockedHandle {
    held: Held,
    /// `threading.get_ident()` of the thread that runs the callback; 0 while none does.
    runner: AtomicU64,
}

/// Where threads wait for callbacks to end, whichever.
struct Waiting {
    /// How many do.  Telling nobody would still be a system call.
    threads: AtomicUsize,
    lock: Mutex<()>,
    ended: Condvar,
}

static WAITING: Waiting = Waiting {
    threads: AtomicUsize::new(0),
    lock: Mutex::new(()),
    ended: Condvar::new(),
};

impl Waiting {
    /// Wakes all who wait, to see whether it is their callback that has ended.
    #[inline(always)]
    fn tell(&self) {
        if self.threads.load(Ordering::SeqCst) > 0 {
            self.tell_all();
        }
    }

    #[cold]
    fn tell_all(&self) {
        // Whoever has looked and found a callback running sleeps by the time that the lock is to be had.
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.ended.notify_all();
    }

    /// Waits until `runner` is nobody, but not longer than `limit`; whether it is.
    fn wait(&self, runner: &AtomicU64, limit: Duration) -> bool {
        // Before the look at the runner, who looks here after it has said that it ended.
        self.threads.fetch_add(1, Ordering::SeqCst);
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .ended
            .wait_timeout_while(guard, limit, |()| runner.load(Ordering::SeqCst) != 0);
        drop(waited);
        self.threads.fetch_sub(1, Ordering::SeqCst);
        runner.load(Ordering::SeqCst) == 0
    }
}

static CLASS: Class<LockedHandle> = Class::unmade();
static SLOTS: PyOnceLock<Slots<LockedHandle>> = PyOnceLock::new();

impl Payload for LockedHandle {
    const ATTRIBUTES: bool = false;
    const SPARE: usize = SPARE;

    fn class() -> &'static Class<Self> {
        &CLASS
    }

    fn traverse(&self, visit: &mut Visitor) {
        self.held.show(visit);
    }

    fn clear(&self, py: Python<'_>) {
        self.held.clear(py);
    }

    fn places(&self) -> &[Place] {
        self.held.places()
    }
}

impl Scheduled for LockedHandle {
    #[inline(always)]
    fn slots(py: Python<'_>) -> PyResult<&'static Slots<Self>> {
        SLOTS.get_or_try_init(py, || Slots::find(&base(py, "_ThreadSafeHandle")?))
    }

    #[inline(always)]
    fn held(&self) -> &Held {
        &self.held
    }
}

impl LockedHandle {
    /// Waits until no other thread runs the callback.
    ///
    /// # Errors
    /// What a signal handler raises, `KeyboardInterrupt` for one, which ends the wait.
    fn wait(slf: &Native<'_, Self>) -> PyResult<()> {
        let runner = slf.runner.load(Ordering::SeqCst);
        if runner == 0 || runner == thread_ident() {
            return Ok(());
        }
        let this: &Self = slf;
        let py = slf.py();
        // A signal does not end the wait for a condition variable, and one that came just before would not either.
        while !py.detach(|| WAITING.wait(&this.runner, SIGNALS_NOTICED_WITHIN)) {
            // Runs the handlers in the main thread, and does nothing in any other.
            py.check_signals()?;
        }
        Ok(())
    }
}

/// Whether this Python's `call_soon_threadsafe` returns such handles.
pub const IN_USE: bool = cfg!(Py_3_14);

/// Makes the class, where this Python has its base.
///
/// # Errors
/// `ImportError` when the base has other slots.
pub fn make_class(module: &Bound<'_, PyModule>) -> PyResult<()> {
    if !IN_USE {
        return Ok(());
    }
    let py = module.py();
    let class = CLASS.make_with(
        c"epicycle._ThreadSafeHandle",
        c"A callback that was scheduled with loop.call_soon_threadsafe(); see asyncio.Handle.",
        &base(py, "_ThreadSafeHandle")?,
        vec![
            method(
                c"cancel",
                cancel,
                c"Cancels the callback; while it runs in another thread, waits.",
            ),
            method(
                c"cancelled",
                cancelled,
                c"Whether the callback was cancelled; while it runs in another thread, waits.",
            ),
            method(
                c"_run",
                run_method,
                c"Runs the callback unless it was cancelled.",
            ),
        ],
        attributes::<LockedHandle>(),
    )?;
    module.add("_ThreadSafeHandle", class)?;
    LockedHandle::slots(py).map(drop)
}

/// A new handle for `call_soon_threadsafe`, hidden from the garbage collector while it is queued.
///
/// # Errors
/// As `kinds::new_handle`.
pub fn new_locked_handle<'py>(
    owner: &Bound<'py, Loop>,
    work: Work,
) -> PyResult<Native<'py, LockedHandle>> {
    let handle = CLASS.hidden_instance(owner.py(), LockedHandle::default())?;
    LockedHandle::slots(owner.py())?.fill(&handle, owner, work)?;
    Ok(handle)
}

/// Runs the callback; whoever cancels from another thread meanwhile waits.
///
/// # Errors
/// As `call::run`.
pub fn run(
    owner: &Bound<'_, Loop>,
    handle: &Native<'_, LockedHandle>,
    shared: &mut Shared,
) -> PyResult<()> {
    struct Finished<'a>(&'a AtomicU64);
    impl Drop for Finished<'_> {
        #[inline(always)]
        fn drop(&mut self) {
            self.0.store(0, Ordering::SeqCst);
            WAITING.tell();
        }
    }
    handle.runner.store(thread_ident(), Ordering::SeqCst);
    let _finished = Finished(&handle.runner);
    call::run(owner, handle, shared)
}

fn run_method(slf: &Native<'_, LockedHandle>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let py = slf.py();
    if let Some(owner) = LockedHandle::slots(py)?.owner(slf) {
        run(owner.cast::<Loop>()?, slf, &mut Shared::default())?;
    }
    Ok(py.None())
}

fn cancel(slf: &Native<'_, LockedHandle>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    LockedHandle::wait(slf)?;
    let slots = LockedHandle::slots(slf.py())?;
    if !slots.is_cancelled(slf) {
        slots.cancel(slf)?;
    }
    Ok(slf.py().None())
}

fn cancelled(slf: &Native<'_, LockedHandle>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    LockedHandle::wait(slf)?;
    let cancelled = LockedHandle::slots(slf.py())?.is_cancelled(slf);
    Ok(PyBool::new(slf.py(), cancelled)
        .to_owned()
        .into_any()
        .unbind())
}
