//! Writing: at once where the kernel takes it, queued where it does not; flow control.

use std::io::{self, IoSlice};
use std::os::fd::RawFd;

use epicycle_reactor::kernel::{Kernel, MAX_IOVECS};
use epicycle_reactor::stream::{Flow, LimitError, WriteVerdict};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyInt, PyMemoryView};

use super::class::{State, StreamTransport};
use super::{ending, sendfile};
use crate::event_loop::core::LoopTurn;
use crate::event_loop::report;
use crate::ffi::buffer::{Chunk, View};
use crate::ffi::call;
use crate::ffi::class::Native;
use crate::ffi::fastcall::Args;
use crate::py::imports::Imports;
use crate::py::{errors, names};

/// What became of a write.
enum Written {
    /// Sent, or nothing to send.
    Done,
    /// Queued; the high-water mark has been passed just now or not.
    Queued {
        pause: bool,
    },
    Failed(io::Error),
}

/// Data to write: `bytes` are kept, everything else is copied as far as the kernel does not take it at once.
pub(crate) enum Data<'a, 'py> {
    Bytes(&'a Bound<'py, PyBytes>),
    Other(View),
}

impl<'a, 'py> Data<'a, 'py> {
    #[inline(always)]
    pub(crate) fn of(object: &'a Bound<'py, PyAny>, wanted: &str) -> PyResult<Self> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Self::Bytes(bytes));
        }
        if object.is_instance_of::<PyByteArray>() || object.is_instance_of::<PyMemoryView>() {
            return View::read(object).map(Self::Other);
        }
        Err(PyTypeError::new_err(format!(
            "data argument must be {wanted}, not {}",
            object.get_type().name()?.repr()?
        )))
    }

    #[inline(always)]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.as_bytes(),
            Self::Other(view) => view.bytes(),
        }
    }

    pub(crate) fn rest(&self, start: usize) -> Chunk {
        match self {
            Self::Bytes(bytes) => Chunk::from_bytes(bytes, start),
            Self::Other(view) => Chunk::Owned(view.bytes()[start..].into()),
        }
    }
}

/// What asyncio's transports of streams say that they take.
const WRITABLE: &str = if cfg!(Py_3_14) {
    "a bytes, bytearray, or memoryview object"
} else {
    "a bytes-like object"
};

/// `transport.write(data)`
pub(super) fn write(slf: &Native<'_, StreamTransport>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let py = args.py();
    let object = match args.get(0) {
        Some(object) if args.len() == 1 && !args.has_keywords() => object,
        _ => {
            let [object] = args.bind(&["data"], 1)?;
            object.ok_or_else(|| args.missing("data"))?
        }
    };
    let data = Data::of(object, WRITABLE)?;
    write_all(slf, std::slice::from_ref(&data), "write")?;
    Ok(py.None())
}

/// `transport.writelines(list_of_data)`
pub(super) fn writelines(
    slf: &Native<'_, StreamTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    let py = args.py();
    let [objects] = args.bind(&["list_of_data"], 1)?;
    let objects = objects.ok_or_else(|| args.missing("list_of_data"))?;
    // Since 3.12 asyncio takes whatever is false, `None` as well, for no pieces.
    let objects = if cfg!(Py_3_12) && objects.is_none() {
        Vec::new()
    } else {
        objects.try_iter()?.collect::<PyResult<Vec<_>>>()?
    };
    let data = objects
        .iter()
        .map(|object| Data::of(object, WRITABLE))
        .collect::<PyResult<Vec<_>>>()?;
    write_all(slf, &data, "writelines")?;
    Ok(py.None())
}

/// Writes encrypted data, for a TLS session on top of the transport.
///
/// # Errors
/// As `transport.write()`.
pub fn send(slf: &Native<'_, StreamTransport>, data: &Bound<'_, PyBytes>) -> PyResult<()> {
    write_all(
        slf,
        &[Data::Bytes(data)],
        "Cannot call write() after write_eof()",
    )
}

