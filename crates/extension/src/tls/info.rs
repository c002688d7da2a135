//! get_extra_info and repr.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::class::TlsTransport;
use super::link;
use crate::ffi::call;
use crate::ffi::class::Native;
use crate::ffi::fastcall::Args;
use crate::py::names;
use crate::watch::connections::Facts;

/// `transport.get_extra_info(name, default=None)`
pub(super) fn get_extra_info(
    slf: &Native<'_, TlsTransport>,
    args: &Args<'_, '_>,
) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let [name, default] = args.bind(&["name", "default"], 1)?;
    let name = name.ok_or_else(|| args.missing("name"))?;
    let known = match name.cast::<PyString>() {
        Ok(text) => fact(slf, &text.to_string_lossy())?,
        Err(_) => None,
    };
    if let Some(value) = known {
        return Ok(value);
    }
    let none = py.None().into_bound(py);
    let default = default.unwrap_or(&none);
    match TlsTransport::lower(slf)? {
        Some(lower) => {
            call::method2(&lower, names::get_extra_info(py), name, default).map(Bound::unbind)
        }
        None => Ok(default.clone().unbind()),
    }
}

/// What TLS itself knows: asked of OpenSSL when it is first asked of us, and the same from then on.
fn fact(slf: &Native<'_, TlsTransport>, name: &str) -> PyResult<Option<Py<PyAny>>> {
    let py = slf.py();
    if name == "sslcontext" {
        return Ok(Some(slf.ssl_context.clone_ref(py)));
    }
    let method = match name {
        "ssl_object" => None,
        "peercert" => Some("getpeercert"),
        "cipher" | "compression" => Some(name),
        _ => return Ok(None),
    };
    let (established, facts) = slf.state.with(py, |state| {
        (
            state.session.was_established(),
            state.facts.as_ref().map(|facts| facts.clone_ref(py)),
        )
    })?;
    if !established {
        return Ok(None);
    }
    let Some(method) = method else {
        return Ok(Some(slf.engine.object.clone_ref(py)));
    };
    let facts = match facts {
        Some(facts) => facts.into_bound(py),
        None => {
            let facts = PyDict::new(py);
            let kept = facts.clone().unbind();
            drop(slf.state.with(py, |state| state.facts.replace(kept))?);
            facts
        }
    };
    if let Some(value) = facts.get_item(name)? {
        return Ok(Some(value.unbind()));
    }
    let value = slf.engine.object.bind(py).call_method0(method)?;
    facts.set_item(name, &value)?;
    Ok(Some(value.unbind()))
}

/// `transport._ssl_protocol`: the protocol that the lower transport sees, or saw.
pub(super) fn get_link(slf: &Native<'_, TlsTransport>, args: &Args<'_, '_>) -> PyResult<Py<PyAny>> {
    args.bind(&[], 0)?;
    let py = slf.py();
    let link = slf.state.with(py, |state| {
        state.link.as_ref().map(|link| link.clone_ref(py))
    })?;
    // After the end nothing is kept that would hold the transport.
    link.map_or_else(|| link::make(slf).map(Bound::unbind), Ok)
}

/// What a session adds to what is told of the connection that carries it: its own buffer, marks and pauses.
///
/// # Errors
/// `RuntimeError` when its state is in use.
pub fn describe(slf: &Native<'_, TlsTransport>, facts: &mut Facts) -> PyResult<()> {
    slf.state.with(slf.py(), |state| {
        facts.kind = "tls";
        facts.buffer += state.backlog.size;
        facts.limits = Some(state.writing.limits());
        facts.reading &= !state.session.is_reading_paused();
        facts.writing_paused = state.writing.is_paused();
        facts.objects.push(slf.as_ptr() as usize);
    })
}

/// `repr(transport)`
pub(super) fn repr(slf: &Native<'_, TlsTransport>) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let (standing, lower) = slf.state.with(py, |state| {
        let standing = if state.session.is_closed() {
            if state.lower.is_some() {
                " closing"
            } else {
                " closed"
            }
        } else if state.session.in_handshake() {
            " handshake"
        } else {
            ""
        };
        (
            standing,
            state.lower.as_ref().map(|lower| lower.bind(py).clone()),
        )
    })?;
    let text = match lower {
        Some(lower) => format!("<SSLTransport{standing} over {}>", lower.repr()?),
        None => format!("<SSLTransport{standing}>"),
    };
    Ok(text.into_pyobject(py)?.into_any().unbind())
}
