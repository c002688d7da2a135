//! Addresses inside the running interpreter, as numbers: for reading its memory as a stranger does.

use pyo3::ffi;
use pyo3::prelude::*;

/// Where `_PyRuntime` lies, which from Python 3.13 on begins with a table of offsets.
#[cfg(Py_3_13)]
pub fn runtime() -> Option<u64> {
    // SAFETY: looks a name up among everything that is loaded; the name ends with a NUL.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_PyRuntime".as_ptr()) };
    (!address.is_null()).then(|| number(address))
}

/// The `PyThreadState` of this thread.
pub fn thread_state(_py: Python<'_>) -> u64 {
    // SAFETY: attached, so there is one.
    number(unsafe { ffi::PyThreadState_Get() })
}

/// The types of code objects, `str` and `bytes`.
pub fn types() -> [u64; 3] {
    [
        number(&raw const ffi::PyCode_Type),
        number(&raw const ffi::PyUnicode_Type),
        number(&raw const ffi::PyBytes_Type),
    ]
}

fn number<T>(address: *const T) -> u64 {
    address.addr() as u64
}
