//! A TLS session against what an application may count on, for every sequence of what can happen.
#![cfg(not(loom))]

#[path = "models/tls.rs"]
mod model;

use model::Happening;
use proptest::prelude::*;

const ALL: [Happening; 13] = [
    Happening::Start,
    Happening::Establish,
    Happening::Arrive,
    Happening::Write,
    Happening::PauseReading,
    Happening::ResumeReading,
    Happening::Close,
    Happening::PeerGoodbye,
    Happening::Flushed,
    Happening::PeerEnded,
    Happening::TellEof,
    Happening::Abandon,
    Happening::Lost,
];

/// Lives that get past the handshake, and lives that need not.
fn lives() -> impl Strategy<Value = Vec<Happening>> {
    let any_life = || prop::collection::vec(prop::sample::select(&ALL[..]), 0..40);
    let established = any_life().prop_map(|rest| {
        let mut life = vec![Happening::Start, Happening::Establish];
        life.extend(rest);
        life
    });
    prop_oneof![any_life(), established]
}

proptest! {
    #[test]
    fn an_application_is_told_what_it_may_count_on(connected in any::<bool>(), life in lives()) {
        model::run(connected, &life);
    }
}
