//! One thread's part: takes jobs, runs them, hands their results over.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::queue::Item;
use super::{Job, JobQueue};
use crate::event_loop::Loop;
use crate::event_loop::entry::Entry;
use crate::ffi::call;
use crate::ffi::cutoff::Held;
use crate::py::{errors, names};

/// What a thread of a pool works with.
#[pyclass(frozen, module = "epicycle._epicycle")]
pub struct Worker {
    queue: Py<JobQueue>,
    /// Called on a loop's thread with a future and the exception of its job.
    fail: Py<PyAny>,
    /// What the thread does just now, for those who look.
    running: Mutex<Option<(Py<PyAny>, Py<PyAny>)>>,
}

/// A loop that is asleep and has a result waiting, if there is one.
#[derive(Default)]
struct Sleeper {
    owner: Option<Py<Loop>>,
    woken: bool,
}

impl Sleeper {
    fn wake(&mut self) {
        if let Some(owner) = &self.owner
            && !self.woken
        {
            self.woken = true;
            owner.get().wake_up();
        }
    }
}

impl Worker {
    /// No code of anybody's runs under the lock.
    fn running(&self) -> MutexGuard<'_, Option<(Py<PyAny>, Py<PyAny>)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, py: Python<'_>, job: Job, sleeper: &mut Sleeper) -> PyResult<()> {
        let future = job.future.bind(py);
        if call::method0(future, names::cancelled(py))?.is_truthy()? {
            return Ok(());
        }
        let told = (job.function.clone_ref(py), job.future.clone_ref(py));
        *self.running() = Some(told);
        let outcome = call::call_tuple(job.function.bind(py), job.arguments.bind(py));
        let told = self.running().take();
        drop(told);
        let Job {
            owner,
            future,
            function,
            arguments,
        } = job;
        // Before anybody hears of the result.
        drop((function, arguments));
        let result = match outcome {
            Ok(result) => result.unbind(),
            Err(error) => {
                let error = errors::into_value(py, error);
                if owner.get().is_closed() {
                    return Ok(());
                }
                let handle =
                    owner.call_method1(py, "call_soon_threadsafe", (&self.fail, future, error));
                // It may have been closed since.
                return match handle {
                    Err(_) if owner.get().is_closed() => Ok(()),
                    other => other.map(drop),
                };
            }
        };
        match owner.get().leave(Entry::Result { future, result }) {
            Ok(true) => {
                *sleeper = Sleeper {
                    owner: Some(owner),
                    woken: false,
                }
            }
            Ok(false) => {}
            // Nobody waits for it any more.
            Err(refused) => drop(refused),
        }
        Ok(())
    }
}

#[pymethods]
impl Worker {
    #[new]
    fn new(queue: Py<JobQueue>, fail: Py<PyAny>) -> Self {
        Self {
            queue,
            fail,
            running: Mutex::default(),
        }
    }

    /// Takes jobs and runs them, and waits for more, until there is something else in the queue, which is returned.
    fn work(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let _held = Held::here();
        let mut sleeper = Sleeper::default();
        loop {
            // Where there is nothing to do, the loop is woken when this thread does not stand in its way any more; else it
            // is not to wait for the next job.
            let item = self.queue.get().take(py, || sleeper.wake());
            sleeper.wake();
            drop(sleeper.owner.take());
            match item {
                Item::Job(job) => self.run(py, job, &mut sleeper)?,
                Item::Other(item) => return Ok(item),
            }
        }
    }

    /// Function and future of the job that the thread runs just now, or None.
    fn current(&self, py: Python<'_>) -> Option<(Py<PyAny>, Py<PyAny>)> {
        self.running()
            .as_ref()
            .map(|(function, future)| (function.clone_ref(py), future.clone_ref(py)))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.queue)?;
        visit.call(&self.fail)?;
        let running = match self.running.try_lock() {
            Ok(running) => running,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(()),
        };
        match &*running {
            Some((function, future)) => {
                visit.call(function)?;
                visit.call(future)
            }
            None => Ok(()),
        }
    }
}
