//! What the loop counts about itself: plain numbers, written by one thread, read by whoever likes, whenever.
//!
//! The numbers may lie in memory that other processes map, so their order and size are part of a layout: new ones go to
//! the end of the list.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::time::Nanos;

/// A number that one thread at a time counts up and any thread may read.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts up.  A load and a store: of two threads that do it at once, one may not be counted.
    #[inline(always)]
    pub fn add(&self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }

    /// The number.
    #[inline(always)]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Puts another number in its place.
    #[inline(always)]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// How late timers became due, by powers of two: bucket `i` counts those that were between `2^i` and `2^(i+1)`
/// nanoseconds late.
#[derive(Debug)]
#[repr(transparent)]
pub struct Lateness([Counter; 64]);

impl Default for Lateness {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl Lateness {
    /// A timer for `deadline` was taken at `now`.
    #[inline]
    pub fn note(&self, deadline: Nanos, now: Nanos) {
        let late = now.saturating_sub(deadline).0 | 1;
        if let Some(bucket) = self.0.get(late.ilog2() as usize) {
            bucket.add(1);
        }
    }

    /// The buckets' numbers.
    pub fn buckets(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(Counter::get)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Totals since the loop was made.
        #[derive(Debug, Default)]
        #[repr(C)]
        pub struct Counters {
            $($(#[$doc])* pub $name: Counter,)*
            /// How late the timers were.
            pub lateness: Lateness,
        }

        impl Counters {
            /// Every total by its name.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name.get()),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Turns ended.
    turns,
    /// Items handed out to be run.
    callbacks,
    /// Those of them that were steps of tasks; bumped by the embedder, like everything from `accepts` on.
    steps,
    /// Events dispatched to a source.
    events,
    /// Events dropped because their token was no longer registered, or nobody waits for that direction.
    stale_events,
    /// Timers put in.
    timers_scheduled,
    /// Timers that were cancelled before they were due.
    timers_cancelled,
    /// Timers that became due.
    timers_fired,
    /// Turns that went to the kernel prepared to sleep.
    parks,
    /// Parks that ended because another thread asked for it.
    wakes,
    /// Connections accepted.
    accepts,
    /// Bytes received.
    bytes_in,
    /// Bytes sent.
    bytes_out,
    /// Jobs given to executors.
    executor_jobs,
    /// Names looked up.
    dns_lookups,
    /// Stalls that a watcher noticed.
    stalls,
    /// TCP connections begun.
    opened_tcp,
    /// TCP connections ended.
    closed_tcp,
    /// Connections of Unix sockets begun, and of other families that are not TCP.
    opened_unix,
    /// The same, ended.
    closed_unix,
    /// TLS sessions begun, whatever is underneath.
    opened_tls,
    /// TLS sessions ended.
    closed_tls,
    /// Datagram endpoints begun.
    opened_udp,
    /// Datagram endpoints ended.
    closed_udp,
    /// Ends of pipes begun.
    opened_pipe,
    /// Ends of pipes ended.
    closed_pipe,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_goes_into_the_bucket_of_its_power_of_two() {
        let lateness = Lateness::default();
        let late = |nanos: u64| lateness.note(Nanos(1_000), Nanos(1_000 + nanos));
        for nanos in [0, 1, 2, 3, 4, 1 << 40] {
            late(nanos);
        }
        // Early, as a replaced clock may have it.
        lateness.note(Nanos(5), Nanos(1));
        let counts: Vec<u64> = lateness.buckets().collect();
        assert_eq!((counts[0], counts[1], counts[2], counts[40]), (3, 2, 1, 1));
        assert_eq!(counts.iter().sum::<u64>(), 7);
    }

    #[test]
    fn every_total_has_its_name() {
        let counters = Counters::default();
        counters.bytes_out.add(3);
        counters.closed_pipe.add(u64::MAX);
        counters.closed_pipe.add(2);
        let totals: Vec<_> = counters.iter().filter(|(_, total)| *total > 0).collect();
        assert_eq!(totals, [("bytes_out", 3), ("closed_pipe", 1)]);
    }
}
