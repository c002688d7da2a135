//! The write queue as a plain vector of bytes.

use std::collections::VecDeque;
use std::io::IoSlice;

use epicycle_reactor::WriteQueue;

/// What is done to the queue.
#[derive(Clone, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub enum Step {
    Push(Vec<u8>),
    /// A chunk of which so many bytes were sent before, if the queue is empty.
    PushBegun(Vec<u8>, usize),
    /// At most so many pieces are offered, of which at most so many bytes go.
    Send {
        pieces: u8,
        most: u16,
    },
    Clear,
}

/// Does the steps to the queue and to the vector.
///
/// # Panics
/// Where the two differ.
pub fn run(steps: &[Step]) {
    let mut queue = WriteQueue::new();
    let mut bytes = VecDeque::new();
    let (mut pushed, mut back) = (Vec::new(), Vec::new());
    for step in steps {
        match step {
            Step::Push(chunk) => {
                bytes.extend(chunk.iter().copied());
                pushed.push(chunk.clone());
                back.extend(queue.push(chunk.clone()));
            }
            Step::PushBegun(chunk, sent) => {
                let sent = if queue.is_empty() {
                    sent % (chunk.len() + 1)
                } else {
                    0
                };
                bytes.extend(chunk[sent..].iter().copied());
                pushed.push(chunk.clone());
                back.extend(queue.push_from(chunk.clone(), sent));
            }
            Step::Send { pieces, most } => {
                let pieces = usize::from(*pieces);
                let mut out = Vec::new();
                queue.front_slices(pieces, &mut out);
                let mut array = [IoSlice::new(&[]); 4];
                let filled = queue.fill_slices(&mut array);
                assert!(out.len() <= pieces && filled <= 4);
                for (one, other) in out.iter().zip(&array[..filled]) {
                    assert_eq!(&**one, &**other);
                }
                let offered: Vec<u8> = out.iter().flat_map(|slice| slice.iter().copied()).collect();
                assert!(out.iter().all(|slice| !slice.is_empty()));
                assert!(offered.iter().eq(bytes.iter().take(offered.len())));
                let sent = offered.len().min((*most).into());
                bytes.drain(..sent);
                queue.advance(sent, |chunk| back.push(chunk));
            }
            Step::Clear => {
                back.extend(queue.clear());
                bytes.clear();
            }
        }
        assert_eq!(queue.len_bytes(), bytes.len());
        assert_eq!(queue.is_empty(), bytes.is_empty());
        assert!(queue.slices().flatten().eq(bytes.iter()));
        assert_eq!(back.len() + queue.len(), pushed.len(), "no chunk is lost");
    }
    back.extend(queue.clear());
    // An empty chunk comes back at once, before those in front of it.
    let full = |chunks: Vec<Vec<u8>>| {
        let mut full: Vec<_> = chunks
            .into_iter()
            .filter(|chunk| !chunk.is_empty())
            .collect();
        full.sort();
        full
    };
    assert_eq!(full(back), full(pushed));
}
