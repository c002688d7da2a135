//! The life of a transport.
#![no_main]

#[path = "../../crates/reactor/tests/models/lifecycle.rs"]
mod model;

libfuzzer_sys::fuzz_target!(|steps: Vec<model::Happening>| model::run(&steps));
