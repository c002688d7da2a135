//! What is still to be sent: whole datagrams, in order, each with its destination.

use std::collections::VecDeque;

/// Room that is kept when the queue has run empty.
const KEEP: usize = 64;

/// Datagrams waiting to be sent. Unlike bytes of a stream they are sent whole or not at all, and an empty one counts.
#[derive(Debug)]
pub struct DatagramQueue<B, A> {
    items: VecDeque<(B, A)>,
    size: usize,
    overhead: usize,
}

impl<B: AsRef<[u8]>, A> DatagramQueue<B, A> {
    /// An empty queue; it allocates with the first datagram. `overhead` is what each datagram counts for in bytes
    /// beside its contents.
    pub const fn new(overhead: usize) -> Self {
        Self {
            items: VecDeque::new(),
            size: 0,
            overhead,
        }
    }

    /// Appends a datagram.
    #[inline]
    pub fn push(&mut self, data: B, to: A) {
        self.size += self.weight(&data);
        self.items.push_back((data, to));
    }

    /// Takes the oldest datagram out.
    #[inline]
    pub fn pop(&mut self) -> Option<(B, A)> {
        let item = self.items.pop_front()?;
        self.size -= self.weight(&item.0);
        if self.items.is_empty() && self.items.capacity() > KEEP {
            self.items.shrink_to(KEEP);
        }
        Some(item)
    }

    /// Puts a datagram back that was taken out and could not be sent.
    #[inline]
    pub fn put_back(&mut self, data: B, to: A) {
        self.size += self.weight(&data);
        self.items.push_front((data, to));
    }

    fn weight(&self, data: &B) -> usize {
        data.as_ref().len() + self.overhead
    }

    /// What the queued datagrams count for in bytes.
    #[inline]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// How many datagrams are queued.
    #[inline]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether everything has been sent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Gives up on everything and hands it back.
    pub fn clear(&mut self) -> Vec<(B, A)> {
        self.size = 0;
        std::mem::take(&mut self.items).into()
    }

    /// The datagrams and their destinations, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &(B, A)> {
        self.items.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_come_out_whole_and_in_order() {
        let mut queue = DatagramQueue::new(0);
        queue.push("one", 1);
        queue.push("", 2);
        queue.push("three", 3);
        assert_eq!((queue.len(), queue.size()), (3, 8));
        assert_eq!(queue.pop(), Some(("one", 1)));
        assert_eq!(queue.pop(), Some(("", 2)), "an empty datagram is one");
        queue.put_back("", 2);
        assert_eq!((queue.len(), queue.size()), (2, 5));
        assert_eq!(queue.iter().map(|(_, to)| *to).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn every_datagram_counts_for_its_overhead_once() {
        let mut queue = DatagramQueue::new(8);
        for data in ["", "ab"] {
            queue.push(data, 'x');
        }
        assert_eq!(queue.size(), 18);
        let item = queue.pop().unwrap();
        assert_eq!(queue.size(), 10);
        queue.put_back(item.0, item.1);
        assert_eq!(queue.size(), 18);
        while queue.pop().is_some() {}
        assert_eq!(queue.size(), 0);
        assert!(queue.is_empty());
    }

    #[test]
    fn clearing_hands_everything_back() {
        let mut queue = DatagramQueue::new(8);
        queue.push("ab", 1);
        queue.push("cd", 2);
        assert_eq!(queue.clear(), [("ab", 1), ("cd", 2)]);
        assert_eq!((queue.len(), queue.size()), (0, 0));
    }
}
