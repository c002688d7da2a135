//! Descriptors that the kernel keeps without a word: what was watched for one report, and has been reported.

use std::os::fd::RawFd;

/// A set of descriptors. It is a guess: one may have been closed, and its number given away.
#[derive(Debug, Default)]
pub struct Resting(Vec<u64>);

impl Resting {
    fn place(fd: RawFd) -> Option<(usize, u64)> {
        let number = usize::try_from(fd).ok()?;
        Some((number / 64, 1 << (number % 64)))
    }

    /// Puts a descriptor in.
    pub fn insert(&mut self, fd: RawFd) {
        if let Some((word, bit)) = Self::place(fd) {
            if word >= self.0.len() {
                self.0.resize(word + 1, 0);
            }
            self.0[word] |= bit;
        }
    }

    /// Takes a descriptor out. Whether it was in.
    #[inline]
    pub fn remove(&mut self, fd: RawFd) -> bool {
        let Some((word, bit)) = Self::place(fd) else {
            return false;
        };
        let Some(word) = self.0.get_mut(word) else {
            return false;
        };
        let found = *word & bit != 0;
        *word &= !bit;
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_taken_out_once() {
        let mut resting = Resting::default();
        for fd in [0, 63, 64, 1_000] {
            assert!(!resting.remove(fd));
            resting.insert(fd);
            resting.insert(fd);
        }
        for fd in [1_000, 0, 64, 63] {
            assert!(resting.remove(fd) && !resting.remove(fd));
        }
    }

    #[test]
    fn no_descriptor_is_never_in() {
        let mut resting = Resting::default();
        resting.insert(-1);
        assert!(!resting.remove(-1) && !resting.remove(RawFd::MAX));
    }
}