#[inline(always)]
fn write_all(
    slf: &Native<'_, StreamTransport>,
    data: &[Data<'_, '_>],
    method: &'static str,
) -> PyResult<()> {
    let py = slf.py();
    let empty = data.iter().all(|item| item.bytes().is_empty());
    let fd = StreamTransport::descriptor(slf)?;
    let written = slf.state.with(py, |state| {
        if state.life.eof_written() {
            return Err(after_eof(method));
        }
        if state.sendfile.is_some() {
            return Err(during_sendfile(method));
        }
        if empty {
            return Ok(Ok(Written::Done));
        }
        match state.life.write() {
            WriteVerdict::Accept => slf.owner.get().cell.with(py, |core| {
                let written = send_or_queue(&mut core.turn, fd, state, data);
                core.turn.counters.bytes_out.add(written.1 as u64);
                written.0
            }),
            WriteVerdict::AfterEof => return Err(after_eof(method)),
            WriteVerdict::Discard { warn } => return Ok(Err(warn)),
        }
        .map(Ok)
    })??;
    match written {
        Ok(Written::Done) => Ok(()),
        Ok(Written::Queued { pause }) => {
            StreamTransport::update_interest(slf)?;
            if pause { pause_writing(slf) } else { Ok(()) }
        }
        Ok(Written::Failed(error)) => {
            let error = errors::os_error(py, &error);
            ending::fail(slf, error, "Fatal write error on socket transport")
        }
        Err(false) => Ok(()),
        Err(true) => {
            let logger = Imports::get(py)?.logger.bind(py);
            logger
                .call_method1("warning", ("socket.send() raised exception.",))
                .map(drop)
        }
    }
}

#[cold]
fn after_eof(method: &str) -> PyErr {
    PyRuntimeError::new_err(format!("Cannot call {method}() after write_eof()"))
}

#[cold]
fn during_sendfile(method: &str) -> PyErr {
    // Before 3.12, writelines() was write() of everything joined.
    let method = if cfg!(Py_3_12) { method } else { "write" };
    PyRuntimeError::new_err(format!("unable to {method}; sendfile is in progress"))
}

/// Sends what the kernel takes, queues the rest.  Says also how many bytes were sent.
#[inline(always)]
fn send_or_queue(
    turn: &mut LoopTurn,
    fd: RawFd,
    state: &mut State,
    data: &[Data<'_, '_>],
) -> (Written, usize) {
    let mut sent = 0;
    let mut blocked = !state.queue.is_empty();
    let more = match (&mut state.bursts, data) {
        (Some(bursts), [_]) => turn.corks.expects_more(bursts),
        _ => false,
    };
    let mut rest = data;
    while !blocked && !rest.is_empty() {
        let batch = &rest[..rest.len().min(MAX_IOVECS)];
        let outcome = if let [one] = batch {
            if more {
                turn.kernel.send_more(fd, one.bytes())
            } else {
                turn.kernel.send(fd, one.bytes())
            }
        } else {
            let mut slices = [IoSlice::new(&[]); MAX_IOVECS];
            for (slice, item) in slices.iter_mut().zip(batch) {
                *slice = IoSlice::new(item.bytes());
            }
            turn.kernel.send_vectored(fd, &slices[..batch.len()])
        };
        let mut count = match outcome {
            Ok(count) => count,
            Err(error) if errors::would_block(&error) => 0,
            Err(error) => return (Written::Failed(error), sent),
        };
        sent += count;
        turn.corks.sent(fd, more);
        for item in batch {
            let length = item.bytes().len();
            if count >= length {
                count -= length;
                rest = &rest[1..];
                continue;
            }
            blocked = true;
            // Empty chunks are the only ones handed back, and this one has something left.
            let _ = state.queue.push(item.rest(count));
            rest = &rest[1..];
            break;
        }
    }
    if rest.is_empty() && !blocked {
        return (Written::Done, sent);
    }
    for item in rest {
        let _ = state.queue.push(item.rest(0));
    }
    if state.queue.is_empty() {
        return (Written::Done, sent);
    }
    let pause = state.flow.after_growth(state.queue.len_bytes());
    (Written::Queued { pause }, sent)
}

