//! Entering, leaving and copying `contextvars.Context`.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;

thread_local! {
    /// How many loops that may be nested run in this thread.
    static NESTING: Cell<u32> = const { Cell::new(0) };
}

/// While one of these lives, running something inside a context that is entered already is no error in this thread.
pub struct Nesting(());

impl Nesting {
    pub fn new() -> Self {
        NESTING.set(NESTING.get() + 1);
        Self(())
    }

    /// Whether a callback may have the loop of this thread run from within it.
    pub fn is_allowed() -> bool {
        NESTING.get() > 0
    }
}

impl Drop for Nesting {
    fn drop(&mut self) {
        NESTING.set(NESTING.get() - 1);
    }
}

/// `contextvars.copy_context()`
#[inline(always)]
pub fn copy_current(py: Python<'_>) -> PyResult<Py<PyAny>> {
    // SAFETY: attached; a new reference, or NULL with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) }.map(Bound::unbind)
}

/// `context.copy()`
#[inline(always)]
pub fn copy(py: Python<'_>, context: &Py<PyAny>) -> PyResult<Py<PyAny>> {
    // SAFETY: attached; CPython checks the type; a new reference, or NULL with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_Copy(context.as_ptr())) }
        .map(Bound::unbind)
}

/// A context that is entered, until this is dropped.
pub struct Entered(Py<PyAny>);

impl Entered {
    /// # Errors
    /// `RuntimeError` when the context is entered already; `TypeError` when it is no context.
    #[inline(always)]
    pub fn enter(py: Python<'_>, context: Py<PyAny>) -> PyResult<Self> {
        // SAFETY: attached; CPython checks the type and that the context is not entered already.
        if unsafe { ffi::PyContext_Enter(context.as_ptr()) } < 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(Self(context))
    }

    #[inline(always)]
    pub fn context(&self) -> &Py<PyAny> {
        &self.0
    }

    /// Leaves it.
    ///
    /// # Errors
    /// `RuntimeError` when another context was entered since and not left.
    #[inline(always)]
    pub fn leave(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: the reference is moved out of a value that is not dropped.
        let context = unsafe { std::ptr::read(&raw const this.0) };
        // SAFETY: attached; entered in `enter` by this thread; no exception is set.
        if unsafe { ffi::PyContext_Exit(context.as_ptr()) } < 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(context)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // Only reached on the way out of a failure, which says more than a failure to leave could.
        // SAFETY: lives on the stack of a function that CPython called, so attached; entered in `enter`.
        unsafe {
            if ffi::PyContext_Exit(self.0.as_ptr()) < 0 {
                ffi::PyErr_Clear();
            }
        }
    }
}

/// Runs `body` inside `context`, as `context.run(body)` would.
///
/// # Errors
/// What `body` returns; `RuntimeError` when the context is already entered, unless loops are nested; `AttributeError`
/// when it is no context.
#[inline(always)]
pub fn run<R>(
    py: Python<'_>,
    context: &Py<PyAny>,
    body: impl FnOnce() -> PyResult<R>,
) -> PyResult<R> {
    struct Exit<'a>(&'a Py<PyAny>, bool);
    impl Drop for Exit<'_> {
        fn drop(&mut self) {
            if self.1 {
                // Only reached when `body` panicked; the panic is about to become an exception.
                // SAFETY: attached, and this context was entered and not yet left.
                unsafe { ffi::PyContext_Exit(self.0.as_ptr()) };
            }
        }
    }
    // SAFETY: attached; CPython checks the type and that the context is not entered already.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } < 0 {
        return run_entered(py, context, PyErr::fetch(py), body);
    }
    let mut exit = Exit(context, true);
    let outcome = body();
    exit.1 = false;
    // SAFETY: attached; entered above by this thread; no exception is set, `outcome` holds it.
    if unsafe { ffi::PyContext_Exit(context.as_ptr()) } < 0 {
        let failure = PyErr::fetch(py);
        return outcome.and(Err(failure));
    }
    outcome
}

