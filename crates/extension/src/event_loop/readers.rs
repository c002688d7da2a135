//! add_reader, add_writer and their removal.

use epicycle_reactor::interest::Interest;
use epicycle_reactor::kernel::Kernel;
use pyo3::exceptions::{PyOverflowError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyInt;

use super::Loop;
use super::core::Core;
use super::entry::{Source, Watcher};
use crate::ffi::fastcall::Args;
use crate::handle::kinds::new_handle;
use crate::handle::slots::Work;
use crate::py::{errors, names};

/// One of the two directions of a descriptor.
#[derive(Clone, Copy)]
pub enum Direction {
    Read,
    Write,
}

impl Direction {
    fn interest(self) -> Interest {
        match self {
            Self::Read => Interest::READ,
            Self::Write => Interest::WRITE,
        }
    }

    fn place(self, source: &mut Source) -> Option<&mut Option<Watcher>> {
        match (self, source) {
            (Self::Read, Source::Shared { reader, .. }) => Some(reader),
            (Self::Write, Source::Shared { writer, .. }) => Some(writer),
            _ => None,
        }
    }
}

/// Puts a watcher in its direction's place; hands back who was there.  The descriptor belongs to no stream or server.
///
/// # Errors
/// The kernel refuses, for instance with `EPERM` for a regular file; the watcher is then handed back beside the error,
/// to be dropped outside the cell.
pub fn watch(
    core: &mut Core,
    fd: i32,
    direction: Direction,
    watcher: Watcher,
) -> Result<Option<Watcher>, (std::io::Error, Source)> {
    let turn = &mut core.turn;
    let alone = |watcher| match direction {
        Direction::Read => Source::Shared {
            reader: Some(watcher),
            writer: None,
        },
        Direction::Write => Source::Shared {
            reader: None,
            writer: Some(watcher),
        },
    };
    let Some(token) = turn.registry.token_of(fd) else {
        let mut interest = direction.interest();
        // Whoever has received once will wait again, most likely. Others are told as long as they listen.
        if matches!(
            (&watcher, direction),
            (Watcher::Attempt(_), Direction::Read)
        ) {
            interest = interest.with(Interest::ONCE);
        }
        return turn.try_watch(fd, alone(watcher), interest).map(|_| None);
    };
    let before = turn.registry.interest(token).unwrap_or(Interest::NONE);
    let interest = before.without(Interest::ONCE).with(direction.interest());
    // Said again even if nothing changes: the number may belong to a new file by now.
    if let Err(error) = turn.kernel.modify(fd, token, interest) {
        return Err((error, alone(watcher)));
    }
    turn.registry.set_interest(token, interest);
    match turn
        .registry
        .get_mut(token)
        .and_then(|source| direction.place(source))
    {
        Some(place) => Ok(place.replace(watcher)),
        None => Ok(Some(watcher)),
    }
}

/// Takes a watcher out of its direction's place, if it is one that `wanted` says yes to. `reported` when that is because the
/// kernel has reported the descriptor.
pub fn unwatch(
    core: &mut Core,
    fd: i32,
    direction: Direction,
    reported: bool,
    wanted: impl FnOnce(&Watcher) -> bool,
) -> Option<Watcher> {
    let turn = &mut core.turn;
    let token = turn.registry.token_of(fd)?;
    let place = turn
        .registry
        .get_mut(token)
        .and_then(|source| direction.place(source))?;
    let watcher = place.take_if(|watcher| wanted(watcher))?;
    let before = turn.registry.interest(token).unwrap_or(Interest::NONE);
    let interest = before.without(direction.interest().with(Interest::ONCE));
    if interest.is_empty() {
        if reported && before.is_once() {
            turn.rest(token);
        } else {
            turn.unwatch(token);
        }
    } else {
        // The descriptor may be gone already; there is nothing left to ask of it then.
        let _ = turn.set_interest(token, interest);
    }
    Some(watcher)
}

/// `loop.add_reader(fd, callback, *args)`
pub fn add_reader(slf: &Bound<'_, Loop>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    add(slf, args, Direction::Read).map(|_| args.py().None())
}

/// `loop.add_writer(fd, callback, *args)`
pub fn add_writer(slf: &Bound<'_, Loop>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    add(slf, args, Direction::Write).map(|_| args.py().None())
}

/// `add_reader` that returns the handle, for the loop's own coroutines.
pub fn add_reader_handle(slf: &Bound<'_, Loop>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    add(slf, args, Direction::Read)
}

/// `add_writer` that returns the handle, for the loop's own coroutines.
pub fn add_writer_handle(slf: &Bound<'_, Loop>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    add(slf, args, Direction::Write)
}

/// `loop.remove_reader(fd)`
pub fn remove_reader(slf: &Bound<'_, Loop>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    remove(slf, args, Direction::Read)
}

/// `loop.remove_writer(fd)`
pub fn remove_writer(slf: &Bound<'_, Loop>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    remove(slf, args, Direction::Write)
}

fn add(slf: &Bound<'_, Loop>, args: &Args<'_, '_>, direction: Direction) -> PyResult<Py<PyAny>> {
    let this = slf.get();
    let py = args.py();
    let file = args.parameter(0, "fd")?;
    let callback = args.parameter(1, "callback")?;
    for (name, _) in args.keywords() {
        args.check_keyword(&name, &["fd", "callback"])?;
    }
    let fd = descriptor_for_callbacks(slf, file)?;
    this.check_open()?;
    let work = Work::of(callback, args.rest(2))?;
    let handle = new_handle(slf, work)?.unbind();
    replace(slf, fd, direction, Watcher::Callback(handle.clone_ref(py)))?;
    Ok(handle.as_py().clone_ref(py))
}

/// Puts a watcher in its direction's place; who was there is called off.
///
/// # Errors
/// `OSError` when the kernel refuses the descriptor.
pub fn replace(
    slf: &Bound<'_, Loop>,
    fd: i32,
    direction: Direction,
    watcher: Watcher,
) -> PyResult<()> {
    let py = slf.py();
    let outcome = slf
        .get()
        .cell
        .with(py, |core| watch(core, fd, direction, watcher))?;
    match outcome {
        Ok(replaced) => cancel(py, replaced),
        Err((error, _source)) => Err(errors::os_error(py, &error)),
    }
}

fn remove(slf: &Bound<'_, Loop>, args: &Args<'_, '_>, direction: Direction) -> PyResult<Py<PyAny>> {
    let py = args.py();
    let [file] = args.bind(&["fd"], 1)?;
    let file = file.ok_or_else(|| args.missing("fd"))?;
    let removed = match descriptor_for_callbacks(slf, file) {
        Ok(fd) => slf.get().forget_callback(py, fd, direction)?,
        // No descriptor has such a number.
        Err(error) if error.is_instance_of::<PyOverflowError>(py) => false,
        Err(error) => return Err(error),
    };
    Ok(pyo3::types::PyBool::new(py, removed)
        .to_owned()
        .into_any()
        .unbind())
}

/// Nobody calls back who was taken out of a place.
///
/// # Errors
/// What `Handle.cancel` raises.
pub fn cancel(py: Python<'_>, watcher: Option<Watcher>) -> PyResult<()> {
    match watcher {
        Some(Watcher::Callback(handle)) => handle.as_py().bind(py).call_method0("cancel").map(drop),
        Some(Watcher::Attempt(_) | Watcher::PipeRead(_) | Watcher::PipeWrite(_)) | None => Ok(()),
    }
}

impl Loop {
    fn forget_callback(&self, py: Python<'_>, fd: i32, direction: Direction) -> PyResult<bool> {
        if self.is_closed() {
            // A closed loop watches nothing; one that belongs to the parent process is not ours to ask.
            return self.check_not_forked().map(|()| false);
        }
        let removed = self
            .cell
            .with(py, |core| unwatch(core, fd, direction, false, |_| true))?;
        let found = removed.is_some();
        cancel(py, removed).map(|()| found)
    }
}

/// The descriptor behind `file`: an `int`, or an object with `fileno()`.
///
/// # Errors
/// `ValueError`, worded as `selectors` words it; `OverflowError` for a number that is too large for a descriptor.
pub fn descriptor(file: &Bound<'_, PyAny>) -> PyResult<i32> {
    let number: Option<i64> = match file.cast::<PyInt>() {
        Ok(number) => match number.extract::<i32>() {
            Ok(number) => Some(i64::from(number)),
            // Larger than any descriptor: an OverflowError; lower, the error below.
            Err(error) if number.gt(0)? => return Err(error),
            Err(_) => Some(-1),
        },
        Err(_) => file
            .call_method0(names::fileno(file.py()))
            .and_then(|number| number.extract())
            .ok(),
    };
    match number {
        None => Err(PyValueError::new_err(format!(
            "Invalid file object: {}",
            file.repr()?
        ))),
        Some(number) => i32::try_from(number)
            .ok()
            .filter(|number| *number >= 0)
            .ok_or_else(|| PyValueError::new_err(format!("Invalid file descriptor: {number}"))),
    }
}

/// The same, refused when a transport owns it.
pub fn descriptor_for_callbacks(slf: &Bound<'_, Loop>, file: &Bound<'_, PyAny>) -> PyResult<i32> {
    let fd = descriptor(file)?;
    ensure_not_used(slf, fd, file)?;
    Ok(fd)
}

/// Refuses a descriptor that a transport or a server owns.
///
/// # Errors
/// `RuntimeError` that names the owner.
pub fn ensure_not_used(slf: &Bound<'_, Loop>, fd: i32, file: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = slf.py();
    let owner = slf.get().cell.with(py, |core| {
        let registry = &core.turn.registry;
        match registry.get(registry.token_of(fd)?)? {
            Source::Stream(transport) => Some(("transport", transport.as_py().clone_ref(py))),
            Source::Datagram(transport) => Some(("transport", transport.as_py().clone_ref(py))),
            Source::Listener(listener) => {
                Some(("server socket", listener.clone_ref(py).into_any()))
            }
            Source::Shared { .. } | Source::Bell => None,
        }
    })?;
    match owner {
        None => Ok(()),
        Some((kind, owner)) => Err(PyRuntimeError::new_err(format!(
            "File descriptor {} is used by {kind} {}",
            file.repr()?,
            owner.bind(py).repr()?
        ))),
    }
}
