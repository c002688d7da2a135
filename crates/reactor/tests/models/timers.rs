//! Timers as a sorted list: what the real ones must do whatever is put in, cancelled, and when.

use std::cell::Cell;
use std::rc::Rc;

use epicycle_reactor::timers::{Popped, SWEEP_FLOOR};
use epicycle_reactor::{Nanos, Timers};

#[derive(Clone, Debug)]
pub struct Item {
    name: usize,
    pub cancelled: Rc<Cell<bool>>,
}

/// What is done to the timers.  Times are in nanoseconds.
#[derive(Clone, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub enum Step {
    /// A timer so long from now.
    Insert(u8),
    /// One of those alive, by its place.
    Cancel(usize),
    Advance(u8),
    Prune,
}

pub fn is_dead(item: &Item) -> bool {
    item.cancelled.get()
}

#[derive(Default)]
pub struct Model {
    pub timers: Timers<Item>,
    /// Everything that was put in and has not come out alive: deadline, name, the item.
    pub alive: Vec<(u64, Item)>,
    now: u64,
    inserted: usize,
    pub handed_back: usize,
}

impl Model {
    pub fn insert(&mut self, delay: u64) {
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

    fn cancel(&mut self, place: usize) {
        if self.alive.is_empty() {
            return;
        }
        let (_, item) = self.alive.remove(place % self.alive.len());
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
            if let Popped::Due(_, item) = popped {
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

/// Does the steps to the timers and to the list.
///
/// # Panics
/// Where the two differ.
pub fn run(steps: &[Step]) {
    let mut model = Model::default();
    for step in steps {
        match *step {
            Step::Insert(delay) => model.insert(delay.into()),
            Step::Cancel(place) => model.cancel(place),
            Step::Advance(by) => model.advance(by.into()),
            Step::Prune => model.prune(),
        }
        model.check();
    }
    model.advance(1_000);
    assert!(model.timers.is_empty());
    model.check();
}
