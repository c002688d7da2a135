//! asyncio's streams: its own, fed without a Python frame, and native methods for subclasses of them.
//!
//! - `feed.rs`      bytes that arrived, put into the buffer of an `asyncio.StreamReader`
//! - `classes.rs`   asyncio's classes and ours, and where ours keep their attributes
//! - `methods.rs`   `read`, `readexactly`, `readuntil`, `readline` and `drain`, for `epicycle._streams`
//! - `coroutine.rs` what these return: something to await that is no Python function's
//! - `reading.rs`   what a read takes out of the buffer, and when it has to wait

mod classes;
mod coroutine;
mod feed;
mod methods;
mod reading;

pub use feed::{Feed, is_standard};
pub use methods::register;
