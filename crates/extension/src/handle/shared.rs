//! One copy of a context for a row of callbacks that leave it as it is.
//!
//! asyncio copies the context for every `call_soon`, enters the copy and leaves it for every callback.  Nearly always the
//! copies of a row are equal and stay equal.  Here the handles of such a row hold one snapshot; the first callback is run
//! in a copy of it, and the next ones in the same copy, still entered, as long as nobody has changed a variable in it.
//! A callback that does keeps the copy, for its tokens belong to it and a handle may be asked for it; the next one gets
//! a fresh copy of the snapshot, in which the change is not.

use pyo3::prelude::*;

use super::slots::{Scheduled, Slots};
use crate::ffi::class::Native;
use crate::ffi::context::{self, Entered};

/// The copy in use.
#[derive(Default)]
pub struct Shared {
    snapshot: Option<Py<PyAny>>,
    copy: Copy,
}

#[derive(Default)]
enum Copy {
    #[default]
    None,
    Left(Py<PyAny>),
    Entered(Entered),
}

impl Shared {
    /// Leaves the copy, if it is entered: what runs next is to run outside.
    ///
    /// # Errors
    /// `RuntimeError` when a callback has entered another context and not left it.
    #[inline(always)]
    pub fn leave(&mut self, py: Python<'_>) -> PyResult<()> {
        if matches!(self.copy, Copy::Entered(_)) {
            return self.leave_entered(py);
        }
        Ok(())
    }

    fn leave_entered(&mut self, py: Python<'_>) -> PyResult<()> {
        if let Copy::Entered(entered) = std::mem::take(&mut self.copy) {
            self.copy = Copy::Left(entered.leave(py)?);
        }
        Ok(())
    }

    /// Leaves the copy and gives it up; dropping what it held may run finalisers.
    ///
    /// # Errors
    /// As `leave`.
    #[inline(always)]
    pub fn forget(&mut self, py: Python<'_>) -> PyResult<()> {
        if self.snapshot.is_none() {
            return Ok(());
        }
        self.leave(py)?;
        let old = (self.snapshot.take(), std::mem::take(&mut self.copy));
        drop(old);
        Ok(())
    }

    /// Enters a copy of `snapshot`: the one in use, if it is one and still equal.
    #[inline(always)]
    fn enter(&mut self, snapshot: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = snapshot.py();
        if self.snapshot.as_ref().is_some_and(|it| it.is(snapshot)) {
            let copy = match &self.copy {
                Copy::None => None,
                Copy::Left(copy) => Some(copy),
                Copy::Entered(entered) => Some(entered.context()),
            };
            if let Some(copy) = copy
                && context::same_variables(copy, snapshot.as_unbound())
            {
                let copy = copy.clone_ref(py);
                if let Copy::Left(_) = self.copy {
                    self.copy = Copy::Entered(Entered::enter(py, copy.clone_ref(py))?);
                }
                return Ok(copy);
            }
        }
        self.forget(py)?;
        let copy = context::copy(py, snapshot.as_unbound())?;
        self.copy = Copy::Entered(Entered::enter(py, copy.clone_ref(py))?);
        self.snapshot = Some(snapshot.clone().unbind());
        Ok(copy)
    }

    /// Runs `body`, the callback of a handle that is to run in a copy of `snapshot`.
    ///
    /// # Errors
    /// What `body` returns, and `MemoryError`.
    #[inline(always)]
    pub(super) fn run<P: Scheduled>(
        &mut self,
        handle: &Native<'_, P>,
        slots: &Slots<P>,
        snapshot: &Bound<'_, PyAny>,
        body: impl FnOnce() -> PyResult<()>,
    ) -> PyResult<()> {
        let py = handle.py();
        let copy = self.enter(snapshot)?;
        let held = handle.held();
        // Who asks for the context while the callback runs is to be given the one that it runs in.
        drop(held.snapshot().put(copy.bind(py).clone()));
        held.set_running(true);
        let outcome = body();
        held.set_running(false);
        let asked_for = held.snapshot().is_empty();
        if outcome.is_ok() && !asked_for && context::same_variables(&copy, snapshot.as_unbound()) {
            drop(held.snapshot().put(snapshot.clone()));
            return outcome;
        }
        if !asked_for {
            slots.set_context(handle, copy);
        }
        self.forget(py)?;
        outcome
    }
}
