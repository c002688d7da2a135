//! What a read takes out of a reader's buffer, and when it has to wait for more.
//!
//! The rules, the messages and the order of the checks are those of `asyncio.StreamReader`, whose private attributes are
//! the state: asyncio's own methods may be called on the same reader at any time.

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PySlice};

use super::classes::reader as attributes;
use crate::event_loop::{Loop, tasks};
use crate::ffi::buffer;
use crate::ffi::call;
use crate::py::imports::Imports;
use crate::py::names;

/// What is read.
#[derive(Clone, Copy)]
pub enum Wanted {
    /// At least one byte, at most so many.
    AtMost(usize),
    /// Exactly so many bytes.
    Exactly(usize),
    /// All up to a separator, and the separator.
    Until,
    /// All up to a line feed, and the line feed, or what is left at the end of the stream.
    Line,
}

impl Wanted {
    /// The name in the complaint of a second reader.
    const fn method(self) -> &'static str {
        match self {
            Self::AtMost(_) => "read",
            Self::Exactly(_) => "readexactly",
            Self::Until | Self::Line => "readuntil",
        }
    }
}

/// One try.
pub enum Tried<'py> {
    Read(Bound<'py, PyAny>),
    /// There is not enough yet.
    TooLittle,
}

/// A reader, and its buffer: a `bytearray`, unless somebody has put something else there.
pub struct Reader<'a, 'py> {
    pub object: &'a Bound<'py, PyAny>,
    buffer: Bound<'py, PyAny>,
}

impl<'a, 'py> Reader<'a, 'py> {
    /// # Errors
    /// What looking up an attribute raises.
    pub fn of(object: &'a Bound<'py, PyAny>) -> PyResult<Self> {
        let buffer = attributes::BUFFER.get(object)?;
        Ok(Self { object, buffer })
    }

    fn held(&self) -> PyResult<usize> {
        match self.buffer.cast_exact::<PyByteArray>() {
            Ok(array) => Ok(array.len()),
            Err(_) => self.buffer.len(),
        }
    }

