//! call_soon, call_later, call_at, call_soon_threadsafe.

use epicycle_reactor::kernel::Wake;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyFloat;

use super::entry::Entry;
use super::{Loop, clock};
use crate::ffi::context;
use crate::ffi::fastcall::Args;
use crate::handle::kinds::{new_queued_handle, new_timer_handle};
use crate::handle::locked::{IN_USE, new_locked_handle};
use crate::handle::slots::{Arguments, Context, Work};
use crate::py::imports::{Imports, TASK_CALLBACKS};
use crate::py::names;

const CALLBACK: [&str; 1] = ["callback"];
const DELAY: [&str; 2] = ["delay", "callback"];
const WHEN: [&str; 2] = ["when", "callback"];

/// The `context` keyword.  `parameters` are the method's others.
#[inline(always)]
fn given_context(args: &Args<'_, '_>, parameters: &[&str]) -> PyResult<Option<Py<PyAny>>> {
    let py = args.py();
    let mut given = None;
    if args.has_keywords() {
        for (name, value) in args.keywords() {
            if name.is(names::context(py)) || name.to_string_lossy() == "context" {
                given = Some(value);
            } else {
                args.check_keyword(&name, parameters)?;
            }
        }
    }
    Ok(given
        .filter(|context| !context.is_none())
        .map(|context| context.clone().unbind()))
}

/// What a handle is made of; the arguments are those behind `parameters`.
#[inline(always)]
fn work(
    slf: &Bound<'_, Loop>,
    args: &Args<'_, '_>,
    callback: &Bound<'_, PyAny>,
    parameters: &[&str],
) -> PyResult<Work> {
    let first = parameters.len();
    let arguments = match args.get(first) {
        Some(argument) if args.len() == first + 1 => Arguments::One(argument.clone().unbind()),
        _ => Arguments::All(args.rest(first)),
    };
    Ok(Work {
        context: match given_context(args, parameters)? {
            Some(context) => Context::Own(context),
            None => slf.get().current_context(args.py())?,
        },
        callback: callback.clone().unbind(),
        arguments,
    })
}

/// `loop.call_soon(callback, *args, context=None)`
pub fn call_soon(slf: &Bound<'_, Loop>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let this = slf.get();
    let py = args.py();
    this.check_open()?;
    let callback = args.parameter(0, "callback")?;
    if this.debug() {
        this.check_thread()?;
        check_callback(callback, "call_soon")?;
    } else if args.len() <= 2 && TASK_CALLBACKS.include(callback) {
        // The C Task drops what it gets back unseen.
        let entry = Entry::Step {
            callable: callback.clone().unbind(),
            argument: args.get(1).map(|argument| argument.clone().unbind()),
            context: match given_context(args, &CALLBACK)? {
                Some(context) => context,
                None => context::copy_current(py)?,
            },
        };
        this.cell.with(py, |core| core.push(entry))?;
        return Ok(py.None());
    }
    let handle = new_queued_handle(slf, work(slf, args, callback, &CALLBACK)?)?;
    let entry = Entry::Handle(handle.clone().unbind());
    this.cell.with(py, |core| core.push(entry))?;
    Ok(handle.into_any().unbind())
}

/// `loop.call_soon_threadsafe(callback, *args, context=None)`
pub fn call_soon_threadsafe(slf: &Bound<'_, Loop>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let this = slf.get();
    let py = args.py();
    this.check_open()?;
    let callback = args.parameter(0, "callback")?;
    if this.debug() {
        check_callback(callback, "call_soon_threadsafe")?;
    }
    if IN_USE {
        let handle = new_locked_handle(slf, work(slf, args, callback, &CALLBACK)?)?;
        this.deliver(py, Entry::Locked(handle.clone().unbind()))?;
        return Ok(handle.into_any().unbind());
    }
    let handle = new_queued_handle(slf, work(slf, args, callback, &CALLBACK)?)?;
    this.deliver(py, Entry::Handle(handle.clone().unbind()))?;
    Ok(handle.into_any().unbind())
}

/// `loop.call_later(delay, callback, *args, context=None)`
pub fn call_later(slf: &Bound<'_, Loop>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let delay = args.parameter(0, "delay")?;
    let callback = args.parameter(1, "callback")?;
    if delay.is_none() {
        return Err(PyTypeError::new_err("delay must not be None"));
    }
    let now = clock::seconds(slf)?;
    let when = match (now.cast_exact::<PyFloat>(), delay.cast_exact::<PyFloat>()) {
        (Ok(now), Ok(delay)) => PyFloat::new(args.py(), now.value() + delay.value()).into_any(),
        _ => now.add(delay)?,
    };
    at(slf, args, &DELAY, &when, callback)
}

/// `loop.call_at(when, callback, *args, context=None)`
pub fn call_at(slf: &Bound<'_, Loop>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let when = args.parameter(0, "when")?;
    let callback = args.parameter(1, "callback")?;
    if when.is_none() {
        return Err(PyTypeError::new_err("when cannot be None"));
    }
    at(slf, args, &WHEN, when, callback)
}

#[inline(always)]
fn at(
    slf: &Bound<'_, Loop>,
    args: &Args<'_, '_>,
    parameters: &[&str; 2],
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
    let handle = new_timer_handle(
        slf,
        work(slf, args, callback, parameters)?,
        when.clone().unbind(),
    )?;
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
    /// What a callback is to run in that is scheduled now, without a context given: a copy of the current one, or what the
    /// last callback was given if nothing has changed since.
    #[inline(always)]
    fn current_context(&self, py: Python<'_>) -> PyResult<Context> {
        let current = context::copy_current(py)?;
        if !context::comparable() {
            return Ok(Context::Own(current));
        }
        let (snapshot, unused) = self.cell.with(py, |core| match &core.snapshot {
            Some(snapshot) if context::same_variables(snapshot, &current) => {
                (snapshot.clone_ref(py), Some(current))
            }
            _ => {
                let kept = current.clone_ref(py);
                (current, core.snapshot.replace(kept))
            }
        })?;
        // Bound, for a thread that PyO3 knows nothing of may be here.
        drop(unused.map(|unused| unused.into_bound(py)));
        Ok(Context::Snapshot(snapshot))
    }

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

    /// Leaves an entry for the loop, from a thread that does not run it.  True: the loop has to be woken.
    ///
    /// # Errors
    /// A closed loop hands the entry back.
    pub fn leave(&self, entry: Entry) -> Result<bool, Entry> {
        self.inbox.push(entry)
    }

    /// Wakes the loop, as `leave` asked for.  Needs no interpreter.
    pub fn wake_up(&self) {
        self.waker.wake();
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
