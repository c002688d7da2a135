//! Byte-stream transports: what `create_connection` and `create_server` hand to a protocol.
//!
//! In: readiness from the loop, writes from the user.  Out: the protocol's callbacks, bytes to the kernel.
//!
//! What a connection decides (when to pause, when it is lost) is pure and lives in `epicycle_reactor::stream`; here the
//! decisions meet the kernel and Python.  Every callback of a protocol runs in the context that the transport was made
//! in.  Nothing here runs Python code while the state is entered.
//!
//! - `class.rs`  `StreamTransport`: the class, its state, its methods
//! - `read.rs`   the descriptor is readable
//! - `write.rs`  writing, queueing, flow control
//! - `ending.rs` closing, aborting, failing, the last callback
//! - `sendfile.rs` what `loop.sendfile` asks of a connection
//! - `info.rs`   get_extra_info and repr
//! - `socket.rs` who owns the descriptor

mod class;
mod ending;
mod info;
mod read;
mod sendfile;
mod socket;
mod write;

use pyo3::prelude::*;

pub use class::{Origin, StreamTransport, make_class, open};
pub use info::describe;
pub use socket::Endpoint;
pub use write::send;
pub(crate) use write::{Data, Marks, limits};

use crate::event_loop::entry::StreamWork;
use crate::ffi::class::Native;

/// Does what was queued for the transport.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt` from the protocol.
#[inline(always)]
pub fn work(slf: &Native<'_, StreamTransport>, work: StreamWork) -> PyResult<()> {
    match work {
        StreamWork::Ready(readiness) => {
            if readiness.is_readable() {
                read::ready(slf)?;
            }
            if readiness.is_writable() {
                write::ready(slf)?;
            }
            Ok(())
        }
        StreamWork::Begin => class::begin(slf),
        StreamWork::End => ending::finish(slf),
    }
}
