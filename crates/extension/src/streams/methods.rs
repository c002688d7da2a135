//! The native methods of `epicycle._streams`'s subclasses of asyncio's streams.
//!
//! Each stands in for the method of asyncio's class whose name it bears, and leaves to that one what is out of the
//! ordinary: arguments of other types, a writer that has to wait.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString, PyType};

use super::classes::{self, writer as attributes};
use super::coroutine::{self, Request};
use super::reading::Wanted;
use crate::ffi::call;
use crate::ffi::fastcall::{Args, add_object_methods, object_method};
use crate::py::imports::Imports;
use crate::py::names;

/// # Errors
/// What making a class raises.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    coroutine::make_class(module)?;
    module.add_function(wrap_pyfunction!(add_stream_methods, module)?)
}

/// Puts the native methods on subclasses of asyncio's stream classes.
#[pyfunction]
fn add_stream_methods(
    reader: &Bound<'_, PyType>,
    writer: &Bound<'_, PyType>,
    protocol: &Bound<'_, PyType>,
) -> PyResult<()> {
    add_object_methods(
        reader,
        vec![
            object_method(
                c"read",
                read,
                c"read($self, n=-1)\n--\n\nReads up to `n` bytes, at least one; all until the end of the stream by default.",
            ),
            object_method(
                c"readexactly",
                readexactly,
                c"readexactly($self, n)\n--\n\nReads exactly `n` bytes; raises IncompleteReadError at the end of the stream.",
            ),
            object_method(
                c"readuntil",
                readuntil,
                c"readuntil($self, separator=b'\\n')\n--\n\nReads all up to a separator, which is part of the result.",
            ),
            object_method(
                c"readline",
                readline,
                c"readline($self)\n--\n\nReads a line, with its end; what is left at the end of the stream.",
            ),
        ],
    )?;
    add_object_methods(
        writer,
        vec![object_method(
            c"drain",
            drain,
            c"drain($self)\n--\n\nWaits until it is appropriate to write more.",
        )],
    )?;
    classes::learn(reader, writer, protocol)
}

/// A positive number, as nearly every caller gives one.
fn positive(number: &Bound<'_, PyAny>) -> Option<usize> {
    let number = number.cast_exact::<PyInt>().ok()?;
    number.extract().ok().filter(|number| *number > 0)
}

/// `StreamReader.read(n)`
fn read(slf: &Bound<'_, PyAny>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let [n] = args.bind(&["n"], 0)?;
    match n.and_then(positive) {
        Some(most) if classes::are_asyncios(slf.py())? => {
            coroutine::new(slf, Request::Read(Wanted::AtMost(most)), None)
        }
        _ => asyncio(slf, names::read(slf.py()), n),
    }
}

/// `StreamReader.readexactly(n)`
fn readexactly(slf: &Bound<'_, PyAny>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let [n] = args.bind(&["n"], 1)?;
    match n.and_then(positive) {
        Some(count) if classes::are_asyncios(slf.py())? => {
            coroutine::new(slf, Request::Read(Wanted::Exactly(count)), None)
        }
        _ => asyncio(slf, names::readexactly(slf.py()), n),
    }
}

/// `StreamReader.readuntil(separator)`
fn readuntil(slf: &Bound<'_, PyAny>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let [separator] = args.bind(&["separator"], 0)?;
    let line_feed;
    let given = match separator {
        Some(separator) => separator,
        None => {
            line_feed = PyBytes::new(slf.py(), b"\n").into_any();
            &line_feed
        }
    };
    match given.cast_exact::<PyBytes>() {
        Ok(bytes) if !bytes.as_bytes().is_empty() && classes::are_asyncios(slf.py())? => {
            coroutine::new(slf, Request::Read(Wanted::Until), Some(bytes))
        }
        _ => asyncio(slf, names::readuntil(slf.py()), separator),
    }
}

/// `StreamReader.readline()`
fn readline(slf: &Bound<'_, PyAny>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    if !classes::are_asyncios(slf.py())? {
        return asyncio(slf, names::readline(slf.py()), None);
    }
    let line_feed = PyBytes::new(slf.py(), b"\n");
    coroutine::new(slf, Request::Read(Wanted::Line), Some(&line_feed))
}

/// `StreamWriter.drain()`
fn drain(slf: &Bound<'_, PyAny>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    if !classes::are_asyncios(slf.py())? {
        return asyncio_drain(slf).map(Bound::unbind);
    }
    coroutine::new(slf, Request::Drain, None)
}

/// Whether `drain()` has nothing to wait for and nothing to raise.
///
/// # Errors
/// What looking up an attribute raises.
pub fn is_drained(writer: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = writer.py();
    let reader = attributes::READER.get(writer)?;
    if !reader.is_none() {
        let error = if classes::is_reader(&reader) {
            classes::reader::EXCEPTION.get(&reader)?
        } else {
            call::method0(&reader, names::exception(py))?
        };
        if !error.is_none() {
            return Ok(false);
        }
    }
    let transport = attributes::TRANSPORT.get(writer)?;
    if call::method0(&transport, names::is_closing(py))?.is_truthy()? {
        return Ok(false);
    }
    let protocol = attributes::PROTOCOL.get(writer)?;
    Ok(classes::is_protocol(&protocol)
        && !classes::protocol::CONNECTION_LOST.is_true(&protocol)?
        && !classes::protocol::PAUSED.is_true(&protocol)?)
}

/// The coroutine of asyncio's own `drain()`.
///
/// # Errors
/// What looking it up raises.
pub fn asyncio_drain<'py>(writer: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = writer.py();
    let class = Imports::get(py)?.streams.writer.bind(py);
    class.call_method1(names::drain(py), (writer,))
}

/// What asyncio's own method returns.
fn asyncio(
    reader: &Bound<'_, PyAny>,
    name: &Bound<'_, PyString>,
    argument: Option<&Bound<'_, PyAny>>,
) -> PyResult<Py<PyAny>> {
    let py = reader.py();
    let class = Imports::get(py)?.streams.reader.bind(py);
    match argument {
        Some(argument) => class.call_method1(name, (reader, argument)),
        None => class.call_method1(name, (reader,)),
    }
    .map(Bound::unbind)
}
