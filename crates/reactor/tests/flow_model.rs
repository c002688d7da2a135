//! Flow control against asyncio's rules, told as variables.
#![cfg(not(loom))]

use epicycle_reactor::{Flow, LimitError};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Limits(Option<usize>, Option<usize>),
    Resize(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let mark = || prop::option::of(0_usize..100);
    let step = prop_oneof![
        1 => (mark(), mark()).prop_map(|(high, low)| Step::Limits(high, low)),
        6 => (0_usize..150).prop_map(Step::Resize),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn pausing_and_resuming_alternate_and_respect_the_marks(steps in steps()) {
        let mut flow = Flow::new();
        let (mut high, mut low, mut paused, mut size) = (64 * 1024, 16 * 1024, false, 0);
        for step in steps {
            let before = size;
            match step {
                Step::Limits(new_high, new_low) => {
                    let wanted_high = new_high.unwrap_or(new_low.map_or(64 * 1024, |low| 4 * low));
                    let wanted_low = new_low.unwrap_or(wanted_high / 4);
                    let result = flow.set_limits(new_high, new_low);
                    if wanted_high >= wanted_low {
                        prop_assert_eq!(result, Ok(()));
                        (high, low) = (wanted_high, wanted_low);
                    } else {
                        prop_assert_eq!(result, Err(LimitError { high: wanted_high, low: wanted_low }));
                    }
                }
                Step::Resize(to) => size = to,
            }
            if size < before {
                let resume = flow.after_shrink(size);
                prop_assert_eq!(resume, paused && size <= low);
                paused &= !resume;
            } else {
                let pause = flow.after_growth(size);
                prop_assert_eq!(pause, !paused && size > high);
                paused |= pause;
            }
            prop_assert_eq!((flow.high(), flow.low(), flow.is_paused()), (high, low, paused));
        }
    }
}
