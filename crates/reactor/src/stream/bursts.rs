//! Whether a write is likely to be followed by another one of the same callback.

/// How many writes the callbacks that write at all have made.
///
/// A server that sends a head and then a body in one go does so every time. When the last two callbacks that wrote made
/// several writes, the next is taken to make as many as the fewer of them, and what it writes before the last of these
/// need not become a packet of its own. Too low a guess costs a packet, as if nothing had been guessed; too high a guess
/// costs one more system call at the end of the callback.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bursts {
    /// The callback of the last write.
    callback: u32,
    made: u8,
    last: u8,
    expected: u8,
}

impl Bursts {
    /// Counts a write of the callback with this number. True when more of them are expected.
    #[inline]
    pub const fn write(&mut self, callback: u32) -> bool {
        if callback != self.callback {
            self.callback = callback;
            self.expected = if self.made < self.last {
                self.made
            } else {
                self.last
            };
            self.last = self.made;
            self.made = 0;
        }
        self.made = self.made.saturating_add(1);
        self.made < self.expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is expected after each write of callbacks that make so many.
    fn run(callbacks: &[usize]) -> Vec<Vec<bool>> {
        let mut bursts = Bursts::default();
        let numbered = (1..).zip(callbacks);
        numbered
            .map(|(number, &writes)| (0..writes).map(|_| bursts.write(number)).collect())
            .collect()
    }

    #[test]
    fn the_first_two_callbacks_are_only_watched() {
        assert_eq!(
            run(&[2, 2, 2, 2]),
            [[false, false], [false, false], [true, false], [true, false]]
        );
    }

    #[test]
    fn one_write_each_expects_nothing() {
        assert!(run(&[1; 20]).iter().flatten().all(|more| !more));
    }

    #[test]
    fn the_fewer_of_the_last_two_are_expected() {
        assert_eq!(run(&[3, 2, 3])[2], [true, false, false]);
        assert_eq!(run(&[2, 3, 3])[2], [true, false, false]);
        assert_eq!(run(&[3, 3, 3])[2], [true, true, false]);
        // Every other callback writes once: nothing to hold back for.
        assert!(run(&[2, 1, 2, 1, 2, 1]).iter().flatten().all(|more| !more));
    }

    #[test]
    fn a_callback_that_stops_short_is_forgiven_once() {
        assert_eq!(
            run(&[2, 2, 1, 2, 2, 2]),
            [
                vec![false, false],
                vec![false, false],
                vec![true],
                vec![false, false],
                vec![false, false],
                vec![true, false],
            ]
        );
    }

    #[test]
    fn callbacks_with_very_many_writes_are_counted_no_further() {
        let outcome = run(&[300, 300, 300]);
        assert_eq!(outcome[2].iter().filter(|more| **more).count(), 254);
    }
}