/// The kernel has room again.
pub(super) fn ready(slf: &Native<'_, StreamTransport>) -> PyResult<()> {
    let py = slf.py();
    if slf.state.with(py, |state| {
        state.sendfile.as_ref().is_some_and(|sending| sending.room)
    })? {
        return sendfile::go_on(slf);
    }
    let mut finished = Vec::new();
    let outcome = slf.state.with(py, |state| {
        if state.queue.is_empty() || state.life.is_losing() {
            return Ok(Ok(None));
        }
        slf.owner.get().cell.with(py, |core| {
            let mut slices = [IoSlice::new(&[]); MAX_IOVECS];
            let filled = state.queue.fill_slices(&mut slices);
            match core.turn.kernel.send_vectored(state.fd, &slices[..filled]) {
                Ok(count) => {
                    core.turn.counters.bytes_out.add(count as u64);
                    state.queue.advance(count, |chunk| finished.push(chunk));
                    Ok(Some(state.flow.after_shrink(state.queue.len_bytes())))
                }
                Err(error) if errors::would_block(&error) => Ok(None),
                Err(error) => Err(error),
            }
        })
    })??;
    drop(finished);
    match outcome {
        Ok(None) => return Ok(()),
        Ok(Some(resume)) => {
            if resume {
                StreamTransport::in_context(slf, || tell(slf, names::resume_writing(py)))?;
            }
        }
        Err(error) => {
            let error = errors::os_error(py, &error);
            return ending::fail(slf, error, "Fatal write error on socket transport");
        }
    }
    // The protocol may have written more when it was told to go on.
    let drained = slf.state.with(py, |state| {
        (state.queue.is_empty() && !state.life.is_losing()).then(|| state.life.drained())
    })?;
    match drained {
        Some(action) => {
            StreamTransport::update_interest(slf)?;
            sendfile::go_on(slf)?;
            StreamTransport::carry_out(slf, action)
        }
        None => Ok(()),
    }
}

/// `transport._protocol_paused`
pub(super) fn is_protocol_paused(
    slf: &Native<'_, StreamTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let paused = slf.state.with(slf.py(), |state| state.flow.is_paused())?;
    Ok(PyBool::new(slf.py(), paused).to_owned().into_any().unbind())
}

/// Tells the protocol to pause, in the context of whoever writes, which may be the connection's own.
fn pause_writing(slf: &Native<'_, StreamTransport>) -> PyResult<()> {
    tell(slf, names::pause_writing(slf.py()))
}

/// Calls `pause_writing` or `resume_writing`; what it raises is reported and changes nothing.
fn tell(
    slf: &Native<'_, StreamTransport>,
    name: &Bound<'_, pyo3::types::PyString>,
) -> PyResult<()> {
    let py = slf.py();
    let Some(protocol) = StreamTransport::protocol(slf)? else {
        return Ok(());
    };
    match call::method0(&protocol, name).map(drop) {
        Ok(()) => Ok(()),
        Err(error) if errors::passes(py, &error) => Err(error),
        Err(error) => {
            let message = format!("protocol.{name}() failed");
            report::connection_failed(
                slf.owner.bind(py),
                error,
                &message,
                slf.as_any(),
                Some(&protocol),
            )
        }
    }
}

/// Tells the peer that nothing more comes.
pub(super) fn shutdown(slf: &Native<'_, StreamTransport>) -> PyResult<()> {
    let py = slf.py();
    let fd = StreamTransport::descriptor(slf)?;
    slf.owner
        .get()
        .cell
        .with(py, |core| core.turn.kernel.shutdown_write(fd))?
        .map_err(|error| errors::os_error(py, &error))
}

