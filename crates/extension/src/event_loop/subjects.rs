//! What an entry is, for those who watch: a name, and the task that a step belongs to.
//!
//! No code of the user's is run for it: names are read only of Python's own types, everything else goes by its type.

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyFunction, PyString};

use super::entry::Entry;
use crate::watch::recorder::{EventKind, Subject};

/// What the entry will run.
pub fn of(py: Python<'_>, entry: &Entry) -> Subject {
    let (kind, name, task) = match entry {
        Entry::Step { callable, .. } => {
            let callable = callable.bind(py);
            match task_of(callable) {
                Some(task) => (
                    EventKind::Step,
                    coroutine_name(&task),
                    Some(task.as_ptr().addr()),
                ),
                None => (EventKind::Step, callback_name(callable), None),
            }
        }
        Entry::Handle(handle) => named(handle.as_py().bind(py)),
        Entry::Timer(handle) => named(handle.as_py().bind(py)),
        Entry::Locked(handle) => named(handle.as_py().bind(py)),
        Entry::Foreign(handle) => named(handle.bind(py)),
        Entry::Stream(..) => plain("stream"),
        Entry::Datagram(..) => plain("datagram"),
        Entry::Tls(..) => plain("tls"),
        Entry::Attempt(_) => plain("socket"),
        Entry::Accept(_) => plain("accept"),
        Entry::PipeRead(..) | Entry::PipeWrite(..) => plain("pipe"),
        Entry::Result { .. } => plain("job"),
        Entry::Bell => plain("look"),
    };
    Subject { kind, name, task }
}

fn plain(name: &str) -> (EventKind, String, Option<usize>) {
    (EventKind::Callback, name.to_owned(), None)
}

fn named(handle: &Bound<'_, PyAny>) -> (EventKind, String, Option<usize>) {
    let name = match handle.getattr("_callback") {
        Ok(callback) => callback_name(&callback),
        Err(_) => String::new(),
    };
    (EventKind::Callback, name, None)
}

/// The task whose step or wake-up asyncio's C code has made.
pub fn task_of<'py>(callable: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    callable
        .getattr("__self__")
        .ok()
        .filter(|task| !task.is_none())
}

fn coroutine_name(task: &Bound<'_, PyAny>) -> String {
    let Ok(coroutine) = task.call_method0("get_coro") else {
        return type_name(task);
    };
    let is_pythons = coroutine
        .get_type()
        .module()
        .is_ok_and(|module| module == "builtins");
    if is_pythons {
        qualified(&coroutine)
    } else {
        type_name(&coroutine)
    }
}

fn callback_name(callback: &Bound<'_, PyAny>) -> String {
    let is_pythons = callback.is_exact_instance_of::<PyFunction>()
        || callback.is_exact_instance_of::<PyCFunction>()
        || type_name(callback) == "method";
    if is_pythons {
        qualified(callback)
    } else {
        type_name(callback)
    }
}

fn qualified(object: &Bound<'_, PyAny>) -> String {
    match object.getattr("__qualname__") {
        Ok(name) => name
            .cast_into::<PyString>()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        Err(_) => type_name(object),
    }
}

fn type_name(object: &Bound<'_, PyAny>) -> String {
    object
        .get_type()
        .name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
