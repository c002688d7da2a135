//! What the native stream methods return: awaited like the coroutine of an `async def`, with no frame behind it.
//!
//! As with one, nothing happens before it is awaited, and `asyncio` takes it wherever it takes a coroutine
//! (`asyncio.iscoroutine` is true of whatever is a `collections.abc.Coroutine`).

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use pyo3::exceptions::{PyRuntimeError, PyRuntimeWarning, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyType};

use super::methods;
use super::reading::{self, Reader, Tried, Wanted};
use crate::ffi::attribute::read_only;
use crate::ffi::call;
use crate::ffi::class::{Class, Native, Payload, Repr, Step, Stepped, Visitor};
use crate::ffi::fastcall::{Args, method};
use crate::ffi::place::Place;
use crate::py::imports::Imports;
use crate::py::names;

/// What was asked for.
#[derive(Clone, Copy)]
pub enum Request {
    Read(Wanted),
    Drain,
}

impl Request {
    /// `__qualname__`, as that of asyncio's coroutine.
    const fn qualified_name(self) -> &'static str {
        match self {
            Self::Read(Wanted::AtMost(_)) => "StreamReader.read",
            Self::Read(Wanted::Exactly(_)) => "StreamReader.readexactly",
            Self::Read(Wanted::Until) => "StreamReader.readuntil",
            Self::Read(Wanted::Line) => "StreamReader.readline",
            Self::Drain => "StreamWriter.drain",
        }
    }
}

/// Not awaited yet.
const NEW: u8 = 0;
/// Waits for the future behind `inner`.
const WAITING: u8 = 1;
/// asyncio's own coroutine, `inner`, does it: the writer has to wait, or to raise something.
const HANDED_ON: u8 = 2;
const DONE: u8 = 3;

/// A request under way.
pub struct StreamCoroutine {
    request: Request,
    /// The reader or the writer.
    owner: Place,
    separator: Place,
    inner: Place,
    phase: AtomicU8,
    /// How far the buffer holds no separator.
    searched: AtomicUsize,
}

static CLASS: Class<StreamCoroutine> = Class::unmade();

impl Payload for StreamCoroutine {
    const ATTRIBUTES: bool = false;
    const FINALIZE: Option<fn(&Native<'_, Self>)> = Some(abandoned);
    const REPR: Option<Repr<Self>> = Some(repr);
    const STEP: Option<Step<Self>> = Some(step);
    const SPARE: usize = 64;

    fn class() -> &'static Class<Self> {
        &CLASS
    }

    fn is_over(&self) -> bool {
        self.phase() == DONE
    }

    fn traverse(&self, visit: &mut Visitor) {
        for place in self.places() {
            place.show(visit);
        }
    }

    fn clear(&self, py: Python<'_>) {
        drop((
            self.owner.take(py),
            self.separator.take(py),
            self.inner.take(py),
        ));
    }
}

impl StreamCoroutine {
    fn places(&self) -> [&Place; 3] {
        [&self.owner, &self.separator, &self.inner]
    }

    fn phase(&self) -> u8 {
        self.phase.load(Ordering::Relaxed)
    }

    fn enter(&self, phase: u8) {
        self.phase.store(phase, Ordering::Relaxed);
    }

    /// Over: nothing is held any longer.
    fn finish(&self, py: Python<'_>) {
        self.enter(DONE);
        Payload::clear(self, py);
    }
}

/// Makes the class.
///
/// # Errors
/// What making a class raises.
pub fn make_class(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let base = py.get_type::<PyAny>();
    let class = CLASS.make_with(
        c"epicycle.StreamCoroutine",
        c"What the reads and the drain of Epicycle's streams return: to be awaited, once.",
        &base,
        vec![
            method(c"send", send, c"Goes on until the next future to wait for."),
            method(c"throw", throw, c"Ends it with an exception."),
            method(c"close", close, c"Ends it."),
        ],
        vec![
            read_only(c"__name__", name, c"The method's name."),
            read_only(
                c"__qualname__",
                qualified_name,
                c"The method's name behind that of its class.",
            ),
            read_only(
                c"owner",
                owner,
                c"The reader or the writer, until it is done.",
            ),
            read_only(
                c"inner",
                inner,
                c"What it waits for: the iterator of a future, or asyncio's own coroutine.",
            ),
        ],
    )?;
    module.add("StreamCoroutine", class)
}

