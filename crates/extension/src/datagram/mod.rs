//! Datagram transports: what `create_datagram_endpoint` hands to a protocol.
//!
//! In: readiness from the loop, datagrams from the user.  Out: the protocol's callbacks, datagrams to the kernel.
//!
//! An error that the network or the kernel reports concerns one datagram; the protocol hears of it
//! (`error_received`), and the endpoint goes on.  What a datagram endpoint decides is pure and lives in
//! `epicycle_reactor::datagram` and, for closing and flow control, `epicycle_reactor::stream`.  Nothing here runs Python
//! code while the state is entered.
//!
//! - `class.rs`       `DatagramTransport`: the class, its state, its methods
//! - `receiving.rs`   the descriptor is readable
//! - `sending.rs`     sendto, queueing, flow control
//! - `destination.rs` where a datagram goes, and the addresses met last
//! - `ending.rs`      closing, aborting, failing, the last callback

mod class;
mod destination;
mod ending;
mod receiving;
mod sending;

use pyo3::prelude::*;

pub use class::{DatagramTransport, Origin, describe, make_class, open};

use crate::event_loop::entry::StreamWork;
use crate::ffi::class::Native;

/// Does what was queued for the endpoint.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt` from the protocol.
#[inline(always)]
pub fn work(slf: &Native<'_, DatagramTransport>, work: StreamWork) -> PyResult<()> {
    match work {
        StreamWork::Ready(readiness) => {
            if readiness.is_readable() {
                receiving::ready(slf)?;
            }
            if readiness.is_writable() {
                sending::ready(slf)?;
            }
            Ok(())
        }
        StreamWork::Begin => class::begin(slf),
        StreamWork::End => ending::finish(slf),
    }
}
