//! The timers against a sorted list: the same order whatever is cancelled, and bounded memory.
#![cfg(not(loom))]

use std::cell::Cell;
use std::rc::Rc;

use epicycle_reactor::timers::{Popped, SWEEP_FLOOR};
use epicycle_reactor::{Nanos, Timers};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Item {
    name: usize,
    cancelled: Rc<Cell<bool>>,
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    Cancel(prop::sample::Index),
    Advance(u64),
    Prune,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        // Few different deadlines, so that many are equal.
        4 => (0_u64..40).prop_map(Step::Insert),
        4 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        1 => (0_u64..8).prop_map(Step::Advance),
        1 => Just(Step::Prune),
    ];
    prop::collection::vec(step, 0..600)
}

fn is_dead(item: &Item) -> bool {
    item.cancelled.get()
}

#[derive(Default)]
struct Model {
    timers: Timers<Item>,
    /// Everything that was put in and has not come out alive: deadline, name, the item.
    alive: Vec<(u64, Item)>,
    now: u64,
    inserted: usize,
    handed_back: usize,
}

impl Model {
    fn insert(&mut self, delay: u64) {
        let item = Item {
            name: self.inserted,
            cancelled: Rc::default(),
        };
        self.inserted += 1;
        self.timers.insert(Nanos(self.now + delay), item.clone());
        let deadline = self.now + delay;
        let place = self.alive.partition_point(|(other, _)| *other <= deadline);
        self.alive.insert(place, (deadline, item));
    }

    fn cancel(&mut self, index: prop::sample::Index) {
        if self.alive.is_empty() {
            return;
        }
        let (_, item) = self.alive.remove(index.index(self.alive.len()));
        item.cancelled.set(true);
        if self.timers.note_cancelled() {
            let removed = self.timers.sweep(is_dead);
            assert!(removed.iter().all(is_dead));
            self.handed_back += removed.len();
        }
    }

    fn advance(&mut self, by: u64) {
        self.now += by;
        while let Some(popped) = self.timers.pop_due_with(Nanos(self.now), is_dead) {
            self.handed_back += 1;
            if let Popped::Due(item) = popped {
                let (deadline, expected) = self.alive.remove(0);
                assert!(deadline <= self.now, "nothing is early");
                assert_eq!(item.name, expected.name);
            }
        }
        assert!(
            self.alive
                .first()
                .is_none_or(|(deadline, _)| *deadline > self.now),
            "nothing is late"
        );
    }

    fn prune(&mut self) {
        while let Some(item) = self.timers.pop_dead_top(is_dead) {
            assert!(is_dead(&item));
            self.handed_back += 1;
        }
        assert_eq!(
            self.timers.next_deadline(),
            self.alive.first().map(|(deadline, _)| Nanos(*deadline))
        );
    }

    fn check(&self) {
        let dead = self.timers.iter().filter(|item| is_dead(item)).count();
        assert_eq!(self.timers.dead(), dead);
        assert_eq!(self.timers.len(), self.alive.len() + dead);
        assert!(
            dead <= SWEEP_FLOOR.max(self.timers.len() / 2),
            "{dead} dead of {}",
            self.timers.len()
        );
        assert_eq!(
            self.handed_back + self.timers.len(),
            self.inserted,
            "nothing is lost"
        );
    }
}

proptest! {
    #[test]
    fn timers_behave_like_a_sorted_list(steps in steps()) {
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Insert(delay) => model.insert(delay),
                Step::Cancel(index) => model.cancel(index),
                Step::Advance(by) => model.advance(by),
                Step::Prune => model.prune(),
            }
            model.check();
        }
        model.advance(1_000);
        prop_assert!(model.timers.is_empty());
        model.check();
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
