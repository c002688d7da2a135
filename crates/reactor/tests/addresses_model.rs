//! Addresses through the system and back.
#![cfg(not(loom))]
#![expect(
    clippy::expect_used,
    reason = "what fails in a test is to fail the test"
)]

#[path = "models/addresses.rs"]
mod model;

use model::Place;
use proptest::prelude::*;

fn places() -> impl Strategy<Value = Place> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..110);
    prop_oneof![
        any::<(u8, u8, u8)>().prop_map(|(x, y, z)| Place::V4(x, y, z)),
        any::<(u32, u32)>().prop_map(|(flow, zone)| Place::V6 { flow, zone }),
        any::<u32>().prop_map(|flow| Place::V6 { flow, zone: 0 }),
        bytes().prop_map(Place::Abstract),
        bytes().prop_map(Place::Path),
        Just(Place::Unnamed),
        any::<u16>().prop_map(Place::Other),
    ]
}

proptest! {
    #[test]
    fn a_socket_is_where_it_was_put(place in places()) {
        model::run(&place);
    }
}
