//! The connections, listeners and watched descriptors of a loop, as dicts for the agent.
//!
//! In: the registry, and what each transport tells of itself.  Out: dicts, in portions: there may be very many.
//!
//! A pipe whose reading is paused, and one with nothing to write, is not watched and so not among them.

use std::os::fd::RawFd;

use epicycle_reactor::kernel::Kernel;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::datagram::{self, DatagramTransport};
use crate::event_loop::Loop;
use crate::event_loop::entry::{Source, Watcher};
use crate::ffi::class::NativeRef;
use crate::net::address;
use crate::pipe::{self, PipeReadTransport, PipeWriteTransport};
use crate::transport::{self, StreamTransport};

/// What is told of one of them.
pub struct Facts {
    pub kind: &'static str,
    pub fd: RawFd,
    pub local: Option<String>,
    pub peer: Option<String>,
    /// Bytes that wait to be sent.
    pub buffer: usize,
    /// The low and the high mark of that buffer, if there is one.
    pub limits: Option<(usize, usize)>,
    pub reading: bool,
    pub closing: bool,
    pub writing_paused: bool,
    /// The addresses of the Python objects that stand for it: of a TLS session both transports.
    pub objects: Vec<usize>,
}

impl Facts {
    /// Of one that has no buffer and reads nothing.
    pub fn of(kind: &'static str, fd: RawFd) -> Self {
        Self {
            kind,
            fd,
            local: None,
            peer: None,
            buffer: 0,
            limits: None,
            reading: false,
            closing: false,
            writing_paused: false,
            objects: Vec::new(),
        }
    }
}

/// A source, taken out of the loop's cell.
enum Found {
    Stream(NativeRef<StreamTransport>),
    Datagram(NativeRef<DatagramTransport>),
    PipeRead(NativeRef<PipeReadTransport>),
    PipeWrite(NativeRef<PipeWriteTransport>),
    Listener(RawFd),
    /// Callbacks, and whether one of them is for reading.
    Callbacks(RawFd, bool),
}

fn take(py: Python<'_>, fd: RawFd, source: &Source, into: &mut Vec<Found>) {
    match source {
        Source::Stream(transport) => into.push(Found::Stream(transport.clone_ref(py))),
        Source::Datagram(transport) => into.push(Found::Datagram(transport.clone_ref(py))),
        // The loop's own.
        Source::Bell => {}
        Source::Listener(_) => into.push(Found::Listener(fd)),
        Source::Shared { reader, writer } => {
            let mut callbacks = None;
            for (watcher, reads) in [(writer, false), (reader, true)] {
                match watcher {
                    Some(Watcher::PipeRead(pipe)) => into.push(Found::PipeRead(pipe.clone_ref(py))),
                    Some(Watcher::PipeWrite(pipe)) => {
                        into.push(Found::PipeWrite(pipe.clone_ref(py)));
                    }
                    Some(Watcher::Callback(_) | Watcher::Attempt(_)) => callbacks = Some(reads),
                    None => {}
                }
            }
            if let Some(reads) = callbacks {
                into.push(Found::Callbacks(fd, reads));
            }
        }
    }
}

/// The sources from the `first` on, `most` of them, as dicts; and whether there are more.
///
/// # Errors
/// `RuntimeError` when the loop's state, or that of a transport, is in use; `MemoryError`.
pub fn portion<'py>(
    owner: &Bound<'py, Loop>,
    first: usize,
    most: usize,
) -> PyResult<(Vec<Bound<'py, PyDict>>, bool)> {
    let py = owner.py();
    if owner.get().is_closed() {
        return Ok((Vec::new(), false));
    }
    let mut found = Vec::new();
    let more = owner.get().cell.with(py, |core| {
        let turn = &core.turn;
        for (token, fd, source) in turn.registry.iter().skip(first).take(most) {
            if !turn.is_hushed(token) {
                take(py, fd, source, &mut found);
            }
        }
        turn.registry.len() > first.saturating_add(most)
    })?;
    let dicts = found
        .into_iter()
        .map(|found| told(owner, found))
        .collect::<PyResult<_>>()?;
    Ok((dicts, more))
}

fn told<'py>(owner: &Bound<'py, Loop>, found: Found) -> PyResult<Bound<'py, PyDict>> {
    let py = owner.py();
    let mut facts = match found {
        Found::Stream(transport) => transport::describe(transport.bind(py))?,
        Found::Datagram(transport) => addressed(owner, datagram::describe(transport.bind(py))?)?,
        Found::PipeRead(transport) => pipe::describe(transport.bind(py))?,
        Found::PipeWrite(transport) => pipe::describe(transport.bind(py))?,
        Found::Listener(fd) => Facts {
            reading: true,
            ..addressed(owner, Facts::of("listener", fd))?
        },
        Found::Callbacks(fd, reading) => Facts {
            reading,
            ..addressed(owner, Facts::of("callback", fd))?
        },
    };
    let asks = matches!(facts.kind, "tcp" | "unix" | "tls" | "udp" | "pipe-read");
    let unread = if asks && !facts.reading && !facts.closing {
        let asked = owner
            .get()
            .cell
            .with(py, |core| core.turn.kernel.unread(facts.fd))?;
        asked.unwrap_or(0)
    } else {
        0
    };
    let dict = PyDict::new(py);
    dict.set_item(intern!(py, "kind"), facts.kind)?;
    dict.set_item(intern!(py, "fd"), facts.fd)?;
    dict.set_item(intern!(py, "local"), facts.local.take())?;
    dict.set_item(intern!(py, "peer"), facts.peer.take())?;
    dict.set_item(intern!(py, "buffer"), facts.buffer)?;
    dict.set_item(intern!(py, "limits"), facts.limits)?;
    dict.set_item(intern!(py, "reading"), facts.reading)?;
    dict.set_item(intern!(py, "writing_paused"), facts.writing_paused)?;
    dict.set_item(intern!(py, "unread"), unread)?;
    dict.set_item(intern!(py, "objects"), facts.objects)?;
    Ok(dict)
}

/// With the addresses that the kernel knows, if it is a socket.
fn addressed(owner: &Bound<'_, Loop>, facts: Facts) -> PyResult<Facts> {
    let (local, peer) = owner.get().cell.with(owner.py(), |core| {
        let kernel = &core.turn.kernel;
        (
            kernel.local_address(facts.fd),
            kernel.peer_address(facts.fd),
        )
    })?;
    Ok(Facts {
        local: local.ok().as_ref().and_then(address::to_text),
        peer: peer.ok().as_ref().and_then(address::to_text),
        ..facts
    })
}
