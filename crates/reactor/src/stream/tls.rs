//! What becomes of a TLS session: a state machine without a cipher, after asyncio's `sslproto`.
//!
//! ```text
//!   idle ──start──▶ handshake ──established──▶ wrapped ──close, peer's end──▶ flushing ──flushed──▶ shutdown
//!                       │                         │                              │                    │
//!                       └──────── abort, failure, loss of the lower transport ───┴────────────────────┴──▶ over
//! ```
//!
//! The application's protocol has a life of its own: it is told of the connection once, of its end once, and of the
//! loss only if it was told of the connection.

/// Writes into a session that is over before each one is worth a warning, as in asyncio.
const WRITES_BEFORE_WARNING: u32 = 5;

#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
enum Phase {
    #[default]
    Idle,
    Handshake,
    Wrapped,
    /// No more is taken from the application; what it wrote is still encrypted.
    Flushing,
    /// Our close_notify is out; the peer's is awaited.
    Shutdown,
    Over,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Application {
    /// Not told of the connection yet.
    Unaware,
    Connected,
    /// Told that the peer sends nothing more.
    Ended,
    Lost,
}

/// What to do with bytes that have arrived, or after reading was resumed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Arrival {
    /// They are part of the handshake.
    Handshake,
    /// Decrypt them and hand them over.
    Read,
    /// Keep them: the application has paused reading.
    Keep,
    /// What is left is handed over, then the session ends.
    Flush,
    /// They are part of the end.
    Shutdown,
    /// Nobody is interested any more.
    Drop,
}

/// What closing leads to.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Closing {
    /// Nothing: it is under way, or over.
    Nothing,
    /// There is no session to end in order: drop the lower transport.
    Abort,
    /// Flush, then say goodbye.
    Flush,
}

/// What becomes of a write.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum TlsWrite {
    /// Encrypt it.
    Send,
    /// Keep it until the handshake is done.
    Hold,
    /// Throw it away, with a warning if the caller goes on and on.
    Discard {
        /// Whether to warn.
        warn: bool,
    },
}

/// What the end of the lower transport's input leads to.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum PeerEnd {
    /// Nothing.
    Nothing,
    /// The handshake has failed.
    FailHandshake,
    /// What is left is handed over, then the session ends.
    Flush,
    /// The application has paused reading: wait until it resumes, keeping the lower transport open.
    Wait,
    /// Encrypt what is left and end the session.
    Finish,
    /// Go on with the end that is under way.
    Shutdown,
}

/// Where a TLS session stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsSession {
    phase: Phase,
    application: Application,
    closed: bool,
    eof: bool,
    reading_paused: bool,
    established: bool,
    /// The peer's end came while reading was paused, and nothing has been done about it yet.
    waiting: bool,
    discarded: u32,
}

impl TlsSession {
    /// A session that has not begun. `connected`: the application was told of the connection by a transport that is
    /// now being secured.
    pub const fn new(connected: bool) -> Self {
        Self {
            phase: Phase::Idle,
            application: if connected {
                Application::Connected
            } else {
                Application::Unaware
            },
            closed: false,
            eof: false,
            reading_paused: false,
            established: false,
            waiting: false,
            discarded: 0,
        }
    }

    /// The lower transport is there. True when the handshake is to begin.
    pub const fn start(&mut self) -> bool {
        let starts = matches!(self.phase, Phase::Idle);
        if starts {
            self.phase = Phase::Handshake;
        }
        starts
    }

    /// Whether the handshake is going on.
    pub const fn in_handshake(&self) -> bool {
        matches!(self.phase, Phase::Handshake)
    }

