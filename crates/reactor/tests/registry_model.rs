//! The registry against a map: a token finds its own source or nobody, for as long as it lives.
#![cfg(not(loom))]

#[path = "models/registry.rs"]
mod model;

use model::Step;
use proptest::prelude::*;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => any::<u8>().prop_map(Step::Insert),
        2 => any::<usize>().prop_map(Step::Remove),
        1 => (any::<usize>(), any::<u8>()).prop_map(|(place, interest)| Step::SetInterest(place, interest)),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn a_token_finds_its_own_source_or_nobody(steps in steps()) {
        model::run(&steps);
    }
}
