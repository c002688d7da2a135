//! The two classes of handles.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyType};

use crate::event_loop::Loop;
use crate::ffi::class::{Class, Native, Payload, Visitor};
use crate::ffi::fastcall::{Args, Definition, method};
use crate::ffi::members::Member;
use crate::ffi::place::Place;

use super::slots::{Held, Scheduled, Slots, Work, attributes};

/// `asyncio.Handle`, native.
#[derive(Default)]
pub struct Handle(Held);

/// `asyncio.TimerHandle`, native.
#[derive(Default)]
pub struct TimerHandle(Held);

/// Handles that are kept for the next ones: enough for what a turn of a busy loop takes, some 150 KiB.
pub(super) const SPARE: usize = 1024;

static HANDLE: Class<Handle> = Class::unmade();
static TIMER_HANDLE: Class<TimerHandle> = Class::unmade();

/// The slots that `asyncio.TimerHandle` adds.
struct TimerSlots {
    when: Member<TimerHandle>,
    scheduled: Member<TimerHandle>,
}

static HANDLE_SLOTS: PyOnceLock<Slots<Handle>> = PyOnceLock::new();
static TIMER_HANDLE_SLOTS: PyOnceLock<Slots<TimerHandle>> = PyOnceLock::new();
static TIMER_SLOTS: PyOnceLock<TimerSlots> = PyOnceLock::new();

impl Payload for Handle {
    const ATTRIBUTES: bool = false;
    const SPARE: usize = SPARE;

    fn class() -> &'static Class<Self> {
        &HANDLE
    }

    fn traverse(&self, visit: &mut Visitor) {
        self.0.show(visit);
    }

    fn clear(&self, py: Python<'_>) {
        self.0.clear(py);
    }

    fn places(&self) -> &[Place] {
        self.0.places()
    }
}

impl Payload for TimerHandle {
    const ATTRIBUTES: bool = false;
    const SPARE: usize = SPARE;

    fn class() -> &'static Class<Self> {
        &TIMER_HANDLE
    }

    fn traverse(&self, visit: &mut Visitor) {
        self.0.show(visit);
    }

    fn clear(&self, py: Python<'_>) {
        self.0.clear(py);
    }

    fn places(&self) -> &[Place] {
        self.0.places()
    }
}

impl Scheduled for Handle {
    #[inline(always)]
    fn slots(py: Python<'_>) -> PyResult<&'static Slots<Self>> {
        HANDLE_SLOTS.get_or_try_init(py, || Slots::find(&base(py, "Handle")?))
    }

    #[inline(always)]
    fn held(&self) -> &Held {
        &self.0
    }
}

impl Scheduled for TimerHandle {
    #[inline(always)]
    fn slots(py: Python<'_>) -> PyResult<&'static Slots<Self>> {
        TIMER_HANDLE_SLOTS.get_or_try_init(py, || Slots::find(&base(py, "TimerHandle")?))
    }

    #[inline(always)]
    fn held(&self) -> &Held {
        &self.0
    }
}

/// One of asyncio's classes of handles.
pub(super) fn base<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyType>> {
    Ok(py
        .import("asyncio.events")?
        .getattr(name)?
        .cast_into::<PyType>()?)
}

/// A new `Handle`.
///
/// # Errors
/// `MemoryError`, and what collecting the debug traceback raises.
pub fn new_handle<'py>(owner: &Bound<'py, Loop>, work: Work) -> PyResult<Native<'py, Handle>> {
    let py = owner.py();
    let handle = HANDLE.instance(py, Handle::default())?;
    Handle::slots(py)?.fill(&handle, owner, work)?;
    Ok(handle)
}

/// A new `Handle` that goes into the ready queue, and is hidden from the garbage collector as long as it is there.
///
/// # Errors
/// As `new_handle`.
#[inline(always)]
pub fn new_queued_handle<'py>(
    owner: &Bound<'py, Loop>,
    work: Work,
) -> PyResult<Native<'py, Handle>> {
    let py = owner.py();
    let handle = HANDLE.hidden_instance(py, Handle::default())?;
    Handle::slots(py)?.fill(&handle, owner, work)?;
    Ok(handle)
}

