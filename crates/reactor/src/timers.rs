//! Deadlines in order. Two items with the same deadline come out in the order they went in.
//!
//! Cancelling does not search the heap: the item knows itself that it is dead, and the heap only counts. A dead
//! item goes when it reaches the top, or in a sweep once more than half are dead; so every operation is
//! O(log n), amortised, and the heap is never more than about twice as large as what is alive (plus
//! [`SWEEP_FLOOR`]).
//!
//! **The count of dead items.** Whoever cancels an item that is still in here calls [`Timers::note_cancelled`]
//! once. [`Timers::pop_dead_top`], [`Timers::sweep`] and [`Timers::pop_due_with`] keep the count themselves,
//! since they ask whether an item is dead; [`Timers::pop_due`] does not ask, so a caller who finds that it was
//! handed a dead item calls [`Timers::popped_cancelled`].

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::time::Nanos;

/// As long as no more than this many are dead, sweeping is not worth it.
pub const SWEEP_FLOOR: usize = 64;

#[derive(Debug)]
struct Entry<T> {
    deadline: Nanos,
    sequence: u64,
    item: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    /// Reversed: the heap keeps the greatest on top, and that has to be the earliest.
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        (other.deadline, other.sequence).cmp(&(self.deadline, self.sequence))
    }
}

/// What [`Timers::pop_due_with`] took off the top.
#[derive(Debug, PartialEq, Eq)]
pub enum Popped<T> {
    /// It is due, since then.
    Due(Nanos, T),
    /// It was cancelled; nobody is to run it.
    Dead(T),
}

