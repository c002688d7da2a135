//! Addresses as Python writes them (the `socket` documentation, "Socket families").

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use epicycle_reactor::net::Address;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The address in the form that `socket.getpeername()` gives.
///
/// # Errors
/// `MemoryError`, and a path that does not decode.
pub fn to_python(py: Python<'_>, address: &Address) -> PyResult<Py<PyAny>> {
    Ok(match address {
        Address::V4(address) => (address.ip().to_string(), address.port())
            .into_pyobject(py)?
            .into_any()
            .unbind(),
        Address::V6(address) => {
            let parts = (
                address.ip().to_string(),
                address.port(),
                address.flowinfo(),
                address.scope_id(),
            );
            parts.into_pyobject(py)?.into_any().unbind()
        }
        Address::UnixPath(path) => OsStr::from_bytes(path)
            .into_pyobject(py)?
            .into_any()
            .unbind(),
        Address::UnixAbstract(name) => {
            let mut bytes = Vec::with_capacity(name.len() + 1);
            bytes.push(0);
            bytes.extend_from_slice(name);
            PyBytes::new(py, &bytes).into_any().unbind()
        }
        Address::UnixUnnamed => "".into_pyobject(py)?.into_any().unbind(),
        Address::Other(_) => py.None(),
    })
}
