//! asyncio's own streams, fed without a Python frame.
//!
//! In: bytes that arrived for an `asyncio.StreamReaderProtocol`.  Out: the same bytes at the end of the buffer of its
//! `asyncio.StreamReader`, and whoever waits for them woken.
//!
//! `StreamReaderProtocol.data_received` and `StreamReader.feed_data` are three Python frames for each message.  When both
//! objects are exactly asyncio's and nobody has put other methods in their place, [`Feed`] does what these do.  Anything
//! else (a subclass, a replaced method, a buffer of another type, the end of the stream already told) is not for it: the
//! protocol is called like every other.

use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyString};

use super::classes::{self, reader as attributes};
use crate::ffi::buffer::extend;
use crate::ffi::call;
use crate::py::imports::Imports;
use crate::py::names;

/// Whether the protocol is exactly asyncio's or our own, so that a [`Feed`] is worth trying for each message.
///
/// # Errors
/// `ImportError` when this interpreter's asyncio is not what the extension was written for.
pub fn is_standard(protocol: &Bound<'_, PyAny>) -> PyResult<bool> {
    let streams = &Imports::get(protocol.py())?.streams;
    Ok(protocol.get_type().is(&streams.protocol) || classes::is_protocol(protocol))
}

/// A reader that may be fed here.
pub struct Feed<'py> {
    reader: Bound<'py, PyAny>,
    buffer: Bound<'py, PyByteArray>,
}

impl<'py> Feed<'py> {
    /// The reader of `protocol`, unless something about it is not asyncio's own.
    ///
    /// # Errors
    /// What looking up an attribute raises.
    pub fn of(protocol: &Bound<'py, PyAny>) -> PyResult<Option<Self>> {
        let Some(reader) = reader_of(protocol)? else {
            return Ok(None);
        };
        if attributes::IS_EOF.is_true(&reader)? {
            return Ok(None);
        }
        let buffer = attributes::BUFFER.get(&reader)?;
        match buffer.cast_into_exact::<PyByteArray>() {
            Ok(buffer) => Ok(Some(Self { reader, buffer })),
            Err(_) => Ok(None),
        }
    }

    /// Appends what arrived.  Runs no Python code; [`Feed::tell`] does the rest.
    ///
    /// # Errors
    /// `BufferError` while somebody looks into the buffer, `MemoryError`; nothing was appended then.
    #[inline]
    pub fn append(&self, data: &[u8]) -> PyResult<()> {
        extend(&self.buffer, data)
    }

    /// Wakes whoever waits for data, and pauses the transport when the reader holds more than twice its limit.
    ///
    /// # Errors
    /// What a transport's `pause_reading()` raises.
    pub fn tell(&self) -> PyResult<()> {
        let py = self.reader.py();
        let waiter = attributes::WAITER.get(&self.reader)?;
        if !waiter.is_none() {
            attributes::WAITER.set(&self.reader, py.None().into_bound(py))?;
            if !call::method0(&waiter, names::cancelled(py))?.is_truthy()? {
                call::method1(&waiter, names::set_result(py), py.None().bind(py))?;
            }
        }
        let limit = attributes::LIMIT.get(&self.reader)?;
        let held = self.buffer.len();
        // A limit that is no small number is compared as Python compares.
        let over = match limit.extract::<usize>() {
            Ok(limit) => held > limit.saturating_mul(2),
            Err(_) => held.into_pyobject(py)?.gt(limit.mul(2)?)?,
        };
        if over { self.pause() } else { Ok(()) }
    }

    fn pause(&self) -> PyResult<()> {
        let py = self.reader.py();
        let transport = self.reader.getattr(names::own_transport(py))?;
        if transport.is_none() || self.reader.getattr(names::paused(py))?.is_truthy()? {
            return Ok(());
        }
        match transport.call_method0(names::pause_reading(py)) {
            Ok(_) => self.reader.setattr(names::paused(py), true),
            // A transport that cannot pause is not asked again.
            Err(error) if error.is_instance_of::<pyo3::exceptions::PyNotImplementedError>(py) => {
                self.reader.setattr(names::own_transport(py), py.None())
            }
            Err(error) => Err(error),
        }
    }
}

/// The reader behind `protocol`, if what arrives may be put into its buffer here.
fn reader_of<'py>(protocol: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = protocol.py();
    let streams = &Imports::get(py)?.streams;
    let ours = classes::is_protocol(protocol);
    let standard = if ours {
        classes::are_asyncios(py)?
    } else {
        protocol.get_type().is(&streams.protocol)
            && has_own(protocol, names::data_received(py), &streams.data_received)?
    };
    if !standard {
        return Ok(None);
    }
    let reference = classes::protocol::READER_REFERENCE.get(protocol)?;
    if reference.is_none() {
        return Ok(None);
    }
    let reader = call::call0(py, reference.as_unbound())?;
    let standard = if ours && classes::is_reader(&reader) {
        true
    } else {
        reader.get_type().is(&streams.reader)
            && has_own(&reader, names::feed_data(py), &streams.feed_data)?
    };
    Ok(standard.then_some(reader))
}

/// Whether the object's method of this name is `function`: neither its class nor itself has another one.
#[inline]
fn has_own(
    object: &Bound<'_, PyAny>,
    name: &Bound<'_, PyString>,
    function: &Py<PyAny>,
) -> PyResult<bool> {
    Ok(call::is_method_of(&object.getattr(name)?, function))
}
