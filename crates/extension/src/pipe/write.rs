//! The writing end: `PipeWriteTransport`, its queue and flow control.

use std::io::{self, IoSlice};

use epicycle_reactor::kernel::{Kernel, MAX_IOVECS};
use epicycle_reactor::stream::{Flow, WriteQueue};
use pyo3::exceptions::{PyAssertionError, PyBrokenPipeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyInt, PyMemoryView, PyString, PyType};

use super::class::{self, Half, Origin, Phase, PipeTransport, in_context};
use super::{PipeWork, ending};
use crate::event_loop::entry::{Entry, Watcher};
use crate::event_loop::readers::Direction;
use crate::event_loop::{Loop, report};
use crate::ffi::buffer::{Chunk, View};
use crate::ffi::call;
use crate::ffi::class::{Class, Native, NativeRef};
use crate::ffi::fastcall::{Args, method};
use crate::py::imports::Imports;
use crate::py::{errors, names};
use crate::transport::Marks;
use crate::watch::connections::Facts;

/// What only the writing end has to remember.
pub struct Writing {
    queue: WriteQueue<Chunk>,
    flow: Flow,
    /// The descriptor becomes readable when nobody can read any more.
    notices: bool,
    /// Writes that went nowhere.
    discarded: u32,
}

/// An `asyncio.WriteTransport` (and, to `isinstance`, a whole `asyncio.Transport`), native.
pub type PipeWriteTransport = PipeTransport<Writing>;

static CLASS: Class<PipeWriteTransport> = Class::unmade();

type Slf<'py> = Native<'py, PipeWriteTransport>;

/// Writes that may go nowhere before each one is worth a warning, as in asyncio.
const WRITES_BEFORE_WARNING: u32 = 5;

const FATAL: &str = "Fatal write error on pipe transport";

/// What became of a write.
enum Written {
    /// Nothing is left to write.
    Done,
    /// Queued: whether behind nothing, and whether the high-water mark has been passed just now.
    Queued {
        first: bool,
        pause: bool,
    },
    /// The end is closed or broken.
    Discarded {
        warn: bool,
    },
    Failed(io::Error),
}

impl Half for Writing {
    const NAME: &'static str = "PipeWriteTransport";

    fn class() -> &'static Class<PipeWriteTransport> {
        &CLASS
    }

    fn watcher(transport: NativeRef<PipeWriteTransport>) -> Watcher {
        Watcher::PipeWrite(transport)
    }

    fn entry(transport: NativeRef<PipeWriteTransport>, work: PipeWork) -> Entry {
        Entry::PipeWrite(transport, work)
    }

    fn begun(slf: &Slf<'_>) -> PyResult<()> {
        let notices = slf.state.with(slf.py(), |state| {
            state.half.notices && state.phase != Phase::Losing
        })?;
        if notices {
            class::watch(slf, Direction::Read)
        } else {
            Ok(())
        }
    }

    /// Nobody can read any more.
    fn readable(slf: &Slf<'_>) -> PyResult<()> {
        let py = slf.py();
        let unsent = slf.state.with(py, |state| {
            (state.phase != Phase::Losing).then_some(!state.half.queue.is_empty())
        })?;
        let Some(unsent) = unsent else { return Ok(()) };
        class::note(slf, "info", "%r was closed by peer")?;
        let error =
            unsent.then(|| errors::into_value(py, PyBrokenPipeError::new_err(())).into_any());
        ending::lose(slf, error)
    }

    /// There is room again.
    fn writable(slf: &Slf<'_>) -> PyResult<()> {
        let py = slf.py();
        let mut finished = Vec::new();
        let outcome = slf.state.with(py, |state| {
            let half = &mut state.half;
            if half.queue.is_empty() || state.phase == Phase::Losing {
                return Ok(Ok(false));
            }
            slf.owner.get().cell.with(py, |core| {
                let mut slices = [IoSlice::new(&[]); MAX_IOVECS];
                let filled = half.queue.fill_slices(&mut slices);
                match core.turn.kernel.write_vectored(state.fd, &slices[..filled]) {
                    Ok(count) => {
                        core.turn.counters.bytes_out.add(count as u64);
                        half.queue.advance(count, |chunk| finished.push(chunk));
                        Ok(half.queue.is_empty())
                    }
                    Err(error) if errors::would_block(&error) => Ok(false),
                    Err(error) => {
                        half.discarded += 1;
                        Err(error)
                    }
                }
            })
        })??;
        drop(finished);
        match outcome {
            Ok(true) => drained(slf),
            Ok(false) => Ok(()),
            Err(error) => ending::fail(slf, errors::os_error(py, &error), FATAL, true),
        }
    }

    fn stop(&mut self) -> Vec<Chunk> {
        self.queue.clear()
    }

    fn tell(&self, facts: &mut Facts) {
        facts.kind = "pipe-write";
        facts.buffer = self.queue.len_bytes();
        facts.limits = Some((self.flow.low(), self.flow.high()));
        facts.writing_paused = self.flow.is_paused();
    }

    fn describe(&self) -> String {
        let size = self.queue.len_bytes();
        let polling = if size > 0 { "polling" } else { "idle" };
        format!(" {polling} bufsize={size}")
    }
}

