//! How many datagrams one report of readability may bring.

/// The most datagrams received in a row. A flooded endpoint then waits its turn behind all others.
const MOST: u32 = 32;
/// Full batches in a row before the next may be larger.
const PATIENCE: u32 = 8;

/// The size of the next batch.
///
/// Only a receive that finds nothing tells that the socket is empty. An endpoint that answers each datagram before
/// the next comes would pay such a receive for every one, half as much again as it needs; so batches begin at one
/// datagram and grow while they come back full.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    limit: u32,
    full: u32,
}

impl Default for Batch {
    fn default() -> Self {
        Self { limit: 1, full: 0 }
    }
}

impl Batch {
    /// One datagram at first.
    pub fn new() -> Self {
        Self::default()
    }

    /// The most datagrams to receive now.
    #[inline]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// The batch brought as many datagrams as it might.
    #[inline]
    pub const fn filled(&mut self) {
        self.full += 1;
        if self.full >= PATIENCE {
            self.full = 0;
            self.limit = if self.limit * 2 < MOST {
                self.limit * 2
            } else {
                MOST
            };
        }
    }

    /// The socket was empty after `count` datagrams: about so many come between two turns.
    #[inline]
    pub const fn ran_dry(&mut self, count: u32) {
        self.full = 0;
        self.limit = if count > 1 { count } else { 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_taken_in_ever_larger_batches_up_to_a_bound() {
        let mut batch = Batch::new();
        assert_eq!(batch.limit(), 1);
        for _ in 0..PATIENCE {
            batch.filled();
        }
        assert_eq!(batch.limit(), 2);
        for _ in 0..100 * PATIENCE {
            batch.filled();
        }
        assert_eq!(batch.limit(), MOST);
    }

    #[test]
    fn a_socket_that_runs_dry_says_how_much_comes() {
        let mut batch = Batch::new();
        for _ in 0..5 * PATIENCE {
            batch.filled();
        }
        batch.ran_dry(7);
        assert_eq!(batch.limit(), 7);
        batch.ran_dry(0);
        assert_eq!(batch.limit(), 1);
    }

    #[test]
    fn a_datagram_at_a_time_seldom_pays_for_an_empty_receive() {
        let mut batch = Batch::new();
        let mut empty = 0;
        for _ in 0..900 {
            if batch.limit() > 1 {
                empty += 1;
                batch.ran_dry(1);
            } else {
                batch.filled();
            }
        }
        assert_eq!(empty, 100);
    }
}
