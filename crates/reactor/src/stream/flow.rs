//! When the producer has to pause, and when it may go on: asyncio's rules for a transport's write buffer.

use std::error::Error;
use std::fmt;

/// The high-water mark unless one is set, in bytes.
const DEFAULT_HIGH: usize = 64 * 1024;

/// The limits do not satisfy `high >= low >= 0`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LimitError {
    /// The high-water mark that was asked for or follows from the low one.
    pub high: usize,
    /// The low-water mark that was asked for or follows from the high one.
    pub low: usize,
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "high ({}) must be >= low ({}) must be >= 0",
            self.high, self.low
        )
    }
}

impl Error for LimitError {}

/// The marks of a write buffer, and whether its producer has been told to pause.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flow {
    high: usize,
    low: usize,
    paused: bool,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            high: DEFAULT_HIGH,
            low: DEFAULT_HIGH / 4,
            paused: false,
        }
    }
}

impl Flow {
    /// The default marks, not paused.
    pub fn new() -> Self {
        Self::default()
    }

    /// The high-water mark in bytes.
    #[inline]
    pub const fn high(&self) -> usize {
        self.high
    }

    /// The low-water mark in bytes.
    #[inline]
    pub const fn low(&self) -> usize {
        self.low
    }

    /// Whether the producer has been told to pause.
    #[inline]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Sets the marks. Without `high`: four times `low`, or 64 KiB; without `low`: a quarter of `high`.
    ///
    /// Call [`Flow::after_growth`] afterwards: what is queued may now be too much.
    ///
    /// # Errors
    /// `low` is above `high`; the marks stay as they were.
    pub fn set_limits(
        &mut self,
        high: Option<usize>,
        low: Option<usize>,
    ) -> Result<(), LimitError> {
        let high = high
            .or(low.map(|low| low.saturating_mul(4)))
            .unwrap_or(DEFAULT_HIGH);
        let low = low.unwrap_or(high / 4);
        if high < low {
            return Err(LimitError { high, low });
        }
        (self.high, self.low) = (high, low);
        Ok(())
    }

    /// The buffer has grown to `size` bytes. True when the producer is to be told, once, to pause.
    #[inline]
    pub const fn after_growth(&mut self, size: usize) -> bool {
        let pause = size > self.high && !self.paused;
        self.paused |= pause;
        pause
    }

    /// The buffer has shrunk to `size` bytes. True when the producer is to be told, once, to go on.
    #[inline]
    pub const fn after_shrink(&mut self, size: usize) -> bool {
        let resume = self.paused && size <= self.low;
        self.paused &= !resume;
        resume
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(high: Option<usize>, low: Option<usize>) -> Result<(usize, usize), LimitError> {
        let mut flow = Flow::new();
        flow.set_limits(high, low)
            .map(|()| (flow.high(), flow.low()))
    }

    #[test]
    fn missing_marks_follow_from_the_other() {
        assert_eq!(limits(None, None), Ok((65_536, 16_384)));
        assert_eq!(limits(Some(100), None), Ok((100, 25)));
        assert_eq!(limits(None, Some(100)), Ok((400, 100)));
        assert_eq!(limits(Some(7), Some(7)), Ok((7, 7)));
        assert_eq!(limits(Some(0), None), Ok((0, 0)));
        assert_eq!(limits(None, Some(0)), Ok((0, 0)));
        assert_eq!(limits(None, Some(usize::MAX)), Ok((usize::MAX, usize::MAX)));
    }

    #[test]
    fn crossed_marks_are_refused_and_change_nothing() {
        let mut flow = Flow::new();
        let error = flow.set_limits(Some(1), Some(2)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "high (1) must be >= low (2) must be >= 0"
        );
        assert_eq!(flow, Flow::new());
    }

    #[test]
    fn the_producer_is_told_once_each_way() {
        let mut flow = Flow::new();
        flow.set_limits(Some(10), Some(2)).unwrap();
        assert!(!flow.after_growth(10), "at the mark is not above it");
        assert!(flow.after_growth(11) && flow.is_paused());
        assert!(!flow.after_growth(50), "told already");
        assert!(!flow.after_shrink(3));
        assert!(flow.after_shrink(2) && !flow.is_paused());
        assert!(!flow.after_shrink(0), "told already");
    }

    #[test]
    fn marks_of_zero_pause_with_the_first_byte() {
        let mut flow = Flow::new();
        flow.set_limits(Some(0), None).unwrap();
        assert!(!flow.after_growth(0));
        assert!(flow.after_growth(1));
        assert!(flow.after_shrink(0));
    }
}
