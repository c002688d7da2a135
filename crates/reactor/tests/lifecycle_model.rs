//! The lifecycle against asyncio's transport told as its own variables, for every sequence of what can happen.
#![cfg(not(loom))]

#[path = "models/lifecycle.rs"]
mod model;

use epicycle_reactor::{Action, Lifecycle, WriteVerdict};
use model::{Asyncio, Happening, apply, compare, possible};
use proptest::prelude::*;

const ALL: [Happening; 11] = [
    Happening::WriteQueued,
    Happening::WriteSent,
    Happening::Drained,
    Happening::WriteEof,
    Happening::Close,
    Happening::Abort,
    Happening::PeerEof { keep_open: true },
    Happening::PeerEof { keep_open: false },
    Happening::PauseReading,
    Happening::ResumeReading,
    Happening::ConnectionLost,
];

fn explore(asyncio: &Asyncio, ours: &Lifecycle, depth: usize, seen: &mut usize) {
    *seen += 1;
    compare(asyncio, ours);
    if depth == 0 {
        return;
    }
    for happening in ALL {
        if possible(asyncio, happening) {
            let (mut asyncio, mut ours) = (asyncio.clone(), ours.clone());
            apply(&mut asyncio, &mut ours, happening);
            explore(&asyncio, &ours, depth - 1, seen);
        }
    }
}

#[test]
fn every_short_life_is_asyncios() {
    let mut seen = 0;
    explore(&Asyncio::new(), &Lifecycle::new(), 6, &mut seen);
    assert!(seen > 100_000, "only {seen} states were visited");
}

#[test]
fn only_a_caller_who_goes_on_and_on_is_warned() {
    let mut lifecycle = Lifecycle::new();
    assert_eq!(lifecycle.abort(), Action::Lose);
    let warned: Vec<bool> = (0..6)
        .map(|_| lifecycle.write() == WriteVerdict::Discard { warn: true })
        .collect();
    assert_eq!(warned, [false, false, false, false, true, true]);
}

proptest! {
    #[test]
    fn every_long_life_is_asyncios(happenings in prop::collection::vec(prop::sample::select(&ALL[..]), 0..60)) {
        model::run(&happenings);
    }
}
