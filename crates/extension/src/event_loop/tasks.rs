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
    let imports = Imports::get(slf.py())?;
    let py = slf.py();
    let future = class(imports.futures.bind(py), names::future_class(py))?;
    call::call_keywords(&future, &[slf.as_any()], imports.loop_keyword.bind(py))
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
