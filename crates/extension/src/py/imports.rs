//! Objects of the standard library that native code calls or compares with, looked up when the first loop is made.

use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

/// The objects.
pub struct Imports {
    /// Where `Task` and `Future` are looked up each time, for programs and tests that put others there.
    pub tasks: Py<PyDict>,
    pub futures: Py<PyDict>,
    /// CPython's own `Task` and `Future`, in C; `None` where it has none.
    pub c_task: Py<PyAny>,
    pub c_future: Py<PyAny>,
    pub transport_socket: Py<PyAny>,
    pub sockets: Sockets,
    pub buffered_protocol: Py<PyType>,
    pub strerror: Py<PyAny>,
    pub logger: Py<PyAny>,
    /// `warnings.warn`, which can no longer be imported when the interpreter goes down.
    pub warn: Py<PyAny>,
    pub extract_stack: Py<PyAny>,
    pub get_frame: Py<PyAny>,
    pub format_callback_source: Py<PyAny>,
    /// Newer versions of it show arguments in debug mode only, and must be told.
    pub format_takes_debug: bool,
    pub format_handle: Py<PyAny>,
    pub is_coroutine: Py<PyAny>,
    pub is_coroutine_function: Py<PyAny>,
    pub loop_keyword: Py<PyTuple>,
    pub streams: Streams,
}

/// Python's own sockets: the class, and the methods that its compiled part gives it, whatever a program has put in their
/// place.
pub struct Sockets {
    pub class: Py<PyType>,
    pub recv: Py<PyAny>,
    pub recv_into: Py<PyAny>,
    pub send: Py<PyAny>,
}

/// asyncio's own streams: the classes, and the methods as asyncio wrote them; `None` for one that a program had replaced
/// before the first loop was made.
pub struct Streams {
    pub protocol: Py<PyType>,
    pub reader: Py<PyType>,
    pub writer: Py<PyType>,
    pub data_received: Py<PyAny>,
    pub feed_data: Py<PyAny>,
    pub incomplete_read: Py<PyAny>,
    pub limit_overrun: Py<PyAny>,
}

static IMPORTS: PyOnceLock<Imports> = PyOnceLock::new();

impl Imports {
    /// # Errors
    /// `ImportError` or `AttributeError` when this interpreter's asyncio is not what the extension was written for.
    pub fn get(py: Python<'_>) -> PyResult<&'static Self> {
        IMPORTS.get_or_try_init(py, || Self::load(py))
    }

    fn load(py: Python<'_>) -> PyResult<Self> {
        let from = |module: &str, name: &str| -> PyResult<Py<PyAny>> {
            Ok(py.import(module)?.getattr(name)?.unbind())
        };
        let class = |module: &str, name: &str| -> PyResult<Py<PyType>> {
            Ok(py
                .import(module)?
                .getattr(name)?
                .cast_into::<PyType>()?
                .unbind())
        };
        // The names moved in 3.14 when the public function was deprecated.
        let is_coroutine_function = from("asyncio.coroutines", "_iscoroutinefunction")
            .or_else(|_| from("asyncio.coroutines", "iscoroutinefunction"))?;
        let format_callback_source = from("asyncio.format_helpers", "_format_callback_source")?;
        let format_takes_debug = format_callback_source
            .bind(py)
            .getattr("__kwdefaults__")?
            .cast_into::<PyDict>()
            .is_ok_and(|defaults| defaults.contains("debug").unwrap_or(false));
        Ok(Self {
            tasks: py.import("asyncio.tasks")?.dict().unbind(),
            futures: py.import("asyncio.futures")?.dict().unbind(),
            c_task: from("_asyncio", "Task").unwrap_or_else(|_| py.None()),
            c_future: from("_asyncio", "Future").unwrap_or_else(|_| py.None()),
            transport_socket: from("asyncio.trsock", "TransportSocket")?,
            sockets: Sockets {
                class: class("socket", "socket")?,
                recv: class("_socket", "socket")?.getattr(py, super::names::recv(py))?,
                recv_into: class("_socket", "socket")?.getattr(py, super::names::recv_into(py))?,
                send: class("_socket", "socket")?.getattr(py, super::names::send(py))?,
            },
            buffered_protocol: class("asyncio", "BufferedProtocol")?,
            strerror: from("os", "strerror")?,
            logger: from("asyncio.log", "logger")?,
            warn: from("warnings", "warn")?,
            extract_stack: from("asyncio.format_helpers", "extract_stack")?,
            get_frame: from("sys", "_getframe")?,
            format_callback_source,
            format_takes_debug,
            format_handle: from("asyncio.base_events", "_format_handle")?,
            is_coroutine: from("asyncio.coroutines", "iscoroutine")?,
            is_coroutine_function,
            loop_keyword: PyTuple::new(py, [super::names::is_loop(py)])?.unbind(),
            streams: Streams {
                protocol: class("asyncio.streams", "StreamReaderProtocol")?,
                reader: class("asyncio.streams", "StreamReader")?,
                writer: class("asyncio.streams", "StreamWriter")?,
                data_received: written_by_asyncio(
                    &class("asyncio.streams", "StreamReaderProtocol")?
                        .bind(py)
                        .getattr(super::names::data_received(py))?,
                )?,
                feed_data: written_by_asyncio(
                    &class("asyncio.streams", "StreamReader")?
                        .bind(py)
                        .getattr(super::names::feed_data(py))?,
                )?,
                incomplete_read: from("asyncio.exceptions", "IncompleteReadError")?,
                limit_overrun: from("asyncio.exceptions", "LimitOverrunError")?,
            },
        })
    }
}

fn file_of<'py>(function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    function.getattr("__code__")?.getattr("co_filename")
}

