//! Running a handle.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::kinds::Scheduled;
use crate::event_loop::{Loop, report};
use crate::ffi::class::Native;
use crate::ffi::{call, context};

/// Runs a handle's callback in its context.  What the callback raises goes to the loop's exception handler.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt` from the callback, and what the exception handler itself lets through.
#[inline(always)]
pub fn run<P: Scheduled>(owner: &Bound<'_, Loop>, handle: &Native<'_, P>) -> PyResult<()> {
    let py = owner.py();
    let slots = P::slots(py)?;
    let Some((callback, args, ctx)) = slots.call(handle) else {
        return Ok(());
    };
    let outcome = match args.cast_exact::<PyTuple>() {
        Ok(args) => context::run(py, ctx.as_unbound(), || {
            call::call_tuple(&callback, args).map(drop)
        }),
        // Somebody put another sequence into `_args`.
        Err(_) => context::run(py, ctx.as_unbound(), || {
            let args = args.try_iter()?.collect::<PyResult<Vec<_>>>()?;
            call::call_tuple(&callback, &PyTuple::new(py, args)?).map(drop)
        }),
    };
    match outcome {
        Ok(()) => Ok(()),
        Err(error) => report::callback_failed(
            owner,
            error,
            &callback,
            Some(&args),
            handle.as_any(),
            slots.traceback(handle).as_ref(),
        ),
    }
}
