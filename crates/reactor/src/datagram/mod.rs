//! The pure decisions of a datagram endpoint: values in, values out. Nothing here knows a descriptor or a protocol.
//!
//! Flow control and closing are those of a byte stream ([`crate::stream::Flow`], [`crate::stream::Lifecycle`]).
//!
//! | file | what it decides |
//! | --- | --- |
//! | `queue` | what is still to be sent, whole datagrams with their destinations |
//! | `batch` | how many datagrams one report of readability may bring |

mod batch;
mod queue;

pub use batch::Batch;
pub use queue::DatagramQueue;
