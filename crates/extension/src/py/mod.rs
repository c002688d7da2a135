//! What the extension needs to know of Python's side, looked up once.
//!
//! - `imports.rs` objects of the standard library that native code calls or compares with
//! - `names.rs`   interned attribute and keyword names
//! - `errors.rs`  operating-system errors as Python raises them
//! - `properties.rs` attributes that are computed

pub mod errors;
pub mod imports;
pub mod names;
pub mod properties;
