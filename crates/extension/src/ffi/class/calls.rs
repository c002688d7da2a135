//! What the interpreter calls: the garbage collector's visits, finalising, freeing, `repr()`.

use std::ffi::{c_int, c_void};
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;

use super::super::fastcall::{attached, guard};
use super::super::nesting;
use super::Payload;
use super::native::Native;

/// The garbage collector's question which objects an object owns.
pub struct Visitor {
    visit: ffi::visitproc,
    argument: *mut c_void,
    outcome: c_int,
}

impl Visitor {
    pub fn object<T>(&mut self, object: &Py<T>) {
        if self.outcome == 0 {
            // SAFETY: the collector's own function and argument; the object is alive, its owner shows it.
            self.outcome = unsafe { (self.visit)(object.as_ptr(), self.argument) };
        }
    }

    /// An object, or NULL.
    pub(in crate::ffi) fn pointer(&mut self, object: *mut ffi::PyObject) {
        if self.outcome == 0 && !object.is_null() {
            // SAFETY: as above.
            self.outcome = unsafe { (self.visit)(object, self.argument) };
        }
    }

    pub fn option<T>(&mut self, object: Option<&Py<T>>) {
        if let Some(object) = object {
            self.object(object);
        }
    }
}

pub(super) unsafe extern "C" fn traverse<P: Payload>(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut c_void,
) -> c_int {
    let class = P::class();
    let mut visitor = Visitor {
        visit,
        argument,
        outcome: 0,
    };
    // SAFETY: called by the collector on a live instance.  A heap type is owned by its instances.  Slots hold NULL or
    // an object.  Payloads only show what they own and take no references.
    unsafe {
        let mut show = |pointer: *mut ffi::PyObject| {
            if visitor.outcome == 0 && !pointer.is_null() {
                visitor.outcome = (visitor.visit)(pointer, visitor.argument);
            }
        };
        show(ffi::Py_TYPE(object).cast());
        for offset in class.slots() {
            show(
                *object
                    .cast::<u8>()
                    .offset(*offset)
                    .cast::<*mut ffi::PyObject>(),
            );
        }
        if P::ATTRIBUTES {
            show((*class.body(object)).dict);
        }
        if size_of::<P>() != 0 {
            (*class.body(object)).payload.traverse(&mut visitor);
        }
    }
    visitor.outcome
}

/// # Safety
/// A live instance of P's class.
unsafe fn clear_slots<P: Payload>(object: *mut ffi::PyObject) {
    let class = P::class();
    // SAFETY: each slot owns its reference and is emptied before the reference is given back.
    unsafe {
        let take = |place: *mut *mut ffi::PyObject| {
            let old = ptr::replace(place, ptr::null_mut());
            ffi::Py_XDECREF(old);
        };
        for offset in class.slots() {
            take(object.cast::<u8>().offset(*offset).cast());
        }
        if P::ATTRIBUTES {
            take(&raw mut (*class.body(object)).dict);
        }
    }
}

pub(super) unsafe extern "C" fn clear<P: Payload>(object: *mut ffi::PyObject) -> c_int {
    attached(|py| {
        // SAFETY: called by the collector on a live instance.
        unsafe {
            if size_of::<P>() != 0 {
                (*P::class().body(object)).payload.clear(py);
            }
            clear_slots::<P>(object);
        }
    });
    0
}

pub(super) unsafe extern "C" fn finalize<P: Payload>(object: *mut ffi::PyObject) {
    let Some(finalize) = P::FINALIZE else { return };
    attached(|py| {
        // An exception that is on its way must survive the finaliser.
        let pending = PyErr::take(py);
        // SAFETY: called on a live instance, at most once.
        finalize(unsafe { Native::from_checked(Bound::ref_from_ptr(py, &object)) });
        if let Some(error) = pending {
            error.restore(py);
        }
    });
}

pub(super) unsafe extern "C" fn dealloc<P: Payload>(object: *mut ffi::PyObject) {
    // SAFETY: the object's last reference is gone: it is finalised (which may revive it), taken from the collector, and
    // loses its weak references.  Then nothing leads to it any more.
    attached(|_| unsafe {
        if P::FINALIZE.is_some()
            && !(*P::class().body(object)).payload.is_over()
            && ffi::PyObject_CallFinalizerFromDealloc(object) < 0
        {
            return;
        }
        ffi::PyObject_GC_UnTrack(object.cast());
        if (*ffi::Py_TYPE(object)).tp_weaklistoffset != 0 {
            ffi::PyObject_ClearWeakRefs(object);
        }
        nesting::bounded(object, dismantle::<P>);
    });
}

/// The end of `dealloc`: empties the instance and frees it.
///
/// # Safety
/// Attached; an instance of P's class that nothing leads to any more.
unsafe fn dismantle<P: Payload>(object: *mut ffi::PyObject) {
    // SAFETY: the object is ours alone: it is emptied, freed by its type's own function, and gives back its reference to
    // the type.
    unsafe {
        let class = ffi::Py_TYPE(object);
        if size_of::<P>() != 0 {
            ptr::drop_in_place(&raw mut (*P::class().body(object)).payload);
        }
        clear_slots::<P>(object);
        if !P::class().keep(object)
            && let Some(free) = (*class).tp_free
        {
            free(object.cast());
        }
        ffi::Py_DECREF(class.cast());
    }
}

pub(super) unsafe extern "C" fn repr<P: Payload>(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    guard(|py| {
        // SAFETY: called on a live instance.
        let slf = unsafe { Native::<P>::from_checked(Bound::ref_from_ptr(py, &object)) };
        match P::REPR {
            Some(text) => text(slf).map(Py::into_ptr),
            None => Ok(slf.as_any().as_any().repr()?.into_any().into_ptr()),
        }
    })
}
