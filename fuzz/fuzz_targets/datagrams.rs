//! Datagrams that are queued, taken and put back.
#![no_main]

#[path = "../../crates/reactor/tests/models/datagrams.rs"]
mod model;

libfuzzer_sys::fuzz_target!(|steps: (u8, Vec<model::Step>)| model::run(steps.0, &steps.1));