/// A new `TimerHandle`, to be entered among the timers, and hidden from the garbage collector while it is there.
///
/// # Errors
/// As `new_handle`.
#[inline(always)]
pub fn new_timer_handle<'py>(
    owner: &Bound<'py, Loop>,
    work: Work,
    when: Py<PyAny>,
) -> PyResult<Native<'py, TimerHandle>> {
    let py = owner.py();
    let handle = TIMER_HANDLE.hidden_instance(py, TimerHandle::default())?;
    TimerHandle::slots(py)?.fill(&handle, owner, work)?;
    let extra = timer_slots(py)?;
    extra.when.set(&handle, when);
    extra.scheduled.set(
        &handle,
        PyBool::new(py, true).to_owned().into_any().unbind(),
    );
    Ok(handle)
}

#[inline(always)]
fn timer_slots(py: Python<'_>) -> PyResult<&'static TimerSlots> {
    TIMER_SLOTS.get_or_try_init(py, || {
        let base = base(py, "TimerHandle")?;
        Ok(TimerSlots {
            when: Member::find(&base, "_when")?,
            scheduled: Member::find(&base, "_scheduled")?,
        })
    })
}

/// Marks a timer as no longer waiting: it left the loop's timers.
#[inline(always)]
pub fn unschedule(handle: &Native<'_, TimerHandle>) -> PyResult<()> {
    let py = handle.py();
    timer_slots(py)?.scheduled.set(
        handle,
        PyBool::new(py, false).to_owned().into_any().unbind(),
    );
    Ok(())
}

/// Makes both classes; called when the module is made.
///
/// # Errors
/// `ImportError` when this interpreter's classes have other slots.
pub fn make_classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let class = HANDLE.make_with(
        c"epicycle.Handle",
        c"A callback that was scheduled with loop.call_soon(); see asyncio.Handle.",
        &base(py, "Handle")?,
        methods(cancel, cancelled::<Handle>),
        attributes::<Handle>(),
    )?;
    module.add("Handle", class)?;
    let mut table = methods(cancel_timer, cancelled::<TimerHandle>);
    table.push(method(
        c"when",
        when,
        c"The time at which the callback is due, in seconds on the clock of loop.time().",
    ));
    let class = TIMER_HANDLE.make_with(
        c"epicycle.TimerHandle",
        c"A callback that was scheduled with loop.call_later() or loop.call_at(); see asyncio.TimerHandle.",
        &base(py, "TimerHandle")?,
        table,
        attributes::<TimerHandle>(),
    )?;
    module.add("TimerHandle", class)?;
    Handle::slots(py)?;
    TimerHandle::slots(py)?;
    timer_slots(py)?;
    Ok(())
}

fn methods<S, C, D>(cancel: C, cancelled: D) -> Vec<Definition>
where
    C: crate::ffi::fastcall::Method<S>,
    D: crate::ffi::fastcall::Method<S>,
{
    vec![
        method(
            c"cancel",
            cancel,
            c"Cancels the callback; no effect once it has run or was cancelled.",
        ),
        method(
            c"cancelled",
            cancelled,
            c"Whether the callback was cancelled.",
        ),
    ]
}

fn cancel(slf: &Native<'_, Handle>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let slots = Handle::slots(slf.py())?;
    if !slots.is_cancelled(slf) {
        slots.cancel(slf)?;
    }
    Ok(slf.py().None())
}

fn cancel_timer(slf: &Native<'_, TimerHandle>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let py = slf.py();
    let slots = TimerHandle::slots(py)?;
    if slots.is_cancelled(slf) {
        return Ok(py.None());
    }
    slots.cancel(slf)?;
    let waits = timer_slots(py)?
        .scheduled
        .is(slf, PyBool::new(py, true).as_ptr());
    if waits
        && let Some(owner) = slots.owner(slf)
        && let Ok(owner) = owner.cast::<Loop>()
    {
        owner.get().timer_cancelled(py)?;
    }
    Ok(py.None())
}

fn cancelled<P: Scheduled>(slf: &Native<'_, P>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let cancelled = P::slots(slf.py())?.is_cancelled(slf);
    Ok(PyBool::new(slf.py(), cancelled)
        .to_owned()
        .into_any()
        .unbind())
}

fn when(slf: &Native<'_, TimerHandle>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let value = timer_slots(slf.py())?.when.get(slf);
    Ok(value.map_or_else(|| slf.py().None(), Bound::unbind))
}
