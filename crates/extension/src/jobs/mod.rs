//! Jobs for threads, whose results go straight to the loop.
//!
//! - `queue.rs`  what waits for a thread, and the threads that wait for work
//! - `worker.rs` one thread's part: takes jobs, runs them, hands their results over
//!
//! `concurrent.futures` makes a future with a lock and a condition for every job, chains it to asyncio's, and wakes the
//! loop and a thread for each.  Here a job is a few references in a queue.  The thread leaves the result in the loop's
//! inbox, and wakes the loop, if that is needed, when it has no interpreter lock to fight for.  What else a
//! `ThreadPoolExecutor` puts into its queue goes through unchanged.

mod queue;
mod worker;

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

pub use queue::JobQueue;
pub use worker::Worker;

use crate::event_loop::Loop;
use crate::ffi::call;
use crate::py::names;

/// A function to call in a thread, and the future that waits for its result.
pub struct Job {
    owner: Py<Loop>,
    future: Py<PyAny>,
    function: Py<PyAny>,
    arguments: Py<PyTuple>,
}

impl Job {
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.owner)?;
        visit.call(&self.future)?;
        visit.call(&self.function)?;
        visit.call(&self.arguments)
    }
}

/// A job as a `ThreadPoolExecutor` sees those that it takes back out of its queue, to cancel them.
#[pyclass(frozen, module = "epicycle._epicycle")]
pub struct Unstarted(Job);

#[pymethods]
impl Unstarted {
    /// The object to cancel the job with.
    #[getter]
    fn future(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// Has the loop cancel the future, whatever thread this is.  A loop that is closed needs nothing.
    fn cancel(&self, py: Python<'_>) -> PyResult<bool> {
        let owner = self.0.owner.bind(py);
        if !owner.get().is_closed() {
            let cancel = self.0.future.bind(py).getattr(names::cancel(py))?;
            owner.call_method1("call_soon_threadsafe", (cancel,))?;
        }
        Ok(true)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.traverse(&visit)
    }
}

/// Gives a future the result of its job, on the loop's thread.
///
/// # Errors
/// `InvalidStateError` when somebody else has given it one.
pub fn settle(future: &Bound<'_, PyAny>, result: &Py<PyAny>) -> PyResult<()> {
    let py = future.py();
    if call::method0(future, names::cancelled(py))?.is_truthy()? {
        return Ok(());
    }
    call::method1(future, names::set_result(py), result.bind(py)).map(drop)
}

/// Puts the classes into the module.
///
/// # Errors
/// `MemoryError`
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<JobQueue>()?;
    module.add_class::<Worker>()
}
