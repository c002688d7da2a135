//! Sources that come and go under a few numbers.
#![no_main]

#[path = "../../crates/reactor/tests/models/registry.rs"]
mod model;

libfuzzer_sys::fuzz_target!(|steps: Vec<model::Step>| model::run(&steps));