/// A request that waits to be awaited.
///
/// # Errors
/// `MemoryError`
pub fn new(
    owner: &Bound<'_, PyAny>,
    request: Request,
    separator: Option<&Bound<'_, PyBytes>>,
) -> PyResult<Py<PyAny>> {
    let made = CLASS.instance(
        owner.py(),
        StreamCoroutine {
            request,
            owner: Place::default(),
            separator: Place::default(),
            inner: Place::default(),
            phase: AtomicU8::new(NEW),
            searched: AtomicUsize::new(0),
        },
    )?;
    made.owner.put(owner.clone());
    if let Some(separator) = separator {
        made.separator.put(separator.clone().into_any());
    }
    Ok(made.into_any().unbind())
}

fn reused() -> PyErr {
    PyRuntimeError::new_err("cannot reuse already awaited coroutine")
}

fn step<'py>(slf: &Native<'py, StreamCoroutine>) -> PyResult<Stepped<'py>> {
    let py = slf.py();
    let outcome = match slf.phase() {
        DONE => return Err(reused()),
        NEW => begin(slf),
        WAITING => woken(slf),
        _ => hand_on(slf),
    };
    if !matches!(outcome, Ok(Stepped::Waits(_))) {
        slf.finish(py);
    }
    outcome
}

/// Awaited for the first time.
fn begin<'py>(slf: &Native<'py, StreamCoroutine>) -> PyResult<Stepped<'py>> {
    let py = slf.py();
    let owner = slf.owner.get(py).ok_or_else(reused)?;
    match slf.request {
        Request::Drain => {
            if methods::is_drained(&owner)? {
                return Ok(Stepped::DoneWithNone);
            }
            let coroutine = methods::asyncio_drain(&owner)?;
            slf.inner.put(coroutine);
            slf.enter(HANDED_ON);
            hand_on(slf)
        }
        Request::Read(wanted) => {
            let reader = Reader::of(&owner)?;
            reader.check()?;
            read_or_wait(slf, &reader, wanted)
        }
    }
}

fn read_or_wait<'py>(
    slf: &Native<'py, StreamCoroutine>,
    reader: &Reader<'_, 'py>,
    wanted: Wanted,
) -> PyResult<Stepped<'py>> {
    let py = slf.py();
    let separator = slf.separator.get(py);
    let separator = separator
        .as_ref()
        .and_then(|separator| separator.cast::<PyBytes>().ok());
    let mut searched = slf.searched.load(Ordering::Relaxed);
    let again = slf.phase() == WAITING;
    match reader.try_read(wanted, separator, &mut searched, again)? {
        Tried::Read(data) => Ok(Stepped::Done(data)),
        Tried::TooLittle => {
            slf.searched.store(searched, Ordering::Relaxed);
            let future = reader.wait(wanted)?;
            slf.enter(WAITING);
            let iterator = call::method0(&future, names::await_(py))?;
            slf.inner.put(iterator.clone());
            wait(slf, &iterator, reader, wanted)
        }
    }
}

/// Goes on with the future's iterator.
fn wait<'py>(
    slf: &Native<'py, StreamCoroutine>,
    iterator: &Bound<'py, PyAny>,
    reader: &Reader<'_, 'py>,
    wanted: Wanted,
) -> PyResult<Stepped<'py>> {
    let sent = call::send_none(iterator);
    if matches!(sent, Ok(Stepped::Waits(_))) {
        return sent;
    }
    reading::stop_waiting(reader.object)?;
    sent?;
    drop(slf.inner.take(slf.py()));
    read_or_wait(slf, reader, wanted)
}

/// The future is done.
fn woken<'py>(slf: &Native<'py, StreamCoroutine>) -> PyResult<Stepped<'py>> {
    let py = slf.py();
    let (owner, iterator) = slf
        .owner
        .get(py)
        .zip(slf.inner.get(py))
        .ok_or_else(reused)?;
    let Request::Read(wanted) = slf.request else {
        return Err(reused());
    };
    wait(slf, &iterator, &Reader::of(&owner)?, wanted)
}

/// Goes on with asyncio's own coroutine.
fn hand_on<'py>(slf: &Native<'py, StreamCoroutine>) -> PyResult<Stepped<'py>> {
    let inner = slf.inner.get(slf.py()).ok_or_else(reused)?;
    call::send_none(&inner)
}