/// `transport.write_eof()`
pub(super) fn write_eof(
    slf: &Native<'_, StreamTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let action = slf.state.with(slf.py(), |state| {
        state.life.write_eof(!state.queue.is_empty())
    })?;
    StreamTransport::carry_out(slf, action)?;
    Ok(slf.py().None())
}

/// `transport.get_write_buffer_size()`
pub(super) fn get_write_buffer_size(
    slf: &Native<'_, StreamTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let size = slf.state.with(slf.py(), |state| state.queue.len_bytes())?;
    Ok(PyInt::new(slf.py(), size).into_any().unbind())
}

/// `transport.get_write_buffer_limits()`
pub(super) fn get_write_buffer_limits(
    slf: &Native<'_, StreamTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let limits = slf
        .state
        .with(slf.py(), |state| (state.flow.low(), state.flow.high()))?;
    Ok(limits.into_pyobject(slf.py())?.into_any().unbind())
}

/// `transport.set_write_buffer_limits(high=None, low=None)`
pub(super) fn set_write_buffer_limits(
    slf: &Native<'_, StreamTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let marks = Marks::of(args)?;
    let pause = slf.state.with(py, |state| {
        marks.set(&mut state.flow)?;
        Ok(state.flow.after_growth(state.queue.len_bytes()))
    })?;
    let pause = pause.map_err(Marks::refused)?;
    if pause {
        pause_writing(slf)?;
    }
    Ok(py.None())
}

/// What `set_write_buffer_limits(high=None, low=None)` was given.
pub(crate) struct Marks {
    high: Option<usize>,
    low: Option<usize>,
}

impl Marks {
    /// # Errors
    /// As `limits`.
    pub(crate) fn of(args: &Args<'_, '_>) -> PyResult<Self> {
        let (high, low) = limits(args)?;
        let size = |mark: Option<i64>| mark.map(|mark| usize::try_from(mark).unwrap_or(0));
        Ok(Self {
            high: size(high),
            low: size(low),
        })
    }

    /// # Errors
    /// The low mark is above the high one.
    pub(crate) fn set(&self, flow: &mut Flow) -> Result<(), LimitError> {
        flow.set_limits(self.high, self.low)
    }

    /// The `ValueError` of asyncio.
    pub(crate) fn refused(error: LimitError) -> PyErr {
        PyValueError::new_err(error.to_string())
    }
}

/// The arguments `high` and `low` in whole bytes, compared as Python compares them.
///
/// # Errors
/// `TypeError` for what cannot be compared with numbers, `ValueError` unless high >= low >= 0.
pub(crate) fn limits(args: &Args<'_, '_>) -> PyResult<(Option<i64>, Option<i64>)> {
    let [high, low] = args.bind(&["high", "low"], 0)?;
    let high = high.filter(|mark| !mark.is_none());
    let low = low.filter(|mark| !mark.is_none());
    let top = match (high, low) {
        (Some(high), _) => high.clone(),
        (None, Some(low)) => low.mul(4)?,
        (None, None) => return Ok((None, None)),
    };
    let bottom = match low {
        Some(low) => low.clone(),
        None => top.floor_div(4)?,
    };
    if !(top.ge(&bottom)? && bottom.ge(0)?) {
        return Err(PyValueError::new_err(format!(
            "high ({}) must be >= low ({}) must be >= 0",
            top.repr()?,
            bottom.repr()?
        )));
    }
    Ok((high.map(whole), low.map(whole)))
}

/// A number of bytes without its fraction; no buffer is larger than the largest that comes out.
fn whole(mark: &Bound<'_, PyAny>) -> i64 {
    mark.extract::<i64>()
        .or_else(|_| mark.extract::<f64>().map(|mark| mark as i64))
        .unwrap_or(i64::MAX)
}
