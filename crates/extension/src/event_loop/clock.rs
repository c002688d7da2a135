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

/// Where zero seconds lie on the timers' time line: room is left before it, for who asks for a time before zero.
const ZERO: Nanos = Nanos::from_secs(1);

/// A time as `loop.time()` counts it, on the time line of the timers: never earlier, and in the same order.
///
/// Times before zero are all in the past; they only have to keep their order, which the bits of a float do.
#[inline(always)]
pub fn on_time_line(seconds: f64) -> Nanos {
    if seconds < 0.0 {
        // The larger the magnitude, the larger the bits: turned round, and cut to fit below ZERO.
        return Nanos((f64::INFINITY.to_bits() - (-seconds).to_bits()) >> 34);
    }
    ZERO.saturating_add(Nanos::from_secs_f64(seconds))
}

/// `loop.time()`
pub fn time(slf: &Bound<'_, Loop>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let py = slf.py();
    let now = slf.get().kernel_now(py)?;
    Ok(PyFloat::new(py, now.as_secs_f64()).into_any().unbind())
}

/// What `loop.time()` says now, on the timers' time line.
///
/// # Errors
/// What a replaced `time` raises.
#[inline(always)]
pub fn now(slf: &Bound<'_, Loop>) -> PyResult<Nanos> {
    let this = slf.get();
    if this.time_replaced() {
        return Ok(on_time_line(seconds(slf)?.extract()?));
    }
    Ok(ZERO.saturating_add(this.kernel_now(slf.py())?))
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