fn send(slf: &Native<'_, StreamCoroutine>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&["value"], 1)?;
    match step(slf)? {
        Stepped::Waits(what) => Ok(what.unbind()),
        Stepped::Done(result) => Err(PyStopIteration::new_err((result.unbind(),))),
        Stepped::DoneWithNone => Err(PyStopIteration::new_err(())),
    }
}

/// `throw(exception)`, or as it was before Python 3.12: `throw(type, value=None, traceback=None)`.
fn throw(slf: &Native<'_, StreamCoroutine>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let [kind, value, traceback] = args.bind(&["type", "value", "traceback"], 1)?;
    let kind = kind.ok_or_else(|| args.missing("type"))?;
    let error = match kind.cast::<PyType>() {
        Err(_) => kind.clone(),
        Ok(class) => match value {
            Some(value) if value.is_instance(class)? => value.clone(),
            Some(value) if !value.is_none() => class.call1((value,))?,
            _ => class.call0()?,
        },
    };
    if let Some(traceback) = traceback.filter(|traceback| !traceback.is_none()) {
        error.setattr("__traceback__", traceback)?;
    }
    match slf.phase() {
        DONE => Err(reused()),
        HANDED_ON => {
            let inner = slf.inner.get(py).ok_or_else(reused)?;
            let outcome = call::method1(&inner, names::throw(py), &error);
            if outcome.is_err() {
                slf.finish(py);
            }
            outcome.map(Bound::unbind)
        }
        _ => {
            give_up(slf)?;
            Err(PyErr::from_value(error))
        }
    }
}

fn close(slf: &Native<'_, StreamCoroutine>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    args.bind(&[], 0)?;
    if slf.phase() == HANDED_ON
        && let Some(inner) = slf.inner.get(py)
    {
        call::method0(&inner, names::close(py))?;
    }
    give_up(slf)?;
    Ok(py.None())
}

/// Ends before its time.
fn give_up(slf: &Native<'_, StreamCoroutine>) -> PyResult<()> {
    let py = slf.py();
    let waiting = slf.phase() == WAITING;
    let owner = slf.owner.get(py);
    slf.finish(py);
    match owner {
        Some(owner) if waiting => reading::stop_waiting(&owner),
        _ => Ok(()),
    }
}

/// Nobody holds it any more.
fn abandoned(slf: &Native<'_, StreamCoroutine>) {
    let py = slf.py();
    let outcome = match slf.phase() {
        NEW => never_awaited(slf),
        WAITING => give_up(slf),
        _ => Ok(()),
    };
    if let Err(error) = outcome {
        error.write_unraisable(py, Some(slf.as_any()));
    }
}

/// As the interpreter warns of a coroutine.
fn never_awaited(slf: &Native<'_, StreamCoroutine>) -> PyResult<()> {
    let py = slf.py();
    let message = format!(
        "coroutine '{}' was never awaited",
        slf.request.qualified_name()
    );
    let keywords = PyDict::new(py);
    keywords.set_item("source", slf.as_any())?;
    let category = py.get_type::<PyRuntimeWarning>();
    Imports::get(py)?
        .warn
        .bind(py)
        .call((message, category), Some(&keywords))
        .map(drop)
}

fn repr(slf: &Native<'_, StreamCoroutine>) -> PyResult<Py<PyAny>> {
    let text = format!(
        "<coroutine object {} at {:#x}>",
        slf.request.qualified_name(),
        slf.as_ptr() as usize
    );
    Ok(PyString::new(slf.py(), &text).into_any().unbind())
}

fn qualified_name<'py>(slf: &Native<'py, StreamCoroutine>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let name = slf.request.qualified_name();
    Ok(Some(PyString::new(slf.py(), name).into_any()))
}

fn name<'py>(slf: &Native<'py, StreamCoroutine>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let name = slf.request.qualified_name();
    let name = name.rsplit('.').next().unwrap_or(name);
    Ok(Some(PyString::new(slf.py(), name).into_any()))
}

fn owner<'py>(slf: &Native<'py, StreamCoroutine>) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(Some(or_none(slf.py(), slf.owner.get(slf.py()))))
}

fn inner<'py>(slf: &Native<'py, StreamCoroutine>) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(Some(or_none(slf.py(), slf.inner.get(slf.py()))))
}

fn or_none<'py>(py: Python<'py>, value: Option<Bound<'py, PyAny>>) -> Bound<'py, PyAny> {
    value.unwrap_or_else(|| py.None().into_bound(py))
}
