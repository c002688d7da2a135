//! Monotonic time in nanoseconds. Deadlines are never rounded to anything coarser, and never down.

use std::time::Duration;

const PER_SECOND: u64 = 1_000_000_000;

/// Nanoseconds since a point in the past that only the kernel knows (the system's: `CLOCK_MONOTONIC`).
///
/// 64 bits hold 584 years; every operation saturates. [`Nanos::MAX`] stands for "never".
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The clock's origin: as a deadline, due at once.
    pub const ZERO: Self = Self(0);
    /// Never, as a deadline.
    pub const MAX: Self = Self(u64::MAX);

    /// From whole seconds.
    #[inline]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(PER_SECOND))
    }

    /// From milliseconds.
    #[inline]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// From seconds, exactly, rounded **up** to the next nanosecond, so that a deadline is never early.
    ///
    /// Zero, negative values, minus infinity and NaN are [`Nanos::ZERO`]: due at once, as asyncio treats a
    /// deadline that does not compare as later than now. Plus infinity and whatever exceeds 64 bits are
    /// [`Nanos::MAX`]: never.
    pub fn from_secs_f64(secs: f64) -> Self {
        if secs.is_nan() || secs <= 0.0 {
            return Self::ZERO;
        }
        // 2^64 ns is less than 2^35 s, so this also sends infinity away.
        if secs >= (1_u64 << 35) as f64 {
            return Self::MAX;
        }
        // secs = mantissa * 2^exponent. The product has at most 53 + 30 bits, so that nothing is lost: a
        // multiplication of floats could round down to a whole nanosecond and make the deadline early.
        let bits = secs.to_bits();
        let biased = (bits >> 52) as i32;
        let fraction = bits & ((1 << 52) - 1);
        let (mantissa, exponent) = match biased {
            0 => (fraction, -1074),
            _ => (fraction | 1 << 52, biased - 1075),
        };
        let product = u128::from(mantissa) * u128::from(PER_SECOND);
        let nanos = if exponent >= 0 {
            // secs < 2^35 keeps the exponent below zero; the branch keeps the shift honest.
            product.checked_shl(exponent as u32).unwrap_or(u128::MAX)
        } else {
            match exponent.unsigned_abs() {
                shift @ 0..=127 => {
                    (product >> shift) + u128::from(product & ((1 << shift) - 1) != 0)
                }
                _ => 1,
            }
        };
        u64::try_from(nanos).map_or(Self::MAX, Self)
    }

    /// In seconds, as close as a float comes.
    ///
    /// `Nanos::from_secs_f64(x).as_secs_f64() >= x` for every `x` that is in range, so that a user who compares
    /// the loop's time with his own deadline never sees himself called early.
    #[inline]
    pub fn as_secs_f64(self) -> f64 {
        if self.0 < 1 << 53 {
            // Both operands are exact, so one correctly rounded division: what CPython's own clock does.
            self.0 as f64 / PER_SECOND as f64
        } else {
            // Converting all of it would round before the division (an uptime of 104 days is enough).
            (self.0 / PER_SECOND) as f64 + (self.0 % PER_SECOND) as f64 / PER_SECOND as f64
        }
    }

    /// Later by `other`; stops at "never".
    #[inline]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// How long after `earlier`; zero when it is not later.
    #[inline]
    pub const fn saturating_sub(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    /// Seconds and the nanoseconds above them.
    #[inline]
    pub const fn split(self) -> (u64, u32) {
        (self.0 / PER_SECOND, (self.0 % PER_SECOND) as u32)
    }
}

impl From<Duration> for Nanos {
    fn from(duration: Duration) -> Self {
        u64::try_from(duration.as_nanos()).map_or(Self::MAX, Self)
    }
}

impl From<Nanos> for Duration {
    fn from(nanos: Nanos) -> Self {
        Self::from_nanos(nanos.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_seconds_have_a_meaning() {
        for none in [0.0, -0.0, -1.0, -1e-300, f64::NEG_INFINITY, f64::NAN] {
            assert_eq!(Nanos::from_secs_f64(none), Nanos::ZERO);
        }
        for never in [f64::INFINITY, f64::MAX, 1e20, 18_446_744_074.0] {
            assert_eq!(Nanos::from_secs_f64(never), Nanos::MAX);
        }
    }

    #[test]
    fn seconds_round_up() {
        assert_eq!(Nanos::from_secs_f64(1.0), Nanos(1_000_000_000));
        assert_eq!(
            Nanos::from_secs_f64(1e-9),
            Nanos(2),
            "the float nearest to 1e-9 is above it"
        );
        assert_eq!(Nanos::from_secs_f64(f64::MIN_POSITIVE), Nanos(1));
        assert_eq!(Nanos::from_secs_f64(5e-324), Nanos(1));
        assert_eq!(Nanos::from_secs_f64(0.25), Nanos(250_000_000));
        assert_eq!(
            Nanos::from_secs_f64(18_446_744_073.0),
            Nanos(18_446_744_073_000_000_000)
        );
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        assert_eq!(Nanos::MAX.saturating_add(Nanos(1)), Nanos::MAX);
        assert_eq!(Nanos(1).saturating_sub(Nanos(2)), Nanos::ZERO);
        assert_eq!(Nanos::from_secs(u64::MAX), Nanos::MAX);
        assert_eq!(Nanos::from_millis(1_500).split(), (1, 500_000_000));
        assert_eq!(Nanos::from(Duration::MAX), Nanos::MAX);
        assert_eq!(Duration::from(Nanos(5)), Duration::from_nanos(5));
    }
}
