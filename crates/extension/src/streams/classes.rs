//! The stream classes: asyncio's, `epicycle._streams`'s subclasses of them, and where these keep their attributes.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyType};

use crate::ffi::members::{Field, Unchanged};
use crate::py::imports::{Imports, written_by_asyncio};
use crate::py::names;

/// Attributes of a reader.
pub mod reader {
    use super::{Field, names};

    pub static BUFFER: Field = Field::named(names::buffer);
    pub static IS_EOF: Field = Field::named(names::is_eof);
    pub static WAITER: Field = Field::named(names::waiter);
    pub static EXCEPTION: Field = Field::named(names::own_exception);
    pub static TRANSPORT: Field = Field::named(names::own_transport);
    pub static PAUSED: Field = Field::named(names::paused);
    pub static LIMIT: Field = Field::named(names::limit);
    pub static LOOP: Field = Field::named(names::own_loop);
}

/// Attributes of a writer.
pub mod writer {
    use super::{Field, names};

    pub static READER: Field = Field::named(names::own_reader);
    pub static TRANSPORT: Field = Field::named(names::own_transport);
    pub static PROTOCOL: Field = Field::named(names::own_protocol);
}

/// Attributes of a protocol.
pub mod protocol {
    use super::{Field, names};

    pub static READER_REFERENCE: Field = Field::named(names::stream_reader_reference);
    pub static PAUSED: Field = Field::named(names::paused);
    pub static CONNECTION_LOST: Field = Field::named(names::connection_lost_flag);
}

/// Our subclasses, with the methods of asyncio's that native code stands in for or leaves out.
struct Ours {
    reader: Py<PyType>,
    protocol: Py<PyType>,
    replaced: [Unchanged; 3],
}

static OURS: PyOnceLock<Ours> = PyOnceLock::new();

const OF_READER: &[&str] = &[
    "read",
    "readexactly",
    "readuntil",
    "readline",
    "exception",
    "feed_data",
    "_wait_for_data",
    "_wakeup_waiter",
    "_maybe_resume_transport",
];
const OF_WRITER: &[&str] = &["drain"];
const OF_PROTOCOL: &[&str] = &["data_received", "_drain_helper"];

/// Our subclasses are these; each derives from asyncio's class of that name, and has slots for the attributes above.
///
/// # Errors
/// `ImportError` for one that has not.
pub fn learn(
    reader: &Bound<'_, PyType>,
    writer: &Bound<'_, PyType>,
    protocol: &Bound<'_, PyType>,
) -> PyResult<()> {
    use self::{protocol as of_protocol, reader as of_reader, writer as of_writer};
    let py = reader.py();
    for field in [
        &of_reader::BUFFER,
        &of_reader::IS_EOF,
        &of_reader::WAITER,
        &of_reader::EXCEPTION,
        &of_reader::TRANSPORT,
        &of_reader::PAUSED,
        &of_reader::LIMIT,
        &of_reader::LOOP,
    ] {
        field.learn(reader)?;
    }
    for field in [
        &of_writer::READER,
        &of_writer::TRANSPORT,
        &of_writer::PROTOCOL,
    ] {
        field.learn(writer)?;
    }
    for field in [
        &of_protocol::READER_REFERENCE,
        &of_protocol::PAUSED,
        &of_protocol::CONNECTION_LOST,
    ] {
        field.learn(protocol)?;
    }
    let streams = &Imports::get(py)?.streams;
    let ours = Ours {
        reader: reader.clone().unbind(),
        protocol: protocol.clone().unbind(),
        replaced: [
            unchanged(reader, streams.reader.bind(py), OF_READER)?,
            unchanged(writer, streams.writer.bind(py), OF_WRITER)?,
            unchanged(protocol, streams.protocol.bind(py), OF_PROTOCOL)?,
        ],
    };
    let _ = OURS.set(py, ours);
    Ok(())
}

/// These methods of `base`, as asyncio wrote them.
fn unchanged(
    class: &Bound<'_, PyType>,
    base: &Bound<'_, PyType>,
    names: &[&str],
) -> PyResult<Unchanged> {
    let methods = names.iter().map(|name| {
        let method = written_by_asyncio(&base.getattr(name)?)?;
        Ok((PyString::new(base.py(), name).unbind(), method))
    });
    Ok(Unchanged::new(
        class,
        base,
        methods.collect::<PyResult<_>>()?,
    ))
}

/// Whether asyncio's methods are those that asyncio wrote, so that native code may stand in for them.
///
/// # Errors
/// What looking up an attribute raises.
#[inline(always)]
pub fn are_asyncios(py: Python<'_>) -> PyResult<bool> {
    let Some(ours) = OURS.get(py) else {
        return Ok(false);
    };
    for methods in &ours.replaced {
        if !methods.holds(py)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether this is one of our readers.
#[inline(always)]
pub fn is_reader(object: &Bound<'_, PyAny>) -> bool {
    OURS.get(object.py())
        .is_some_and(|ours| object.get_type_ptr() == ours.reader.as_ptr().cast())
}

/// Whether this is the protocol of one of our readers.
#[inline(always)]
pub fn is_protocol(object: &Bound<'_, PyAny>) -> bool {
    OURS.get(object.py())
        .is_some_and(|ours| object.get_type_ptr() == ours.protocol.as_ptr().cast())
}
