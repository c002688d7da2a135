//! What waits in the loop's queues, and what its descriptors belong to.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use epicycle_reactor::interest::Readiness;

use super::attempts::Attempt;
use crate::datagram::DatagramTransport;
use crate::ffi::class::NativeRef;
use crate::handle::{Handle, LockedHandle, TimerHandle};
use crate::net::Listener;
use crate::pipe::{PipeReadTransport, PipeWork, PipeWriteTransport};
use crate::tls::{TlsTransport, TlsWork};
use crate::transport::StreamTransport;

/// A piece of work: in the ready queue, among the timers, or on its way from another thread.
pub enum Entry {
    /// A callback of `call_soon`.
    Handle(NativeRef<Handle>),
    /// A callback of `call_later` or `call_at`.
    Timer(NativeRef<TimerHandle>),
    /// A step or wake-up of asyncio's C Task, for which no handle was made.
    Step {
        callable: Py<PyAny>,
        argument: Option<Py<PyAny>>,
        context: Py<PyAny>,
    },
    /// A callback of `call_soon_threadsafe`, from Python 3.14 on.
    Locked(NativeRef<LockedHandle>),
    /// A handle of another make, queued again.
    Foreign(Py<PyAny>),
    /// A byte stream has something to do.
    Stream(NativeRef<StreamTransport>, StreamWork),
    /// A datagram endpoint has something to do.
    Datagram(NativeRef<DatagramTransport>, StreamWork),
    /// A TLS session has something to do.
    Tls(NativeRef<TlsTransport>, TlsWork),
    /// The descriptor of a call that would have blocked is ready.
    Attempt(Py<Attempt>),
    /// A listening socket has connections waiting.
    Accept(Py<Listener>),
    /// The reading end of a pipe has something to do.
    PipeRead(NativeRef<PipeReadTransport>, PipeWork),
    /// The writing end of a pipe has something to do.
    PipeWrite(NativeRef<PipeWriteTransport>, PipeWork),
    /// What a job in a thread has returned, for the future that waits for it.
    Result {
        future: Py<PyAny>,
        result: Py<PyAny>,
    },
    /// Somebody outside wants to look into the loop.
    Bell,
}

/// What a byte stream or a datagram endpoint has to do.
#[derive(Clone, Copy)]
pub enum StreamWork {
    /// Tell the protocol of the connection and start to read.
    Begin,
    /// The kernel reported the descriptor ready.
    Ready(Readiness),
    /// Tell the protocol that the connection is gone, and close the descriptor.
    End,
}

impl Entry {
    /// Gives the entry up unrun.  May run finalisers.
    pub fn discard(self, py: Python<'_>) {
        match self {
            Self::Handle(handle) => handle.release(py),
            Self::Timer(handle) => handle.release(py),
            Self::Locked(handle) => handle.release(py),
            other => drop(other),
        }
    }

    /// Shows the objects that the entry owns to the garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Handle(handle) => handle.traverse(visit),
            Self::Timer(handle) => handle.traverse(visit),
            Self::Step {
                callable,
                argument,
                context,
            } => {
                visit.call(callable)?;
                visit.call(argument)?;
                visit.call(context)
            }
            Self::Locked(handle) => handle.traverse(visit),
            Self::Foreign(handle) => visit.call(handle),
            Self::Stream(transport, _) => visit.call(transport.as_py()),
            Self::Datagram(transport, _) => visit.call(transport.as_py()),
            Self::Tls(transport, _) => visit.call(transport.as_py()),
            Self::Attempt(attempt) => visit.call(attempt),
            Self::Accept(listener) => visit.call(listener),
            Self::PipeRead(transport, _) => visit.call(transport.as_py()),
            Self::PipeWrite(transport, _) => visit.call(transport.as_py()),
            Self::Result { future, result } => {
                visit.call(future)?;
                visit.call(result)
            }
            Self::Bell => Ok(()),
        }
    }
}

/// Who waits for one direction of a descriptor.
pub enum Watcher {
    /// A callback of `add_reader` or `add_writer`.
    Callback(NativeRef<Handle>),
    /// A call that would have blocked.
    Attempt(Py<Attempt>),
    /// The reading end of a pipe.
    PipeRead(NativeRef<PipeReadTransport>),
    /// The writing end of a pipe.
    PipeWrite(NativeRef<PipeWriteTransport>),
}

impl Watcher {
    /// The object that waits.
    pub fn as_py(&self) -> &Py<PyAny> {
        match self {
            Self::Callback(handle) => handle.as_py(),
            Self::Attempt(attempt) => attempt.as_any(),
            Self::PipeRead(transport) => transport.as_py(),
            Self::PipeWrite(transport) => transport.as_py(),
        }
    }
}

/// What a watched descriptor belongs to.
pub enum Source {
    /// Up to two who share it, one for each direction: callbacks, and the transports of pipes and terminals.
    Shared {
        reader: Option<Watcher>,
        writer: Option<Watcher>,
    },
    /// A transport.
    Stream(NativeRef<StreamTransport>),
    /// A datagram endpoint.
    Datagram(NativeRef<DatagramTransport>),
    /// A listening socket.
    Listener(Py<Listener>),
    /// The loop's own doorbell.
    Bell,
}

impl Source {
    /// Shows the objects that the source owns to the garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Shared { reader, writer } => {
                visit.call(reader.as_ref().map(Watcher::as_py))?;
                visit.call(writer.as_ref().map(Watcher::as_py))
            }
            Self::Stream(transport) => visit.call(transport.as_py()),
            Self::Datagram(transport) => visit.call(transport.as_py()),
            Self::Listener(listener) => visit.call(listener),
            Self::Bell => Ok(()),
        }
    }
}
