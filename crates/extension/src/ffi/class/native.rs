//! Instances of native classes: borrowed with the interpreter attached, or kept without.

use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr;

use pyo3::PyTraverseError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::Payload;

/// A live instance of P's class.
#[repr(transparent)]
pub struct Native<'py, P> {
    pub(super) object: Bound<'py, PyAny>,
    pub(super) of: PhantomData<fn() -> P>,
}

impl<P> Clone for Native<'_, P> {
    fn clone(&self) -> Self {
        Self {
            object: self.object.clone(),
            of: PhantomData,
        }
    }
}

impl<'py, P: Payload> Native<'py, P> {
    /// The object as an instance of P's class, if it is one.
    #[inline(always)]
    pub fn cast<'a>(object: &'a Bound<'py, PyAny>) -> Option<&'a Self> {
        // SAFETY: the type was compared.
        P::class()
            .is_type_of(object)
            .then(|| unsafe { Self::from_checked(object) })
    }

    /// # Safety
    /// The object is an instance of P's class.
    #[inline(always)]
    pub(in crate::ffi) unsafe fn from_checked<'a>(object: &'a Bound<'py, PyAny>) -> &'a Self {
        // SAFETY: `Native` is a transparent wrapper of `Bound`.
        unsafe { &*ptr::from_ref(object).cast::<Self>() }
    }

    #[inline(always)]
    pub fn py(&self) -> Python<'py> {
        self.object.py()
    }

    #[inline(always)]
    pub fn as_ptr(&self) -> *mut ffi::PyObject {
        self.object.as_ptr()
    }

    #[inline(always)]
    pub fn as_any(&self) -> &Bound<'py, PyAny> {
        &self.object
    }

    #[inline(always)]
    pub fn into_any(self) -> Bound<'py, PyAny> {
        self.object
    }

    /// A reference to keep.
    #[inline(always)]
    pub fn unbind(self) -> NativeRef<P> {
        NativeRef {
            object: self.object.unbind(),
            of: PhantomData,
        }
    }
}

impl<P: Payload> Deref for Native<'_, P> {
    type Target = P;

    #[inline(always)]
    fn deref(&self) -> &P {
        // SAFETY: an instance of P's class, whose payload was written when it was made and stays until it is freed.
        unsafe { &(*P::class().body(self.as_ptr())).payload }
    }
}

/// A reference to an instance of P's class, kept without a `Python` token.
pub struct NativeRef<P> {
    object: Py<PyAny>,
    of: PhantomData<fn() -> P>,
}

impl<P: Payload> NativeRef<P> {
    #[inline(always)]
    pub fn bind<'a, 'py>(&'a self, py: Python<'py>) -> &'a Native<'py, P> {
        // SAFETY: made from a `Native`.
        unsafe { Native::from_checked(self.object.bind(py)) }
    }

    #[inline(always)]
    pub fn into_bound(self, py: Python<'_>) -> Native<'_, P> {
        Native {
            object: self.object.into_bound(py),
            of: PhantomData,
        }
    }

    #[inline(always)]
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            object: self.object.clone_ref(py),
            of: PhantomData,
        }
    }

    pub fn as_py(&self) -> &Py<PyAny> {
        &self.object
    }

    /// Gives up a reference to an instance that was hidden from the garbage collector.
    ///
    /// Most such instances are owned by one queue alone and die with this reference: for them the collector would
    /// have worked in vain.  One that somebody else holds is shown to it now.
    #[inline(always)]
    pub fn release(self, _py: Python<'_>) {
        let object = self.object.as_ptr();
        // SAFETY: attached, and the reference is still ours.
        unsafe {
            if ffi::Py_REFCNT(object) > 1 && ffi::PyObject_GC_IsTracked(object) == 0 {
                ffi::PyObject_GC_Track(object.cast());
            }
        }
    }

    /// Shows the instance to the garbage collector, on behalf of the one queue that owns it.
    ///
    /// If it is hidden and nobody else holds it, then what it holds is the queue's; if it is hidden and somebody else
    /// holds it, nothing is shown, and what hangs on it stays alive.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let object = self.object.as_ptr();
        // SAFETY: the collector runs; the object is alive; slots hold NULL or a reference, and a `Py` is a pointer.
        unsafe {
            if ffi::PyObject_GC_IsTracked(object) != 0 {
                return visit.call(&self.object);
            }
            if ffi::Py_REFCNT(object) == 1 {
                let mut outcome = Ok(());
                let mut show = |pointer: *mut ffi::PyObject| {
                    if outcome.is_ok() && !pointer.is_null() {
                        outcome = visit.call(&*(&raw const pointer).cast::<Py<PyAny>>());
                    }
                };
                for offset in P::class().slots() {
                    show(*object.cast::<u8>().offset(*offset).cast());
                }
                if size_of::<P>() != 0 {
                    for place in (*P::class().body(object)).payload.places() {
                        show(place.pointer());
                    }
                }
                return outcome;
            }
        }
        Ok(())
    }
}
