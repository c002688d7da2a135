//! The handles that `call_soon`, `call_later` and `call_at` return.
//!
//! In: a callback, its arguments and its context.  Out: an `asyncio.Handle` or `asyncio.TimerHandle`, by inheritance.
//!
//! A handle keeps everything in the slots of asyncio's class, so repr, ordering, equality and debug output are
//! asyncio's own code working on true values; native are its making, `cancel`, `cancelled`, `when` and its running.
//!
//! - `kinds.rs` the two classes, their slots, making one, cancelling
//! - `locked.rs` the handle of `call_soon_threadsafe`, whose `cancel` waits for a running callback
//! - `call.rs`  running one

pub mod call;
pub mod kinds;
pub mod locked;

pub use kinds::{Handle, Scheduled, TimerHandle};
pub use locked::LockedHandle;
