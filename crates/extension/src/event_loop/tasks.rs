//! create_task and create_future: CPython's own C types, because tools look inside them.

use std::ffi::CStr;

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::Loop;
use crate::ffi::call;
use crate::ffi::fastcall::Args;
use crate::py::imports::Imports;
use crate::py::names;

/// `loop.create_future()`
pub fn create_future(slf: &Bound<'_, Loop>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    new_future(slf).map(Bound::unbind)
}

/// A new `asyncio.Future` of this loop.
pub fn new_future<'py>(slf: &Bound<'py, Loop>) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    let imports = Imports::get(py)?;
    let future = class(imports.futures.bind(py), names::future_class(py))?;
    if future.is(&imports.c_future)
        && let Some(keywords) = keywords(slf)?
    {
        return future.call((), Some(&keywords));
    }
    call::call_keywords(&future, &[slf.as_any()], imports.loop_keyword.bind(py))
}

/// `{"loop": loop}`, made once: CPython's own classes take no more from it than its value, and others might keep or change
/// it. A closed loop has none, for the two would keep each other alive.
fn keywords<'py>(slf: &Bound<'py, Loop>) -> PyResult<Option<Bound<'py, PyDict>>> {
    let py = slf.py();
    let this = slf.get();
    let kept = this.cell.with(py, |core| {
        core.keywords
            .as_ref()
            .map(|keywords| keywords.bind(py).clone())
    })?;
    if kept.is_some() || this.is_closed() {
        return Ok(kept);
    }
    let made = PyDict::new(py);
    made.set_item(names::is_loop(py), slf)?;
    let keep = made.clone().unbind();
    let replaced = this.cell.with(py, |core| core.keywords.replace(keep))?;
    drop(replaced);
    Ok(Some(made))
}

/// Signature and documentation of `create_task`: what `inspect` says has to be what this Python's asyncio takes.
pub const CREATE_TASK_DOC: &CStr = if cfg!(Py_3_14) {
    c"create_task($self, coro, **kwargs)\n--\n\nSchedules a coroutine. Returns an asyncio.Task, or what the task factory makes."
} else {
    c"create_task($self, coro, *, name=None, context=None)\n--\n\nSchedules a coroutine. Returns an asyncio.Task, or what the task factory makes."
};

/// `loop.create_task(coro, **kwargs)`
pub fn create_task(slf: &Bound<'_, Loop>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let this = slf.get();
    let py = args.py();
    this.check_open()?;
    let mut coroutine = args.get(0).cloned();
    let options = if args.has_keywords() {
        let options = PyDict::new(py);
        for (name, value) in args.keywords() {
            if coroutine.is_none() && name.to_string_lossy() == "coro" {
                coroutine = Some(value.clone());
            } else {
                options.set_item(name, value)?;
            }
        }
        Some(options)
    } else {
        None
    };
    let coroutine = coroutine.ok_or_else(|| args.missing("coro"))?;
    let factory = this.task_factory(py);
    if args.len() > 1 {
        // One positional argument too many: let the general method word the error.
        return Err(pyo3::exceptions::PyTypeError::new_err(format!(
            "create_task() takes 1 positional argument but {} were given",
            args.len()
        )));
    }
    if let Some(factory) = factory {
        let arguments = (factory, coroutine, options);
        return slf
            .call_method1("_create_task_by_factory", arguments)
            .map(Bound::unbind);
    }
    let imports = Imports::get(py)?;
    let task = class(imports.tasks.bind(py), names::task_class(py))?;
    let Some(options) = options else {
        if task.is(&imports.c_task)
            && let Some(keywords) = keywords(slf)?
        {
            return task.call((coroutine,), Some(&keywords)).map(Bound::unbind);
        }
        return call::call_keywords(
            &task,
            &[&coroutine, slf.as_any()],
            imports.loop_keyword.bind(py),
        )
        .map(Bound::unbind);
    };
    options.set_item(names::is_loop(py), slf)?;
    task.call(PyTuple::new(py, [coroutine])?, Some(&options))
        .map(Bound::unbind)
}

fn class<'py>(
    namespace: &Bound<'py, PyDict>,
    name: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    let found = namespace.get_item(name)?;
    found.ok_or_else(|| PyAttributeError::new_err(format!("asyncio has no {name}")))
}
