//! The two classes of handles.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyList, PyTuple, PyType};

use crate::event_loop::Loop;
use crate::ffi::class::{Class, Native, Payload, Visitor};
use crate::ffi::fastcall::{Args, Definition, method};
use crate::ffi::members::Member;
use crate::py::imports::Imports;

/// `asyncio.Handle`, native.
pub struct Handle;

/// `asyncio.TimerHandle`, native.
pub struct TimerHandle;

static HANDLE: Class<Handle> = Class::unmade();
static TIMER_HANDLE: Class<TimerHandle> = Class::unmade();

/// The slots of `asyncio.Handle`.
pub struct Slots<P> {
    callback: Member<P>,
    args: Member<P>,
    context: Member<P>,
    owner: Member<P>,
    cancelled: Member<P>,
    repr: Member<P>,
    traceback: Member<P>,
}

/// The slots that `asyncio.TimerHandle` adds.
struct TimerSlots {
    when: Member<TimerHandle>,
    scheduled: Member<TimerHandle>,
}

static HANDLE_SLOTS: PyOnceLock<Slots<Handle>> = PyOnceLock::new();
static TIMER_HANDLE_SLOTS: PyOnceLock<Slots<TimerHandle>> = PyOnceLock::new();
static TIMER_SLOTS: PyOnceLock<TimerSlots> = PyOnceLock::new();

/// What both kinds of handle have in common.
pub trait Scheduled: Payload {
    /// # Errors
    /// `ImportError` when this interpreter's class has other slots.
    fn slots(py: Python<'_>) -> PyResult<&'static Slots<Self>>;
}

impl Payload for Handle {
    const ATTRIBUTES: bool = false;

    fn class() -> &'static Class<Self> {
        &HANDLE
    }

    fn traverse(&self, _visit: &mut Visitor) {}

    fn clear(&self, _py: Python<'_>) {}
}

impl Payload for TimerHandle {
    const ATTRIBUTES: bool = false;

    fn class() -> &'static Class<Self> {
        &TIMER_HANDLE
    }

    fn traverse(&self, _visit: &mut Visitor) {}

    fn clear(&self, _py: Python<'_>) {}
}

impl Scheduled for Handle {
    #[inline(always)]
    fn slots(py: Python<'_>) -> PyResult<&'static Slots<Self>> {
        HANDLE_SLOTS.get_or_try_init(py, || Slots::find(&base(py, "Handle")?))
    }
}

impl Scheduled for TimerHandle {
    #[inline(always)]
    fn slots(py: Python<'_>) -> PyResult<&'static Slots<Self>> {
        TIMER_HANDLE_SLOTS.get_or_try_init(py, || Slots::find(&base(py, "TimerHandle")?))
    }
}

/// One of asyncio's classes of handles.
pub(super) fn base<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyType>> {
    Ok(py
        .import("asyncio.events")?
        .getattr(name)?
        .cast_into::<PyType>()?)
}

impl<P: Payload> Slots<P> {
    pub(super) fn find(base: &Bound<'_, PyType>) -> PyResult<Self> {
        Ok(Self {
            callback: Member::find(base, "_callback")?,
            args: Member::find(base, "_args")?,
            context: Member::find(base, "_context")?,
            owner: Member::find(base, "_loop")?,
            cancelled: Member::find(base, "_cancelled")?,
            repr: Member::find(base, "_repr")?,
            traceback: Member::find(base, "_source_traceback")?,
        })
    }

    /// Whether the handle was cancelled.
    #[inline(always)]
    pub fn is_cancelled(&self, handle: &Native<'_, P>) -> bool {
        self.cancelled
            .is(handle, PyBool::new(handle.py(), true).as_ptr())
    }

    /// What to run: callback, arguments, context; `None` once cancelled.
    #[inline(always)]
    pub fn call<'py>(
        &self,
        handle: &Native<'py, P>,
    ) -> Option<(Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        if self.is_cancelled(handle) {
            return None;
        }
        Some((
            self.callback.get(handle)?,
            self.args.get(handle)?,
            self.context.get(handle)?,
        ))
    }