/// The method, if its code stands in asyncio's own file; else `None`.
///
/// # Errors
/// What looking up an attribute raises.
pub fn written_by_asyncio(method: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = method.py();
    // A function of the same file that nobody has a reason to replace.
    let other = py
        .import("asyncio.streams")?
        .getattr("FlowControlMixin")?
        .getattr("__init__")?;
    let known = file_of(&other)?;
    match file_of(method) {
        Ok(found) if found.eq(&known)? => Ok(method.clone().unbind()),
        _ => Ok(py.None()),
    }
}

/// What the C Task hands to `call_soon`: its step, an object of a type of its own, and its wake-up, a built-in method.
///
/// The Task drops the handle it gets back unseen, so for these no handle is made.  They are not named anywhere in
/// CPython's interface; `epicycle.loop._probe` catches one of each and shows them here.
pub struct TaskCallbacks {
    step: AtomicPtr<ffi::PyTypeObject>,
    wakeup: AtomicPtr<ffi::PyMethodDef>,
}

pub static TASK_CALLBACKS: TaskCallbacks = TaskCallbacks {
    step: AtomicPtr::new(std::ptr::null_mut()),
    wakeup: AtomicPtr::new(std::ptr::null_mut()),
};

impl TaskCallbacks {
    /// Learns from one step and one wake-up, where they are the C Task's; a Python Task's are left alone.
    pub fn learn(&self, step: &Bound<'_, PyAny>, wakeup: &Bound<'_, PyAny>) {
        if let Some(kind) = crate::ffi::call::native_callable_type(step) {
            self.step.store(kind, Ordering::Relaxed);
        }
        if let Some(definition) = crate::ffi::call::builtin_definition(wakeup) {
            self.wakeup.store(definition, Ordering::Relaxed);
        }
    }

    /// Whether `callback` is a C Task's step or wake-up.
    #[inline(always)]
    pub fn include(&self, callback: &Bound<'_, PyAny>) -> bool {
        let step = self.step.load(Ordering::Relaxed);
        callback.get_type_ptr() == step
            || crate::ffi::call::is_builtin_of(callback, self.wakeup.load(Ordering::Relaxed))
    }
}