/// The context was refused.  With nested loops an outer frame may be inside of it, and what belongs there runs all the
/// same: as it is where that context is the current one, else in one that stands in for it.
#[cold]
fn run_entered<R>(
    py: Python<'_>,
    context: &Py<PyAny>,
    refusal: PyErr,
    body: impl FnOnce() -> PyResult<R>,
) -> PyResult<R> {
    // What is no context has no `run`, and Python says so in its own way.
    context.bind(py).getattr(intern!(py, "run"))?;
    if !Nesting::is_allowed() || !refusal.is_instance_of::<PyRuntimeError>(py) {
        return Err(refusal);
    }
    let other = py
        .import(intern!(py, "epicycle.loop._nesting"))?
        .call_method1(intern!(py, "stand_in"), (context,))?;
    if other.is_none() {
        body()
    } else {
        run(py, &other.unbind(), body)
    }
}

/// Where a context keeps its variables, as a byte offset; 0 while that is not known.
static VARIABLES: AtomicUsize = AtomicUsize::new(0);

/// Whether two contexts can be compared: see [`same_variables`].
#[inline(always)]
pub fn comparable() -> bool {
    VARIABLES.load(Ordering::Relaxed) != 0
}

/// Whether two contexts hold the very same variables: neither was changed since one was copied from the other.
///
/// A context's variables are an immutable mapping, replaced whole by every `ContextVar.set()`.  CPython has no function
/// that compares them without looking at each; so the place of the pointer is found out by [`learn_variables`].  False
/// where that did not succeed.
#[inline(always)]
pub fn same_variables(one: &Py<PyAny>, other: &Py<PyAny>) -> bool {
    let offset = VARIABLES.load(Ordering::Relaxed);
    // SAFETY: both are contexts that somebody holds, and the offset lies inside every context.
    offset != 0 && unsafe { word(one, offset) == word(other, offset) }
}

/// # Safety
/// `offset` is a multiple of the word size, and a word at that offset lies inside the object.
#[inline(always)]
unsafe fn word(object: &Py<PyAny>, offset: usize) -> usize {
    // SAFETY: as above.
    unsafe {
        object
            .as_ptr()
            .cast::<u8>()
            .add(offset)
            .cast::<usize>()
            .read()
    }
}

/// Finds out where a context keeps its variables, by looking which word of three contexts is as it must be: the same in
/// two with the same variables, another one after a variable was set.  If not exactly one is, nothing is learnt, and
/// contexts are not compared.
///
/// # Errors
/// What CPython raises when it has no memory.
pub fn learn_variables(py: Python<'_>) -> PyResult<()> {
    if cfg!(Py_GIL_DISABLED) {
        // Another thread could change a context between the comparison and what follows from it.
        return Ok(());
    }
    let base = copy_current(py)?;
    let changed = copy(py, &base)?;
    let variable = py
        .import("contextvars")?
        .getattr("ContextVar")?
        .call1(("epicycle",))?;
    run(py, &changed, || variable.call_method1("set", (py.None(),)))?;
    let again = copy(py, &changed)?;
    let class = changed.bind(py).get_type();
    // SAFETY: reads a field of a live type object.
    let size = unsafe { (*class.as_type_ptr()).tp_basicsize } as usize;
    let step = size_of::<usize>();
    let fits = |offset: &usize| {
        // SAFETY: multiples of the word size between the object's head and its end.
        let [base, changed, again] =
            [&base, &changed, &again].map(|context| unsafe { word(context, *offset) });
        changed == again && changed != base && changed != 0
    };
    let found: Vec<usize> = (size_of::<ffi::PyObject>()..=size - step)
        .step_by(step)
        .filter(fits)
        .collect();
    if let [offset] = found[..] {
        VARIABLES.store(offset, Ordering::Relaxed);
    }
    Ok(())
}
