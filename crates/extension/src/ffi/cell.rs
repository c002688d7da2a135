//! State of a loop, shared by everything that holds a reference to it.
//!
//! Whoever has a `Python` token may enter; a second entry while the first is still inside is an error, not a wait.
//! The first can only be interrupted when the code inside runs Python (a `__del__`, say), which it must not do:
//! take objects out of the cell and drop them afterwards.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// A value guarded by the interpreter lock and by a flag against re-entrance.
pub struct LoopCell<T> {
    busy: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is only reached through `enter`, which admits one visitor at a time: on builds with a GIL because
// every visitor holds it and `busy` refuses nesting, on free-threaded builds because `busy` is taken atomically.
unsafe impl<T: Send> Sync for LoopCell<T> {}

struct Leave<'a>(&'a AtomicBool);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl<T> LoopCell<T> {
    pub fn new(value: T) -> Self {
        Self {
            busy: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    #[inline(always)]
    fn enter(&self) -> Option<Leave<'_>> {
        // With a GIL a plain load and store suffice; the locked instruction would be paid on every callback.
        #[cfg(not(Py_GIL_DISABLED))]
        {
            if self.busy.load(Ordering::Relaxed) {
                return None;
            }
            self.busy.store(true, Ordering::Relaxed);
        }
        #[cfg(Py_GIL_DISABLED)]
        if self.busy.swap(true, Ordering::Acquire) {
            return None;
        }
        Some(Leave(&self.busy))
    }

    /// Runs `visit` on the value.  `visit` must not run Python code, not even by dropping an object.
    ///
    /// # Errors
    /// `RuntimeError` when the value is in use: a finaliser called back into the loop, or (free-threaded builds)
    /// another thread is inside.
    #[inline(always)]
    pub fn with<R>(&self, _py: Python<'_>, visit: impl FnOnce(&mut T) -> R) -> PyResult<R> {
        match self.enter() {
            // SAFETY: `enter` handed out the only pass; it is returned when `_leave` drops, after `visit`.
            Some(_leave) => Ok(visit(unsafe { &mut *self.value.get() })),
            None => Err(in_use()),
        }
    }

    /// Like `with`, for the garbage collector and for destructors: `None` when the value is in use.
    pub fn peek<R>(&self, visit: impl FnOnce(&mut T) -> R) -> Option<R> {
        let _leave = self.enter()?;
        // SAFETY: as in `with`; the collector and destructors run with the interpreter attached.
        Some(visit(unsafe { &mut *self.value.get() }))
    }
}

#[cold]
fn in_use() -> PyErr {
    PyRuntimeError::new_err(
        "the event loop's state is in use: it was entered from a finaliser or from another thread",
    )
}
