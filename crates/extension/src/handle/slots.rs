//! What a handle holds: asyncio's slots, and two places beside them.
//!
//! Most handles have one argument, and are scheduled in a context that has not changed since the last one was.  A tuple
//! and a context for each would be made, tracked by the garbage collector and thrown away unseen.  So the argument lies
//! in a place of its own as long as nobody asks for `_args`, and many handles share one snapshot of the context as long
//! as nobody asks for `_context`: their callbacks run one after another in a copy of it, until one changes a variable.
//! Whoever asks is given what asyncio would have made in the first place, and from then on that is the handle's.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyList, PyTuple, PyType};

use crate::event_loop::Loop;
use crate::ffi::attribute::attribute;
use crate::ffi::class::{Native, Payload, Visitor};
use crate::ffi::context;
use crate::ffi::members::Member;
use crate::ffi::place::Place;
use crate::py::imports::Imports;

/// What both kinds of handle, and that of `call_soon_threadsafe`, have in common.
pub trait Scheduled: Payload {
    /// # Errors
    /// `ImportError` when this interpreter's class has other slots.
    fn slots(py: Python<'_>) -> PyResult<&'static Slots<Self>>;

    fn held(&self) -> &Held;
}

/// What a handle holds outside of asyncio's slots.
#[derive(Default)]
pub struct Held {
    places: [Place; 2],
    /// The callback runs, in the context that the place of the snapshot holds meanwhile.
    running: AtomicBool,
}

impl Held {
    /// The only argument, while the slot `_args` is empty.
    #[inline(always)]
    pub(super) fn argument(&self) -> &Place {
        &self.places[0]
    }

    /// What the callback is to run in a copy of, while the slot `_context` is empty; that copy, while it runs.
    #[inline(always)]
    pub(super) fn snapshot(&self) -> &Place {
        &self.places[1]
    }

    #[inline(always)]
    pub(super) fn set_running(&self, running: bool) {
        self.running.store(running, Ordering::Relaxed);
    }

    pub fn show(&self, visit: &mut Visitor) {
        for place in &self.places {
            place.show(visit);
        }
    }

    pub fn clear(&self, py: Python<'_>) {
        for place in &self.places {
            drop(place.take(py));
        }
    }

    pub fn places(&self) -> &[Place] {
        &self.places
    }
}

/// What a handle is made of.
pub struct Work {
    pub callback: Py<PyAny>,
    pub arguments: Arguments,
    pub context: Context,
}

/// What the callback is called with.
pub enum Arguments {
    One(Py<PyAny>),
    All(Py<PyTuple>),
}

/// What the callback runs in.
pub enum Context {
    /// This very context.
    Own(Py<PyAny>),
    /// A copy of this one, which nobody enters.
    Snapshot(Py<PyAny>),
}

impl Work {
    /// A callback without arguments, in a copy of the current context.
    ///
    /// # Errors
    /// `MemoryError`
    pub fn of(callback: &Bound<'_, PyAny>, arguments: Py<PyTuple>) -> PyResult<Self> {
        Ok(Self {
            callback: callback.clone().unbind(),
            arguments: Arguments::All(arguments),
            context: Context::Own(context::copy_current(callback.py())?),
        })
    }
}

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

impl<P: Scheduled> Slots<P> {
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

    #[inline(always)]
    pub fn callback<'py>(&self, handle: &Native<'py, P>) -> Option<Bound<'py, PyAny>> {
        self.callback.get(handle)
    }

    /// `handle._args`
    #[inline(always)]
    pub fn args<'py>(&self, handle: &Native<'py, P>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if let Some(argument) = handle.held().argument().take(handle.py()) {
            let tuple = PyTuple::new(handle.py(), [argument])?;
            self.args.set(handle, tuple.into_any().unbind());
        }
        Ok(self.args.get(handle))
    }

    /// `handle._context`
    pub fn context<'py>(&self, handle: &Native<'py, P>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = handle.py();
        let held = handle.held();
        if let Some(snapshot) = held.snapshot().take(py) {
            let context = if held.running.load(Ordering::Relaxed) {
                snapshot.unbind()
            } else {
                context::copy(py, &snapshot.unbind())?
            };
            self.context.set(handle, context);
        }
        Ok(self.context.get(handle))
    }

    /// The slot `_context`, when the handle has a context of its own.
    #[inline(always)]
    pub(super) fn own_context<'py>(&self, handle: &Native<'py, P>) -> Option<Bound<'py, PyAny>> {
        self.context.get(handle)
    }

    /// From now on the handle has a context of its own, this one.
    pub(super) fn set_context(&self, handle: &Native<'_, P>, context: Py<PyAny>) {
        drop(handle.held().snapshot().take(handle.py()));
        self.context.set(handle, context);
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
        match work.arguments {
            Arguments::One(argument) => {
                handle.held().argument().put(argument.into_bound(py));
            }
            Arguments::All(args) => self.args.fill(handle, args.into_any()),
        }
        match work.context {
            Context::Own(context) => self.context.fill(handle, context),
            Context::Snapshot(snapshot) => {
                handle.held().snapshot().put(snapshot.into_bound(py));
            }
        }
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
        let argument = handle.held().argument().take(py);
        self.args.set(handle, py.None());
        drop(argument);
        Ok(())
    }
}

/// The attributes `_args` and `_context`.
pub(super) fn attributes<P: Scheduled>() -> Vec<ffi::PyGetSetDef> {
    fn args<'py, P: Scheduled>(handle: &Native<'py, P>) -> PyResult<Option<Bound<'py, PyAny>>> {
        P::slots(handle.py())?.args(handle)
    }
    fn set_args<P: Scheduled>(
        handle: &Native<'_, P>,
        args: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let argument = handle.held().argument().take(handle.py());
        let place = &P::slots(handle.py())?.args;
        place.assign(handle, args.map(Bound::unbind));
        drop(argument);
        Ok(())
    }
    fn context<'py, P: Scheduled>(handle: &Native<'py, P>) -> PyResult<Option<Bound<'py, PyAny>>> {
        P::slots(handle.py())?.context(handle)
    }
    fn set_context<P: Scheduled>(
        handle: &Native<'_, P>,
        context: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let snapshot = handle.held().snapshot().take(handle.py());
        let place = &P::slots(handle.py())?.context;
        place.assign(handle, context.map(Bound::unbind));
        drop(snapshot);
        Ok(())
    }
    vec![
        attribute(
            c"_args",
            args::<P>,
            set_args::<P>,
            c"The callback's arguments.",
        ),
        attribute(
            c"_context",
            context::<P>,
            set_context::<P>,
            c"The contextvars.Context that the callback runs in.",
        ),
    ]
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
