//! What lets others see what a loop does.
//!
//! In: counts and notes of the loop's thread.  Out: a page of memory that another process of the same user can read, and
//! records of stalls in it.  docs/design/005-watching.md has the whole picture.
//!
//! - `page.rs`      the layout of the page, and writing it
//! - `text.rs`      texts in it
//! - `stall.rs`     a stall as it is written and read
//! - `reader.rs`    `Page`: reading one, of this process or another
//! - `bell.rs`      the doorbell: how others ask the loop for more than the page has
//! - `counted.rs`   connections that are counted while they are there
//! - `connections.rs` the connections, listeners and watched descriptors, for the agent
//! - `snapshot.rs`  what the agent found, in a file without a name
//! - `recorder.rs`  when steps begin and end, while somebody wants to know
//! - `detector.rs`  the thread that notices stalls
//! - `cause.rs`     what the system says about a thread that does not get on

pub mod bell;
pub mod cause;
pub mod connections;
pub mod counted;
pub mod detector;
pub mod page;
pub mod reader;
pub mod recorder;
pub mod snapshot;
pub mod stall;
pub mod text;

use pyo3::prelude::*;

/// Adds the classes and functions to the module.
///
/// # Errors
/// What CPython raises when a class cannot be made.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<reader::Page>()?;
    module.add_class::<detector::Detector>()?;
    module.add_function(wrap_pyfunction!(hold_pages, module)?)?;
    module.add_function(wrap_pyfunction!(release_pages, module)?)
}

/// Before a fork: no other thread may be at the list of pages, or the child would find it locked for ever.
#[pyfunction]
fn hold_pages() {
    page::hold();
}

/// After a fork, in parent and child.
#[pyfunction]
fn release_pages() {
    page::release();
}