    /// The loop that the handle belongs to.
    pub fn owner<'py>(&self, handle: &Native<'py, P>) -> Option<Bound<'py, PyAny>> {
        self.owner.get(handle)
    }

    /// Where the handle was made, in debug mode.
    pub fn traceback<'py>(&self, handle: &Native<'py, P>) -> Option<Bound<'py, PyAny>> {
        self.traceback
            .get(handle)
            .filter(|traceback| !traceback.is_none())
    }

    /// Fills the slots of a new handle.
    #[inline(always)]
    pub(super) fn fill(
        &self,
        handle: &Native<'_, P>,
        owner: &Bound<'_, Loop>,
        work: Work,
    ) -> PyResult<()> {
        let py = handle.py();
        self.callback.fill(handle, work.callback);
        self.args.fill(handle, work.args.into_any());
        self.context.fill(handle, work.context);
        self.owner.fill(handle, owner.clone().into_any().unbind());
        self.cancelled.fill(
            handle,
            PyBool::new(py, false).to_owned().into_any().unbind(),
        );
        self.repr.fill(handle, py.None());
        let traceback = if owner.get().debug() {
            Some(source_traceback(py)?)
        } else {
            None
        };
        self.traceback
            .fill(handle, traceback.unwrap_or_else(|| py.None()));
        Ok(())
    }

    /// `Handle.cancel`: forgets callback and arguments; in debug mode keeps how the handle looked.
    pub(super) fn cancel(&self, handle: &Native<'_, P>) -> PyResult<()> {
        let py = handle.py();
        self.cancelled
            .set(handle, PyBool::new(py, true).to_owned().into_any().unbind());
        if self
            .owner
            .get(handle)
            .is_some_and(|owner| owner_in_debug(&owner))
        {
            self.repr
                .set(handle, handle.as_any().repr()?.into_any().unbind());
        }
        self.callback.set(handle, py.None());
        self.args.set(handle, py.None());
        Ok(())
    }
}

fn owner_in_debug(owner: &Bound<'_, PyAny>) -> bool {
    owner.cast::<Loop>().is_ok_and(|owner| owner.get().debug())
}

/// The stack of the Python code that is scheduling.
fn source_traceback(py: Python<'_>) -> PyResult<Py<PyAny>> {
    let imports = Imports::get(py)?;
    let frame = imports.get_frame.bind(py).call1((0,))?;
    let stack = imports.extract_stack.bind(py).call1((frame,))?;
    Ok(stack.cast_into::<PyList>()?.into_any().unbind())
}

/// What a handle is made of.
pub struct Work {
    pub callback: Py<PyAny>,
    pub args: Py<PyTuple>,
    pub context: Py<PyAny>,
}

/// A new `Handle`.
///
/// # Errors
/// `MemoryError`, and what collecting the debug traceback raises.
pub fn new_handle<'py>(owner: &Bound<'py, Loop>, work: Work) -> PyResult<Native<'py, Handle>> {
    let py = owner.py();
    let handle = HANDLE.instance(py, Handle)?;
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
    let handle = HANDLE.hidden_instance(py, Handle)?;
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
    let handle = TIMER_HANDLE.hidden_instance(py, TimerHandle)?;
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
    let class = HANDLE.make(
        c"epicycle.Handle",
        c"A callback that was scheduled with loop.call_soon(); see asyncio.Handle.",
        &base(py, "Handle")?,
        methods(cancel, cancelled::<Handle>),
    )?;
    module.add("Handle", class)?;
    let mut table = methods(cancel_timer, cancelled::<TimerHandle>);
    table.push(method(
        c"when",
        when,
        c"The time at which the callback is due, in seconds on the clock of loop.time().",
    ));
    let class = TIMER_HANDLE.make(
        c"epicycle.TimerHandle",
        c"A callback that was scheduled with loop.call_later() or loop.call_at(); see asyncio.TimerHandle.",
        &base(py, "TimerHandle")?,
        table,
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
        && let Some(owner) = slots.owner.get(slf)
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
