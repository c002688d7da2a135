//! The time, also where a test replaced it.
//!
//! `loop.time` is the kernel's monotonic clock in seconds.  Programs and tests may put another function in its place
//! (on the instance or in a subclass); timers then follow that one.

use epicycle_reactor::kernel::Kernel;
use epicycle_reactor::time::Nanos;
use pyo3::prelude::*;
use pyo3::types::PyFloat;

use super::Loop;
use crate::ffi::call;
use crate::ffi::fastcall::Args;
use crate::py::names;

/// `loop.time()`
pub fn time(slf: &Bound<'_, Loop>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let py = slf.py();
    let now = slf.get().kernel_now(py)?;
    Ok(PyFloat::new(py, now.as_secs_f64()).into_any().unbind())
}

/// What `loop.time()` says now, as the loop's timers count it.
///
/// # Errors
/// What a replaced `time` raises.
#[inline(always)]
pub fn now(slf: &Bound<'_, Loop>) -> PyResult<Nanos> {
    let this = slf.get();
    if this.time_replaced() {
        return Ok(Nanos::from_secs_f64(seconds(slf)?.extract()?));
    }
    this.kernel_now(slf.py())
}

/// What `loop.time()` says now, as Python sees it.
#[inline(always)]
pub fn seconds<'py>(slf: &Bound<'py, Loop>) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    if slf.get().time_replaced() {
        return call::method0(slf.as_any(), names::time(py));
    }
    Ok(PyFloat::new(py, slf.get().kernel_now(py)?.as_secs_f64()).into_any())
}

impl Loop {
    #[inline(always)]
    fn kernel_now(&self, py: Python<'_>) -> PyResult<Nanos> {
        self.cell.with(py, |core| core.turn.kernel.now())
    }
}
