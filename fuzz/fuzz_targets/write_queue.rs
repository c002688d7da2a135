//! Chunks that are queued and sent in pieces.
#![no_main]

#[path = "../../crates/reactor/tests/models/write_queue.rs"]
mod model;

libfuzzer_sys::fuzz_target!(|steps: Vec<model::Step>| model::run(&steps));
