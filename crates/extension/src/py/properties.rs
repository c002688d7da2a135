//! Attributes that are computed.

use pyo3::prelude::*;
use pyo3::types::PyType;

/// Makes a property of each of these methods, which take no arguments.
///
/// # Errors
/// `AttributeError` for a method that the class does not have.
pub fn make(class: &Bound<'_, PyType>, methods: &[&str]) -> PyResult<()> {
    let property = class.py().import("builtins")?.getattr("property")?;
    for name in methods {
        class.setattr(name, property.call1((class.getattr(name)?,))?)?;
    }
    Ok(())
}
