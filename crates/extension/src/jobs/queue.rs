//! What waits for a thread, and the threads that wait for work.
//!
//! Threads are woken one after another: as long as one is on its way no other is, and when it has arrived, which takes
//! the interpreter lock, it wakes the next if there is still work.  So a row of short jobs, all put in while the loop
//! holds that lock, wakes one thread or two instead of all; and when a job lets go of the lock, the next thread is there.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, Thread};

use pyo3::PyTraverseError;
use pyo3::exceptions::PyNotImplementedError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::{Job, Unstarted};
use crate::event_loop::Loop;

/// In place of the `queue.SimpleQueue` of a `ThreadPoolExecutor`.
#[pyclass(frozen, module = "epicycle._epicycle")]
#[derive(Default)]
pub struct JobQueue {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    /// Threads that wait for work; the last to come is the first to be woken.
    sleepers: Vec<Thread>,
    /// Whether a thread has been woken and has not arrived.
    coming: bool,
}

/// What is in the queue.
pub enum Item {
    Job(Job),
    /// A work item of `concurrent.futures`, or the None that means: look whether it is over.
    Other(Py<PyAny>),
}

impl JobQueue {
    /// No code of anybody's runs under the lock, and nobody waits for the interpreter under it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, item: Item) {
        let mut state = self.state();
        state.items.push_back(item);
        self.call_one(state);
    }

    /// Wakes a thread, if there is work, one that waits, and none on its way.
    fn call_one(&self, mut state: MutexGuard<'_, State>) {
        if state.coming || state.items.is_empty() {
            return;
        }
        if let Some(thread) = state.sleepers.pop() {
            state.coming = true;
            drop(state);
            // No system call if it is not asleep yet.
            thread.unpark();
        }
    }

    fn pop(&self) -> Option<Item> {
        self.state().items.pop_front()
    }

    /// Takes the oldest item, and waits until there is one.  `before_sleep` is run, without the interpreter, before that.
    pub(super) fn take(&self, py: Python<'_>, mut before_sleep: impl FnMut() + Send) -> Item {
        loop {
            let me = thread::current();
            let id = me.id();
            {
                let mut state = self.state();
                if let Some(item) = state.items.pop_front() {
                    return item;
                }
                state.sleepers.push(me);
            }
            py.detach(|| {
                before_sleep();
                // Parking may end for no reason, or for somebody else's.
                while self.state().sleepers.iter().any(|each| each.id() == id) {
                    thread::park();
                }
            });
            let mut state = self.state();
            state.coming = false;
            let item = state.items.pop_front();
            self.call_one(state);
            if let Some(item) = item {
                return item;
            }
        }
    }
}

#[pymethods]
impl JobQueue {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Puts in a work item of `concurrent.futures`, or None.
    fn put(&self, item: Py<PyAny>) {
        self.push(Item::Other(item));
    }

    /// Puts in a job: `function(*arguments)`, whose result `future`, of the loop `owner`, waits for.
    fn put_job(
        &self,
        owner: Py<Loop>,
        future: Py<PyAny>,
        function: Py<PyAny>,
        arguments: Py<PyTuple>,
    ) {
        self.push(Item::Job(Job {
            owner,
            future,
            function,
            arguments,
        }));
    }

    /// The oldest item; raises `queue.Empty` when there is none.
    fn get_nowait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.pop() {
            Some(Item::Job(job)) => Ok(Py::new(py, Unstarted(job))?.into_any()),
            Some(Item::Other(item)) => Ok(item),
            None => Err(PyErr::from_value(
                py.import("queue")?.getattr("Empty")?.call0()?,
            )),
        }
    }

    /// Not for a queue whose threads take their work natively.
    #[pyo3(signature = (block=true, timeout=None))]
    fn get(&self, block: bool, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let _ = (block, timeout);
        Err(PyNotImplementedError::new_err(
            "Worker.work() takes the items",
        ))
    }

    /// How many items wait.
    fn qsize(&self) -> usize {
        self.state().items.len()
    }

    /// Whether more items wait than threads.
    fn lacks_threads(&self) -> bool {
        let state = self.state();
        state.items.len() > state.sleepers.len() + usize::from(state.coming)
    }

    /// The jobs that wait: function and future of each, `most` at most.
    fn queued<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Bound<'py, PyList>> {
        let found: Vec<_> = self
            .state()
            .items
            .iter()
            .filter_map(|item| match item {
                Item::Job(job) => Some((job.function.clone_ref(py), job.future.clone_ref(py))),
                Item::Other(_) => None,
            })
            .take(most)
            .collect();
        PyList::new(py, found)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // A thread without the interpreter may have it for a moment; what is not shown stays alive.
        let state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(()),
        };
        state.items.iter().try_for_each(|item| match item {
            Item::Job(job) => job.traverse(&visit),
            Item::Other(item) => visit.call(item),
        })
    }

    fn __clear__(&self) {
        let items = std::mem::take(&mut self.state().items);
        drop(items);
    }
}
