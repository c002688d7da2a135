//! Methods called with a C array of arguments (`METH_FASTCALL | METH_KEYWORDS`), without tuple or dict.

use std::any::Any;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple, PyType};

use super::class::{Native, Payload};

/// What a method was called with.
pub struct Args<'a, 'py> {
    py: Python<'py>,
    /// Path of the Rust function, whose last part is the method's name.
    path: &'static str,
    positional: &'a [*mut ffi::PyObject],
    named: &'a [*mut ffi::PyObject],
    names: *mut ffi::PyObject,
    values: PhantomData<&'a Bound<'py, PyAny>>,
}

impl<'a, 'py> Args<'a, 'py> {
    pub fn py(&self) -> Python<'py> {
        self.py
    }

    fn name(&self) -> &'static str {
        // What a generic function was made for stands in angle brackets behind its name.
        let path = self
            .path
            .split_once('<')
            .map_or(self.path, |(path, _)| path);
        path.rsplit("::").next().unwrap_or(path)
    }

    /// Number of positional arguments.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.positional.len()
    }

    /// Whether there are keyword arguments.
    #[inline(always)]
    pub fn has_keywords(&self) -> bool {
        !self.names.is_null()
    }

    /// Positional argument `index`.
    #[inline(always)]
    pub fn get(&self, index: usize) -> Option<&'a Bound<'py, PyAny>> {
        // SAFETY: the caller of the C function keeps its arguments alive during the call.
        self.positional
            .get(index)
            .map(|argument| unsafe { Bound::ref_from_ptr(self.py, argument) })
    }

    /// The parameter `name`, given as positional argument `index` or by its name.
    ///
    /// # Errors
    /// `TypeError` when it was not given.
    #[inline(always)]
    pub fn parameter(&self, index: usize, name: &str) -> PyResult<&'a Bound<'py, PyAny>> {
        match self.get(index) {
            Some(value) => Ok(value),
            None => self.by_name(name),
        }
    }

    #[cold]
    fn by_name(&self, parameter: &str) -> PyResult<&'a Bound<'py, PyAny>> {
        self.keywords()
            .find(|(name, _)| name.to_string_lossy() == parameter)
            .map(|(_, value)| value)
            .ok_or_else(|| self.missing(parameter))
    }

    /// Refuses a keyword that is none of `parameters`, or one of those that were given by position.
    ///
    /// # Errors
    /// `TypeError`
    #[cold]
    pub fn check_keyword(&self, name: &Bound<'py, PyString>, parameters: &[&str]) -> PyResult<()> {
        let name = name.to_string_lossy();
        match parameters.iter().position(|parameter| *parameter == name) {
            Some(index) if index < self.len() => Err(self.repeated(&name)),
            Some(_) => Ok(()),
            None => Err(self.unexpected(&name)),
        }
    }

    /// Positional arguments from `start` on, as a tuple.
    #[inline(always)]
    pub fn rest(&self, start: usize) -> Py<PyTuple> {
        let rest = self.positional.get(start..).unwrap_or_default();
        if rest.is_empty() {
            return PyTuple::empty(self.py).unbind();
        }
        // SAFETY: a fresh tuple of that length is filled completely with new references before anyone sees it;
        // PyTuple_New fails only for want of memory, which PyO3 too answers with a panic.
        unsafe {
            let tuple =
                Bound::from_owned_ptr(self.py, ffi::PyTuple_New(rest.len() as ffi::Py_ssize_t));
            for (index, argument) in rest.iter().enumerate() {
                ffi::Py_INCREF(*argument);
                ffi::PyTuple_SET_ITEM(tuple.as_ptr(), index as ffi::Py_ssize_t, *argument);
            }
            tuple.cast_into_unchecked::<PyTuple>().unbind()
        }
    }

    /// The keyword arguments in the order given.
    pub fn keywords(
        &self,
    ) -> impl Iterator<Item = (Bound<'py, PyString>, &'a Bound<'py, PyAny>)> + use<'a, 'py> {
        let (py, names) = (self.py, self.names);
        self.named.iter().enumerate().map(move |(index, value)| {
            // SAFETY: `names` is a tuple of `str` with as many items as `named`; both outlive the call.
            unsafe {
                let name = ffi::PyTuple_GET_ITEM(names, index as ffi::Py_ssize_t);
                (
                    Bound::from_borrowed_ptr(py, name).cast_into_unchecked::<PyString>(),
                    Bound::ref_from_ptr(py, value),
                )
            }
        })
    }

    /// Takes the arguments of a method with the parameters `parameters`, the first `required` of which must be given.
    ///
    /// # Errors
    /// `TypeError`, worded as the interpreter words it for a Python function.
    pub fn bind<const N: usize>(
        &self,
        parameters: &[&str; N],
        required: usize,
    ) -> PyResult<[Option<&'a Bound<'py, PyAny>>; N]> {
        let mut bound = [None; N];
        if self.len() > N {
            return Err(PyTypeError::new_err(format!(
                "{}() takes {N} positional argument{} but {} were given",
                self.name(),
                if N == 1 { "" } else { "s" },
                self.len()
            )));
        }
        for (index, place) in bound.iter_mut().enumerate() {
            *place = self.get(index);
        }
        for (name, value) in self.keywords() {
            let name = name.to_string_lossy().into_owned();
            let Some(index) = parameters.iter().position(|parameter| *parameter == name) else {
                return Err(self.unexpected(&name));
            };
            if bound[index].replace(value).is_some() {
                return Err(self.repeated(&name));
            }
        }
        match bound.iter().take(required).position(Option::is_none) {
            Some(missing) => Err(self.missing(parameters[missing])),
            None => Ok(bound),
        }
    }

    #[cold]
    fn repeated(&self, parameter: &str) -> PyErr {
        PyTypeError::new_err(format!(
            "{}() got multiple values for argument '{parameter}'",
            self.name()
        ))
    }

    /// The error for a parameter that was not given.
    #[cold]
    pub fn missing(&self, parameter: &str) -> PyErr {
        PyTypeError::new_err(format!(
            "{}() missing 1 required positional argument: '{parameter}'",
            self.name()
        ))
    }

    #[cold]
    fn unexpected(&self, keyword: &str) -> PyErr {
        PyTypeError::new_err(format!(
            "{}() got an unexpected keyword argument '{keyword}'",
            self.name()
        ))
    }
}