    /// Whether the session is ending, and the peer has not had its last word.
    pub const fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Flushing | Phase::Shutdown)
    }

    /// Whether what the application wrote can be encrypted.
    pub const fn can_encrypt(&self) -> bool {
        matches!(self.phase, Phase::Wrapped | Phase::Flushing)
    }

    /// Whether data can be handed to the application.
    #[inline]
    pub const fn can_read(&self) -> bool {
        matches!(self.phase, Phase::Wrapped | Phase::Flushing) && !self.reading_paused
    }

    /// Whether the application has paused reading.
    pub const fn is_reading_paused(&self) -> bool {
        self.reading_paused
    }

    /// Whether the lower transport's input has ended.
    pub const fn has_eof(&self) -> bool {
        self.eof
    }

    /// Whether the application has closed the transport, or has lost it.
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the handshake has succeeded, whatever became of the session since.
    pub const fn was_established(&self) -> bool {
        self.established
    }

    /// Marks the transport closed without doing anything about it. Whether it was not.
    pub const fn mark_closed(&mut self) -> bool {
        !std::mem::replace(&mut self.closed, true)
    }

    /// The handshake has succeeded. True when the application is to be told of the connection.
    pub const fn establish(&mut self) -> bool {
        self.phase = Phase::Wrapped;
        self.established = true;
        let tell = matches!(self.application, Application::Unaware);
        if tell {
            self.application = Application::Connected;
        }
        tell
    }

    /// What to do with bytes that have arrived.
    #[inline]
    pub const fn arrived(&self) -> Arrival {
        match self.phase {
            Phase::Handshake => Arrival::Handshake,
            Phase::Wrapped if self.reading_paused => Arrival::Keep,
            Phase::Wrapped => Arrival::Read,
            Phase::Flushing => Arrival::Flush,
            Phase::Shutdown => Arrival::Shutdown,
            Phase::Idle | Phase::Over => Arrival::Drop,
        }
    }

    /// The application writes.
    #[inline]
    pub const fn write(&mut self) -> TlsWrite {
        match self.phase {
            Phase::Wrapped => TlsWrite::Send,
            Phase::Handshake => TlsWrite::Hold,
            Phase::Idle | Phase::Flushing | Phase::Shutdown | Phase::Over => {
                let warn = self.discarded >= WRITES_BEFORE_WARNING;
                self.discarded = self.discarded.saturating_add(1);
                TlsWrite::Discard { warn }
            }
        }
    }

    /// The application pauses reading.
    pub const fn pause_reading(&mut self) {
        self.reading_paused = true;
    }

    /// The application resumes reading. True when [`TlsSession::resumed`] is to be asked in the next turn.
    pub const fn resume_reading(&mut self) -> bool {
        std::mem::replace(&mut self.reading_paused, false)
    }

    /// What to do after reading was resumed.
    pub const fn resumed(&mut self) -> Arrival {
        match self.arrived() {
            Arrival::Handshake => Arrival::Drop,
            Arrival::Flush => {
                self.waiting = false;
                Arrival::Flush
            }
            other => other,
        }
    }

    /// The session is to end: the application closes, or the peer has said goodbye.
    pub const fn close(&mut self) -> Closing {
        match self.phase {
            Phase::Shutdown | Phase::Over => Closing::Nothing,
            // The application waits for nothing any more.
            Phase::Flushing if self.waiting && self.closed => {
                self.waiting = false;
                Closing::Flush
            }
            Phase::Flushing => Closing::Nothing,
            Phase::Idle | Phase::Handshake => {
                self.closed = true;
                Closing::Abort
            }
            Phase::Wrapped => {
                self.closed = true;
                self.phase = Phase::Flushing;
                Closing::Flush
            }
        }
    }

    /// Everything is flushed. True when goodbye is to be said now.
    pub const fn flushed(&mut self) -> bool {
        let goodbye = matches!(self.phase, Phase::Flushing);
        if goodbye {
            self.phase = Phase::Shutdown;
        }
        goodbye
    }

    /// The session has failed or is given up.
    pub const fn abandon(&mut self) {
        self.phase = Phase::Over;
    }

    /// The lower transport's input has ended.
    pub const fn peer_ended(&mut self) -> PeerEnd {
        self.eof = true;
        match self.phase {
            Phase::Handshake => PeerEnd::FailHandshake,
            Phase::Wrapped => {
                self.phase = Phase::Flushing;
                self.waiting = self.reading_paused;
                if self.waiting {
                    PeerEnd::Wait
                } else {
                    PeerEnd::Flush
                }
            }
            Phase::Flushing => PeerEnd::Finish,
            Phase::Shutdown => PeerEnd::Shutdown,
            Phase::Idle | Phase::Over => PeerEnd::Nothing,
        }
    }

    /// The peer sends nothing more. True when the application is to be told, once.
    pub const fn tell_eof(&mut self) -> bool {
        let tell = matches!(self.application, Application::Connected);
        if tell {
            self.application = Application::Ended;
        }
        tell
    }

    /// The lower transport is gone. True when the application is to be told.
    pub const fn lost(&mut self) -> bool {
        let tell = matches!(
            self.application,
            Application::Connected | Application::Ended
        );
        if tell {
            self.application = Application::Lost;
        }
        self.phase = Phase::Over;
        self.closed = true;
        self.discarded = self.discarded.saturating_add(1);
        tell
    }
}

/// What the side that fills a buffer is to be told.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Told {
    /// Nothing.
    Nothing,
    /// Pause.
    Pause,
    /// Go on.
    Resume,
}

/// The marks of a buffer of a TLS session. Unlike those of [`super::Flow`], reaching the high one is enough.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Marks {
    default: usize,
    high: usize,
    low: usize,
    paused: bool,
}

impl Marks {
    /// Marks with `default` bytes as the high one and a quarter of it as the low one.
    pub const fn new(default: usize) -> Self {
        Self {
            default,
            high: default,
            low: default / 4,
            paused: false,
        }
    }

    /// (low, high) in bytes.
    pub const fn limits(&self) -> (usize, usize) {
        (self.low, self.high)
    }

    /// Whether the producer has been told to pause.
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Sets the marks. Without `high`: four times `low`, or the default; without `low`: a quarter of `high`.
    ///
    /// # Errors
    /// (high, low) as they would be, when they do not satisfy `high >= low >= 0`.
    pub fn set(&mut self, high: Option<i64>, low: Option<i64>) -> Result<(), (i64, i64)> {
        let high = high
            .or(low.map(|low| low.saturating_mul(4)))
            .unwrap_or(self.default as i64);
        let low = low.unwrap_or_else(|| high.div_euclid(4));
        if !(high >= low && low >= 0) {
            return Err((high, low));
        }
        (self.high, self.low) = (high as usize, low as usize);
        Ok(())
    }

