//! The handles that `call_soon`, `call_later` and `call_at` return.
//!
//! In: a callback, its arguments and its context.  Out: an `asyncio.Handle` or `asyncio.TimerHandle`, by inheritance.
//!
//! A handle keeps what it holds in the slots of asyncio's class, or where only asking for it fills a slot, so repr,
//! ordering, equality and debug output are asyncio's own code working on true values; native are its making, `cancel`,
//! `cancelled`, `when` and its running.
//!
//! - `kinds.rs` the two classes, making one, cancelling
//! - `slots.rs` what a handle holds
//! - `shared.rs` one copy of a context for a row of callbacks that leave it as it is
//! - `locked.rs` the handle of `call_soon_threadsafe`, whose `cancel` waits for a running callback
//! - `call.rs`  running one

pub mod call;
pub mod kinds;
pub mod locked;
pub mod shared;
pub mod slots;

pub use kinds::{Handle, TimerHandle};
pub use locked::LockedHandle;
pub use slots::Scheduled;