/// A native method: a plain function, so a type without data, which can be conjured up inside the C function.
pub trait Method<S>: Copy + Send + Sync + 'static {
    /// # Safety
    /// `slf` is a live object of the class that the method was put on.
    unsafe fn invoke<'a, 'py>(
        self,
        py: Python<'py>,
        slf: *mut ffi::PyObject,
        args: &Args<'a, 'py>,
    ) -> PyResult<Py<PyAny>>;
}

/// Marks methods of native classes.
pub struct OfNative<P>(PhantomData<P>);
/// Marks methods of PyO3 classes.
pub struct OfPyClass<C>(PhantomData<C>);

impl<P, F> Method<OfNative<P>> for F
where
    P: Payload,
    F: for<'r, 'a, 'py> Fn(&'r Native<'py, P>, &'r Args<'a, 'py>) -> PyResult<Py<PyAny>>,
    F: Copy + Send + Sync + 'static,
{
    #[inline(always)]
    unsafe fn invoke<'a, 'py>(
        self,
        py: Python<'py>,
        slf: *mut ffi::PyObject,
        args: &Args<'a, 'py>,
    ) -> PyResult<Py<PyAny>> {
        // SAFETY: the descriptor that led here checked the receiver's class; the caller keeps it alive.
        self(
            unsafe { Native::<P>::from_checked(Bound::ref_from_ptr(py, &slf)) },
            args,
        )
    }
}

