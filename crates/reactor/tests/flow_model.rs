//! Flow control against asyncio's rules, told as variables.
#![cfg(not(loom))]

#[path = "models/flow.rs"]
mod model;

use model::Step;
use proptest::prelude::*;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let mark = || prop::option::of(0_u16..100);
    let step = prop_oneof![
        1 => (mark(), mark()).prop_map(|(high, low)| Step::Limits(high, low)),
        6 => (0_u16..150).prop_map(Step::Resize),
        1 => Just(Step::Release),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn pausing_and_resuming_alternate_and_respect_the_marks(steps in steps()) {
        model::run(&steps);
    }

    #[test]
    fn the_marks_of_tls_do_too(steps in steps()) {
        model::run_marks(&steps);
    }
}
