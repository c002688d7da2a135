//! Pipes and terminals: what `connect_read_pipe` and `connect_write_pipe` hand to a protocol.
//!
//! In: readiness from the loop, writes from the user.  Out: the protocol's callbacks, bytes to the kernel.
//!
//! A pipe has one direction, so each end is a class of its own, and what both have in common is written once, for any
//! `Half`.  The two directions of one descriptor (a terminal's, say) may belong to two transports: they share its
//! place in the registry with `add_reader` and `add_writer`.
//!
//! The file object stays the descriptor's owner; the transport closes it when `connection_lost` has run.
//!
//! - `class.rs`  `PipeTransport`: its state, what both ends have, the first callback
//! - `read.rs`   the reading end: `PipeReadTransport`
//! - `write.rs`  the writing end: `PipeWriteTransport`, its queue and flow control
//! - `ending.rs` closing, failing, the last callback

mod class;
mod ending;
pub mod read;
pub mod write;

use pyo3::prelude::*;

pub use class::{Half, Origin, PipeTransport, describe};
pub use read::PipeReadTransport;
pub use write::PipeWriteTransport;

use crate::ffi::class::Native;

/// What a pipe's end has to do.
#[derive(Clone, Copy)]
pub enum PipeWork {
    /// Tell the protocol of the connection and start to watch.
    Begin,
    /// The kernel reported something to read, or that the other end is gone.
    Readable,
    /// The kernel reported room to write, or that the other end is gone.
    Writable,
    /// Tell the protocol that nothing more comes.
    Eof,
    /// Tell the protocol that the connection is gone, and close the file.
    End,
}

/// Does what was queued for the transport.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt` from the protocol.
pub fn work<H: Half>(slf: &Native<'_, PipeTransport<H>>, work: PipeWork) -> PyResult<()> {
    match work {
        PipeWork::Begin => class::begin(slf),
        PipeWork::Readable => H::readable(slf),
        PipeWork::Writable => H::writable(slf),
        PipeWork::Eof => ending::tell_eof(slf),
        PipeWork::End => ending::finish(slf),
    }
}

/// Makes both classes; called when the module is made.
///
/// # Errors
/// What CPython raises for a base that cannot be derived from.
pub fn make_classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    read::make_class(module)?;
    write::make_class(module)
}
