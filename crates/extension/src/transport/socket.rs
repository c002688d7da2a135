//! Who owns the descriptor: exactly one of us and a Python socket object, and whoever owns it closes it once.

use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

use epicycle_reactor::net::Address;
use pyo3::prelude::*;

use crate::py::imports::Imports;
use crate::py::names;

/// The descriptor of a connection.
pub enum Endpoint {
    /// Accepted by the loop; nobody has asked for a socket object yet.
    Ours(OwnedFd),
    /// A `socket.socket`, given by the user or made on demand, owns it.
    Python(Py<PyAny>),
    /// Closed.
    Gone,
}

impl Endpoint {
    /// The Python socket, if there is one.
    pub fn python(&self) -> Option<&Py<PyAny>> {
        match self {
            Self::Python(socket) => Some(socket),
            _ => None,
        }
    }

    /// Closes the descriptor; the second time there is nothing left to close.
    ///
    /// # Errors
    /// What the socket's `close()` raises.
    pub fn close(self, py: Python<'_>) -> PyResult<()> {
        match self {
            Self::Ours(fd) => {
                drop(fd);
                Ok(())
            }
            Self::Python(socket) => socket.call_method0(py, names::close(py)).map(drop),
            Self::Gone => Ok(()),
        }
    }
}

/// Makes the Python socket for a descriptor that we own; on success the socket owns it.
///
/// # Errors
/// What `socket.socket` raises.
pub fn into_python(py: Python<'_>, fd: RawFd, peer: Option<&Address>) -> PyResult<Py<PyAny>> {
    let socket = Imports::get(py)?.socket.bind(py);
    // Family, type and protocol are asked of the kernel where the peer does not tell.
    let family = match peer {
        Some(Address::V4(_)) => Some("AF_INET"),
        Some(Address::V6(_)) => Some("AF_INET6"),
        _ => None,
    };
    let made = match family {
        Some(family) => {
            let module = py.import("socket")?;
            let arguments = (
                module.getattr(family)?,
                module.getattr("SOCK_STREAM")?,
                module.getattr("IPPROTO_TCP")?,
                fd,
            );
            socket.call1(arguments)?
        }
        None => socket.call1((-1, -1, -1, fd))?,
    };
    Ok(made.unbind())
}

/// The number of a descriptor that is about to change hands.
pub fn release(fd: OwnedFd) -> RawFd {
    fd.into_raw_fd()
}

/// The number of a descriptor that stays where it is.
pub fn number(fd: &OwnedFd) -> RawFd {
    fd.as_raw_fd()
}
