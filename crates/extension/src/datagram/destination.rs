//! Where a datagram goes, and the addresses met last.
//!
//! A server mostly answers whom it has just heard, with the very object that `datagram_received` was given, and a client
//! goes on sending to one place.  So the last address of each direction is kept in both forms: one look at the object's
//! identity then saves reading text, and comparing two addresses saves writing it.

use epicycle_reactor::net::Address;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::class::DatagramTransport;
use crate::ffi::class::Native;
use crate::net::address::{self, Family, Parsed};

/// Where a datagram goes.
pub(super) enum Destination {
    /// To the socket's peer.
    Peer,
    Address(Address),
    /// What only Python's socket understands, or refuses.
    Python(Py<PyAny>),
}

/// An address in both forms.
pub(super) struct Seen {
    pub object: Py<PyAny>,
    pub address: Address,
}

impl Destination {
    /// # Errors
    /// `ValueError` for a name: looking it up would block the loop.
    pub fn of(family: Family, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        match address::from_python(family, object) {
            Parsed::Known(address) => Ok(Self::Address(address)),
            Parsed::Foreign => Ok(Self::Python(object.clone().unbind())),
            Parsed::Name => Err(PyValueError::new_err(format!(
                "{}: not an address of the socket's family; a name needs a DNS lookup, which sendto() cannot wait for",
                object.repr()?
            ))),
        }
    }

    pub fn python(&self) -> Option<&Py<PyAny>> {
        match self {
            Self::Python(object) => Some(object),
            Self::Peer | Self::Address(_) => None,
        }
    }

    fn copy(&self, py: Python<'_>) -> Self {
        match self {
            Self::Peer => Self::Peer,
            Self::Address(address) => Self::Address(address.clone()),
            Self::Python(object) => Self::Python(object.clone_ref(py)),
        }
    }
}

/// Where `sendto(data, addr)` sends.
///
/// # Errors
/// `ValueError` for another address than the one that was fixed, and for a name.
pub(super) fn resolve(
    slf: &Native<'_, DatagramTransport>,
    given: Option<&Bound<'_, PyAny>>,
) -> PyResult<Destination> {
    let py = slf.py();
    let given = given.filter(|given| !given.is_none());
    if let Some((_, destination)) = &slf.fixed {
        return Ok(destination.copy(py));
    }
    let Some(given) = given else {
        return Ok(if slf.connected {
            Destination::Peer
        } else {
            Destination::Python(py.None())
        });
    };
    if slf.peer_is_named {
        return Ok(Destination::Peer);
    }
    let known = slf.state.with(py, |state| {
        let seen = [&state.receiver, &state.sender].into_iter().flatten();
        seen.into_iter()
            .find(|seen| seen.object.is(given))
            .map(|seen| seen.address.clone())
    })?;
    if let Some(address) = known {
        return Ok(Destination::Address(address));
    }
    let destination = Destination::of(slf.family, given)?;
    if let (Destination::Address(address), true) = (&destination, address::is_constant(given)) {
        let seen = Seen {
            object: given.clone().unbind(),
            address: address.clone(),
        };
        let before = slf.state.with(py, |state| state.receiver.replace(seen))?;
        drop(before);
    }
    Ok(destination)
}

/// Refuses an address other than the one that was fixed when the endpoint was made.
///
/// # Errors
/// `ValueError`
pub(super) fn check(
    slf: &Native<'_, DatagramTransport>,
    given: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let (Some((fixed, _)), Some(given)) = (&slf.fixed, given) else {
        return Ok(());
    };
    let fixed = fixed.bind(slf.py());
    if given.is_none() || given.is(fixed) || given.eq(fixed)? {
        return Ok(());
    }
    Err(PyValueError::new_err(format!(
        "Invalid address: must be None or {}",
        fixed.str()?
    )))
}

/// The sender of a datagram as Python sees it.
#[inline(always)]
pub(super) fn sender(
    slf: &Native<'_, DatagramTransport>,
    from: Option<Address>,
) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let Some(address) = from else {
        return Ok(py.None());
    };
    let known = slf.state.with(py, |state| {
        let seen = state
            .sender
            .as_ref()
            .filter(|seen| seen.address == address)?;
        Some(seen.object.clone_ref(py))
    })?;
    if let Some(object) = known {
        return Ok(object);
    }
    let object = address::to_python(py, &address)?;
    let seen = Seen {
        object: object.clone_ref(py),
        address,
    };
    let before = slf.state.with(py, |state| state.sender.replace(seen))?;
    drop(before);
    Ok(object)
}