    /// The buffer has `size` bytes now.
    #[inline]
    pub const fn at(&mut self, size: usize) -> Told {
        if size >= self.high && !self.paused {
            self.paused = true;
            Told::Pause
        } else if size <= self.low && self.paused {
            self.paused = false;
            Told::Resume
        } else {
            Told::Nothing
        }
    }

    /// The producer goes on although the buffer is as full as it is. Whether it had been told to pause.
    pub const fn release(&mut self) -> bool {
        std::mem::replace(&mut self.paused, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn established() -> TlsSession {
        let mut session = TlsSession::new(false);
        assert!(session.start());
        assert!(session.establish());
        session
    }

    #[test]
    fn the_application_is_told_once_of_everything() {
        let mut session = established();
        assert!(session.tell_eof() && !session.tell_eof());
        assert!(session.lost() && !session.lost());
    }

    #[test]
    fn an_application_that_never_knew_is_not_told_of_the_loss() {
        let mut session = TlsSession::new(false);
        assert!(session.start() && !session.start());
        assert!(!session.lost() && session.is_closed());
    }

    #[test]
    fn an_application_that_was_connected_before_is_told_of_a_loss_in_the_handshake() {
        let mut session = TlsSession::new(true);
        assert!(session.start());
        assert_eq!(session.peer_ended(), PeerEnd::FailHandshake);
        assert!(session.lost());
    }

    #[test]
    fn securing_does_not_tell_of_the_connection_again() {
        let mut session = TlsSession::new(true);
        assert!(session.start());
        assert!(!session.establish());
    }

    #[test]
    fn closing_before_the_end_of_the_handshake_aborts() {
        let mut session = TlsSession::new(false);
        assert_eq!(session.close(), Closing::Abort, "nothing has begun");
        assert!(session.start());
        assert_eq!(session.close(), Closing::Abort);
    }

    #[test]
    fn closing_flushes_once_and_then_says_goodbye() {
        let mut session = established();
        assert_eq!(session.close(), Closing::Flush);
        assert_eq!(session.close(), Closing::Nothing);
        assert!(session.is_ending() && session.can_encrypt());
        assert!(session.flushed() && !session.flushed());
        assert_eq!(session.arrived(), Arrival::Shutdown);
        assert!(!session.can_encrypt());
    }

    #[test]
    fn an_end_that_comes_while_reading_is_paused_waits_for_the_application() {
        let mut session = established();
        session.pause_reading();
        assert_eq!(session.arrived(), Arrival::Keep);
        assert_eq!(session.peer_ended(), PeerEnd::Wait);
        assert!(session.resume_reading() && !session.resume_reading());
        assert_eq!(session.resumed(), Arrival::Flush);
    }

    #[test]
    fn closing_does_not_wait_for_reading_to_resume() {
        let mut session = established();
        session.pause_reading();
        assert_eq!(session.peer_ended(), PeerEnd::Wait);
        assert_eq!(session.close(), Closing::Nothing, "not by the application");
        assert!(session.mark_closed());
        assert_eq!(session.close(), Closing::Flush);
        assert_eq!(session.close(), Closing::Nothing);
    }

    #[test]
    fn writes_wait_for_the_handshake_and_are_dropped_after_the_end() {
        let mut session = TlsSession::new(false);
        assert_eq!(session.write(), TlsWrite::Discard { warn: false });
        assert!(session.start());
        assert_eq!(session.write(), TlsWrite::Hold);
        assert!(session.establish());
        assert_eq!(session.write(), TlsWrite::Send);
        session.abandon();
        let warned = (0..8)
            .filter(|_| session.write() == TlsWrite::Discard { warn: true })
            .count();
        assert_eq!(warned, 4, "the first five since the start are silent");
    }

    #[test]
    fn what_arrives_after_the_end_is_dropped() {
        let mut session = established();
        session.abandon();
        assert_eq!(session.arrived(), Arrival::Drop);
        assert_eq!(session.peer_ended(), PeerEnd::Nothing);
        assert_eq!(session.close(), Closing::Nothing);
    }

    #[test]
    fn marks_tell_once_each_way_and_follow_from_each_other() {
        let mut marks = Marks::new(400);
        assert_eq!(marks.limits(), (100, 400));
        assert_eq!(marks.at(399), Told::Nothing);
        assert_eq!(marks.at(400), Told::Pause);
        assert_eq!(marks.at(900), Told::Nothing);
        assert_eq!(marks.at(101), Told::Nothing);
        assert_eq!(marks.at(100), Told::Resume);
        assert_eq!(marks.set(None, Some(5)), Ok(()));
        assert_eq!(marks.limits(), (5, 20));
        assert_eq!(marks.set(Some(1), Some(2)), Err((1, 2)));
        assert_eq!(marks.set(Some(-1), None), Err((-1, -1)));
        assert_eq!(marks.limits(), (5, 20));
    }
}
