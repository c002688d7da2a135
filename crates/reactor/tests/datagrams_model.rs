//! The queue of datagrams against a list.
#![cfg(not(loom))]

#[path = "models/datagrams.rs"]
mod model;

use model::Step;
use proptest::prelude::*;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Step::Push),
        4 => Just(Step::Pop),
        2 => Just(Step::PutBack),
        1 => Just(Step::Clear),
        4 => (0_u8..40).prop_map(Step::Receive),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn datagrams_leave_whole_in_order_and_each_counts_once(overhead in any::<u8>(), steps in steps()) {
        model::run(overhead, &steps);
    }
}
