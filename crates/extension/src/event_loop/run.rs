//! The turn: park, collect, expire, run the batch.

use epicycle_reactor::interest::Readiness;
use epicycle_reactor::time::Nanos;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::core::Core;
use super::entry::{Entry, Source, StreamWork, Watcher};
use super::{Loop, attempts, clock, report, subjects, watched};
use crate::datagram;
use crate::ffi::class::{Native, NativeRef};
use crate::ffi::{call, context};
use crate::handle::kinds::{new_handle, unschedule};
use crate::handle::shared::Shared;
use crate::handle::slots::{Arguments, Context, Work};
use crate::handle::{self, Handle, Scheduled, TimerHandle};
use crate::jobs;
use crate::net;
use crate::pipe::{self, PipeWork};
use crate::py::imports::Imports;
use crate::py::{errors, names};
use crate::tls;
use crate::transport;
use crate::watch::page::{Kind, LoopPage, State};
use crate::watch::recorder::Recorder;

/// Other threads get a chance to run after this much work without a pause, even if no callback is Python code.
const WORK_BETWEEN_YIELDS: u32 = 64;
/// What a turn counts for that asks the kernel; one that does not counts for one.
const WORK_OF_A_POLL: u32 = 8;

/// Turns until `stop()`.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt` from a callback or a signal handler; `OSError` when waiting fails;
/// `RuntimeError` in a child that a callback made by fork().
pub fn run(slf: &Bound<'_, Loop>) -> PyResult<()> {
    let mut busy = 0;
    let mut shared = Shared::default();
    let page = slf.get().page();
    loop {
        turn(slf, &page, &mut busy, &mut shared)?;
        if slf.get().is_stopping() {
            return Ok(());
        }
        // A callback may have forked, and this be the child.
        slf.get().check_not_forked()?;
    }
}