impl<C, F> Method<OfPyClass<C>> for F
where
    C: pyo3::PyClass,
    F: for<'r, 'a, 'py> Fn(&'r Bound<'py, C>, &'r Args<'a, 'py>) -> PyResult<Py<PyAny>>,
    F: Copy + Send + Sync + 'static,
{
    #[inline(always)]
    unsafe fn invoke<'a, 'py>(
        self,
        py: Python<'py>,
        slf: *mut ffi::PyObject,
        args: &Args<'a, 'py>,
    ) -> PyResult<Py<PyAny>> {
        // SAFETY: the descriptor that led here checked the receiver's class; the caller keeps it alive.
        self(
            unsafe { Bound::ref_from_ptr(py, &slf).cast_unchecked::<C>() },
            args,
        )
    }
}

/// Marks methods of classes that are defined in Python.
pub struct OfObject;

impl<F> Method<OfObject> for F
where
    F: for<'r, 'a, 'py> Fn(&'r Bound<'py, PyAny>, &'r Args<'a, 'py>) -> PyResult<Py<PyAny>>,
    F: Copy + Send + Sync + 'static,
{
    #[inline(always)]
    unsafe fn invoke<'a, 'py>(
        self,
        py: Python<'py>,
        slf: *mut ffi::PyObject,
        args: &Args<'a, 'py>,
    ) -> PyResult<Py<PyAny>> {
        // SAFETY: the caller keeps the receiver alive.
        self(unsafe { Bound::ref_from_ptr(py, &slf) }, args)
    }
}

/// One entry of a class's method table.
pub struct Definition(ffi::PyMethodDef);

impl Definition {
    pub(super) fn into_raw(self) -> ffi::PyMethodDef {
        self.0
    }
}

/// The table entry for `function` under the name `name`.
pub fn method<S, F: Method<S>>(name: &'static CStr, function: F, doc: &'static CStr) -> Definition {
    const { assert!(size_of::<F>() == 0, "a native method is a plain function") };
    let _ = function;
    Definition(ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunctionFastWithKeywords: trampoline::<S, F>,
        },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: doc.as_ptr(),
    })
}

/// As `method`, for what threads call that have nothing else to do with PyO3.
///
/// Telling PyO3 that such a thread is attached takes as long as such a call.  A `Py` that is dropped meanwhile waits for
/// the next thread that PyO3 knows of, so the function drops none on its usual way.
pub fn method_untold<S, F: Method<S>>(
    name: &'static CStr,
    function: F,
    doc: &'static CStr,
) -> Definition {
    let mut definition = method(name, function, doc);
    definition.0.ml_meth = ffi::PyMethodDefPointer {
        PyCFunctionFastWithKeywords: trampoline_untold::<S, F>,
    };
    definition
}

/// A native method for a class that is defined in Python.
pub struct ObjectDefinition(Definition);

/// The definition of `function`, which takes any object for a receiver, under the name `name`.
pub fn object_method<F: Method<OfObject>>(
    name: &'static CStr,
    function: F,
    doc: &'static CStr,
) -> ObjectDefinition {
    ObjectDefinition(method(name, function, doc))
}

/// Puts native methods on a class that is defined in Python.
///
/// # Errors
/// What setting an attribute of the class raises.
pub fn add_object_methods(
    class: &Bound<'_, PyType>,
    methods: Vec<ObjectDefinition>,
) -> PyResult<()> {
    put_on(class, methods.into_iter().map(|method| method.0).collect())
}

/// Puts native methods on a class made by PyO3.
pub fn add_methods<C: pyo3::PyClass>(py: Python<'_>, methods: Vec<Definition>) -> PyResult<()> {
    put_on(&py.get_type::<C>(), methods)
}

