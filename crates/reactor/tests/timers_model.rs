//! The timers against a sorted list: the same order whatever is cancelled, and bounded memory.
#![cfg(not(loom))]

#[path = "models/timers.rs"]
mod model;

use epicycle_reactor::{Nanos, Timers};
use model::{Model, Step, is_dead};
use proptest::prelude::*;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        // Few different deadlines, so that many are equal.
        4 => (0_u8..40).prop_map(Step::Insert),
        4 => any::<usize>().prop_map(Step::Cancel),
        1 => (0_u8..8).prop_map(Step::Advance),
        1 => Just(Step::Prune),
    ];
    prop::collection::vec(step, 0..600)
}

proptest! {
    #[test]
    fn timers_behave_like_a_sorted_list(steps in steps()) {
        model::run(&steps);
    }

    #[test]
    fn due_items_come_in_order_without_questions(deadlines in prop::collection::vec(0_u64..20, 0..200)) {
        let mut timers = Timers::new();
        for (name, deadline) in deadlines.iter().enumerate() {
            timers.insert(Nanos(*deadline), (*deadline, name));
        }
        let mut expected: Vec<_> = deadlines.into_iter().enumerate().map(|(name, deadline)| (deadline, name)).collect();
        expected.sort_unstable();
        let order: Vec<_> = std::iter::from_fn(|| timers.pop_due(Nanos(20))).collect();
        prop_assert_eq!(order, expected);
    }
}

#[test]
fn a_server_that_cancels_nearly_every_timeout_stays_small() {
    let mut model = Model::default();
    let mut most = 0;
    for round in 0..20_000_u64 {
        model.insert(1_000_000 + round);
        if round % 100 != 0 {
            let (_, item) = model.alive.pop().unwrap();
            item.cancelled.set(true);
            if model.timers.note_cancelled() {
                model.handed_back += model.timers.sweep(is_dead).len();
            }
        }
        most = most.max(model.timers.capacity());
    }
    assert_eq!(model.alive.len(), 200);
    assert!(
        most <= 1024,
        "room for {most} timers with at most 200 alive"
    );
}
