//! Timers that are put in, cancelled and due in any order.
#![no_main]

#[path = "../../crates/reactor/tests/models/timers.rs"]
mod model;

libfuzzer_sys::fuzz_target!(|steps: Vec<model::Step>| model::run(&steps));