/// Items by (deadline, sequence).
#[derive(Debug)]
pub struct Timers<T> {
    heap: BinaryHeap<Entry<T>>,
    sequence: u64,
    dead: usize,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Timers<T> {
    /// No timers.
    pub const fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            sequence: 0,
            dead: 0,
        }
    }

    /// How many items are held, dead ones included.
    #[inline]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing is held.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// How many of them were noted as cancelled.
    #[inline]
    pub const fn dead(&self) -> usize {
        self.dead
    }

    /// How many items fit without allocating.
    pub fn capacity(&self) -> usize {
        self.heap.capacity()
    }

    /// The deadline on top, whether its item is alive or not.
    #[inline]
    pub fn next_deadline(&self) -> Option<Nanos> {
        self.heap.peek().map(|entry| entry.deadline)
    }

    /// Puts an item in.
    #[inline]
    pub fn insert(&mut self, deadline: Nanos, item: T) {
        let sequence = self.sequence;
        self.sequence += 1;
        self.heap.push(Entry {
            deadline,
            sequence,
            item,
        });
    }

    /// One item that is in here has been cancelled. True when a [`Timers::sweep`] is due.
    #[inline]
    pub fn note_cancelled(&mut self) -> bool {
        self.dead += 1;
        self.dead > SWEEP_FLOOR && self.dead * 2 > self.heap.len()
    }

    /// An item that [`Timers::pop_due`] handed out turned out to be cancelled.
    #[inline]
    pub const fn popped_cancelled(&mut self) {
        self.dead = self.dead.saturating_sub(1);
    }

    /// Removes the dead items and hands them back, in no particular order. O(n).
    ///
    /// `is_dead` must not touch the timers, nor run code that could.
    pub fn sweep(&mut self, mut is_dead: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut entries = std::mem::take(&mut self.heap).into_vec();
        let mut removed = Vec::with_capacity(self.dead.min(entries.len()));
        let mut index = 0;
        while index < entries.len() {
            if is_dead(&entries[index].item) {
                removed.push(entries.swap_remove(index).item);
            } else {
                index += 1;
            }
        }
        if entries.capacity() > SWEEP_FLOOR.max(entries.len() * 4) {
            entries.shrink_to(entries.len() * 2);
        }
        self.heap = BinaryHeap::from(entries);
        self.dead = 0;
        removed
    }

    /// Takes the top if it is dead, so that the loop is not woken for it. Call it until it gives nothing.
    #[inline]
    pub fn pop_dead_top(&mut self, mut is_dead: impl FnMut(&T) -> bool) -> Option<T> {
        if self.dead == 0 || !is_dead(&self.heap.peek()?.item) {
            return None;
        }
        self.popped_cancelled();
        self.heap.pop().map(|entry| entry.item)
    }

    /// Takes the earliest item whose deadline has come, dead or alive.
    #[inline]
    pub fn pop_due(&mut self, now: Nanos) -> Option<T> {
        if self.heap.peek()?.deadline > now {
            return None;
        }
        self.heap.pop().map(|entry| entry.item)
    }

    /// Takes the top if its deadline has come or if it is dead, and says which.
    #[inline]
    pub fn pop_due_with(
        &mut self,
        now: Nanos,
        mut is_dead: impl FnMut(&T) -> bool,
    ) -> Option<Popped<T>> {
        let top = self.heap.peek()?;
        // Asking a live item costs a look into its memory, so it is not asked before it is due unless some are dead.
        let due = top.deadline <= now;
        if !due && self.dead == 0 {
            return None;
        }
        if is_dead(&top.item) {
            self.popped_cancelled();
            self.heap.pop().map(|entry| Popped::Dead(entry.item))
        } else if due {
            self.heap
                .pop()
                .map(|entry| Popped::Due(entry.deadline, entry.item))
        } else {
            None
        }
    }

    /// Every item, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.heap.iter().map(|entry| &entry.item)
    }

    /// Every item with its deadline, in no particular order.
    pub fn iter_with_deadlines(&self) -> impl Iterator<Item = (Nanos, &T)> {
        self.heap.iter().map(|entry| (entry.deadline, &entry.item))
    }

    /// Takes everything out, in no particular order; the room is given back too.
    pub fn drain_all(&mut self) -> Vec<T> {
        self.dead = 0;
        std::mem::take(&mut self.heap)
            .into_iter()
            .map(|entry| entry.item)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_deadlines_keep_their_order() {
        let mut timers = Timers::new();
        for (deadline, item) in [(5, 'a'), (3, 'b'), (5, 'c'), (3, 'd'), (5, 'e')] {
            timers.insert(Nanos(deadline), item);
        }
        assert_eq!(timers.next_deadline(), Some(Nanos(3)));
        let order: String = std::iter::from_fn(|| timers.pop_due(Nanos(5))).collect();
        assert_eq!(order, "bdace");
    }

    #[test]
    fn nothing_is_handed_out_early() {
        let mut timers = Timers::new();
        timers.insert(Nanos(10), ());
        assert_eq!(timers.pop_due(Nanos(9)), None);
        assert_eq!(timers.pop_due(Nanos(10)), Some(()));
        assert!(timers.is_empty() && timers.next_deadline().is_none());
    }

    #[test]
    fn a_cancelled_top_does_not_stand_in_the_way() {
        let mut timers = Timers::new();
        timers.insert(Nanos(1), "dead");
        timers.insert(Nanos(2), "alive");
        assert!(!timers.note_cancelled());
        let is_dead = |item: &&str| *item == "dead";
        assert_eq!(timers.pop_dead_top(is_dead), Some("dead"));
        assert_eq!(timers.pop_dead_top(is_dead), None);
        assert_eq!((timers.dead(), timers.next_deadline()), (0, Some(Nanos(2))));
    }

    #[test]
    fn due_items_are_told_from_dead_ones() {
        let mut timers = Timers::new();
        for (deadline, item) in [(1, 10), (2, 11), (3, 12), (4, 13)] {
            timers.insert(Nanos(deadline), item);
        }
        timers.note_cancelled();
        timers.note_cancelled();
        let is_dead = |item: &i32| item % 2 == 1;
        let now = Nanos(2);
        assert_eq!(
            timers.pop_due_with(now, is_dead),
            Some(Popped::Due(Nanos(1), 10))
        );
        assert_eq!(timers.pop_due_with(now, is_dead), Some(Popped::Dead(11)));
        assert_eq!(timers.pop_due_with(now, is_dead), None);
        assert_eq!((timers.dead(), timers.len()), (1, 2));
    }

    #[test]
    fn a_caller_who_pops_a_dead_item_says_so() {
        let mut timers = Timers::new();
        timers.insert(Nanos(1), ());
        timers.note_cancelled();
        assert_eq!(timers.pop_due(Nanos(1)), Some(()));
        timers.popped_cancelled();
        timers.popped_cancelled();
        assert_eq!(timers.dead(), 0);
    }

    #[test]
    fn a_sweep_is_due_when_most_are_dead_and_hands_them_back() {
        let mut timers = Timers::new();
        (0..1_000).for_each(|item| timers.insert(Nanos(item), item));
        let due = (0..501)
            .map(|_| timers.note_cancelled())
            .collect::<Vec<_>>();
        assert!(due[500] && !due[499]);
        let mut removed = timers.sweep(|item| *item < 990);
        removed.sort_unstable();
        assert_eq!(removed, (0..990).collect::<Vec<_>>());
        assert!(
            timers.capacity() <= SWEEP_FLOOR,
            "room for {} is kept",
            timers.capacity()
        );
        assert_eq!(timers.dead(), 0);
        let rest: Vec<_> = std::iter::from_fn(|| timers.pop_due(Nanos::MAX)).collect();
        assert_eq!(rest, (990..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn everything_can_be_seen_and_taken() {
        let mut timers = Timers::new();
        timers.insert(Nanos(2), 'b');
        timers.insert(Nanos(1), 'a');
        timers.note_cancelled();
        let mut seen: Vec<_> = timers.iter().copied().collect();
        seen.sort_unstable();
        assert_eq!(seen, ['a', 'b']);
        assert!(
            timers
                .iter_with_deadlines()
                .any(|entry| entry == (Nanos(1), &'a'))
        );
        assert_eq!(timers.drain_all().len(), 2);
        assert!(timers.is_empty() && timers.dead() == 0);
    }
}
