//! Attributes of native classes that are computed when they are asked for.

use std::ffi::{CStr, c_int, c_void};
use std::ptr;

use pyo3::exceptions::PyAttributeError;
use pyo3::ffi;
use pyo3::prelude::*;

use super::class::{Native, Payload};
use super::fastcall::guard;

/// The table entry of an attribute: `get` gives its value, or nothing where an empty slot would have none; `set` takes a
/// new value, or nothing when it is deleted.  Both are plain functions.
pub fn attribute<P, G, S>(
    name: &'static CStr,
    get: G,
    set: S,
    doc: &'static CStr,
) -> ffi::PyGetSetDef
where
    P: Payload,
    G: for<'py> Fn(&Native<'py, P>) -> PyResult<Option<Bound<'py, PyAny>>> + Copy,
    S: for<'py> Fn(&Native<'py, P>, Option<Bound<'py, PyAny>>) -> PyResult<()> + Copy,
{
    const { assert!(size_of::<G>() == 0 && size_of::<S>() == 0) };
    let _ = (get, set);
    ffi::PyGetSetDef {
        name: name.as_ptr(),
        get: Some(getter::<P, G>),
        set: Some(setter::<P, S>),
        doc: doc.as_ptr(),
        closure: name.as_ptr().cast_mut().cast(),
    }
}

/// The same for one that cannot be set.
pub fn read_only<P, G>(name: &'static CStr, get: G, doc: &'static CStr) -> ffi::PyGetSetDef
where
    P: Payload,
    G: for<'py> Fn(&Native<'py, P>) -> PyResult<Option<Bound<'py, PyAny>>> + Copy,
{
    const { assert!(size_of::<G>() == 0) };
    let _ = get;
    ffi::PyGetSetDef {
        name: name.as_ptr(),
        get: Some(getter::<P, G>),
        set: None,
        doc: doc.as_ptr(),
        closure: name.as_ptr().cast_mut().cast(),
    }
}

unsafe extern "C" fn getter<P, G>(
    object: *mut ffi::PyObject,
    name: *mut c_void,
) -> *mut ffi::PyObject
where
    P: Payload,
    G: for<'py> Fn(&Native<'py, P>) -> PyResult<Option<Bound<'py, PyAny>>> + Copy,
{
    guard(|py| {
        // SAFETY: G has no data and was there once (see `attribute`), so any dangling place holds one; the descriptor
        // checked the object's class; the closure is the attribute's name.
        let (get, slf, name) = unsafe {
            (
                ptr::NonNull::<G>::dangling().read(),
                Native::<P>::from_checked(Bound::ref_from_ptr(py, &object)),
                CStr::from_ptr(name.cast()),
            )
        };
        match get(slf)? {
            Some(value) => Ok(value.into_ptr()),
            None => Err(PyAttributeError::new_err(
                name.to_string_lossy().into_owned(),
            )),
        }
    })
}

unsafe extern "C" fn setter<P, S>(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _name: *mut c_void,
) -> c_int
where
    P: Payload,
    S: for<'py> Fn(&Native<'py, P>, Option<Bound<'py, PyAny>>) -> PyResult<()> + Copy,
{
    let outcome = guard(|py| {
        // SAFETY: as in `getter`; the caller keeps the value, which is NULL when the attribute is deleted.
        let (set, slf, value) = unsafe {
            (
                ptr::NonNull::<S>::dangling().read(),
                Native::<P>::from_checked(Bound::ref_from_ptr(py, &object)),
                Bound::from_borrowed_ptr_or_opt(py, value),
            )
        };
        set(slf, value).map(|()| py.None().into_ptr())
    });
    if outcome.is_null() {
        return -1;
    }
    // SAFETY: the reference to None that the body just made.
    super::fastcall::attached(|_| unsafe { ffi::Py_DECREF(outcome) });
    0
}
