//! Addresses through the system and back.
#![no_main]

#[path = "../../crates/reactor/tests/models/addresses.rs"]
mod model;

libfuzzer_sys::fuzz_target!(|place: model::Place| model::run(&place));