fn turn(
    slf: &Bound<'_, Loop>,
    page: &LoopPage,
    busy: &mut u32,
    shared: &mut Shared,
) -> PyResult<()> {
    let py = slf.py();
    let this = slf.get();
    discard_dead_timers(slf)?;

    let (sleepy, snapshot) = this.cell.with(py, |core| {
        let sleepy = core.turn.ready.is_empty();
        (sleepy, core.snapshot.take_if(|_| sleepy))
    })?;
    if sleepy {
        // Whatever hangs on the last context is not kept alive by a loop that sleeps.
        drop(snapshot);
        shared.forget(py)?;
    }
    let timed = this.cell.with(py, |core| !core.turn.timers.is_empty())?;
    let now = if timed { clock::now(slf)? } else { Nanos(0) };
    let mut parking = this.cell.with(py, |core| {
        if *busy >= WORK_BETWEEN_YIELDS {
            // Whoever forgot to say that a hushed descriptor has news is not left waiting for ever.
            core.turn.want_poll();
        }
        core.turn.park(now, this.is_stopping())
    })?;
    let waited = if parking.will_block() || *busy >= WORK_BETWEEN_YIELDS {
        *busy = 0;
        if parking.will_block() {
            page.enter(State::Parked);
            if this.is_timed() {
                Recorder::park(page);
            }
        }
        let waited = py.detach(|| {
            let waited = parking.wait(now);
            // From here to the interpreter it may be a long way.
            page.enter(State::Waking);
            waited
        });
        page.enter(State::Running);
        waited
    } else {
        *busy += if parking.is_idle() { 1 } else { WORK_OF_A_POLL };
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
    let outcome = run_batch(slf, page, shared);
    if outcome.is_err() {
        this.cell.with(py, |core| core.turn.leave())?;
    }
    let left = shared.leave(py);
    outcome.and(left)
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
                        Watcher::Attempt(attempt) => Entry::Attempt(attempt.clone_ref(py)),
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
        Source::Bell => push(Entry::Bell),
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
fn run_batch(slf: &Bound<'_, Loop>, page: &LoopPage, shared: &mut Shared) -> PyResult<()> {
    let py = slf.py();
    let this = slf.get();
    let batch = this.cell.with(py, |core| core.turn.begin_batch())?;
    if this.is_timed() {
        watched::begin_batch(slf, page, batch)?;
    }
    for _ in 0..batch {
        let Some(entry) = this.cell.with(py, |core| core.turn.next())? else {
            break;
        };
        if this.debug() {
            dispatch_watched(slf, page, entry, shared)?;
        } else if this.is_timed() {
            dispatch_timed(slf, page, entry, shared)?;
        } else {
            dispatch(slf, page, entry, shared)?;
        }
    }
    this.cell.with(py, |core: &mut Core| core.turn.end_turn())
}

/// Runs one entry. While it runs, the page says so; it stops saying so before the object that runs may go away.
#[inline(always)]
fn dispatch(
    slf: &Bound<'_, Loop>,
    page: &LoopPage,
    entry: Entry,
    shared: &mut Shared,
) -> PyResult<()> {
    /// The same for everything that is not asyncio's own.
    macro_rules! work {
        ($kind:expr, $object:expr, $work:expr) => {{
            page.runs($kind, $object.as_ptr());
            let outcome = $work.or_else(|error| report::work_failed(slf, error, $object.as_any()));
            page.rests();
            outcome
        }};
    }
    let py = slf.py();
    if !matches!(entry, Entry::Handle(_) | Entry::Timer(_) | Entry::Locked(_)) {
        shared.leave(py)?;
    }
    match entry {
        Entry::Step {
            callable,
            argument,
            context,
        } => step(slf, page, callable, argument, context),
        Entry::Handle(handle) => {
            page.runs(Kind::Callback, handle.as_py().as_ptr());
            let outcome = handle::call::run(slf, handle.bind(py), shared);
            page.rests();
            handle.release(py);
            outcome
        }
        Entry::Timer(handle) => {
            page.runs(Kind::Timer, handle.as_py().as_ptr());
            let outcome = handle::call::run(slf, handle.bind(py), shared);
            page.rests();
            handle.release(py);
            outcome
        }
        Entry::Locked(handle) => {
            page.runs(Kind::Callback, handle.as_py().as_ptr());
            let outcome = handle::locked::run(slf, handle.bind(py), shared);
            page.rests();
            handle.release(py);
            outcome
        }
        Entry::Stream(transport, work) => {
            let transport = transport.into_bound(py);
            work!(Kind::Stream, transport, transport::work(&transport, work))
        }
        Entry::Datagram(transport, work) => {
            let transport = transport.into_bound(py);
            work!(Kind::Datagram, transport, datagram::work(&transport, work))
        }
        Entry::Tls(transport, work) => {
            let transport = transport.into_bound(py);
            work!(Kind::Tls, transport, tls::work(&transport, work))
        }
        Entry::PipeRead(transport, work) => {
            let transport = transport.into_bound(py);
            work!(Kind::Pipe, transport, pipe::work(&transport, work))
        }
        Entry::PipeWrite(transport, work) => {
            let transport = transport.into_bound(py);
            work!(Kind::Pipe, transport, pipe::work(&transport, work))
        }
        Entry::Accept(listener) => {
            let listener = listener.bind(py);
            work!(Kind::Accept, listener, net::listener::accept(listener))
        }
        Entry::Attempt(attempt) => {
            let attempt = attempt.bind(py);
            work!(Kind::Other, attempt, attempts::ready(attempt))
        }
        Entry::Foreign(handle) => {
            page.runs(Kind::Callback, handle.as_ptr());
            let outcome = call::method0(handle.bind(py), names::run(py)).map(drop);
            page.rests();
            outcome
        }
        Entry::Result { future, result } => {
            page.runs(Kind::Other, future.as_ptr());
            let future = future.bind(py);
            let outcome = jobs::settle(future, &result)
                .or_else(|error| report::result_refused(slf, error, future));
            page.rests();
            outcome
        }
        Entry::Bell => watched::rung(slf),
    }
}

/// While somebody wants to know when things begin and end.
#[cold]
fn dispatch_timed(
    slf: &Bound<'_, Loop>,
    page: &LoopPage,
    entry: Entry,
    shared: &mut Shared,
) -> PyResult<()> {
    let subject = subjects::of(slf.py(), &entry);
    let began = watched::begin(slf, page, &subject)?;
    let outcome = dispatch(slf, page, entry, shared);
    watched::end(slf, page, &subject, began)?;
    outcome
}

/// A step or wake-up of asyncio's C Task.
#[inline(always)]
fn step(
    slf: &Bound<'_, Loop>,
    page: &LoopPage,
    callable: Py<PyAny>,
    argument: Option<Py<PyAny>>,
    ctx: Py<PyAny>,
) -> PyResult<()> {
    let py = slf.py();
    page.counters.steps.add(1);
    page.runs(Kind::Task, callable.as_ptr());
    let outcome = context::run(py, &ctx, || {
        match &argument {
            None => call::call0(py, &callable),
            Some(argument) => call::call1(py, &callable, argument),
        }
        .map(drop)
    });
    page.rests();
    match outcome {
        Ok(()) => Ok(()),
        Err(error) => {
            // Whoever reads the report expects a handle.
            let args = PyTuple::new(py, argument)?;
            let callback = callable.into_bound(py);
            let work = Work {
                callback: callback.clone().unbind(),
                arguments: Arguments::All(args.clone().unbind()),
                context: Context::Own(ctx),
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
fn dispatch_watched(
    slf: &Bound<'_, Loop>,
    page: &LoopPage,
    entry: Entry,
    shared: &mut Shared,
) -> PyResult<()> {
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
        Entry::Attempt(attempt) => attempt.clone_ref(py).into_any(),
        Entry::Accept(listener) => listener.clone_ref(py).into_any(),
        Entry::PipeRead(transport, _) => transport.as_py().clone_ref(py),
        Entry::PipeWrite(transport, _) => transport.as_py().clone_ref(py),
        Entry::Result { future, .. } => future.clone_ref(py),
        // Not of the user's making.
        Entry::Bell => return dispatch(slf, page, entry, shared),
    }
    .into_bound(py);
    slf.setattr("_current_handle", &handle)?;
    let started: f64 = clock::seconds(slf)?.extract()?;
    let outcome = if slf.get().is_timed() {
        dispatch_timed(slf, page, entry, shared)
    } else {
        dispatch(slf, page, entry, shared)
    };
    shared.leave(py)?;
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
