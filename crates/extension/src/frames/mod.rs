//! The Python stack of a thread, read from memory: without the GIL, and from another process as well.
//!
//! In: a process, the address of a `PyThreadState`, and a table of where its interpreter keeps what.
//! Out: files, functions and lines.  Nothing is trusted: all that is read may be wrong or changing, so every address
//! goes through the kernel, every length has a bound, and what is no stack is an error.
//!
//! - `stack.rs`   walking the frames
//! - `memory.rs`  the memory of a process, this one or another
//! - `layout.rs`  the table, and its form as words for others to use
//! - `running.rs` the table of the running interpreter
//! - `objects.rs` strings and `bytes` objects in such memory
//! - `lines.rs`   which line an instruction is from
//! - `python.rs`  what Python code can call

pub mod layout;
mod lines;
pub mod memory;
mod objects;
pub mod python;
pub mod running;
pub mod stack;
