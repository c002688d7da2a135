//! Instances that are awaited as coroutines are: the slots behind `await`.

use std::ptr;

use pyo3::exceptions::PyStopIteration;
use pyo3::ffi;
use pyo3::prelude::*;

use super::super::fastcall::guard;
use super::Payload;
use super::native::Native;

/// How far something that is awaited has come.
pub enum Stepped<'py> {
    /// It waits for this.
    Waits(Bound<'py, PyAny>),
    /// It is done, with this result.
    Done(Bound<'py, PyAny>),
    /// It is done, with `None`.
    DoneWithNone,
}

/// # Safety
/// Called by the interpreter on a live instance of P's class.
unsafe fn step<'py, P: Payload>(
    py: Python<'py>,
    object: &'py *mut ffi::PyObject,
) -> PyResult<Stepped<'py>> {
    match P::STEP {
        // SAFETY: as the caller says.
        Some(step) => step(unsafe { Native::from_checked(Bound::ref_from_ptr(py, object)) }),
        None => Ok(Stepped::DoneWithNone),
    }
}

/// `am_await`: like a coroutine's iterator, but without an object of its own.  And `tp_iter`, for `yield from` in a
/// coroutine made of a generator (`types.coroutine`), which asks a true coroutine for nothing and everything else for that.
pub(super) unsafe extern "C" fn itself(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: called by the interpreter on a live object.
    unsafe { ffi::Py_NewRef(object) }
}

/// `tp_iternext`: the end is NULL with `StopIteration` set, or without, which means the same for `None`.
pub(super) unsafe extern "C" fn next<P: Payload>(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    guard(|py| {
        // SAFETY: called by the interpreter on a live instance.
        match unsafe { step::<P>(py, &object) }? {
            Stepped::Waits(what) => Ok(what.into_ptr()),
            Stepped::DoneWithNone => Ok(ptr::null_mut()),
            Stepped::Done(result) => Err(PyStopIteration::new_err((result.unbind(),))),
        }
    })
}

/// `am_send`. What is sent to a coroutine that waits for a future is of no use to it.
pub(super) unsafe extern "C" fn send<P: Payload>(
    object: *mut ffi::PyObject,
    _value: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    let mut outcome = ffi::PySendResult::PYGEN_ERROR;
    let pointer = guard(|py| {
        // SAFETY: called by the interpreter on a live instance.
        match unsafe { step::<P>(py, &object) }? {
            Stepped::Waits(what) => {
                outcome = ffi::PySendResult::PYGEN_NEXT;
                Ok(what.into_ptr())
            }
            Stepped::Done(value) => {
                outcome = ffi::PySendResult::PYGEN_RETURN;
                Ok(value.into_ptr())
            }
            Stepped::DoneWithNone => {
                outcome = ffi::PySendResult::PYGEN_RETURN;
                Ok(py.None().into_ptr())
            }
        }
    });
    // SAFETY: the caller's place for the result.
    unsafe { *result = pointer };
    outcome
}
