//! Flow control as asyncio's rules, told as variables: that of a transport, and the marks of a TLS session's buffers.

use epicycle_reactor::stream::{Marks, Told};
use epicycle_reactor::{Flow, LimitError};

/// What happens to a buffer.
#[derive(Clone, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub enum Step {
    Limits(Option<u16>, Option<u16>),
    Resize(u16),
    /// The producer goes on all the same (the marks of TLS alone know that).
    Release,
}

/// What the marks become; the error has them too.
fn wanted(
    high: Option<u16>,
    low: Option<u16>,
    default: usize,
) -> Result<(usize, usize), (usize, usize)> {
    let (high, low) = (high.map(usize::from), low.map(usize::from));
    let high = high.unwrap_or(low.map_or(default, |low| 4 * low));
    let low = low.unwrap_or(high / 4);
    if high >= low {
        Ok((high, low))
    } else {
        Err((high, low))
    }
}

/// Does the steps to a transport's flow control and to the variables.
///
/// # Panics
/// Where the two differ.
pub fn run(steps: &[Step]) {
    let mut flow = Flow::new();
    let (mut high, mut low, mut paused, mut size) = (64 * 1024, 16 * 1024, false, 0);
    for step in steps {
        let before = size;
        match *step {
            Step::Limits(new_high, new_low) => {
                let result = flow.set_limits(new_high.map(usize::from), new_low.map(usize::from));
                match wanted(new_high, new_low, 64 * 1024) {
                    Ok(wanted) => {
                        assert_eq!(result, Ok(()));
                        (high, low) = wanted;
                    }
                    Err((high, low)) => assert_eq!(result, Err(LimitError { high, low })),
                }
            }
            Step::Resize(to) => size = to.into(),
            Step::Release => {}
        }
        if size < before {
            let resume = flow.after_shrink(size);
            assert_eq!(resume, paused && size <= low);
            paused &= !resume;
        } else {
            let pause = flow.after_growth(size);
            assert_eq!(pause, !paused && size > high);
            paused |= pause;
        }
        assert_eq!(
            (flow.high(), flow.low(), flow.is_paused()),
            (high, low, paused)
        );
    }
}

/// Does the steps to the marks of a TLS session and to the variables.
///
/// # Panics
/// Where the two differ.
pub fn run_marks(steps: &[Step]) {
    const DEFAULT: usize = 512 * 1024;
    let mut marks = Marks::new(DEFAULT);
    let (mut high, mut low, mut paused) = (DEFAULT, DEFAULT / 4, false);
    for step in steps {
        match *step {
            Step::Limits(new_high, new_low) => {
                let result = marks.set(new_high.map(i64::from), new_low.map(i64::from));
                match wanted(new_high, new_low, DEFAULT) {
                    Ok(wanted) => {
                        assert_eq!(result, Ok(()));
                        (high, low) = wanted;
                    }
                    Err((high, low)) => assert_eq!(result, Err((high as i64, low as i64))),
                }
            }
            Step::Resize(size) => {
                let size = usize::from(size);
                let expected = match paused {
                    false if size >= high => Told::Pause,
                    true if size <= low => Told::Resume,
                    _ => Told::Nothing,
                };
                assert_eq!(marks.at(size), expected);
                match expected {
                    Told::Pause => paused = true,
                    Told::Resume => paused = false,
                    Told::Nothing => {}
                }
            }
            Step::Release => {
                assert_eq!(marks.release(), paused);
                paused = false;
            }
        }
        assert_eq!((marks.limits(), marks.is_paused()), ((low, high), paused));
    }
}
