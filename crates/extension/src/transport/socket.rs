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
    /// Closed; the socket object that owned it, if there was one.
    Gone(Option<Py<PyAny>>),
}

impl Endpoint {
    /// The Python socket, if there is one.
    pub fn python(&self) -> Option<&Py<PyAny>> {
        match self {
            Self::Python(socket) => Some(socket),
            Self::Ours(_) => None,
            Self::Gone(socket) => socket.as_ref(),
        }
    }

    /// Whether the descriptor is closed.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone(_))
    }

    /// Takes the descriptor out, to be closed; what is left remembers the socket object.
    pub fn take(&mut self, py: Python<'_>) -> Self {
        let remembered = self.python().map(|socket| socket.clone_ref(py));
        std::mem::replace(self, Self::Gone(remembered))
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
            Self::Gone(_) => Ok(()),
        }
    }
}

/// A closed socket object, for who asks after the end.
///
/// # Errors
/// What `socket.socket` raises.
pub fn closed(py: Python<'_>, peer: Option<&Address>) -> PyResult<Py<PyAny>> {
    let made = into_python(py, -1, peer)?;
    made.call_method0(py, names::close(py))?;
    Ok(made)
}

/// Makes the Python socket for a descriptor that we own; on success the socket owns it.  For -1 a new one is made.
///
/// # Errors
/// What `socket.socket` raises.
pub fn into_python(py: Python<'_>, fd: RawFd, peer: Option<&Address>) -> PyResult<Py<PyAny>> {
    let socket = Imports::get(py)?.sockets.class.bind(py);
    let fileno = (fd >= 0).then_some(fd);
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
                fileno,
            );
            socket.call1(arguments)?
        }
        None => socket.call1((-1, -1, -1, fileno))?,
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
