//! The write queue against a plain vector of bytes.
#![cfg(not(loom))]

use std::collections::VecDeque;
use std::io::IoSlice;

use epicycle_reactor::WriteQueue;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Push(Vec<u8>),
    PushBegun(Vec<u8>, prop::sample::Index),
    Send { pieces: usize, most: usize },
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let step = prop_oneof![
        6 => bytes().prop_map(Step::Push),
        2 => (bytes(), any::<prop::sample::Index>()).prop_map(|(chunk, sent)| Step::PushBegun(chunk, sent)),
        5 => (1_usize..6, 0_usize..60).prop_map(|(pieces, most)| Step::Send { pieces, most }),
        1 => Just(Step::Clear),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #[test]
    fn bytes_leave_in_order_and_chunks_come_back_whole(steps in steps()) {
        let mut queue = WriteQueue::new();
        let mut bytes = VecDeque::new();
        let (mut pushed, mut back) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Push(chunk) => {
                    bytes.extend(chunk.iter().copied());
                    pushed.push(chunk.clone());
                    back.extend(queue.push(chunk));
                }
                Step::PushBegun(chunk, sent) => {
                    let sent = if queue.is_empty() { sent.index(chunk.len() + 1) } else { 0 };
                    bytes.extend(chunk[sent..].iter().copied());
                    pushed.push(chunk.clone());
                    back.extend(queue.push_from(chunk, sent));
                }
                Step::Send { pieces, most } => {
                    let mut out = Vec::new();
                    queue.front_slices(pieces, &mut out);
                    let mut array = [IoSlice::new(&[]); 4];
                    let filled = queue.fill_slices(&mut array);
                    prop_assert!(out.len() <= pieces && filled <= 4);
                    for (one, other) in out.iter().zip(&array[..filled]) {
                        prop_assert_eq!(&**one, &**other);
                    }
                    let offered: Vec<u8> = out.iter().flat_map(|slice| slice.iter().copied()).collect();
                    prop_assert!(out.iter().all(|slice| !slice.is_empty()));
                    prop_assert!(offered.iter().eq(bytes.iter().take(offered.len())));
                    let sent = offered.len().min(most);
                    bytes.drain(..sent);
                    queue.advance(sent, |chunk| back.push(chunk));
                }
                Step::Clear => {
                    back.extend(queue.clear());
                    bytes.clear();
                }
            }
            prop_assert_eq!(queue.len_bytes(), bytes.len());
            prop_assert_eq!(queue.is_empty(), bytes.is_empty());
            prop_assert!(queue.slices().flatten().eq(bytes.iter()));
            let held = queue.len();
            prop_assert_eq!(back.len() + held, pushed.len(), "no chunk is lost");
        }
        back.extend(queue.clear());
        // An empty chunk comes back at once, before those in front of it.
        let full = |chunks: Vec<Vec<u8>>| chunks.into_iter().filter(|chunk| !chunk.is_empty()).collect::<Vec<_>>();
        let (mut pushed, mut back) = (full(pushed), full(back));
        pushed.sort();
        back.sort();
        prop_assert_eq!(back, pushed);
    }
}
