//! The event loop of Epicycle without Python: readiness, timers, queues, and the kernel under them.
//!
//! *In:* events of a [`Kernel`], items of a type `T` that the embedder queues, file descriptors with a
//! source of a type `S`. *Out:* a batch of items per turn, in the order in which they became due.
//!
//! A turn goes once round: **park → collect → expire → run the batch → end**. The embedder drives the steps
//! itself ([`Turn`]), because it lets other threads run while the loop is parked and runs the items its own way.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`turn`] | one turn in steps: park, collect, expire, hand out the batch |
//! | [`kernel`] | the contract with the system: non-blocking calls and one wait; the real and the scripted one |
//! | [`registry`] | who watches which descriptor: slots with a generation |
//! | [`token`] | the identity of a watched descriptor: slot + generation |
//! | [`interest`] | what a source waits for, and what the kernel says it is ready for |
//! | [`time`] | monotonic nanoseconds |
//! | [`timers`] | deadlines in order; cancelled ones are removed lazily |
//! | [`ready`] | the items that are due, first in, first out |
//! | [`inbox`] | items from other threads, and the flag that says whether the loop has to be woken |
//! | [`net`] | addresses and the options of a listening socket |
//! | [`corks`] | packets that wait for the rest of what a callback writes |
//! | [`stream`] | pure decisions of a byte stream: queue, flow control, closing |
//! | [`datagram`] | pure decisions of a datagram endpoint: queue, batches |
//! | [`counters`] | what the loop counts about itself |
//! | `sync` | atomics and locks: those of std, or of loom under `--cfg loom` |
//!
//! Nothing above [`kernel`] makes a system call, reads the clock or asks for entropy. Nothing here drops an
//! item that was queued: whatever is taken out is handed back, because dropping may run foreign code.
#![deny(unsafe_code)]

pub mod corks;
pub mod counters;
pub mod datagram;
pub mod inbox;
pub mod interest;
pub mod kernel;
pub mod net;
pub mod ready;
pub mod registry;
mod resting;
pub mod stream;
mod sync;
pub mod time;
pub mod timers;
pub mod token;
pub mod turn;

pub use corks::Corks;
pub use counters::Counters;
pub use datagram::{Batch, DatagramQueue};
pub use inbox::{Inbox, Remote};
pub use interest::{Interest, Readiness};
pub use kernel::scripted::ScriptedKernel;
pub use kernel::system::SystemKernel;
pub use kernel::{Event, Kernel, MAX_IOVECS, Wait, Waiter, Wake};
pub use net::{Address, Dotted, ListenOptions};
pub use ready::Ready;
pub use registry::Registry;
pub use stream::{Action, Bursts, Flow, Lifecycle, LimitError, WriteQueue, WriteVerdict};
pub use sync::Arc;
pub use time::Nanos;
pub use timers::Timers;
pub use token::Token;
pub use turn::{Parking, Turn};
