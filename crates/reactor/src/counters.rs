//! What the loop counts about itself: plain numbers, bumped on the loop's thread, read whenever.

/// Totals since the loop was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Turns ended.
    pub turns: u64,
    /// Items handed out to be run.
    pub callbacks: u64,
    /// Events dispatched to a source.
    pub events: u64,
    /// Events dropped because their token was no longer registered, or nobody waits for that direction.
    pub stale_events: u64,
    /// Timers put in.
    pub timers_scheduled: u64,
    /// Timers that were cancelled before they were due.
    pub timers_cancelled: u64,
    /// Timers that became due.
    pub timers_fired: u64,
    /// Turns that went to the kernel prepared to sleep.
    pub parks: u64,
    /// Parks that ended because another thread asked for it.
    pub wakes: u64,
    /// Connections accepted; bumped by the embedder.
    pub accepts: u64,
    /// Bytes received; bumped by the embedder.
    pub bytes_in: u64,
    /// Bytes sent; bumped by the embedder.
    pub bytes_out: u64,
}
