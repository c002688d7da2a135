//! The only place that speaks to CPython without a net: everything outside this folder is safe Rust.
//!
//! In: what PyO3 does not offer, or not at the price the hot path can pay.
//! Out: safe types and functions; each upholds its own invariants and says them at its `unsafe` blocks.
//!
//! - `cell.rs`     state of a loop, reachable only with the interpreter attached and never twice at once
//! - `class/`      native classes on top of asyncio's own (`Handle`, `Transport`), payload behind the base's slots
//! - `place.rs`    a place for one object inside a native instance
//! - `members.rs`  the slots of those base classes, read and written in place
//! - `fastcall.rs` methods called with a C array of arguments, without tuple or dict
//! - `call.rs`     calling Python objects without building a tuple
//! - `context.rs`  entering, leaving and copying `contextvars.Context`
//! - `cutoff.rs`   a thread that the interpreter ends while it runs a loop
//! - `interpreter.rs` refusing subinterpreters
//! - `nesting.rs`  freeing long chains of those classes' instances
//! - `attribute.rs` attributes that are computed when they are asked for
//! - `buffer.rs`   looking into bytes-like objects, and lending memory to the kernel
//! - `lend.rs`     lending memory to the objects of the `ssl` module
//! - `mapping.rs`  memory that other processes may map
//! - `memory.rs`   reading a process's memory by address
//! - `runtime.rs`  addresses inside the running interpreter, as numbers

pub mod attribute;
pub mod buffer;
pub mod call;
pub mod cell;
pub mod class;
pub mod context;
pub mod cutoff;
pub mod fastcall;
pub mod interpreter;
pub mod lend;
pub mod mapping;
pub mod members;
pub mod memory;
mod nesting;
pub mod place;
pub mod runtime;
