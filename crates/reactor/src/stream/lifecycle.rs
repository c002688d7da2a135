//! What becomes of a connection: a state machine without a socket, after asyncio's selector transport.
//!
//! ```text
//!          close, something queued             queue drained
//!   open ───────────────────────────▶ closing ───────────────┐
//!    │                                   │ abort, error       ▼
//!    └───────────────────────────────────┴───────────────▶ losing ──▶ lost
//!          close, nothing queued; abort; error               connection_lost has run
//! ```
//!
//! Reading may be paused, and the writing half ended, in the open state without leaving it.

/// Writes into a connection that is being lost before each one is worth a warning, as in asyncio.
const WRITES_BEFORE_WARNING: u32 = 5;

#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Open,
    /// No more reading; what is queued is still sent.
    Closing,
    /// `connection_lost` is on its way.
    Losing,
    /// `connection_lost` has run, and the socket is closed.
    Lost,
}

/// What the transport has to do next.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Action {
    /// Nothing.
    Nothing,
    /// Watch for reading.
    StartReading,
    /// Do not watch for reading any more.
    StopReading,
    /// Tell the peer that nothing more comes.
    ShutdownWrite,
    /// Stop watching, throw away what is queued, and call `connection_lost` in the next turn.
    Lose,
    /// Stop watching, and call `connection_lost` now.
    LoseNow,
}

/// What becomes of a write.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum WriteVerdict {
    /// Send or queue it.
    Accept,
    /// The writing half was ended before: an error of the caller.
    AfterEof,
    /// The connection is being lost: throw it away, with a warning if the caller goes on and on.
    Discard {
        /// Whether to warn.
        warn: bool,
    },
}

/// Where a connection stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lifecycle {
    state: State,
    eof_written: bool,
    reading_paused: bool,
    discarded: u32,
}

impl Lifecycle {
    /// An open connection that reads.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the connection is on its way out, or gone.
    #[inline]
    pub fn is_closing(&self) -> bool {
        self.state != State::Open
    }

    /// Whether `connection_lost` is on its way or has run: nothing is read or written any more.
    #[inline]
    pub const fn is_losing(&self) -> bool {
        matches!(self.state, State::Losing | State::Lost)
    }

    /// Whether `connection_lost` has run.
    #[inline]
    pub fn is_lost(&self) -> bool {
        self.state == State::Lost
    }

    /// Whether it is open and reading is not paused.
    #[inline]
    pub fn is_reading(&self) -> bool {
        self.state == State::Open && !self.reading_paused
    }

    /// Whether the writing half was ended.
    #[inline]
    pub const fn eof_written(&self) -> bool {
        self.eof_written
    }

    /// asyncio's `_conn_lost`: 0 as long as the connection is not being lost, then 1 and the writes since.
    #[inline]
    pub const fn conn_lost(&self) -> u32 {
        match self.state {
            State::Open | State::Closing => 0,
            State::Losing | State::Lost => self.discarded.saturating_add(1),
        }
    }

    /// The user closes: what is queued is still sent.
    pub const fn close(&mut self, queued: bool) -> Action {
        match self.state {
            State::Open if queued => {
                self.state = State::Closing;
                Action::StopReading
            }
            State::Open => self.lose(),
            _ => Action::Nothing,
        }
    }

    /// The user aborts: what is queued is thrown away.
    pub const fn abort(&mut self) -> Action {
        match self.state {
            State::Open | State::Closing => self.lose(),
            State::Losing | State::Lost => Action::Nothing,
        }
    }

    /// Reading, writing or the protocol failed beyond repair.
    pub const fn fail(&mut self) -> Action {
        self.abort()
    }

    const fn lose(&mut self) -> Action {
        self.state = State::Losing;
        Action::Lose
    }

    /// The peer sends nothing more; `keep_open` is what the protocol answered to `eof_received`.
    ///
    /// Reading that is resumed later finds the end again and asks again, as in asyncio.
    pub const fn peer_eof(&mut self, keep_open: bool, queued: bool) -> Action {
        match self.state {
            State::Open if keep_open => Action::StopReading,
            _ => self.close(queued),
        }
    }

    /// The last of the queue has been sent.
    ///
    /// A closing connection is lost at once, not in the next turn: we are in a callback of the loop already.
    /// asyncio would let `connection_lost` write or abort once more at that point; here it is lost by then.
    pub const fn drained(&mut self) -> Action {
        match self.state {
            State::Closing => {
                self.state = State::Losing;
                Action::LoseNow
            }
            State::Open if self.eof_written => Action::ShutdownWrite,
            _ => Action::Nothing,
        }
    }

    /// `connection_lost` has run.
    pub const fn finish(&mut self) {
        self.state = State::Lost;
    }

    /// Something is to be written. A closing connection still takes it, as in asyncio.
    #[inline]
    pub const fn write(&mut self) -> WriteVerdict {
        if self.eof_written {
            return WriteVerdict::AfterEof;
        }
        match self.state {
            State::Open | State::Closing => WriteVerdict::Accept,
            State::Losing | State::Lost => {
                let warn = self.conn_lost() >= WRITES_BEFORE_WARNING;
                self.discarded = self.discarded.saturating_add(1);
                WriteVerdict::Discard { warn }
            }
        }
    }

    /// The user ends the writing half; what is queued is sent first.
    pub const fn write_eof(&mut self, queued: bool) -> Action {
        match self.state {
            State::Open if !self.eof_written => {
                self.eof_written = true;
                if queued {
                    Action::Nothing
                } else {
                    Action::ShutdownWrite
                }
            }
            _ => Action::Nothing,
        }
    }

    /// The user pauses reading.
    pub const fn pause_reading(&mut self) -> Action {
        match self.state {
            State::Open if !self.reading_paused => {
                self.reading_paused = true;
                Action::StopReading
            }
            _ => Action::Nothing,
        }
    }

    /// The user resumes reading.
    pub const fn resume_reading(&mut self) -> Action {
        match self.state {
            State::Open if self.reading_paused => {
                self.reading_paused = false;
                Action::StartReading
            }
            _ => Action::Nothing,
        }
    }
}
