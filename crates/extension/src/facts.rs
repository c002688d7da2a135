//! How this build came about and what it found: for `epicycle doctor` and for benchmarks that refuse a debug build.

use epicycle_reactor::kernel::system::SystemKernel;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::py::errors;

/// Facts about the build and the system, by name.
#[pyfunction]
pub fn build_facts(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let facts = PyDict::new(py);
    facts.set_item("version", env!("CARGO_PKG_VERSION"))?;
    facts.set_item("profile", env!("EPICYCLE_PROFILE"))?;
    facts.set_item("optimised", !cfg!(debug_assertions))?;
    facts.set_item("free_threaded", cfg!(Py_GIL_DISABLED))?;
    let kernel = SystemKernel::new().map_err(|error| errors::os_error(py, &error))?;
    let found = kernel.facts();
    facts.set_item("poller", found.poller)?;
    facts.set_item(
        "poller_reason",
        "level-triggered readiness; see docs/design/001-poller.md",
    )?;
    facts.set_item(
        "timeout_precision",
        format!("{:?}", found.timeouts).to_lowercase(),
    )?;
    facts.set_item("timeout_reason", &found.reason)?;
    facts.set_item("waker", found.waker)?;
    Ok(facts)
}
