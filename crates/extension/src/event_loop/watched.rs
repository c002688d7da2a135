//! What the loop does for those who watch it: answering the bell, timing steps, handing out what runs.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::{Loop, subjects};
use crate::ffi::{interpreter, runtime};
use crate::py::errors;
use crate::watch::bell::{self, Asked};
use crate::watch::page::{KINDS, Kind, LoopPage, State, monotonic, numbered, running};
use crate::watch::recorder::Subject;
use crate::watch::snapshot::Board;

const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// A wait for the bell looks up this often, so that the end of the loop does not go unnoticed.
const LOOK_UP: Duration = Duration::from_millis(250);

/// While it lives, the page says that this thread runs the loop; then it says what it said before.
pub struct OnPage {
    page: Arc<LoopPage>,
    before: [u64; 4],
    doing: u64,
}

impl OnPage {
    pub fn new(py: Python<'_>, page: Arc<LoopPage>, ident: u64) -> Self {
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        let now = [
            page.now.state.get(),
            u64::from(thread.unsigned_abs()),
            ident,
            runtime::thread_state(py),
        ];
        let before = [
            now[0],
            page.thread.swap(now[1], Ordering::Relaxed),
            page.ident.swap(now[2], Ordering::Relaxed),
            page.thread_state.swap(now[3], Ordering::Relaxed),
        ];
        let doing = page.now.running.get();
        page.enter(State::Running);
        Self {
            page,
            before,
            doing,
        }
    }
}

impl Drop for OnPage {
    fn drop(&mut self) {
        let [state, thread, ident, thread_state] = self.before;
        self.page.now.state.set(state);
        self.page.now.running.set(self.doing);
        self.page
            .thread_state
            .store(thread_state, Ordering::Relaxed);
        self.page.ident.store(ident, Ordering::Relaxed);
        self.page.thread.store(thread, Ordering::Relaxed);
    }
}

/// Somebody has rung: the agent is called, and the recorder perhaps turned on.
///
/// # Errors
/// What calling the exception handler lets through.
#[cold]
pub fn rung(slf: &Bound<'_, Loop>) -> PyResult<()> {
    let Some(bell) = bell_of(slf)? else {
        return Ok(());
    };
    if answer(slf.get(), &bell).rung
        && let Err(error) = slf.call_method0("_doorbell_rang")
    {
        error.write_unraisable(slf.py(), Some(slf.as_any()));
    }
    Ok(())
}

fn bell_of(slf: &Bound<'_, Loop>) -> PyResult<Option<Arc<OwnedFd>>> {
    slf.get().cell.with(slf.py(), |core| core.bell.clone())
}

fn answer(this: &Loop, bell: &OwnedFd) -> Asked {
    let asked = bell::answer(bell);
    if asked.record > 0 {
        let until = monotonic() + asked.record * NANOS_PER_SECOND;
        this.page().recording.fetch_max(until, Ordering::Relaxed);
        this.set_timed(true);
    }
    asked
}

/// `loop._await_bell(seconds)`
///
/// # Errors
/// `RuntimeError` when the loop is closed, `ValueError` for a time that is none.
pub fn await_bell(slf: &Bound<'_, Loop>, seconds: f64) -> PyResult<bool> {
    let py = slf.py();
    let most = Duration::try_from_secs_f64(seconds)
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    let until = monotonic().saturating_add(most.as_nanos() as u64);
    loop {
        slf.get().check_open()?;
        let Some(bell) = bell_of(slf)? else {
            return Err(PyRuntimeError::new_err("this loop has no doorbell"));
        };
        if answer(slf.get(), &bell).rung {
            return Ok(true);
        }
        let left = Duration::from_nanos(until.saturating_sub(monotonic()));
        if left.is_zero() {
            return Ok(false);
        }
        py.detach(|| bell::wait(&bell, left.min(LOOK_UP)));
    }
}

