//! Sockets as Python sees them.
//!
//! - `address.rs`  addresses as Python writes them
//! - `listener.rs` a listening socket: accepts, and makes transports

pub mod address;
pub mod listener;

pub use listener::Listener;
