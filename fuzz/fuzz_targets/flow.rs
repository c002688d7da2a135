//! Flow control, and the marks of TLS.
#![no_main]

#[path = "../../crates/reactor/tests/models/flow.rs"]
mod model;

libfuzzer_sys::fuzz_target!(|steps: Vec<model::Step>| {
    model::run(&steps);
    model::run_marks(&steps);
});
