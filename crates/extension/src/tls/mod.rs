//! TLS on the user's own `ssl.SSLContext`: a transport on top of another.
//!
//! In: bytes of the lower transport, writes from the user.  Out: the protocol's callbacks, encrypted bytes to the lower
//! transport.
//!
//! OpenSSL's own objects do the work (`SSLContext.wrap_bio` between two `ssl.MemoryBIO`), so everything that a context
//! can be told holds: keys, callbacks, versions, key logs.  Where a session stands is decided in
//! `epicycle_reactor::stream::TlsSession`; here its decisions meet OpenSSL and Python.  A lower transport of ours is fed
//! from and written to directly; any other asyncio transport is spoken to as a protocol (`link.rs`).
//!
//! - `class.rs`     `TlsTransport`: the class, its state, its methods
//! - `open.rs`      over a new socket, over an accepted one, over another transport
//! - `engine.rs`    the `ssl` objects of a session, and what their errors mean
//! - `handshake.rs` from the first byte to `connection_made`
//! - `read.rs`      decrypting, handing over, pausing the lower transport
//! - `write.rs`     queueing, encrypting, flow control
//! - `ending.rs`    closing, aborting, failing, the last callback
//! - `link.rs`      the protocol that the lower transport sees
//! - `info.rs`      get_extra_info and repr

mod class;
mod ending;
mod engine;
mod handshake;
mod info;
mod link;
mod open;
mod read;
mod write;

use pyo3::prelude::*;

pub use class::TlsTransport;
pub use engine::Scratch;
pub use info::describe;
pub use link::TlsLink;
pub use open::{SecureFactory, Socket, TlsOptions, accept, over_socket, over_transport};
pub use read::arrived;

use crate::ffi::class::Native;

/// What a session has to do in the next turn.
#[derive(Clone, Copy)]
pub enum TlsWork {
    /// Begin on a transport that was a plain one so far.
    Start,
    /// The application has resumed reading.
    Resumed,
    /// Close the lower transport: both sides have said goodbye.
    CloseLower,
}

/// Does what was queued for the transport.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt` from the protocol.
pub fn work(slf: &Native<'_, TlsTransport>, work: TlsWork) -> PyResult<()> {
    TlsTransport::in_context(slf, || match work {
        TlsWork::Start => handshake::secure(slf),
        TlsWork::Resumed => read::resumed(slf),
        TlsWork::CloseLower => ending::close_lower(slf),
    })
}

/// Makes the classes; called when the module is made.
///
/// # Errors
/// What CPython raises for a base that cannot be derived from.
pub fn make_classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    class::make_class(module)?;
    link::make_class(module)?;
    module.add_class::<SecureFactory>()
}
