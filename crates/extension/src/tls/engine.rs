//! The `ssl` objects of a session, and what their errors mean.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyTuple, PyType};

use crate::event_loop::Loop;
use crate::event_loop::core::RECEIVE_BUFFER;
use crate::event_loop::room::Room;
use crate::ffi::call;
use crate::ffi::class::Visitor;
use crate::ffi::lend::Borrower;
use crate::py::names;

/// The most that one TLS record carries, in bytes (RFC 8446, section 5.1).
pub(super) const RECORD: usize = 16 * 1024;

/// What of the `ssl` module native code needs.
pub(super) struct Library {
    memory_bio: Py<PyAny>,
    ssl_object: Py<PyType>,
    want_read: Py<PyType>,
    syscall: Py<PyType>,
    pub certificate_error: Py<PyType>,
    wrap_keywords: Py<PyTuple>,
}

static LIBRARY: PyOnceLock<Library> = PyOnceLock::new();

impl Library {
    /// # Errors
    /// `ImportError` on an interpreter that was built without OpenSSL.
    pub fn get(py: Python<'_>) -> PyResult<&'static Self> {
        LIBRARY.get_or_try_init(py, || {
            let ssl = py.import("ssl")?;
            let class = |name: &str| -> PyResult<Py<PyType>> {
                Ok(ssl.getattr(name)?.cast_into::<PyType>()?.unbind())
            };
            Ok(Self {
                memory_bio: ssl.getattr("MemoryBIO")?.unbind(),
                ssl_object: class("SSLObject")?,
                want_read: class("SSLWantReadError")?,
                syscall: class("SSLSyscallError")?,
                certificate_error: class("CertificateError")?,
                wrap_keywords: PyTuple::new(py, ["server_side", "server_hostname"])?.unbind(),
            })
        })
    }
}

/// How a call of OpenSSL's went.
pub(super) enum Outcome<T> {
    Done(T),
    /// It needs more from the peer.
    Again,
    Failed(PyErr),
}

fn sort<T>(py: Python<'_>, outcome: PyResult<T>) -> PyResult<Outcome<T>> {
    match outcome {
        Ok(value) => Ok(Outcome::Done(value)),
        Err(error) => {
            let library = Library::get(py)?;
            let again = error.is_instance(py, library.want_read.bind(py))
                || error.is_instance(py, library.syscall.bind(py));
            if again {
                Ok(Outcome::Again)
            } else {
                Ok(Outcome::Failed(error))
            }
        }
    }
}

/// Who encrypts: OpenSSL's object itself, or an `SSLObject` of a class that the user has set on the context.
enum Session {
    Native(Borrower),
    Custom,
}

/// A session between two memory buffers.
pub(super) struct Engine {
    /// The `ssl.SSLObject`.
    pub object: Py<PyAny>,
    session: Session,
    incoming: Borrower,
    outgoing: Borrower,
}

impl Engine {
    /// `context.wrap_bio(...)`
    ///
    /// # Errors
    /// What the context raises: `ValueError` for a host name that is none, `TypeError` for a context that is none.
    pub fn wrap(
        context: &Bound<'_, PyAny>,
        server_side: bool,
        server_hostname: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let py = context.py();
        let library = Library::get(py)?;
        let buffer = || -> PyResult<Borrower> {
            let made = library.memory_bio.bind(py).call0()?;
            Borrower::of(&made, "MemoryBIO")?
                .ok_or_else(|| pyo3::exceptions::PyTypeError::new_err("ssl.MemoryBIO was replaced"))
        };
        let (incoming, outgoing) = (buffer()?, buffer()?);
        let side = pyo3::types::PyBool::new(py, server_side)
            .to_owned()
            .into_any();
        let none = py.None().into_bound(py);
        let object = call::call_keywords(
            &context.getattr(pyo3::intern!(py, "wrap_bio"))?,
            &[
                incoming.as_py().bind(py),
                outgoing.as_py().bind(py),
                &side,
                server_hostname.unwrap_or(&none),
            ],
            library.wrap_keywords.bind(py),
        )?;
        let native = if object.get_type().is(&library.ssl_object) {
            Borrower::of(&object.getattr(pyo3::intern!(py, "_sslobj"))?, "_SSLSocket")?
        } else {
            None
        };
        Ok(Self {
            object: object.unbind(),
            session: native.map_or(Session::Custom, Session::Native),
            incoming,
            outgoing,
        })
    }

    pub fn traverse(&self, visit: &mut Visitor) {
        visit.object(&self.object);
        visit.object(self.incoming.as_py());
        visit.object(self.outgoing.as_py());
        if let Session::Native(session) = &self.session {
            visit.object(session.as_py());
        }
    }

    fn session(&self) -> &Py<PyAny> {
        match &self.session {
            Session::Native(session) => session.as_py(),
            Session::Custom => &self.object,
        }
    }