/// Everything queued has been written.
fn drained(slf: &Slf<'_>) -> PyResult<()> {
    let py = slf.py();
    class::unwatch(slf, Direction::Write)?;
    if slf
        .state
        .with(py, |state| state.half.flow.after_shrink(0))?
    {
        in_context(slf, || tell(slf, names::resume_writing(py)))?;
    }
    // The protocol may have written more when it was told to go on.
    let over = slf.state.with(py, |state| {
        state.phase == Phase::Closing && state.half.queue.is_empty()
    })?;
    if over && ending::stop(slf, None)? {
        ending::finish(slf)
    } else {
        Ok(())
    }
}

/// Calls `pause_writing` or `resume_writing`; what it raises is reported and changes nothing.
fn tell(slf: &Slf<'_>, name: &Bound<'_, PyString>) -> PyResult<()> {
    let py = slf.py();
    let Some(protocol) = class::protocol(slf)? else {
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

/// Makes the transport of a writing end; `notices` says whether the end of all readers makes it readable.
///
/// # Errors
/// `RuntimeError` for a closed loop, or a descriptor that a connection or a server uses.
pub fn open(owner: &Bound<'_, Loop>, origin: Origin, notices: bool) -> PyResult<Py<PyAny>> {
    let half = Writing {
        queue: WriteQueue::new(),
        flow: Flow::new(),
        notices,
        discarded: 0,
    };
    Ok(class::open(owner, origin, half)?.into_any().unbind())
}

/// Makes the class; called when the module is made.
///
/// # Errors
/// What CPython raises for a base that cannot be derived from.
pub fn make_class(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    // Both directions, as the base of asyncio's own has it.
    let base = py
        .import("asyncio.transports")?
        .getattr("Transport")?
        .cast_into::<PyType>()?;
    let mut table = class::common_methods::<Writing>();
    table.extend([
        method(
            c"write",
            write,
            c"Writes bytes-like data; returns at once. See asyncio.WriteTransport.write.",
        ),
        method(
            c"write_eof",
            write_eof,
            c"Closes the pipe once everything queued has been written.",
        ),
        method(
            c"can_write_eof",
            can_write_eof,
            c"Whether write_eof() is supported: True.",
        ),
        method(
            c"close",
            close,
            c"Closes the pipe once everything queued has been written.",
        ),
        method(
            c"abort",
            abort,
            c"Closes the pipe at once; what is queued is thrown away.",
        ),
        method(
            c"get_write_buffer_size",
            get_write_buffer_size,
            c"Bytes waiting to be written.",
        ),
        method(
            c"get_write_buffer_limits",
            get_write_buffer_limits,
            c"The marks of flow control in bytes: (low, high).",
        ),
        method(
            c"set_write_buffer_limits",
            set_write_buffer_limits,
            c"Sets the marks of flow control in bytes. ValueError unless high >= low >= 0.",
        ),
    ]);
    let made = CLASS.make(
        c"epicycle.PipeWriteTransport",
        c"The writing end of a pipe or terminal; see asyncio.WriteTransport.",
        &base,
        table,
    )?;
    module.add("PipeWriteTransport", made)
}

fn write(slf: &Slf<'_>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let [data] = args.bind(&["data"], 1)?;
    let data = data.ok_or_else(|| args.missing("data"))?;
    if let Ok(bytes) = data.cast::<PyBytes>() {
        write_or_queue(slf, bytes.as_bytes(), |start| {
            Chunk::from_bytes(bytes, start)
        })?;
    } else if data.is_instance_of::<PyByteArray>() || data.is_instance_of::<PyMemoryView>() {
        let view = View::read(data)?;
        write_or_queue(slf, view.bytes(), |start| {
            Chunk::Owned(view.bytes()[start..].into())
        })?;
    } else {
        return Err(PyAssertionError::new_err(data.repr()?.unbind()));
    }
    Ok(slf.py().None())
}

/// Writes what the kernel takes at once, queues the rest.
fn write_or_queue(slf: &Slf<'_>, data: &[u8], rest: impl FnOnce(usize) -> Chunk) -> PyResult<()> {
    if data.is_empty() {
        return Ok(());
    }
    let py = slf.py();
    let written = slf.state.with(py, |state| {
        let half = &mut state.half;
        if half.discarded > 0 || state.phase != Phase::Open {
            let warn = half.discarded >= WRITES_BEFORE_WARNING;
            half.discarded = half.discarded.saturating_add(1);
            return Ok(Written::Discarded { warn });
        }
        let first = half.queue.is_empty();
        let mut taken = 0;
        if first {
            let core = &slf.owner.get().cell;
            taken = match core.with(py, |core| core.turn.kernel.write(state.fd, data))? {
                Ok(count) => count,
                Err(error) if errors::would_block(&error) => 0,
                Err(error) => {
                    half.discarded = 1;
                    return Ok(Written::Failed(error));
                }
            };
            core.with(py, |core| core.turn.counters.bytes_out.add(taken as u64))?;
            if taken == data.len() {
                return Ok(Written::Done);
            }
        }
        // Empty chunks are the only ones handed back, and this one has something left.
        let _ = half.queue.push(rest(taken));
        Ok::<_, PyErr>(Written::Queued {
            first,
            pause: half.flow.after_growth(half.queue.len_bytes()),
        })
    })??;
    match written {
        Written::Done | Written::Discarded { warn: false } => Ok(()),
        Written::Queued { first, pause } => {
            if first {
                class::watch(slf, Direction::Write)?;
            }
            if pause {
                tell(slf, names::pause_writing(py))
            } else {
                Ok(())
            }
        }
        Written::Discarded { warn: true } => {
            let logger = Imports::get(py)?.logger.bind(py);
            let text = "pipe closed by peer or os.write(pipe, data) raised exception.";
            logger.call_method1("warning", (text,)).map(drop)
        }
        Written::Failed(error) => ending::fail(slf, errors::os_error(py, &error), FATAL, true),
    }
}

/// No more writes; the end closes when everything queued has been written.
fn end(slf: &Slf<'_>) -> PyResult<()> {
    let drained = slf.state.with(slf.py(), |state| {
        let was_open = state.phase == Phase::Open;
        if was_open {
            state.phase = Phase::Closing;
        }
        was_open && state.half.queue.is_empty()
    })?;
    if drained {
        ending::lose(slf, None)
    } else {
        Ok(())
    }
}

fn write_eof(slf: &Slf<'_>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    end(slf)?;
    Ok(slf.py().None())
}

fn close(slf: &Slf<'_>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    end(slf)?;
    Ok(slf.py().None())
}

fn abort(slf: &Slf<'_>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    ending::lose(slf, None)?;
    Ok(slf.py().None())
}

fn can_write_eof(slf: &Slf<'_>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    Ok(PyBool::new(slf.py(), true).to_owned().into_any().unbind())
}

fn get_write_buffer_size(slf: &Slf<'_>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let size = slf
        .state
        .with(slf.py(), |state| state.half.queue.len_bytes())?;
    Ok(PyInt::new(slf.py(), size).into_any().unbind())
}

fn get_write_buffer_limits(slf: &Slf<'_>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let limits = slf.state.with(slf.py(), |state| {
        (state.half.flow.low(), state.half.flow.high())
    })?;
    Ok(limits.into_pyobject(slf.py())?.into_any().unbind())
}

fn set_write_buffer_limits(slf: &Slf<'_>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let marks = Marks::of(args)?;
    let pause = slf.state.with(py, |state| {
        marks.set(&mut state.half.flow)?;
        Ok(state.half.flow.after_growth(state.half.queue.len_bytes()))
    })?;
    let pause = pause.map_err(Marks::refused)?;
    if pause {
        tell(slf, names::pause_writing(py))?;
    }
    Ok(py.None())
}
