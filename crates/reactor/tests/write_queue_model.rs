//! The write queue against a plain vector of bytes.
#![cfg(not(loom))]

#[path = "models/write_queue.rs"]
mod model;

use model::Step;
use proptest::prelude::*;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let step = prop_oneof![
        6 => bytes().prop_map(Step::Push),
        2 => (bytes(), any::<usize>()).prop_map(|(chunk, sent)| Step::PushBegun(chunk, sent)),
        5 => (1_u8..6, 0_u16..60).prop_map(|(pieces, most)| Step::Send { pieces, most }),
        1 => Just(Step::Clear),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #[test]
    fn bytes_leave_in_order_and_chunks_come_back_whole(steps in steps()) {
        model::run(&steps);
    }
}
