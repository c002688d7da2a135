//! Calling Python objects without building an argument tuple.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::class::Stepped;

#[inline(always)]
fn result<'py>(py: Python<'py>, pointer: *mut ffi::PyObject) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the pointer is what a CPython call returned: a new reference, or NULL with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, pointer) }
}

/// `callable()`
#[inline(always)]
pub fn call0<'py>(py: Python<'py>, callable: &Py<PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: attached; `callable` is alive for the call.
    result(py, unsafe { ffi::PyObject_CallNoArgs(callable.as_ptr()) })
}

/// `callable(argument)`
#[inline(always)]
pub fn call1<'py>(
    py: Python<'py>,
    callable: &Py<PyAny>,
    argument: &Py<PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let arguments = [std::ptr::null_mut(), argument.as_ptr()];
    // SAFETY: attached; one argument follows a scratch word that the callee may use (PY_VECTORCALL_ARGUMENTS_OFFSET).
    result(py, unsafe {
        ffi::PyObject_Vectorcall(
            callable.as_ptr(),
            arguments.as_ptr().add(1),
            1 | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET,
            std::ptr::null_mut(),
        )
    })
}

/// `callable(*arguments)`
#[inline(always)]
pub fn call_tuple<'py>(
    callable: &Bound<'py, PyAny>,
    arguments: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: attached; the tuple keeps its items alive for the call, and has exactly `len` of them.
    result(callable.py(), unsafe {
        let length = ffi::PyTuple_GET_SIZE(arguments.as_ptr());
        if length == 0 {
            ffi::PyObject_CallNoArgs(callable.as_ptr())
        } else {
            ffi::PyObject_Vectorcall(
                callable.as_ptr(),
                (*arguments.as_ptr().cast::<ffi::PyTupleObject>())
                    .ob_item
                    .as_ptr(),
                length as usize,
                std::ptr::null_mut(),
            )
        }
    })
}

/// `object.name()`
#[inline(always)]
pub fn method0<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    let arguments = [object.as_ptr()];
    // SAFETY: attached; the array holds the receiver alone.
    result(object.py(), unsafe {
        ffi::PyObject_VectorcallMethod(
            name.as_ptr(),
            arguments.as_ptr(),
            1 | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET,
            std::ptr::null_mut(),
        )
    })
}

/// `object.name(argument)`
#[inline(always)]
pub fn method1<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
    argument: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let arguments = [std::ptr::null_mut(), object.as_ptr(), argument.as_ptr()];
    // SAFETY: attached; receiver and argument follow a scratch word.
    result(object.py(), unsafe {
        ffi::PyObject_VectorcallMethod(
            name.as_ptr(),
            arguments.as_ptr().add(1),
            2 | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET,
            std::ptr::null_mut(),
        )
    })
}

/// `object.name(first, second)`
#[inline(always)]
pub fn method2<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
    first: &Bound<'py, PyAny>,
    second: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let arguments = [
        std::ptr::null_mut(),
        object.as_ptr(),
        first.as_ptr(),
        second.as_ptr(),
    ];
    // SAFETY: attached; receiver and two arguments follow a scratch word.
    result(object.py(), unsafe {
        ffi::PyObject_VectorcallMethod(
            name.as_ptr(),
            arguments.as_ptr().add(1),
            3 | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET,
            std::ptr::null_mut(),
        )
    })
}

/// `iterator.send(None)`
#[inline(always)]
pub fn send_none<'py>(iterator: &Bound<'py, PyAny>) -> PyResult<Stepped<'py>> {
    let py = iterator.py();
    let mut pointer = std::ptr::null_mut();
    // SAFETY: attached; both objects are alive for the call.
    let outcome = unsafe { ffi::PyIter_Send(iterator.as_ptr(), ffi::Py_None(), &raw mut pointer) };
    let value = result(py, pointer)?;
    Ok(match outcome {
        ffi::PySendResult::PYGEN_NEXT => Stepped::Waits(value),
        _ => Stepped::Done(value),
    })
}

/// `callable(*positional, **keywords)`, the keywords' names being the trailing values' (`names` is a tuple of `str`).
pub fn call_keywords<'py>(
    callable: &Bound<'py, PyAny>,
    values: &[&Bound<'py, PyAny>],
    names: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    use pyo3::types::PyTupleMethods;
    let named = names.len();
    debug_assert!(named <= values.len());
    let mut pointers = [std::ptr::null_mut(); 9];
    if values.len() >= pointers.len() {
        return Err(pyo3::exceptions::PySystemError::new_err(
            "too many arguments for a native call",
        ));
    }
    for (slot, value) in pointers[1..].iter_mut().zip(values) {
        *slot = value.as_ptr();
    }
    // SAFETY: attached; `pointers[1..]` holds `values.len()` live objects, the last `named` of them for the keywords.
    result(callable.py(), unsafe {
        ffi::PyObject_Vectorcall(
            callable.as_ptr(),
            pointers.as_ptr().add(1),
            (values.len() - named) | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET,
            names.as_ptr(),
        )
    })
}

/// The object's type, when it is a callable of a static or built-in type (not an instance of a Python class, a
/// function or a built-in method): such a type identifies its maker.
pub fn native_callable_type(object: &Bound<'_, PyAny>) -> Option<*mut ffi::PyTypeObject> {
    let kind = object.get_type_ptr();
    let name = object.get_type().name().ok()?;
    (name.to_string_lossy() == "TaskStepMethWrapper").then_some(kind)
}

/// The definition behind a built-in method.
pub fn builtin_definition(object: &Bound<'_, PyAny>) -> Option<*mut ffi::PyMethodDef> {
    // SAFETY: the type is compared exactly before the cast.
    unsafe {
        (object.get_type_ptr() == &raw mut ffi::PyCFunction_Type)
            .then(|| (*object.as_ptr().cast::<ffi::PyCFunctionObject>()).m_ml)
    }
}

/// Whether the object is a built-in method made from `definition`.
#[inline(always)]
pub fn is_builtin_of(object: &Bound<'_, PyAny>, definition: *mut ffi::PyMethodDef) -> bool {
    // SAFETY: the type is compared exactly before the cast.
    unsafe {
        object.get_type_ptr() == &raw mut ffi::PyCFunction_Type
            && !definition.is_null()
            && (*object.as_ptr().cast::<ffi::PyCFunctionObject>()).m_ml == definition
    }
}

// In CPython's interface ("Instance Method Objects"), but not among what pyo3-ffi declares.
unsafe extern "C" {
    static mut PyMethod_Type: ffi::PyTypeObject;
    fn PyMethod_Function(method: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

/// Whether the object is the method that `function` makes when it is looked up on an instance.
#[inline(always)]
pub fn is_method_of(object: &Bound<'_, PyAny>, function: &Py<PyAny>) -> bool {
    // SAFETY: the type is compared exactly before its function is asked for.
    unsafe {
        object.get_type_ptr() == &raw mut PyMethod_Type
            && PyMethod_Function(object.as_ptr()) == function.as_ptr()
    }
}

/// `threading.get_ident()`
#[inline(always)]
pub fn thread_ident() -> u64 {
    // SAFETY: needs nothing.
    unsafe { ffi::PyThread_get_thread_ident() as u64 }
}
