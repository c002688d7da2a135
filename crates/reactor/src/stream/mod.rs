//! The pure decisions of a byte stream: values in, values out. Nothing here knows a descriptor or a protocol.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `write_queue` | what is still to be sent, and what a send has finished |
//! | `bursts` | whether a write is likely to be followed by another of the same callback |
//! | `flow` | when the producer has to pause, and when it may go on |
//! | `lifecycle` | what closing, aborting, errors, the peer's end and an empty queue lead to |
//! | `tls` | where a TLS session stands, and when either side of it has to pause |

mod bursts;
mod flow;
mod lifecycle;
mod tls;
mod write_queue;

pub use bursts::Bursts;
pub use flow::{Flow, LimitError};
pub use lifecycle::{Action, Lifecycle, WriteVerdict};
pub use tls::{Arrival, Closing, Marks, PeerEnd, TlsSession, TlsWrite, Told};
pub use write_queue::WriteQueue;
