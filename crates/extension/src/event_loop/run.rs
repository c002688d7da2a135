//! The turn: park, collect, expire, run the batch.

use epicycle_reactor::interest::Readiness;
use epicycle_reactor::time::Nanos;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::core::Core;
use super::entry::{Entry, Source, StreamWork, Watcher};
use super::{Loop, clock, report};
use crate::datagram;
use crate::ffi::class::{Native, NativeRef};
use crate::ffi::{call, context};
use crate::handle::kinds::{Work, new_handle, unschedule};
use crate::handle::{self, Handle, Scheduled, TimerHandle};
use crate::net;
use crate::pipe::{self, PipeWork};
use crate::py::imports::Imports;
use crate::py::{errors, names};
use crate::tls;
use crate::transport;

/// After this many turns without a pause, other threads get a chance to run even if no callback is Python code.
const TURNS_BETWEEN_YIELDS: u32 = 8;

/// Turns until `stop()`.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt` from a callback or a signal handler; `OSError` when waiting fails;
/// `RuntimeError` in a child that a callback made by fork().
pub fn run(slf: &Bound<'_, Loop>) -> PyResult<()> {
    let mut busy = 0;
    loop {
        turn(slf, &mut busy)?;
        if slf.get().is_stopping() {
            return Ok(());
        }
        // A callback may have forked, and this be the child.
        slf.get().check_not_forked()?;
    }
}

fn turn(slf: &Bound<'_, Loop>, busy: &mut u32) -> PyResult<()> {
    let py = slf.py();
    let this = slf.get();
    discard_dead_timers(slf)?;

    let timed = this.cell.with(py, |core| !core.turn.timers.is_empty())?;
    let now = if timed { clock::now(slf)? } else { Nanos(0) };
    let mut parking = this
        .cell
        .with(py, |core| core.turn.park(now, this.is_stopping()))?;
    let waited = if parking.will_block() || *busy >= TURNS_BETWEEN_YIELDS {
        *busy = 0;
        py.detach(|| parking.wait(now))
    } else {
        *busy += 1;
        parking.wait(now)
    };
    this.cell.with(py, |core| {
        core.turn
            .collect(parking, |registry, ready, token, readiness| {
                if let Some(source) = registry.get(token) {
                    awaken(py, source, readiness, |entry| ready.push(entry));
                }
            });
    })?;
    // A signal wakes the wait; its Python handler runs here, and may raise.
    py.check_signals()?;
    match waited {
        Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
            return Err(errors::os_error(py, &error));
        }
        _ => {}
    }
    if timed {
        expire(slf)?;
    }
    run_batch(slf)
}

/// Queues what a ready descriptor asks for.
fn awaken(py: Python<'_>, source: &Source, readiness: Readiness, mut push: impl FnMut(Entry)) {
    match source {
        Source::Shared { reader, writer } => {
            let directions = [
                (readiness.is_readable(), reader, PipeWork::Readable),
                (readiness.is_writable(), writer, PipeWork::Writable),
            ];
            for (ready, watcher, work) in directions {
                if let (true, Some(watcher)) = (ready, watcher) {
                    push(match watcher {
                        Watcher::Callback(handle) => Entry::Handle(handle.clone_ref(py)),
                        Watcher::PipeRead(transport) => {
                            Entry::PipeRead(transport.clone_ref(py), work)
                        }
                        Watcher::PipeWrite(transport) => {
                            Entry::PipeWrite(transport.clone_ref(py), work)
                        }
                    });
                }
            }
        }
        Source::Stream(transport) => {
            push(Entry::Stream(
                transport.clone_ref(py),
                StreamWork::Ready(readiness),
            ));
        }
        Source::Datagram(transport) => {
            push(Entry::Datagram(
                transport.clone_ref(py),
                StreamWork::Ready(readiness),
            ));
        }
        Source::Listener(listener) => push(Entry::Accept(listener.clone_ref(py))),
    }
}

/// Says of a queued timer whether it was cancelled.
///
/// # Errors
/// `ImportError` when this interpreter's handles have other slots.
pub fn dead_timer(py: Python<'_>) -> PyResult<impl Fn(&Entry) -> bool> {
    let slots = TimerHandle::slots(py)?;
    Ok(move |entry: &Entry| match entry {
        Entry::Timer(handle) => slots.is_cancelled(handle.bind(py)),
        _ => false,
    })
}

/// Cancelled timers at the head would wake the loop for nothing.
fn discard_dead_timers(slf: &Bound<'_, Loop>) -> PyResult<()> {
    let py = slf.py();
    let is_dead = dead_timer(py)?;
    let mut dead = Vec::new();
    slf.get()
        .cell
        .with(py, |core| core.turn.prune(is_dead, &mut dead))?;
    for entry in dead {
        entry.discard(py);
    }
    Ok(())
}

/// Moves the timers that are due to the ready queue.
fn expire(slf: &Bound<'_, Loop>) -> PyResult<()> {
    let py = slf.py();
    let now = clock::now(slf)?;
    let is_dead = dead_timer(py)?;
    let mut dead = Vec::new();
    let moved = slf.get().cell.with(py, |core| {
        let before = core.turn.ready.len();
        core.turn.expire(now, &is_dead, &mut dead);
        for entry in core.turn.ready.iter().skip(before) {
            if let Entry::Timer(handle) = entry {
                unschedule(handle.bind(py))?;
            }
        }
        Ok::<(), PyErr>(())
    })?;
    for entry in dead {
        entry.discard(py);
    }
    moved
}

