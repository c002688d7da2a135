//! The handle of `call_soon_threadsafe` from Python 3.14 on: while its callback runs, `cancel()` and `cancelled()` from
//! another thread wait.
//!
//! asyncio's own holds a re-entrant lock while the callback runs.  Here the handle notes who runs it, and holds its
//! lock only for that: no lock is held while Python code runs, so none can be waited for with the GIL held.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBool;

use super::call;
use super::kinds::{Scheduled, Slots, Work, base};
use crate::event_loop::Loop;
use crate::ffi::call::thread_ident;
use crate::ffi::class::{Class, Native, Payload, Visitor};
use crate::ffi::fastcall::{Args, method};

/// `asyncio.events._ThreadSafeHandle`, native.
#[derive(Default)]
pub struct LockedHandle {
    /// `threading.get_ident()` of the thread that runs the callback; 0 while none does.
    runner: Mutex<u64>,
    finished: Condvar,
}

static CLASS: Class<LockedHandle> = Class::unmade();
static SLOTS: PyOnceLock<Slots<LockedHandle>> = PyOnceLock::new();

impl Payload for LockedHandle {
    const ATTRIBUTES: bool = false;

    fn class() -> &'static Class<Self> {
        &CLASS
    }

    fn traverse(&self, _visit: &mut Visitor) {}

    fn clear(&self, _py: Python<'_>) {}
}

impl Scheduled for LockedHandle {
    #[inline(always)]
    fn slots(py: Python<'_>) -> PyResult<&'static Slots<Self>> {
        SLOTS.get_or_try_init(py, || Slots::find(&base(py, "_ThreadSafeHandle")?))
    }
}

impl LockedHandle {
    fn runner(&self) -> MutexGuard<'_, u64> {
        self.runner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other thread runs the callback.
    fn wait(slf: &Native<'_, Self>) {
        let me = thread_ident();
        let runner = *slf.runner();
        if runner == 0 || runner == me {
            return;
        }
        let this: &Self = slf;
        slf.py().detach(|| {
            let mut runner = this.runner();
            while *runner != 0 {
                runner = this
                    .finished
                    .wait(runner)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        });
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
    let class = CLASS.make(
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
pub fn run(owner: &Bound<'_, Loop>, handle: &Native<'_, LockedHandle>) -> PyResult<()> {
    struct Finished<'a>(&'a LockedHandle);
    impl Drop for Finished<'_> {
        fn drop(&mut self) {
            *self.0.runner() = 0;
            self.0.finished.notify_all();
        }
    }
    *handle.runner() = thread_ident();
    let _finished = Finished(handle);
    call::run(owner, handle)
}

fn run_method(slf: &Native<'_, LockedHandle>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let py = slf.py();
    if let Some(owner) = LockedHandle::slots(py)?.owner(slf) {
        run(owner.cast::<Loop>()?, slf)?;
    }
    Ok(py.None())
}

fn cancel(slf: &Native<'_, LockedHandle>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    LockedHandle::wait(slf);
    let slots = LockedHandle::slots(slf.py())?;
    if !slots.is_cancelled(slf) {
        slots.cancel(slf)?;
    }
    Ok(slf.py().None())
}

fn cancelled(slf: &Native<'_, LockedHandle>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    LockedHandle::wait(slf);
    let cancelled = LockedHandle::slots(slf.py())?.is_cancelled(slf);
    Ok(PyBool::new(slf.py(), cancelled)
        .to_owned()
        .into_any()
        .unbind())
}
