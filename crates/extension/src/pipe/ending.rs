//! Closing, failing, the last callback.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::PipeWork;
use super::class::{self, Half, Phase, PipeTransport, in_context};
use crate::event_loop::readers::Direction;
use crate::event_loop::report;
use crate::ffi::call;
use crate::ffi::class::Native;
use crate::py::imports::Imports;
use crate::py::{errors, names};

/// Stops everything, and calls `connection_lost` in the next turn.  The second time nothing happens.
///
/// # Errors
/// `RuntimeError` for a closed loop.
pub(super) fn lose<H: Half>(
    slf: &Native<'_, PipeTransport<H>>,
    error: Option<Py<PyAny>>,
) -> PyResult<()> {
    if stop(slf, error)? {
        slf.owner.get().check_open()?;
        class::push(slf, PipeWork::End)?;
    }
    Ok(())
}

/// Stops everything: what is queued is thrown away.  Whether it had not been stopped before.
pub(super) fn stop<H: Half>(
    slf: &Native<'_, PipeTransport<H>>,
    error: Option<Py<PyAny>>,
) -> PyResult<bool> {
    let stopped = slf.state.with(slf.py(), |state| {
        if state.phase == Phase::Losing {
            return Err(error);
        }
        state.phase = Phase::Losing;
        Ok((
            state.half.stop(),
            std::mem::replace(&mut state.error, error),
        ))
    })?;
    if stopped.is_err() {
        return Ok(false);
    }
    class::unwatch(slf, Direction::Read)?;
    class::unwatch(slf, Direction::Write)?;
    Ok(true)
}

/// An error that ends the connection: one that is part of life (`quiet`) is only noted in debug mode.
///
/// # Errors
/// What the exception handler lets through.
#[cold]
pub(super) fn fail<H: Half>(
    slf: &Native<'_, PipeTransport<H>>,
    error: PyErr,
    message: &str,
    quiet: bool,
) -> PyResult<()> {
    let py = slf.py();
    let owner = slf.owner.bind(py);
    let value = errors::into_value(py, error.clone_ref(py)).into_any();
    if !quiet {
        let protocol = class::protocol(slf)?;
        report::connection_failed(owner, error, message, slf.as_any(), protocol.as_ref())?;
    } else if owner.get().debug() {
        let options = PyDict::new(py);
        options.set_item("exc_info", &value)?;
        let arguments = ("%r: %s", slf.as_any(), message);
        Imports::get(py)?
            .logger
            .bind(py)
            .call_method("debug", arguments, Some(&options))?;
    }
    lose(slf, Some(value))
}

/// The last callback but one: `eof_received`, whose answer does not matter to a pipe.
pub(super) fn tell_eof<H: Half>(slf: &Native<'_, PipeTransport<H>>) -> PyResult<()> {
    let py = slf.py();
    let Some(protocol) = class::protocol(slf)? else {
        return Ok(());
    };
    let name = names::eof_received(py);
    match in_context(slf, || call::method0(&protocol, name).map(drop)) {
        Ok(()) => Ok(()),
        Err(error) => report::protocol_callback_failed(slf.owner.bind(py), error, &protocol, name),
    }
}

/// The last callback: `connection_lost`; then the file is closed.
pub(super) fn finish<H: Half>(slf: &Native<'_, PipeTransport<H>>) -> PyResult<()> {
    let py = slf.py();
    let owner = slf.owner.bind(py);
    let error = slf.state.with(py, |state| state.error.take())?;
    let mut outcome = Ok(());
    if let Some(protocol) = class::protocol(slf)? {
        let error = error.map_or_else(|| py.None().into_bound(py), |error| error.into_bound(py));
        let name = names::connection_lost(py);
        let told = in_context(slf, || protocol.call_method1(name, (error,)).map(drop));
        if let Err(error) = told {
            outcome = report::protocol_callback_failed(owner, error, &protocol, name);
        }
    }
    let (pipe, protocol) = slf.state.with(py, |state| {
        state.counted = None;
        (state.pipe.take(), state.protocol.take())
    })?;
    drop(protocol);
    if let Some(pipe) = pipe {
        let pipe = pipe.bind(py);
        // A buffered file may still have something to flush, and fail.
        if let Err(error) = call::method0(pipe, names::close(py)) {
            let reported = report::protocol_callback_failed(owner, error, pipe, names::close(py));
            outcome = outcome.and(reported);
        }
    }
    outcome
}

/// The transport is going away unclosed.
pub(super) fn abandoned<H: Half>(slf: &Native<'_, PipeTransport<H>>) {
    let py = slf.py();
    if slf.state.peek(|state| state.pipe.is_some()) != Some(true) {
        return;
    }
    let warned = report::unclosed(slf.as_any());
    let pipe = slf.state.peek(|state| state.pipe.take()).flatten();
    let closed = pipe.map_or(Ok(()), |pipe| {
        pipe.call_method0(py, names::close(py)).map(drop)
    });
    for error in [warned, stop(slf, None).map(drop), closed]
        .into_iter()
        .filter_map(Result::err)
    {
        error.write_unraisable(py, Some(slf.as_any()));
    }
}