/// Runs what was ready when the batch began; what these callbacks queue waits for the next turn.
fn run_batch(slf: &Bound<'_, Loop>) -> PyResult<()> {
    let py = slf.py();
    let this = slf.get();
    let batch = this.cell.with(py, |core| core.turn.begin_batch())?;
    for _ in 0..batch {
        let Some(entry) = this.cell.with(py, |core| core.turn.next())? else {
            break;
        };
        if this.debug() {
            dispatch_watched(slf, entry)?;
        } else {
            dispatch(slf, entry)?;
        }
    }
    this.cell.with(py, |core: &mut Core| core.turn.end_turn())
}

#[inline(always)]
fn dispatch(slf: &Bound<'_, Loop>, entry: Entry) -> PyResult<()> {
    let py = slf.py();
    match entry {
        Entry::Step {
            callable,
            argument,
            context,
        } => step(slf, callable, argument, context),
        Entry::Handle(handle) => {
            let outcome = handle::call::run(slf, handle.bind(py));
            handle.release(py);
            outcome
        }
        Entry::Timer(handle) => {
            let outcome = handle::call::run(slf, handle.bind(py));
            handle.release(py);
            outcome
        }
        Entry::Locked(handle) => {
            let outcome = handle::locked::run(slf, handle.bind(py));
            handle.release(py);
            outcome
        }
        Entry::Stream(transport, work) => {
            let transport = transport.into_bound(py);
            transport::work(&transport, work)
                .or_else(|error| report::work_failed(slf, error, transport.as_any()))
        }
        Entry::Datagram(transport, work) => {
            let transport = transport.into_bound(py);
            datagram::work(&transport, work)
                .or_else(|error| report::work_failed(slf, error, transport.as_any()))
        }
        Entry::Tls(transport, work) => {
            let transport = transport.into_bound(py);
            tls::work(&transport, work)
                .or_else(|error| report::work_failed(slf, error, transport.as_any()))
        }
        Entry::PipeRead(transport, work) => {
            let transport = transport.into_bound(py);
            pipe::work(&transport, work)
                .or_else(|error| report::work_failed(slf, error, transport.as_any()))
        }
        Entry::PipeWrite(transport, work) => {
            let transport = transport.into_bound(py);
            pipe::work(&transport, work)
                .or_else(|error| report::work_failed(slf, error, transport.as_any()))
        }
        Entry::Accept(listener) => {
            let listener = listener.bind(py);
            net::listener::accept(listener)
                .or_else(|error| report::work_failed(slf, error, listener.as_any()))
        }
        Entry::Foreign(handle) => call::method0(handle.bind(py), names::run(py)).map(drop),
    }
}

/// A step or wake-up of asyncio's C Task.
#[inline(always)]
fn step(
    slf: &Bound<'_, Loop>,
    callable: Py<PyAny>,
    argument: Option<Py<PyAny>>,
    ctx: Py<PyAny>,
) -> PyResult<()> {
    let py = slf.py();
    let outcome = context::run(py, &ctx, || {
        match &argument {
            None => call::call0(py, &callable),
            Some(argument) => call::call1(py, &callable, argument),
        }
        .map(drop)
    });
    match outcome {
        Ok(()) => Ok(()),
        Err(error) => {
            // Whoever reads the report expects a handle.
            let args = PyTuple::new(py, argument)?;
            let callback = callable.into_bound(py);
            let work = Work {
                callback: callback.clone().unbind(),
                args: args.clone().unbind(),
                context: ctx,
            };
            let handle: Native<'_, Handle> = new_handle(slf, work)?;
            report::callback_failed(
                slf,
                error,
                &callback,
                Some(args.as_any()),
                handle.as_any(),
                None,
            )
        }
    }
}

/// Debug mode: notes what runs, and tells of callbacks that take long.
#[cold]
fn dispatch_watched(slf: &Bound<'_, Loop>, entry: Entry) -> PyResult<()> {
    let py = slf.py();
    let handle = match &entry {
        Entry::Handle(handle) => handle.as_py().clone_ref(py),
        Entry::Timer(handle) => handle.as_py().clone_ref(py),
        Entry::Locked(handle) => handle.as_py().clone_ref(py),
        Entry::Foreign(handle) => handle.clone_ref(py),
        Entry::Stream(transport, _) => NativeRef::as_py(transport).clone_ref(py),
        Entry::Datagram(transport, _) => NativeRef::as_py(transport).clone_ref(py),
        Entry::Tls(transport, _) => NativeRef::as_py(transport).clone_ref(py),
        Entry::Step { callable, .. } => callable.clone_ref(py),
        Entry::Accept(listener) => listener.clone_ref(py).into_any(),
        Entry::PipeRead(transport, _) => transport.as_py().clone_ref(py),
        Entry::PipeWrite(transport, _) => transport.as_py().clone_ref(py),
    }
    .into_bound(py);
    slf.setattr("_current_handle", &handle)?;
    let started: f64 = clock::seconds(slf)?.extract()?;
    let outcome = dispatch(slf, entry);
    let taken: f64 = clock::seconds(slf)?.extract::<f64>()? - started;
    slf.setattr("_current_handle", py.None())?;
    outcome?;
    let limit: f64 = slf.getattr(names::slow_callback_duration(py))?.extract()?;
    if taken >= limit {
        let imports = Imports::get(py)?;
        let described = if handle.is_instance_of::<Loop>() || handle.hasattr("_callback")? {
            imports.format_handle.bind(py).call1((&handle,))?
        } else {
            handle.repr()?.into_any()
        };
        let arguments = ("Executing %s took %.3f seconds", described, taken);
        imports.logger.bind(py).call_method1("warning", arguments)?;
    }
    Ok(())
}
