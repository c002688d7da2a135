//! Addresses as Python writes them (the `socket` documentation, "Socket families"), both ways.

use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;

use epicycle_reactor::net::{Address, Dotted};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString, PyTuple};

/// The address in the form that `socket.getpeername()` gives.
///
/// # Errors
/// `MemoryError`, and a path that does not decode.
pub fn to_python(py: Python<'_>, address: &Address) -> PyResult<Py<PyAny>> {
    Ok(match address {
        Address::V4(address) => (Dotted::of(*address.ip()).text(), address.port())
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

/// The address as people write it: `127.0.0.1:80`, `[::1]:80`, a path, `@name`.  Nothing for one without a name.
pub fn to_text(address: &Address) -> Option<String> {
    Some(match address {
        Address::V4(address) => address.to_string(),
        Address::V6(address) => address.to_string(),
        Address::UnixPath(path) => String::from_utf8_lossy(path).into_owned(),
        Address::UnixAbstract(name) => format!("@{}", String::from_utf8_lossy(name)),
        Address::UnixUnnamed | Address::Other(_) => return None,
    })
}

/// The address family of a socket, as far as we have forms for its addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
    Unix,
    Other,
}

impl Family {
    /// The family of a socket that is at `address`.
    pub fn of(address: &Address) -> Self {
        match address {
            Address::V4(_) => Self::V4,
            Address::V6(_) => Self::V6,
            Address::UnixPath(_) | Address::UnixAbstract(_) | Address::UnixUnnamed => Self::Unix,
            Address::Other(_) => Self::Other,
        }
    }
}

/// What an object says as the address of a datagram's destination.
pub enum Parsed {
    Known(Address),
    /// A name, or an address of another family: who wants to go there has to ask a resolver first.
    Name,
    /// Only Python's own socket can tell what it is, or what is wrong with it.
    Foreign,
}

/// The longest path of a Unix socket that leaves room for a NUL behind it, and the longest abstract name.
const LONGEST_PATH: usize = 107;

/// The address that a Python object stands for on a socket of `family`, without looking anything up.
pub fn from_python(family: Family, object: &Bound<'_, PyAny>) -> Parsed {
    match family {
        Family::V4 => v4(object),
        Family::V6 => v6(object),
        Family::Unix => unix(object),
        Family::Other => Parsed::Foreign,
    }
}

/// Whether the object will always stand for the same address: nobody can change it or what is in it.
pub fn is_constant(object: &Bound<'_, PyAny>) -> bool {
    let plain = |object: &Bound<'_, PyAny>| {
        object.is_exact_instance_of::<PyString>()
            || object.is_exact_instance_of::<PyInt>()
            || object.is_exact_instance_of::<PyBytes>()
    };
    match object.cast_exact::<PyTuple>() {
        Ok(parts) => parts.iter_borrowed().all(|part| plain(&part)),
        Err(_) => plain(object),
    }
}

/// Host and port of an internet address, if it has at least the right shape.
fn host_and_port<'py>(
    object: &Bound<'py, PyAny>,
    most: usize,
) -> Option<(String, u16, Bound<'py, PyTuple>)> {
    let parts = object.cast::<PyTuple>().ok()?;
    if !(2..=most).contains(&parts.len()) {
        return None;
    }
    let host = parts.get_item(0).ok()?;
    let host = match host.cast::<PyBytes>() {
        Ok(bytes) => std::str::from_utf8(bytes.as_bytes()).ok()?.to_owned(),
        Err(_) => host.cast::<PyString>().ok()?.extract().ok()?,
    };
    Some((host, parts.get_item(1).ok()?.extract().ok()?, parts.clone()))
}

fn v4(object: &Bound<'_, PyAny>) -> Parsed {
    let Some((host, port, _)) = host_and_port(object, 2) else {
        return Parsed::Foreign;
    };
    let ip = match host.as_str() {
        "" => Ipv4Addr::UNSPECIFIED,
        "<broadcast>" => Ipv4Addr::BROADCAST,
        host => match host.parse() {
            Ok(ip) => ip,
            Err(_) => return Parsed::Name,
        },
    };
    Parsed::Known(Address::V4(SocketAddrV4::new(ip, port)))
}

fn v6(object: &Bound<'_, PyAny>) -> Parsed {
    /// The most that fits into a flow label.
    const MOST_FLOW: u32 = 0xf_ffff;

    let Some((host, port, parts)) = host_and_port(object, 4) else {
        return Parsed::Foreign;
    };
    let number = |index: usize| -> Option<u32> {
        match parts.get_item(index) {
            Ok(part) => part.extract().ok(),
            Err(_) => Some(0),
        }
    };
    let (Some(flow @ 0..=MOST_FLOW), Some(scope)) = (number(2), number(3)) else {
        return Parsed::Foreign;
    };
    let ip = match host.split_once('%') {
        // The number of a zone is the system's to tell.
        Some((ip, _)) if ip.parse::<Ipv6Addr>().is_ok() => return Parsed::Foreign,
        Some(_) => return Parsed::Name,
        None if host.is_empty() => Ipv6Addr::UNSPECIFIED,
        None => match host.parse() {
            Ok(ip) => ip,
            Err(_) => return Parsed::Name,
        },
    };
    Parsed::Known(Address::V6(SocketAddrV6::new(ip, port, flow, scope)))
}

fn unix(object: &Bound<'_, PyAny>) -> Parsed {
    let path: Vec<u8> = if let Ok(bytes) = object.cast::<PyBytes>() {
        bytes.as_bytes().to_vec()
    } else if let Ok(text) = object.cast::<PyString>() {
        match text.extract::<OsString>() {
            Ok(text) => text.as_bytes().to_vec(),
            Err(_) => return Parsed::Foreign,
        }
    } else {
        return Parsed::Foreign;
    };
    match path.as_slice() {
        [0, name @ ..] if name.len() <= LONGEST_PATH => {
            Parsed::Known(Address::UnixAbstract(name.into()))
        }
        [] | [0, ..] => Parsed::Foreign,
        path if path.len() > LONGEST_PATH || path.contains(&0) => Parsed::Foreign,
        path => Parsed::Known(Address::UnixPath(path.into())),
    }
}
