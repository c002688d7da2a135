//! The life of a TLS session.
#![no_main]

#[path = "../../crates/reactor/tests/models/tls.rs"]
mod model;

libfuzzer_sys::fuzz_target!(|steps: (bool, Vec<model::Happening>)| model::run(steps.0, &steps.1));
