//! Running a handle.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::shared::Shared;
use super::slots::Scheduled;
use crate::event_loop::{Loop, report};
use crate::ffi::class::Native;
use crate::ffi::{call, context};

/// Runs a handle's callback in its context.  What the callback raises goes to the loop's exception handler.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt` from the callback, and what the exception handler itself lets through.
#[inline(always)]
pub fn run<P: Scheduled>(
    owner: &Bound<'_, Loop>,
    handle: &Native<'_, P>,
    shared: &mut Shared,
) -> PyResult<()> {
    let py = owner.py();
    let slots = P::slots(py)?;
    if slots.is_cancelled(handle) {
        return Ok(());
    }
    let Some(callback) = slots.callback(handle) else {
        return Ok(());
    };
    let arguments = match handle.held().argument().get(py) {
        Some(argument) => Arguments::One(argument),
        None => match slots.args(handle)? {
            Some(args) => Arguments::All(args),
            None => return Ok(()),
        },
    };
    let body = || arguments.call(&callback);
    let outcome = match handle.held().snapshot().get(py) {
        Some(snapshot) => shared.run(handle, slots, &snapshot, body),
        None => {
            shared.leave(py)?;
            match slots.own_context(handle) {
                Some(own) => context::run(py, own.as_unbound(), body),
                None => return Ok(()),
            }
        }
    };
    match outcome {
        Ok(()) => Ok(()),
        Err(error) => {
            let args = arguments.into_any()?;
            let traceback = slots.traceback(handle);
            report::callback_failed(
                owner,
                error,
                &callback,
                Some(&args),
                handle.as_any(),
                traceback.as_ref(),
            )
        }
    }
}

enum Arguments<'py> {
    One(Bound<'py, PyAny>),
    /// A tuple, or another sequence that somebody put into `_args`.
    All(Bound<'py, PyAny>),
}

impl<'py> Arguments<'py> {
    #[inline(always)]
    fn call(&self, callback: &Bound<'py, PyAny>) -> PyResult<()> {
        match self {
            Self::One(argument) => {
                call::call1(callback.py(), callback.as_unbound(), argument.as_unbound())
            }
            Self::All(args) => match args.cast_exact::<PyTuple>() {
                Ok(args) => call::call_tuple(callback, args),
                Err(_) => {
                    let args = args.try_iter()?.collect::<PyResult<Vec<_>>>()?;
                    call::call_tuple(callback, &PyTuple::new(callback.py(), args)?)
                }
            },
        }
        .map(drop)
    }

    fn into_any(self) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::One(argument) => {
                let py = argument.py();
                PyTuple::new(py, [argument]).map(Bound::into_any)
            }
            Self::All(args) => Ok(args),
        }
    }
}
