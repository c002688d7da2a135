//! The queue of datagrams as a list, and the size of a batch as its rule.

use std::collections::VecDeque;

use epicycle_reactor::{Batch, DatagramQueue};

/// What is done to the queue.
#[derive(Clone, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub enum Step {
    Push(Vec<u8>),
    Pop,
    /// One is taken out and cannot be sent.
    PutBack,
    Clear,
    /// So many datagrams lie in the socket when it is looked at.
    Receive(u8),
}

/// Does the steps to a queue, whose datagrams count for `overhead` bytes more than they have, and to a list.
///
/// # Panics
/// Where the two differ.
pub fn run(overhead: u8, steps: &[Step]) {
    let overhead = usize::from(overhead);
    let mut queue = DatagramQueue::new(overhead);
    let mut list: VecDeque<(Vec<u8>, usize)> = VecDeque::new();
    let mut batch = Batch::new();
    for (to, step) in steps.iter().enumerate() {
        match step {
            Step::Push(data) => {
                queue.push(data.clone(), to);
                list.push_back((data.clone(), to));
            }
            Step::Pop => assert_eq!(queue.pop(), list.pop_front()),
            Step::PutBack => {
                if let Some((data, to)) = queue.pop() {
                    queue.put_back(data, to);
                }
            }
            Step::Clear => assert_eq!(queue.clear(), Vec::from(std::mem::take(&mut list))),
            Step::Receive(waiting) => receive(&mut batch, (*waiting).into()),
        }
        let size: usize = list.iter().map(|(data, _)| data.len() + overhead).sum();
        assert_eq!(
            (queue.len(), queue.size(), queue.is_empty()),
            (list.len(), size, list.is_empty())
        );
        assert!(queue.iter().eq(list.iter()));
    }
}

/// One look at a socket: a batch never shrinks while it comes back full, nor grows while it does not.
fn receive(batch: &mut Batch, waiting: u32) {
    let limit = batch.limit();
    assert!((1..=32).contains(&limit), "every endpoint gets its turn");
    if waiting >= limit {
        batch.filled();
        assert!((limit..=2 * limit).contains(&batch.limit()));
    } else {
        batch.ran_dry(waiting);
        assert!(batch.limit() <= limit && batch.limit() >= waiting.max(1));
    }
}
