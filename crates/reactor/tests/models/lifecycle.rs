//! asyncio's transport told as its own variables.

use epicycle_reactor::{Action, Lifecycle, WriteVerdict};

/// What can happen to a transport.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub enum Happening {
    /// A write of which something stays queued.
    WriteQueued,
    /// A write that the kernel takes whole.
    WriteSent,
    Drained,
    WriteEof,
    Close,
    Abort,
    PeerEof {
        keep_open: bool,
    },
    PauseReading,
    ResumeReading,
    ConnectionLost,
}

/// `_SelectorSocketTransport`, its names kept.
#[derive(Clone, Default)]
pub struct Asyncio {
    closing: bool,
    conn_lost: u32,
    eof: bool,
    paused: bool,
    buffer: bool,
    reader: bool,
    connection_lost_due: bool,
    lost: bool,
    /// What happened last, in our words.
    did: Vec<Action>,
}

impl Asyncio {
    pub fn new() -> Self {
        Self {
            reader: true,
            ..Self::default()
        }
    }

    fn force_close(&mut self) {
        if self.conn_lost > 0 {
            return;
        }
        self.buffer = false;
        self.closing = true;
        self.reader = false;
        self.conn_lost += 1;
        self.connection_lost_due = true;
        self.did.push(Action::Lose);
    }

    fn close(&mut self) {
        if self.closing {
            return;
        }
        self.closing = true;
        self.reader = false;
        if self.buffer {
            self.did.push(Action::StopReading);
        } else {
            self.conn_lost += 1;
            self.connection_lost_due = true;
            self.did.push(Action::Lose);
        }
    }

    fn write(&mut self, queued: bool) -> WriteVerdict {
        if self.eof {
            return WriteVerdict::AfterEof;
        }
        if self.conn_lost > 0 {
            let warn = self.conn_lost >= 5;
            self.conn_lost += 1;
            return WriteVerdict::Discard { warn };
        }
        self.buffer |= queued;
        WriteVerdict::Accept
    }

    fn drained(&mut self) {
        self.buffer = false;
        if self.closing {
            // asyncio calls connection_lost right here and leaves _conn_lost at 0; ours is lost by then.
            self.conn_lost += 1;
            self.connection_lost_due = true;
            self.did.push(Action::LoseNow);
        } else if self.eof {
            self.did.push(Action::ShutdownWrite);
        }
    }

    fn peer_eof(&mut self, keep_open: bool) {
        if keep_open {
            self.reader = false;
            self.did.push(Action::StopReading);
        } else {
            self.close();
        }
    }
}

/// Whether it can happen at all: asyncio's callbacks run only while they are registered.
pub fn possible(asyncio: &Asyncio, happening: Happening) -> bool {
    match happening {
        Happening::Drained => asyncio.buffer && asyncio.conn_lost == 0,
        Happening::PeerEof { .. } => asyncio.reader && !asyncio.closing && !asyncio.paused,
        Happening::ConnectionLost => asyncio.connection_lost_due && !asyncio.lost,
        _ => true,
    }
}

pub fn apply(asyncio: &mut Asyncio, ours: &mut Lifecycle, happening: Happening) {
    asyncio.did.clear();
    let queued = asyncio.buffer;
    let action = match happening {
        Happening::WriteQueued | Happening::WriteSent => {
            assert_eq!(
                ours.write(),
                asyncio.write(happening == Happening::WriteQueued)
            );
            return;
        }
        Happening::Drained => {
            asyncio.drained();
            ours.drained()
        }
        Happening::WriteEof => {
            if !asyncio.closing && !asyncio.eof {
                asyncio.eof = true;
                if !asyncio.buffer {
                    asyncio.did.push(Action::ShutdownWrite);
                }
            }
            ours.write_eof(queued)
        }
        Happening::Close => {
            asyncio.close();
            ours.close(queued)
        }
        Happening::Abort => {
            asyncio.force_close();
            let mut failed = ours.clone();
            let action = ours.abort();
            assert_eq!(failed.fail(), action, "an error and an abort are the same");
            action
        }
        Happening::PeerEof { keep_open } => {
            asyncio.peer_eof(keep_open);
            ours.peer_eof(keep_open, queued)
        }
        Happening::PauseReading => {
            if !asyncio.closing && !asyncio.paused {
                asyncio.paused = true;
                asyncio.reader = false;
                asyncio.did.push(Action::StopReading);
            }
            ours.pause_reading()
        }
        Happening::ResumeReading => {
            if !asyncio.closing && asyncio.paused {
                asyncio.paused = false;
                asyncio.reader = true;
                asyncio.did.push(Action::StartReading);
            }
            ours.resume_reading()
        }
        Happening::ConnectionLost => {
            asyncio.lost = true;
            ours.finish();
            Action::Nothing
        }
    };
    assert_eq!(
        action,
        asyncio.did.first().copied().unwrap_or(Action::Nothing),
        "{happening:?}"
    );
}

/// What both must agree on after every happening.
///
/// # Panics
/// Where they do not.
pub fn compare(asyncio: &Asyncio, ours: &Lifecycle) {
    assert_eq!(ours.is_closing(), asyncio.closing);
    assert_eq!(ours.is_reading(), !asyncio.closing && !asyncio.paused);
    assert_eq!(ours.conn_lost(), asyncio.conn_lost);
    assert_eq!(ours.is_losing(), asyncio.conn_lost > 0);
    assert_eq!(ours.eof_written(), asyncio.eof);
    assert_eq!(ours.is_lost(), asyncio.lost);
}

/// Lets happen to both whatever can.
///
/// # Panics
/// Where the two differ.
pub fn run(happenings: &[Happening]) {
    let (mut asyncio, mut ours) = (Asyncio::new(), Lifecycle::new());
    for &happening in happenings {
        if possible(&asyncio, happening) {
            apply(&mut asyncio, &mut ours, happening);
            compare(&asyncio, &ours);
        }
    }
}