fn put_on(class: &Bound<'_, PyType>, methods: Vec<Definition>) -> PyResult<()> {
    let py = class.py();
    for definition in methods {
        // Lives as long as the class: both are never freed.
        let definition = Box::leak(Box::new(definition.into_raw()));
        // SAFETY: the definition is static; the descriptor lets instances of the class through, which is what the
        // trampoline expects of a receiver.
        let descriptor = unsafe {
            let pointer = ffi::PyDescr_NewMethod(class.as_type_ptr(), definition);
            Bound::from_owned_ptr_or_err(py, pointer)?
        };
        // SAFETY: the name is one of the C string literals handed to `method`.
        let name = unsafe { CStr::from_ptr(definition.ml_name) };
        class.setattr(name.to_string_lossy(), descriptor)?;
    }
    Ok(())
}

/// The C function behind a method.
unsafe extern "C" fn trampoline<S, F: Method<S>>(
    slf: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    positional: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention.
    guard(|py| unsafe { invoke::<S, F>(py, slf, values, positional, names) })
}

/// The C function behind a method of `method_untold`.
unsafe extern "C" fn trampoline_untold<S, F: Method<S>>(
    slf: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    positional: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls, so the thread is attached.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: CPython's calling convention.
    returned(py, || unsafe {
        invoke::<S, F>(py, slf, values, positional, names)
    })
}

/// Calls the function behind a method.
///
/// # Safety
/// The arguments are those of CPython's calling convention: `positional` values, then one for each item of `names` if
/// that is not NULL; `slf` passed the descriptor's check.
#[inline(always)]
unsafe fn invoke<S, F: Method<S>>(
    py: Python<'_>,
    slf: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    positional: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> PyResult<*mut ffi::PyObject> {
    // SAFETY: F has no data (checked in `method`) and was there once, so any dangling place holds one.
    let function = unsafe { std::ptr::NonNull::<F>::dangling().read() };
    let positional = positional as usize;
    // SAFETY: as above.
    let (given, named) = unsafe {
        let extra = if names.is_null() {
            0
        } else {
            ffi::PyTuple_GET_SIZE(names) as usize
        };
        if values.is_null() {
            (&[][..], &[][..])
        } else {
            std::slice::from_raw_parts(values, positional + extra).split_at(positional)
        }
    };
    let args = Args {
        py,
        path: std::any::type_name::<F>(),
        positional: given,
        named,
        names,
        values: PhantomData,
    };
    // SAFETY: `slf` passed the descriptor's check.
    unsafe { function.invoke(py, slf, &args) }.map(Py::into_ptr)
}

/// Runs `body` attached; an error or a panic becomes the Python exception, and NULL is returned.
#[inline(always)]
pub(super) fn guard(
    body: impl for<'py> FnOnce(Python<'py>) -> PyResult<*mut ffi::PyObject>,
) -> *mut ffi::PyObject {
    attached(|py| returned(py, || body(py)))
}

/// What a C function returns for the outcome of `body`.
#[inline(always)]
fn returned(
    py: Python<'_>,
    body: impl FnOnce() -> PyResult<*mut ffi::PyObject>,
) -> *mut ffi::PyObject {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(pointer)) => pointer,
        Ok(Err(error)) => {
            error.restore(py);
            std::ptr::null_mut()
        }
        Err(payload) => {
            panicked(payload).restore(py);
            std::ptr::null_mut()
        }
    }
}

/// Runs `body` in a function that CPython called, so on a thread that is attached already.
///
/// PyO3 has to be told, or it would queue every reference that is dropped here; and it must not ask whether the
/// interpreter is going down, for objects are freed then too.
#[inline(always)]
pub(super) fn attached<R>(body: impl for<'py> FnOnce(Python<'py>) -> R) -> R {
    // SAFETY: only called from functions that CPython calls.
    unsafe { Python::attach_unchecked(body) }
}

#[cold]
fn panicked(payload: Box<dyn Any + Send>) -> PyErr {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("panic in epicycle");
    PanicException::new_err(text.to_owned())
}
