//! Seconds become nanoseconds exactly, rounded up; and a user never sees himself called early.
#![cfg(not(loom))]

use epicycle_reactor::Nanos;
use proptest::prelude::*;

/// Whether `nanos` is the smallest whole number of nanoseconds that is not below `secs`, in exact arithmetic.
///
/// A float is an integer times a power of two, so both sides are compared as integers.
fn is_ceiling(secs: f64, nanos: u64) -> bool {
    let bits = secs.to_bits();
    let exponent = ((bits >> 52) as i32).max(1) - 1075;
    let implicit = u128::from(bits >> 52 != 0) << 52;
    let mantissa = u128::from(bits & ((1 << 52) - 1)) | implicit;
    let scaled = mantissa * 1_000_000_000;
    if exponent >= 0 {
        return u128::from(nanos) == scaled << exponent;
    }
    let shift = exponent.unsigned_abs();
    // nanos >= scaled / 2^shift > nanos - 1, without a division.
    let shifted = |value: u64| {
        (u128::from(value))
            .checked_shl(shift)
            .filter(|wide| wide >> shift == u128::from(value))
    };
    let not_below = shifted(nanos).is_none_or(|wide| wide >= scaled);
    let one_less_is_below = nanos == 0 || shifted(nanos - 1).is_some_and(|wide| wide < scaled);
    not_below && one_less_is_below
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn seconds_are_rounded_up_and_no_further(secs in prop_oneof![
        0.0..1e-6_f64, 0.0..1.0_f64, 0.0..1e4_f64, 0.0..1e7_f64, 0.0..1.8e10_f64,
    ]) {
        prop_assert!(is_ceiling(secs, Nanos::from_secs_f64(secs).0));
    }

    #[test]
    fn the_time_that_a_deadline_fires_at_is_not_before_it(secs in prop_oneof![
        0.0..1.0_f64, 0.0..1e6_f64, 8.9e6..9.1e6_f64, 0.0..1.8e10_f64,
    ]) {
        prop_assert!(Nanos::from_secs_f64(secs).as_secs_f64() >= secs);
    }

    #[test]
    fn later_in_nanoseconds_is_not_earlier_in_seconds(nanos in any::<u64>(), by in 0_u64..100) {
        prop_assert!(Nanos(nanos).as_secs_f64() <= Nanos(nanos).saturating_add(Nanos(by)).as_secs_f64());
    }

    #[test]
    fn the_order_of_seconds_is_kept(one in any::<f64>(), other in any::<f64>()) {
        let (low, high) = if one <= other { (one, other) } else { (other, one) };
        if low <= high {
            prop_assert!(Nanos::from_secs_f64(low) <= Nanos::from_secs_f64(high));
        }
    }

    #[test]
    fn any_float_gives_a_deadline(bits in any::<u64>()) {
        let secs = f64::from_bits(bits);
        let nanos = Nanos::from_secs_f64(secs);
        if secs.is_nan() || secs <= 0.0 {
            prop_assert_eq!(nanos, Nanos::ZERO);
        } else {
            prop_assert!(nanos > Nanos::ZERO);
        }
    }
}

#[test]
fn a_century_of_uptime_keeps_its_order() {
    // Where whole nanoseconds no longer fit a float, and where the two ways of dividing meet.
    for middle in [1_u64 << 53, 1 << 54, 3_153_600_000_000_000_000] {
        let mut before = 0.0;
        for nanos in middle - 5_000..middle + 5_000 {
            let secs = Nanos(nanos).as_secs_f64();
            assert!(secs >= before, "{nanos}");
            before = secs;
        }
    }
}
