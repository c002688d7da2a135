//! The event loop.
//!
//! In: callbacks, timers, descriptors and arrivals from other threads.  Out: the user's code, run in order.
//!
//! `Loop` is the native half; the class that users see, `epicycle.EventLoop`, derives from it and from
//! `asyncio.AbstractEventLoop` and adds what is not worth compiling: coroutines that connect and serve, executors,
//! signals.
//!
//! - `class.rs`    `Loop`: what it holds, the states it may be in, its fastest methods
//! - `methods.rs`  every other method that Python sees
//! - `core.rs`     the state behind the cell: the turn and its buffers
//! - `room.rs`     memory that the kernel copies into
//! - `entry.rs`    what waits in the queues, what a descriptor belongs to
//! - `schedule.rs` call_soon, call_later, call_at, call_soon_threadsafe
//! - `clock.rs`    the time, also where a test replaced it
//! - `run.rs`      the turn: park, collect, expire, run the batch
//! - `readers.rs`  add_reader, add_writer and their removal
//! - `attempts.rs` calls that are tried again when their descriptor is ready
//! - `sockets.rs` the tries of the `sock_*` methods
//! - `tasks.rs`    create_task and create_future
//! - `report.rs`   what went wrong in a callback
//! - `subjects.rs` what an entry is, for those who watch
//! - `watched.rs`  what the loop does for those who watch

pub mod attempts;
pub mod class;
pub mod clock;
pub mod core;
pub mod entry;
mod methods;
pub mod readers;
pub mod report;
pub mod room;
pub mod run;
pub mod schedule;
pub mod sockets;
pub mod subjects;
pub mod tasks;
pub mod watched;

pub use class::Loop;
