//! What a source waits for ([`Interest`]) and what the kernel says has come ([`Readiness`]).

/// The directions a source waits for.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Interest(u8);

impl Interest {
    /// Nothing: the descriptor is not in the kernel's set.
    pub const NONE: Self = Self(0);
    /// Something to read, an accept, or the end of the stream.
    pub const READ: Self = Self(1);
    /// Room to write, or the end of a connect.
    pub const WRITE: Self = Self(2);
    /// Both directions.
    pub const BOTH: Self = Self(3);
    /// With a direction: for one report. The kernel keeps the descriptor then, and says nothing of it before it is
    /// asked again.
    pub const ONCE: Self = Self(4);

    /// Whether no direction is asked for.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every direction of `other` is asked for.
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it ends with one report.
    #[inline]
    pub const fn is_once(self) -> bool {
        self.contains(Self::ONCE)
    }

    /// These directions and those of `other`.
    #[inline]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These directions but those of `other`.
    #[inline]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// What the kernel reported for a descriptor. One report may carry both directions.
///
/// An error or a hang-up counts as both: whoever waits must run and find out by reading or writing. That is
/// the rule of asyncio's selectors, where an epoll event is a write unless it is `EPOLLIN` alone and a read
/// unless it is `EPOLLOUT` alone.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Readiness(u8);

impl Readiness {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// There is something to read.
    pub const READABLE: Self = Self(1);
    /// There is room to write.
    pub const WRITABLE: Self = Self(2);
    /// The descriptor is in error.
    pub const ERROR: Self = Self(4);
    /// The other side is gone.
    pub const HANGUP: Self = Self(8);

    const BROKEN: u8 = Self::ERROR.0 | Self::HANGUP.0;

    /// Whether nothing was reported.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether a reader should run.
    #[inline]
    pub const fn is_readable(self) -> bool {
        self.0 & (Self::READABLE.0 | Self::BROKEN) != 0
    }

    /// Whether a writer should run.
    #[inline]
    pub const fn is_writable(self) -> bool {
        self.0 & (Self::WRITABLE.0 | Self::BROKEN) != 0
    }

    /// Whether an error was reported.
    #[inline]
    pub const fn is_error(self) -> bool {
        self.0 & Self::ERROR.0 != 0
    }

    /// Whether a hang-up was reported.
    #[inline]
    pub const fn is_hangup(self) -> bool {
        self.0 & Self::HANGUP.0 != 0
    }

    /// Both reports in one.
    #[inline]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is left for a source with this interest: `READABLE` and `WRITABLE` only, with errors and hang-ups
    /// already turned into the directions that were asked for.
    #[inline]
    pub const fn for_interest(self, interest: Interest) -> Self {
        let mut directions = 0;
        if self.is_readable() {
            directions |= Self::READABLE.0;
        }
        if self.is_writable() {
            directions |= Self::WRITABLE.0;
        }
        Self(directions & interest.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interests_are_sets() {
        assert_eq!(Interest::READ.with(Interest::WRITE), Interest::BOTH);
        assert_eq!(Interest::BOTH.without(Interest::READ), Interest::WRITE);
        assert_eq!(Interest::WRITE.without(Interest::WRITE), Interest::NONE);
        assert!(Interest::NONE.is_empty() && !Interest::READ.is_empty());
        assert!(
            Interest::BOTH.contains(Interest::READ) && !Interest::READ.contains(Interest::BOTH)
        );
        assert!(Interest::READ.contains(Interest::NONE));
    }

    #[test]
    fn errors_and_hangups_wake_whoever_waits_and_nobody_else() {
        for broken in [Readiness::ERROR, Readiness::HANGUP] {
            assert!(broken.is_readable() && broken.is_writable());
            assert_eq!(broken.for_interest(Interest::READ), Readiness::READABLE);
            assert_eq!(broken.for_interest(Interest::WRITE), Readiness::WRITABLE);
            assert_eq!(
                broken.for_interest(Interest::BOTH),
                Readiness::READABLE.with(Readiness::WRITABLE)
            );
            assert!(broken.for_interest(Interest::NONE).is_empty());
        }
        assert!(Readiness::ERROR.is_error() && !Readiness::ERROR.is_hangup());
        assert!(Readiness::HANGUP.is_hangup() && !Readiness::HANGUP.is_error());
    }

    #[test]
    fn what_is_asked_for_once_is_dispatched_like_anything_else() {
        let once = Interest::READ.with(Interest::ONCE);
        assert!(once.is_once() && !Interest::BOTH.is_once());
        let both = Readiness::READABLE.with(Readiness::WRITABLE);
        assert_eq!(both.for_interest(once), Readiness::READABLE);
        assert_eq!(once.without(Interest::ONCE), Interest::READ);
    }

    #[test]
    fn a_direction_that_was_not_asked_for_is_not_dispatched() {
        let both = Readiness::READABLE.with(Readiness::WRITABLE);
        assert_eq!(both.for_interest(Interest::READ), Readiness::READABLE);
        assert!(Readiness::WRITABLE.for_interest(Interest::READ).is_empty());
        assert!(!Readiness::READABLE.is_writable() && !Readiness::WRITABLE.is_readable());
        assert!(Readiness::NONE.for_interest(Interest::BOTH).is_empty());
    }
}
