//! The pure decisions of a byte stream: values in, values out. Nothing here knows a descriptor or a protocol.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `write_queue` | what is still to be sent, and what a send has finished |
//! | `flow` | when the producer has to pause, and when it may go on |
//! | `lifecycle` | what closing, aborting, errors, the peer's end and an empty queue lead to |

mod flow;
mod lifecycle;
mod write_queue;

pub use flow::{Flow, LimitError};
pub use lifecycle::{Action, Lifecycle, WriteVerdict};
pub use write_queue::WriteQueue;
