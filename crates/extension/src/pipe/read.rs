//! The reading end: `PipeReadTransport`.

use std::io;

use epicycle_reactor::kernel::Kernel;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyType};

use super::class::{self, Half, Origin, Phase, PipeTransport, in_context};
use super::{PipeWork, ending};
use crate::event_loop::entry::{Entry, Watcher};
use crate::event_loop::readers::Direction;
use crate::event_loop::{Loop, report};
use crate::ffi::buffer::Chunk;
use crate::ffi::call;
use crate::ffi::class::{Class, Native, NativeRef};
use crate::ffi::fastcall::{Args, method};
use crate::py::{errors, names};
use crate::watch::connections::Facts;

/// What only the reading end has to remember.
pub struct Reading {
    paused: bool,
    watching: bool,
}

/// An `asyncio.ReadTransport`, native.
pub type PipeReadTransport = PipeTransport<Reading>;

static CLASS: Class<PipeReadTransport> = Class::unmade();

type Slf<'py> = Native<'py, PipeReadTransport>;

/// `EIO` is how a terminal says that its other end is gone.
const EIO: i32 = 5;

impl Half for Reading {
    const NAME: &'static str = "PipeReadTransport";

    fn class() -> &'static Class<PipeReadTransport> {
        &CLASS
    }

    fn watcher(transport: NativeRef<PipeReadTransport>) -> Watcher {
        Watcher::PipeRead(transport)
    }

    fn entry(transport: NativeRef<PipeReadTransport>, work: PipeWork) -> Entry {
        Entry::PipeRead(transport, work)
    }

    fn begun(slf: &Slf<'_>) -> PyResult<()> {
        if reads(slf)? {
            set_watching(slf, true)
        } else {
            Ok(())
        }
    }

    /// One read, as much as one may bring; then the next descriptor gets its turn.
    fn readable(slf: &Slf<'_>) -> PyResult<()> {
        let py = slf.py();
        // Paused or closed by a callback that ran after the kernel's report.
        let fd = slf
            .state
            .with(py, |state| state.half.watching.then_some(state.fd))?;
        let (Some(fd), Some(protocol)) = (fd, class::protocol(slf)?) else {
            return Ok(());
        };
        let received = slf.owner.get().cell.with(py, |core| {
            let count = core.turn.kernel.read(fd, &mut core.buffer)?;
            core.turn.counters.bytes_in.add(count as u64);
            Ok::<_, io::Error>((count > 0).then(|| PyBytes::new(py, &core.buffer[..count])))
        })?;
        match received {
            Ok(Some(data)) => {
                let name = names::data_received(py);
                match in_context(slf, || {
                    call::method1(&protocol, name, data.as_any()).map(drop)
                }) {
                    Ok(()) => Ok(()),
                    Err(error) => {
                        report::protocol_callback_failed(slf.owner.bind(py), error, &protocol, name)
                    }
                }
            }
            Ok(None) => {
                class::note(slf, "info", "%r was closed by peer")?;
                ending::stop(slf, None)?;
                class::push(slf, PipeWork::Eof)?;
                class::push(slf, PipeWork::End)
            }
            Err(error) if errors::would_block(&error) => Ok(()),
            Err(error) => {
                let quiet = error.raw_os_error() == Some(EIO);
                let error = errors::os_error(py, &error);
                ending::fail(slf, error, "Fatal read error on pipe transport", quiet)
            }
        }
    }

    fn writable(_slf: &Slf<'_>) -> PyResult<()> {
        Ok(())
    }

    fn stop(&mut self) -> Vec<Chunk> {
        self.watching = false;
        Vec::new()
    }

    fn tell(&self, facts: &mut Facts) {
        facts.kind = "pipe-read";
        facts.reading = !self.paused;
    }

    fn describe(&self) -> String {
        if self.watching { " polling" } else { " idle" }.to_owned()
    }
}

/// Makes the transport of a reading end.
///
/// # Errors
/// `RuntimeError` for a closed loop, or a descriptor that a connection or a server uses.
pub fn open(owner: &Bound<'_, Loop>, origin: Origin) -> PyResult<Py<PyAny>> {
    let half = Reading {
        paused: false,
        watching: false,
    };
    Ok(class::open(owner, origin, half)?.into_any().unbind())
}

fn reads(slf: &Slf<'_>) -> PyResult<bool> {
    slf.state.with(slf.py(), |state| {
        state.phase == Phase::Open && !state.half.paused
    })
}

fn set_watching(slf: &Slf<'_>, on: bool) -> PyResult<()> {
    if on {
        class::watch(slf, Direction::Read)?;
    } else {
        class::unwatch(slf, Direction::Read)?;
    }
    slf.state.with(slf.py(), |state| state.half.watching = on)
}

/// Makes the class; called when the module is made.
///
/// # Errors
/// What CPython raises for a base that cannot be derived from.
pub fn make_class(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let base = py
        .import("asyncio.transports")?
        .getattr("ReadTransport")?
        .cast_into::<PyType>()?;
    let mut table = class::common_methods::<Reading>();
    table.extend([
        method(
            c"pause_reading",
            pause_reading,
            c"Stops calling the protocol's data_received() until resume_reading().",
        ),
        method(
            c"resume_reading",
            resume_reading,
            c"Undoes pause_reading().",
        ),
        method(
            c"is_reading",
            is_reading,
            c"Whether new data reaches the protocol.",
        ),
        method(
            c"close",
            close,
            c"Closes the pipe; what has not been read is lost.",
        ),
    ]);
    let made = CLASS.make(
        c"epicycle.PipeReadTransport",
        c"The reading end of a pipe or terminal; see asyncio.ReadTransport.",
        &base,
        table,
    )?;
    module.add("PipeReadTransport", made)
}

fn pause_reading(slf: &Slf<'_>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    if reads(slf)? {
        slf.state.with(slf.py(), |state| state.half.paused = true)?;
        set_watching(slf, false)?;
        class::note(slf, "debug", "%r pauses reading")?;
    }
    Ok(slf.py().None())
}

fn resume_reading(slf: &Slf<'_>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let resumed = slf.state.with(slf.py(), |state| {
        state.phase == Phase::Open && std::mem::replace(&mut state.half.paused, false)
    })?;
    if resumed {
        set_watching(slf, true)?;
        class::note(slf, "debug", "%r resumes reading")?;
    }
    Ok(slf.py().None())
}

fn is_reading(slf: &Slf<'_>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    Ok(PyBool::new(slf.py(), reads(slf)?)
        .to_owned()
        .into_any()
        .unbind())
}

fn close(slf: &Slf<'_>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    ending::lose(slf, None)?;
    Ok(slf.py().None())
}
