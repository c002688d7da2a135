//! Freeing chains of objects without a C stack as deep as the chain is long.
//!
//! What happens: an instance that is freed drops what it holds, which may be the last reference to the next instance,
//! and so on; 200,000 handles, each the callback of the next, would need as many frames.  CPython's containers keep
//! count of how deep they are and put off what is too deep, but through functions that differ from version to version.
//! From Python 3.14 on `_Py_Dealloc` itself does so for every object that the collector may know.
//!
//! What was chosen: before 3.14 a count of our own for each thread.  An instance that is freed too deep inside others is
//! put on a list, which the outermost of them empties.  It is out of everybody's sight by then: finalised, untracked,
//! without weak references, and nothing refers to it.  Other objects between ours (a tuple, a method) are counted by
//! CPython, those that it does not count (a `staticmethod`) by ours around them.
//!
//! What it costs: a look at a thread-local word for each instance freed.

use pyo3::ffi;

/// Empties and frees an instance.
pub type Dismantle = unsafe fn(*mut ffi::PyObject);

/// From Python 3.14 on the interpreter has looked after the depth before it calls us.
///
/// # Safety
/// Those of `dismantle`.
#[cfg(Py_3_14)]
#[inline(always)]
pub unsafe fn bounded(object: *mut ffi::PyObject, dismantle: Dismantle) {
    // SAFETY: the caller's.
    unsafe { dismantle(object) }
}

#[cfg(not(Py_3_14))]
pub use counted::bounded;

#[cfg(not(Py_3_14))]
mod counted {
    use std::cell::{Cell, RefCell};

    use pyo3::ffi;

    use super::Dismantle;

    /// How many instances may be freed inside one another; CPython's containers have the same limit.
    const DEEPEST: u32 = 50;
    /// Set while the thread's list of what was put off is not empty.
    const PUT_OFF: u32 = 1 << 31;

    thread_local! {
        /// How many instances this thread is freeing, one inside the other, and the flag above.
        static DEPTH: Cell<u32> = const { Cell::new(0) };
        static LATER: RefCell<Vec<(*mut ffi::PyObject, Dismantle)>> = const { RefCell::new(Vec::new()) };
    }

    /// Dismantles the instance now, or, too deep inside others, when the outermost of them has been dismantled.
    ///
    /// # Safety
    /// Those of `dismantle`; nothing leads to the instance any more, neither references nor the collector.
    #[inline(always)]
    pub unsafe fn bounded(object: *mut ffi::PyObject, dismantle: Dismantle) {
        let depth = DEPTH.get();
        if depth & !PUT_OFF >= DEEPEST {
            put_off(object, dismantle);
            return;
        }
        DEPTH.set(depth + 1);
        // SAFETY: the caller's.
        unsafe { dismantle(object) };
        let depth = DEPTH.get() - 1;
        DEPTH.set(depth);
        if depth == PUT_OFF {
            catch_up();
        }
    }

    #[cold]
    fn put_off(object: *mut ffi::PyObject, dismantle: Dismantle) {
        DEPTH.set(DEPTH.get() | PUT_OFF);
        LATER.with_borrow_mut(|later| later.push((object, dismantle)));
    }

    /// Dismantles what was put off, and what is put off meanwhile.
    #[cold]
    fn catch_up() {
        while let Some((object, dismantle)) = LATER.with_borrow_mut(Vec::pop) {
            // Not the outermost, so that only this loop empties the list.
            DEPTH.set(PUT_OFF | 1);
            // SAFETY: as promised when it was put off; it has been taken from the list, so this is done once.
            unsafe { dismantle(object) };
        }
        DEPTH.set(0);
    }
}