/// `loop._publish_snapshot(data)`
///
/// # Errors
/// `OSError` when the system has no room for it, `RuntimeError` when the loop is closed.
pub fn publish(slf: &Bound<'_, Loop>, data: &[u8]) -> PyResult<()> {
    let this = slf.get();
    let py = slf.py();
    this.check_open()?;
    let now = monotonic();
    let put = this.cell.with(py, |core| {
        let board = match &mut core.board {
            Some(board) => board,
            empty => empty.insert(Board::new()?),
        };
        board.put(now, data)?;
        Ok(numbered(&board.file))
    })?;
    let number = put.map_err(|error: std::io::Error| errors::os_error(py, &error))?;
    this.page().snapshot.store(number, Ordering::Release);
    Ok(())
}

/// An agent begins or ends: while there is one, the loop itself does not listen to the bell.
///
/// # Errors
/// `OSError` when the kernel refuses.
pub fn agent(slf: &Bound<'_, Loop>, there: bool) -> PyResult<()> {
    let this = slf.get();
    this.page().agent.store(u64::from(there), Ordering::Relaxed);
    if this.is_closed() {
        return Ok(());
    }
    this.cell
        .with(slf.py(), |core| core.listen_to_bell(!there))?
        .map_err(PyOSError::new_err)
}

/// Sums up the steps of tasks from now on, or no more.
///
/// # Errors
/// `RuntimeError` when the state is in use.
pub fn time_steps(slf: &Bound<'_, Loop>, on: bool) -> PyResult<()> {
    let this = slf.get();
    let sums = this.cell.with(slf.py(), |core| {
        core.recorder.summing = on;
        core.recorder.take()
    })?;
    drop(sums);
    if on {
        this.set_timed(true);
    }
    Ok(())
}

/// What tasks have done since the last call.
///
/// # Errors
/// No memory.
pub fn step_times<'py>(slf: &Bound<'py, Loop>) -> PyResult<Bound<'py, PyDict>> {
    let py = slf.py();
    let sums = slf.get().cell.with(py, |core| core.recorder.take())?;
    let dict = PyDict::new(py);
    for (task, sums) in sums {
        dict.set_item(task, (sums.steps, sums.busy, sums.scheduled, sums.last))?;
    }
    Ok(dict)
}

/// A batch begins while the loop is timed; when nobody wants that any more, it is no longer.
///
/// # Errors
/// `RuntimeError` when the state is in use.
#[cold]
pub fn begin_batch(slf: &Bound<'_, Loop>, page: &LoopPage, batch: usize) -> PyResult<()> {
    let this = slf.get();
    this.cell.with(slf.py(), |core| {
        core.recorder.turn(page, batch);
        this.set_timed(core.recorder.is_on(page, monotonic()));
    })
}

/// An entry begins to run; when.
///
/// # Errors
/// `RuntimeError` when the state is in use.
pub fn begin(slf: &Bound<'_, Loop>, page: &LoopPage, subject: &Subject) -> PyResult<u64> {
    slf.get()
        .cell
        .with(slf.py(), |core| core.recorder.begin(page, subject))
}

/// It has ended.
///
/// # Errors
/// `RuntimeError` when the state is in use.
pub fn end(slf: &Bound<'_, Loop>, page: &LoopPage, subject: &Subject, began: u64) -> PyResult<()> {
    slf.get()
        .cell
        .with(slf.py(), |core| core.recorder.end(page, subject, began))
}

/// What runs now, from any thread: its kind, and the task, callback or transport itself.
pub fn runs<'py>(slf: &Bound<'py, Loop>) -> (&'static str, Option<Bound<'py, PyAny>>) {
    let (kind, address) = running(slf.get().page().now.running.get());
    let name = KINDS.get(kind).copied().unwrap_or_default();
    let Some(object) = interpreter::running_object(slf.py(), address) else {
        return (name, None);
    };
    if kind == Kind::Task as usize {
        return (name, subjects::task_of(&object));
    }
    let object = object.getattr("_callback").unwrap_or(object);
    (name, Some(object))
}
