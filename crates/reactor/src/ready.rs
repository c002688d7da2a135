//! The items that are due: first in, first out.

use std::collections::VecDeque;

/// Room that is always kept.
const KEEP: usize = 256;
/// Turns a queue has to stay small before the room of a burst is given back.
const QUIET_TURNS: u32 = 64;

/// A queue that keeps its room from turn to turn, but not for ever after a burst.
#[derive(Debug)]
pub struct Ready<T> {
    queue: VecDeque<T>,
    /// The longest the queue was at the start of a batch since the last burst.
    peak: usize,
    quiet: u32,
}

impl<T> Default for Ready<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Ready<T> {
    /// An empty queue.
    pub const fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            peak: 0,
            quiet: 0,
        }
    }

    /// Appends an item.
    #[inline]
    pub fn push(&mut self, item: T) {
        self.queue.push_back(item);
    }

    /// Takes the oldest item.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.queue.pop_front()
    }

    /// How many items are due.
    #[inline]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing is due.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many items fit without allocating.
    pub fn capacity(&self) -> usize {
        self.queue.capacity()
    }

    /// The items, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.queue.iter()
    }

    /// Takes everything out; the room is given back too.
    pub fn drain_all(&mut self) -> Vec<T> {
        self.peak = 0;
        self.quiet = 0;
        std::mem::take(&mut self.queue).into()
    }

    /// Moves a whole queue in behind what is there. `other` is left empty, with some room or other.
    pub(crate) fn append(&mut self, other: &mut VecDeque<T>) {
        if self.queue.is_empty() {
            std::mem::swap(&mut self.queue, other);
        } else {
            self.queue.append(other);
        }
    }

    /// Notes how long the queue is as a batch begins.
    #[inline]
    pub(crate) fn note_batch(&mut self, len: usize) {
        self.peak = self.peak.max(len);
    }

    /// At the end of a turn: gives back the room of a burst once nothing like it has come for a while.
    #[inline]
    pub(crate) fn relax(&mut self) {
        if self.queue.capacity() > KEEP {
            self.consider_shrinking();
        }
    }

    #[cold]
    fn consider_shrinking(&mut self) {
        if self.peak.max(self.queue.len()) * 4 > self.queue.capacity() {
            self.quiet = 0;
            self.peak = 0;
            return;
        }
        self.quiet += 1;
        if self.quiet >= QUIET_TURNS {
            self.queue.shrink_to(KEEP.max(self.peak * 2));
            self.quiet = 0;
            self.peak = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_out_in_the_order_they_went_in() {
        let mut ready = Ready::new();
        ready.push(1);
        ready.push(2);
        let mut more = VecDeque::from([3, 4]);
        ready.append(&mut more);
        assert!(more.is_empty());
        assert_eq!(ready.iter().copied().collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(ready.pop(), Some(1));
        assert_eq!(ready.drain_all(), [2, 3, 4]);
        assert!(ready.is_empty() && ready.pop().is_none());
    }

    #[test]
    fn the_room_of_a_burst_is_given_back_after_a_quiet_while() {
        let mut ready = Ready::new();
        (0..100_000).for_each(|item| ready.push(item));
        ready.note_batch(ready.len());
        while ready.pop().is_some() {}
        ready.relax();
        assert!(
            ready.capacity() >= 100_000,
            "one quiet moment is not enough"
        );
        for _ in 0..=QUIET_TURNS {
            ready.push(0);
            ready.note_batch(1);
            ready.pop();
            ready.relax();
        }
        assert!(
            ready.capacity() <= 2 * KEEP,
            "kept room for {}",
            ready.capacity()
        );
    }

    #[test]
    fn steady_work_keeps_its_room() {
        let mut ready = Ready::new();
        let mut capacities = Vec::new();
        for _ in 0..4 * QUIET_TURNS {
            (0..1_000).for_each(|item| ready.push(item));
            ready.note_batch(ready.len());
            while ready.pop().is_some() {}
            ready.relax();
            capacities.push(ready.capacity());
        }
        capacities.dedup();
        assert_eq!(
            capacities.len(),
            1,
            "the queue was reallocated: {capacities:?}"
        );
    }
}
