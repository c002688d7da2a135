//! What went wrong in a callback: the one place that tells the loop's exception handler.

use pyo3::exceptions::{PyOSError, PyResourceWarning};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::Loop;
use crate::handle::kinds::new_handle;
use crate::handle::slots::Work;
use crate::net::Listener;
use crate::py::errors;
use crate::py::imports::Imports;
use crate::py::names;

/// Reports what a callback raised.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt` pass; so does what the exception handler lets through.
#[cold]
pub fn callback_failed(
    owner: &Bound<'_, Loop>,
    error: PyErr,
    callback: &Bound<'_, PyAny>,
    args: Option<&Bound<'_, PyAny>>,
    handle: &Bound<'_, PyAny>,
    traceback: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = owner.py();
    if errors::passes(py, &error) {
        return Err(error);
    }
    let imports = Imports::get(py)?;
    let format = imports.format_callback_source.bind(py);
    let empty = PyTuple::empty(py);
    let args = args.unwrap_or_else(|| empty.as_any());
    let source = if imports.format_takes_debug {
        let keywords = PyDict::new(py);
        keywords.set_item("debug", owner.get().debug())?;
        format.call((callback, args), Some(&keywords))?
    } else {
        format.call1((callback, args))?
    };
    let context = PyDict::new(py);
    context.set_item(
        names::message(py),
        format!("Exception in callback {source}"),
    )?;
    context.set_item(names::exception(py), errors::into_value(py, error))?;
    context.set_item(names::handle(py), handle)?;
    if let Some(traceback) = traceback {
        context.set_item(names::source_traceback(py), traceback)?;
    }
    to_handler(owner, &context)
}

/// `loop.call_exception_handler(context)`
///
/// # Errors
/// What the handler lets through.
#[cold]
pub fn to_handler(owner: &Bound<'_, Loop>, context: &Bound<'_, PyDict>) -> PyResult<()> {
    owner
        .call_method1(names::call_exception_handler(owner.py()), (context,))
        .map(drop)
}

/// Reports what a protocol's callback raised where asyncio would have called it as a callback of the loop.
///
/// # Errors
/// As `callback_failed`.
#[cold]
pub fn protocol_callback_failed(
    owner: &Bound<'_, Loop>,
    error: PyErr,
    protocol: &Bound<'_, PyAny>,
    name: &Bound<'_, PyString>,
) -> PyResult<()> {
    let py = owner.py();
    let callback = protocol.getattr(name).unwrap_or_else(|_| protocol.clone());
    let work = Work::of(&callback, PyTuple::empty(py).unbind())?;
    let handle = new_handle(owner, work)?;
    callback_failed(owner, error, &callback, None, handle.as_any(), None)
}

/// Reports what failed in the loop's own work for a transport or a server.  It concerns that one alone: the loop goes on.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt` pass; so does what the exception handler lets through.
#[cold]
pub fn work_failed(
    owner: &Bound<'_, Loop>,
    error: PyErr,
    subject: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = owner.py();
    if errors::passes(py, &error) {
        return Err(error);
    }
    let context = PyDict::new(py);
    context.set_item(
        names::message(py),
        format!("Exception in the event loop's work for {}", subject.repr()?),
    )?;
    context.set_item(names::exception(py), errors::into_value(py, error))?;
    if !subject.is_instance_of::<Listener>() {
        context.set_item(names::transport(py), subject)?;
    }
    to_handler(owner, &context)
}

/// Reports that a future did not take the result of its job.
///
/// # Errors
/// What the handler lets through.
#[cold]
pub fn result_refused(
    owner: &Bound<'_, Loop>,
    error: PyErr,
    future: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = owner.py();
    let context = PyDict::new(py);
    context.set_item(
        names::message(py),
        "A future did not take the result of its job",
    )?;
    context.set_item(names::exception(py), errors::into_value(py, error))?;
    context.set_item(names::future(py), future)?;
    to_handler(owner, &context)
}

/// Reports an error that ends a connection, or that a protocol raised when it was told of flow control.
///
/// # Errors
/// What the handler lets through.
#[cold]
pub fn connection_failed(
    owner: &Bound<'_, Loop>,
    error: PyErr,
    message: &str,
    transport: &Bound<'_, PyAny>,
    protocol: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = owner.py();
    let context = PyDict::new(py);
    context.set_item(names::message(py), message)?;
    context.set_item(names::exception(py), errors::into_value(py, error))?;
    context.set_item(names::transport(py), transport)?;
    context.set_item(names::protocol(py), protocol)?;
    to_handler(owner, &context)
}

/// What becomes of an error that ends a connection: one of the system is part of life and only logged, in debug mode;
/// anything else is reported.  Returns the exception, for `connection_lost`.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt` pass; so does what the exception handler lets through.
#[cold]
pub fn connection_error(
    owner: &Bound<'_, Loop>,
    error: PyErr,
    message: &str,
    transport: &Bound<'_, PyAny>,
    protocol: Option<&Bound<'_, PyAny>>,
) -> PyResult<Py<PyAny>> {
    let py = owner.py();
    if errors::passes(py, &error) {
        return Err(error);
    }
    let value = errors::into_value(py, error.clone_ref(py)).into_any();
    if !error.is_instance_of::<PyOSError>(py) {
        connection_failed(owner, error, message, transport, protocol)?;
    } else if owner.get().debug() {
        let options = PyDict::new(py);
        options.set_item("exc_info", &value)?;
        Imports::get(py)?.logger.bind(py).call_method(
            "debug",
            ("%r: %s", transport, message),
            Some(&options),
        )?;
    }
    Ok(value)
}

/// Warns of a transport that goes away unclosed.
///
/// # Errors
/// The warning, where warnings are errors.
#[cold]
pub fn unclosed(transport: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = transport.py();
    let message = format!("unclosed transport {}", transport.repr()?);
    let options = PyDict::new(py);
    options.set_item("source", transport)?;
    Imports::get(py)?
        .warn
        .bind(py)
        .call(
            (message, py.get_type::<PyResourceWarning>()),
            Some(&options),
        )
        .map(drop)
}