    /// Bytes from the peer that have not been looked at yet.
    #[inline]
    pub fn incoming_pending(&self, py: Python<'_>) -> PyResult<usize> {
        self.incoming
            .as_py()
            .bind(py)
            .getattr(names::pending(py))?
            .extract()
    }

    /// Whether there is nothing to decrypt, nor decrypted already.
    #[inline]
    pub fn is_dry(&self, py: Python<'_>) -> PyResult<bool> {
        if self.incoming_pending(py)? > 0 {
            return Ok(false);
        }
        Ok(call::method0(self.session().bind(py), names::pending(py))?.extract::<usize>()? == 0)
    }

    /// Takes bytes from the peer.
    #[inline]
    pub fn receive(&self, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        if data.is_empty() {
            return Ok(());
        }
        self.incoming.give(py, names::write(py), data).map(drop)
    }

    /// Encrypted bytes for the peer.
    #[inline]
    pub fn outgoing<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let bio = self.outgoing.as_py().bind(py);
        if bio.getattr(names::pending(py))?.extract::<usize>()? == 0 {
            return Ok(None);
        }
        Ok(Some(
            call::method0(bio, names::read(py))?.cast_into::<PyBytes>()?,
        ))
    }

    pub fn do_handshake(&self, py: Python<'_>) -> PyResult<Outcome<()>> {
        let outcome = call::method0(self.session().bind(py), pyo3::intern!(py, "do_handshake"));
        sort(py, outcome.map(drop))
    }

    /// Says goodbye; done when the peer has said so too.
    pub fn shutdown(&self, py: Python<'_>) -> PyResult<Outcome<()>> {
        let outcome = match &self.session {
            Session::Native(session) => {
                call::method0(session.as_py().bind(py), pyo3::intern!(py, "shutdown"))
            }
            Session::Custom => call::method0(self.object.bind(py), pyo3::intern!(py, "unwrap")),
        };
        sort(py, outcome.map(drop))
    }

    /// Decrypts into `memory`; 0 bytes at the peer's goodbye.
    pub fn read(&self, py: Python<'_>, memory: &mut [u8]) -> PyResult<Outcome<usize>> {
        // Raising and catching "want read" costs more than asking first.
        if self.is_dry(py)? {
            return Ok(Outcome::Again);
        }
        let outcome = match &self.session {
            Session::Native(session) => session
                .fill(py, names::read(py), memory)
                .and_then(|count| count.extract()),
            Session::Custom => {
                let wanted = memory.len().into_pyobject(py)?;
                call::method1(self.object.bind(py), names::read(py), &wanted).and_then(|data| {
                    let data = data.cast_into::<PyBytes>()?;
                    let data = data.as_bytes();
                    let count = data.len().min(memory.len());
                    memory[..count].copy_from_slice(&data[..count]);
                    Ok(count)
                })
            }
        };
        sort(py, outcome)
    }

    /// Encrypts part of `data` from `start` on, a record at most; says how many bytes.
    pub fn write(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyBytes>,
        start: usize,
    ) -> PyResult<Outcome<usize>> {
        let bytes = data.as_bytes();
        let end = bytes.len().min(start + RECORD);
        let outcome = if start == 0 && end == bytes.len() {
            call::method1(self.session().bind(py), names::write(py), data.as_any())
        } else {
            match &self.session {
                Session::Native(session) => session.give(py, names::write(py), &bytes[start..end]),
                Session::Custom => {
                    let part = PyBytes::new(py, &bytes[start..end]);
                    call::method1(self.object.bind(py), names::write(py), part.as_any())
                }
            }
        };
        sort(py, outcome.and_then(|count| count.extract()))
    }
}

/// Working memory for one batch of arrivals, shared by all sessions of a loop.
pub struct Scratch {
    pub cipher: Room,
    pub plain: Room,
}

impl Scratch {
    /// The loop's scratch memory, or new memory while that is lent.
    ///
    /// # Errors
    /// `RuntimeError` when the loop's state is in use.
    pub fn borrow(owner: &Bound<'_, Loop>) -> PyResult<Box<Self>> {
        let kept = owner
            .get()
            .cell
            .with(owner.py(), |core| core.scratch.take())?;
        Ok(kept.unwrap_or_else(|| {
            Box::new(Self {
                cipher: Room::new(RECEIVE_BUFFER),
                plain: Room::new(RECEIVE_BUFFER),
            })
        }))
    }

    /// Gives the memory back.
    ///
    /// # Errors
    /// `RuntimeError` when the loop's state is in use.
    pub fn give_back(self: Box<Self>, owner: &Bound<'_, Loop>) -> PyResult<()> {
        let replaced = owner
            .get()
            .cell
            .with(owner.py(), |core| core.scratch.replace(self))?;
        drop(replaced);
        Ok(())
    }
}
