//! call_soon, call_later, call_at, call_soon_threadsafe.

use epicycle_reactor::kernel::Wake;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyFloat;

use super::entry::Entry;
use super::{Loop, clock};
use crate::ffi::context;
use crate::ffi::fastcall::Args;
use crate::handle::kinds::{Work, new_queued_handle, new_timer_handle};
use crate::handle::locked::{IN_USE, new_locked_handle};
use crate::py::imports::{Imports, TASK_CALLBACKS};
use crate::py::names;

/// The `context` keyword: the context given, or a copy of the current one.
#[inline(always)]
fn context_of<'a, 'py>(args: &Args<'a, 'py>) -> PyResult<Py<PyAny>> {
    let py = args.py();
    if args.has_keywords() {
        for (name, value) in args.keywords() {
            if !name.is(names::context(py)) && name.to_string_lossy() != "context" {
                return Err(args.unexpected(&name.to_string_lossy()));
            }
            if !value.is_none() {
                return Ok(value.clone().unbind());
            }
        }
    }
    context::copy_current(py)
}

#[inline(always)]
fn work(args: &Args<'_, '_>, callback: &Bound<'_, PyAny>, first: usize) -> PyResult<Work> {
    Ok(Work {
        context: context_of(args)?,
        callback: callback.clone().unbind(),
        args: args.rest(first),
    })
}

/// `loop.call_soon(callback, *args, context=None)`
pub fn call_soon(slf: &Bound<'_, Loop>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let this = slf.get();
    let py = args.py();
    this.check_open()?;
    let callback = args.get(0).ok_or_else(|| args.missing("callback"))?;
    if this.debug() {
        this.check_thread()?;
        check_callback(callback, "call_soon")?;
    } else if args.len() <= 2 && TASK_CALLBACKS.include(callback) {
        // The C Task drops what it gets back unseen.
        let entry = Entry::Step {
            callable: callback.clone().unbind(),
            argument: args.get(1).map(|argument| argument.clone().unbind()),
            context: context_of(args)?,
        };
        this.cell.with(py, |core| core.push(entry))?;
        return Ok(py.None());
    }
    let handle = new_queued_handle(slf, work(args, callback, 1)?)?;
    let entry = Entry::Handle(handle.clone().unbind());
    this.cell.with(py, |core| core.push(entry))?;
    Ok(handle.into_any().unbind())
}

/// `loop.call_soon_threadsafe(callback, *args, context=None)`
pub fn call_soon_threadsafe(slf: &Bound<'_, Loop>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let this = slf.get();
    let py = args.py();
    this.check_open()?;
    let callback = args.get(0).ok_or_else(|| args.missing("callback"))?;
    if this.debug() {
        check_callback(callback, "call_soon_threadsafe")?;
    }
    if IN_USE {
        let handle = new_locked_handle(slf, work(args, callback, 1)?)?;
        this.deliver(py, Entry::Locked(handle.clone().unbind()))?;
        return Ok(handle.into_any().unbind());
    }
    let handle = new_queued_handle(slf, work(args, callback, 1)?)?;
    this.deliver(py, Entry::Handle(handle.clone().unbind()))?;
    Ok(handle.into_any().unbind())
}

/// `loop.call_later(delay, callback, *args, context=None)`
pub fn call_later(slf: &Bound<'_, Loop>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let delay = args.get(0).ok_or_else(|| args.missing("delay"))?;
    let callback = args.get(1).ok_or_else(|| args.missing("callback"))?;
    if delay.is_none() {
        return Err(PyTypeError::new_err("delay must not be None"));
    }
    let now = clock::seconds(slf)?;
    let when = match (now.cast_exact::<PyFloat>(), delay.cast_exact::<PyFloat>()) {
        (Ok(now), Ok(delay)) => PyFloat::new(args.py(), now.value() + delay.value()).into_any(),
        _ => now.add(delay)?,
    };
    at(slf, args, &when, callback)
}

/// `loop.call_at(when, callback, *args, context=None)`
pub fn call_at(slf: &Bound<'_, Loop>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let when = args.get(0).ok_or_else(|| args.missing("when"))?;
    let callback = args.get(1).ok_or_else(|| args.missing("callback"))?;
    if when.is_none() {
        return Err(PyTypeError::new_err("when cannot be None"));
    }
    at(slf, args, when, callback)
}

#[inline(always)]
fn at(
    slf: &Bound<'_, Loop>,
    args: &Args<'_, '_>,
    when: &Bound<'_, PyAny>,
    callback: &Bound<'_, PyAny>,
) -> PyResult<Py<PyAny>> {
    let this = slf.get();
    let py = args.py();
    this.check_open()?;
    if this.debug() {
        this.check_thread()?;
        check_callback(callback, "call_at")?;
    }
    let deadline = clock::on_time_line(when.extract()?);
    let handle = new_timer_handle(slf, work(args, callback, 2)?, when.clone().unbind())?;
    let entry = Entry::Timer(handle.clone().unbind());
    this.cell
        .with(py, |core| core.turn.schedule(deadline, entry))?;
    Ok(handle.into_any().unbind())
}

/// Refuses, in debug mode, what could never be called.
///
/// # Errors
/// `TypeError`
pub fn check_callback(callback: &Bound<'_, PyAny>, method: &str) -> PyResult<()> {
    let imports = Imports::get(callback.py())?;
    let py = callback.py();
    if imports
        .is_coroutine
        .bind(py)
        .call1((callback,))?
        .is_truthy()?
        || imports
            .is_coroutine_function
            .bind(py)
            .call1((callback,))?
            .is_truthy()?
    {
        return Err(PyTypeError::new_err(format!(
            "coroutines cannot be used with {method}()"
        )));
    }
    if !callback.is_callable() {
        return Err(PyTypeError::new_err(format!(
            "a callable object was expected by {method}(), got {}",
            callback.repr()?
        )));
    }
    Ok(())
}

impl Loop {
    /// Queues an entry from whatever thread, and wakes the loop if it is parked.
    ///
    /// # Errors
    /// `RuntimeError` when the loop is closed.
    pub fn deliver(&self, py: Python<'_>, entry: Entry) -> PyResult<()> {
        if !self.is_running_elsewhere() {
            return self.cell.with(py, |core| core.push(entry));
        }
        match self.inbox.push(entry) {
            Ok(true) => self.waker.wake(),
            Ok(false) => {}
            Err(_refused) => return Err(PyRuntimeError::new_err("Event loop is closed")),
        }
        Ok(())
    }

    /// A timer was cancelled while it waited.  When most of those that wait are cancelled, they are thrown out.
    pub fn timer_cancelled(&self, py: Python<'_>) -> PyResult<()> {
        if !self.cell.with(py, |core| core.turn.cancelled())? {
            return Ok(());
        }
        let is_dead = super::run::dead_timer(py)?;
        let swept = self.cell.with(py, |core| core.turn.timers.sweep(is_dead))?;
        for entry in swept {
            entry.discard(py);
        }
        Ok(())
    }
}