    /// The first bytes of the buffer, taken out of it.
    fn take(&self, count: usize) -> PyResult<Bound<'py, PyAny>> {
        if let Ok(array) = self.buffer.cast_exact::<PyByteArray>() {
            return buffer::take(array, count).map(Bound::into_any);
        }
        let py = self.object.py();
        let slice = PySlice::new(py, 0, count as isize, 1);
        let taken = py
            .get_type::<PyBytes>()
            .call1((self.buffer.get_item(&slice)?,))?;
        self.buffer.del_item(&slice)?;
        Ok(taken)
    }

    /// Raises what the reader was told to raise.
    ///
    /// # Errors
    /// That.
    pub fn check(&self) -> PyResult<()> {
        let error = attributes::EXCEPTION.get(self.object)?;
        if error.is_none() {
            Ok(())
        } else {
            Err(PyErr::from_value(error))
        }
    }

    /// Takes what is wanted, if it is there. `separator` is that of a read until one; up to `searched` it is not to be
    /// found. `again` when it has waited: `read()` waits but once, and takes what another read has left by then.
    ///
    /// # Errors
    /// `IncompleteReadError`, `LimitOverrunError` and `ValueError` as asyncio raises them.
    pub fn try_read(
        &self,
        wanted: Wanted,
        separator: Option<&Bound<'py, PyBytes>>,
        searched: &mut usize,
        again: bool,
    ) -> PyResult<Tried<'py>> {
        let held = self.held()?;
        let count = match wanted {
            Wanted::AtMost(most) if held > 0 || again || self.is_at_end()? => most.min(held),
            Wanted::Exactly(count) if count <= held => count,
            Wanted::Exactly(count) if self.is_at_end()? => {
                return Err(self.incomplete(Some(count))?);
            }
            Wanted::AtMost(_) | Wanted::Exactly(_) => return Ok(Tried::TooLittle),
            Wanted::Until | Wanted::Line => {
                let Some(separator) = separator else {
                    return Ok(Tried::TooLittle);
                };
                match self.search(wanted, separator, searched)? {
                    Some(count) => count,
                    None if !self.is_at_end()? => return Ok(Tried::TooLittle),
                    // What is left of the stream is a line, too.
                    None if matches!(wanted, Wanted::Line) => {
                        return self.take(held).map(Tried::Read);
                    }
                    None => return Err(self.incomplete(None)?),
                }
            }
        };
        let taken = self.take(count)?;
        self.maybe_resume()?;
        Ok(Tried::Read(taken))
    }

    fn search(
        &self,
        wanted: Wanted,
        separator: &Bound<'py, PyBytes>,
        searched: &mut usize,
    ) -> PyResult<Option<usize>> {
        let py = self.object.py();
        let length = separator.as_bytes().len();
        let held = self.held()?;
        if held.saturating_sub(*searched) < length {
            return Ok(None);
        }
        let from = searched.into_pyobject(py)?;
        let found = call::method2(&self.buffer, names::find(py), separator, &from)?;
        let limit: f64 = attributes::LIMIT.get(self.object)?.extract()?;
        if let Ok(start) = found.extract::<usize>() {
            if start as f64 > limit {
                let message = "Separator is found, but chunk is longer than limit";
                return Err(self.overrun(wanted, message, start, separator)?);
            }
            return Ok(Some(start + length));
        }
        *searched = held + 1 - length;
        if *searched as f64 > limit {
            let message = "Separator is not found, and chunk exceed the limit";
            return Err(self.overrun(wanted, message, *searched, separator)?);
        }
        Ok(None)
    }

    fn is_at_end(&self) -> PyResult<bool> {
        attributes::IS_EOF.is_true(self.object)
    }

    fn maybe_resume(&self) -> PyResult<()> {
        if attributes::PAUSED.is_true(self.object)? {
            let held = self.held()?.into_pyobject(self.object.py())?;
            if held.le(attributes::LIMIT.get(self.object)?)? {
                return self.resume();
            }
        }
        Ok(())
    }

    fn resume(&self) -> PyResult<()> {
        let py = self.object.py();
        let running = PyBool::new(py, false).to_owned().into_any();
        attributes::PAUSED.set(self.object, running)?;
        let transport = attributes::TRANSPORT.get(self.object)?;
        call::method0(&transport, names::resume_reading(py)).map(drop)
    }

    /// The stream has ended: what is left of it goes with the error.
    fn incomplete(&self, expected: Option<usize>) -> PyResult<PyErr> {
        let py = self.object.py();
        let partial = self.take(self.held()?)?;
        let error = Imports::get(py)?
            .streams
            .incomplete_read
            .bind(py)
            .call1((partial, expected))?;
        Ok(PyErr::from_value(error))
    }

    /// More than the limit. A read of a line gives up what is too long; a read until a separator leaves it.
    fn overrun(
        &self,
        wanted: Wanted,
        message: &str,
        consumed: usize,
        separator: &Bound<'py, PyBytes>,
    ) -> PyResult<PyErr> {
        let py = self.object.py();
        let error = Imports::get(py)?
            .streams
            .limit_overrun
            .bind(py)
            .call1((message, consumed))?;
        if !matches!(wanted, Wanted::Line) {
            return Ok(PyErr::from_value(error));
        }
        let found = self
            .buffer
            .call_method1("startswith", (separator, consumed))?
            .is_truthy()?;
        let length = if found {
            consumed + separator.as_bytes().len()
        } else {
            self.held()?
        };
        drop(self.take(length)?);
        self.maybe_resume()?;
        let outer = PyValueError::new_err(message.to_owned());
        outer.value(py).setattr("__context__", error)?;
        Ok(outer)
    }

    /// The future that more data ends.
    ///
    /// # Errors
    /// `RuntimeError` while another read waits.
    pub fn wait(&self, wanted: Wanted) -> PyResult<Bound<'py, PyAny>> {
        let py = self.object.py();
        if !attributes::WAITER.get(self.object)?.is_none() {
            return Err(PyRuntimeError::new_err(format!(
                "{}() called while another coroutine is already waiting for incoming data",
                wanted.method()
            )));
        }
        // Who waits while paused waits for ever.
        if attributes::PAUSED.is_true(self.object)? {
            self.resume()?;
        }
        let owner = attributes::LOOP.get(self.object)?;
        let future = match owner.cast::<Loop>() {
            Ok(owner) => tasks::new_future(owner)?,
            Err(_) => call::method0(&owner, names::create_future(py))?,
        };
        attributes::WAITER.set(self.object, future.clone())?;
        Ok(future)
    }
}

/// Nobody waits for the reader's data any more.
///
/// # Errors
/// What setting an attribute raises.
pub fn stop_waiting(reader: &Bound<'_, PyAny>) -> PyResult<()> {
    attributes::WAITER.set(reader, reader.py().None().into_bound(reader.py()))
}
