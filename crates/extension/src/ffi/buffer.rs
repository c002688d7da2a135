//! Looking into bytes-like objects, and lending their memory to the kernel for the length of one call.

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};

/// A contiguous view of a bytes-like object, held open.
pub struct View {
    buffer: Box<ffi::Py_buffer>,
}

// SAFETY: a `Py_buffer` may be released on any thread that is attached; `Drop` attaches.
unsafe impl Send for View {}

impl View {
    fn open(object: &Bound<'_, PyAny>, flags: std::ffi::c_int) -> PyResult<Self> {
        let mut buffer = Box::new(ffi::Py_buffer::new());
        // SAFETY: attached; the structure is filled on success and then owned by the view.
        if unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), &raw mut *buffer, flags) } < 0 {
            return Err(PyErr::fetch(object.py()));
        }
        Ok(Self { buffer })
    }

    /// A view for reading.
    ///
    /// # Errors
    /// `TypeError` for an object without the buffer protocol, `BufferError` for one that is not contiguous.
    pub fn read(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::open(object, ffi::PyBUF_SIMPLE)
    }

    /// A view for writing.
    ///
    /// # Errors
    /// As `read`, and `BufferError` for one that is read-only.
    pub fn write(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::open(object, ffi::PyBUF_WRITABLE)
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.buffer.len as usize
    }

    #[inline]
    pub fn bytes(&self) -> &[u8] {
        if self.buffer.len == 0 {
            return &[];
        }
        // SAFETY: the exporter keeps the memory in place while the view is open.  Python code could change its
        // contents meanwhile; the slice is only handed to the kernel or copied, with no Python code in between.
        unsafe { std::slice::from_raw_parts(self.buffer.buf.cast(), self.len()) }
    }

    /// # Errors
    /// `BufferError` when the view was opened for reading.
    pub fn bytes_mut(&mut self) -> PyResult<&mut [u8]> {
        if self.buffer.readonly != 0 {
            return Err(PyBufferError::new_err("the buffer is read-only"));
        }
        if self.buffer.len == 0 {
            return Ok(&mut []);
        }
        // SAFETY: as in `bytes`, and the exporter allowed writing.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.buffer.buf.cast(), self.len()) })
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: opened once, released once, attached.
        super::fastcall::attached(|_| unsafe { ffi::PyBuffer_Release(&raw mut *self.buffer) });
    }
}

/// Appends to a `bytearray`.  Runs no Python code.
///
/// # Errors
/// `BufferError` while somebody looks into it, `MemoryError`; it is as it was then.
#[inline]
pub fn extend(array: &Bound<'_, PyByteArray>, data: &[u8]) -> PyResult<()> {
    let before = array.len();
    array.resize(before + data.len())?;
    // SAFETY: nothing else runs meanwhile: the interpreter is held, and nothing here runs Python code.
    let bytes = unsafe { array.as_bytes_mut() };
    bytes[before..].copy_from_slice(data);
    Ok(())
}

/// Takes the first `count` bytes out of a `bytearray`, which has as many.  Runs no Python code.
///
/// # Errors
/// `BufferError` while somebody looks into it, `MemoryError`; it is as it was then.
#[inline]
pub fn take<'py>(array: &Bound<'py, PyByteArray>, count: usize) -> PyResult<Bound<'py, PyBytes>> {
    let py = array.py();
    // SAFETY: nothing else runs meanwhile: the interpreter is held, and making `bytes` runs no Python code.
    let taken = PyBytes::new(py, unsafe { &array.as_bytes()[..count] });
    // SAFETY: attached; a `bytearray` takes slices.
    let outcome = unsafe { ffi::PySequence_DelSlice(array.as_ptr(), 0, count as ffi::Py_ssize_t) };
    if outcome < 0 {
        return Err(PyErr::fetch(py));
    }
    Ok(taken)
}

/// A chunk of a write queue: a `bytes` object kept alive, or a copy of something mutable.
pub enum Chunk {
    Bytes(Py<PyBytes>, usize),
    Owned(Box<[u8]>),
}

impl Chunk {
    /// What is left of `data` from `start` on, kept without copying where the data cannot change.
    pub fn from_bytes(data: &Bound<'_, PyBytes>, start: usize) -> Self {
        Self::Bytes(data.clone().unbind(), start)
    }
}

impl AsRef<[u8]> for Chunk {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        match self {
            // SAFETY: a `bytes` object's memory neither moves nor changes while it is referenced, which the chunk
            // sees to; `start` was inside when the chunk was made.
            Self::Bytes(bytes, start) => unsafe {
                let pointer = bytes.as_ptr();
                let length = ffi::Py_SIZE(pointer) as usize;
                let data = ffi::PyBytes_AS_STRING(pointer).cast::<u8>();
                std::slice::from_raw_parts(data.add(*start), length - *start)
            },
            Self::Owned(data) => data,
        }
    }
}
