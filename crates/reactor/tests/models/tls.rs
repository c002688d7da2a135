//! A TLS session as what an application may count on: what it is told, when, and how often.

use epicycle_reactor::stream::{Arrival, Closing, PeerEnd, TlsSession, TlsWrite};

/// What can happen to a session.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub enum Happening {
    Start,
    /// The handshake succeeds, if one goes on.
    Establish,
    Arrive,
    Write,
    PauseReading,
    ResumeReading,
    /// The application closes.
    Close,
    /// The peer says goodbye.
    PeerGoodbye,
    Flushed,
    PeerEnded,
    /// The application is told of the peer's end, where that is due.
    TellEof,
    Abandon,
    Lost,
}

/// Where a session stands, for an onlooker; it only ever goes on, never back.
fn stage(session: &TlsSession) -> u8 {
    match session.arrived() {
        Arrival::Handshake => 1,
        Arrival::Read | Arrival::Keep => 2,
        Arrival::Flush => 3,
        Arrival::Shutdown => 4,
        // Not begun, or over.
        Arrival::Drop => 5,
    }
}

#[derive(Default)]
struct Told {
    connected: u32,
    eof: u32,
    lost: u32,
    goodbyes: u32,
    flushes: u32,
    discarded: u32,
    is_lost: bool,
}

/// Lets happen to a session whatever can.
///
/// # Panics
/// Where it does what an application may count on never to happen.
pub fn run(connected: bool, happenings: &[Happening]) {
    let mut session = TlsSession::new(connected);
    let mut told = Told {
        connected: connected.into(),
        ..Told::default()
    };
    let mut begun = false;
    let mut before = 0;
    for &happening in happenings {
        let was = session.clone();
        happen(&mut session, happening, &mut told);
        begun |= happening == Happening::Start || happening == Happening::Lost;
        begun |= happening == Happening::Abandon;
        let now = if begun { stage(&session) } else { 0 };
        assert!(now >= before, "it goes back from {was:?}");
        before = now;
        assert!(session.is_closed() || !was.is_closed());
        assert!(session.was_established() || !was.was_established());
        assert!(session.has_eof() || !was.has_eof());
        check(&session, &told, now);
    }
}

fn happen(session: &mut TlsSession, happening: Happening, told: &mut Told) {
    match happening {
        Happening::Start => {
            let _ = session.start();
        }
        Happening::Establish => {
            if session.in_handshake() {
                told.connected += u32::from(session.establish());
                assert!(session.can_encrypt() && session.was_established());
            }
        }
        Happening::Arrive => {
            let arrival = session.arrived();
            assert_eq!(arrival == Arrival::Handshake, session.in_handshake());
            assert!(arrival != Arrival::Read || session.can_read());
            assert!(arrival != Arrival::Keep || session.is_reading_paused());
        }
        Happening::Write => write(session, told),
        Happening::PauseReading => {
            session.pause_reading();
            assert!(!session.can_read());
        }
        Happening::ResumeReading => {
            let was_paused = session.is_reading_paused();
            assert_eq!(session.resume_reading(), was_paused);
            if was_paused {
                // What came meanwhile is handed over now: nothing that can be read is left lying.
                let arrival = session.resumed();
                assert!(arrival == Arrival::Read || !session.can_read() || session.is_ending());
                assert_ne!(arrival, Arrival::Keep);
            }
        }
        Happening::Close | Happening::PeerGoodbye => {
            if happening == Happening::Close {
                let _ = session.mark_closed();
            }
            let established = session.was_established();
            match session.close() {
                Closing::Abort => assert!(!established),
                Closing::Flush => {
                    told.flushes += 1;
                    assert!(established && session.is_ending());
                }
                Closing::Nothing => assert_ne!(stage(session), 2),
            }
        }
        Happening::Flushed => told.goodbyes += u32::from(session.flushed()),
        Happening::PeerEnded => {
            let in_handshake = session.in_handshake();
            let end = session.peer_ended();
            assert_eq!(end == PeerEnd::FailHandshake, in_handshake);
            assert!(end != PeerEnd::Wait || session.is_reading_paused());
            assert!(end != PeerEnd::Finish || session.can_encrypt());
        }
        Happening::TellEof => told.eof += u32::from(session.tell_eof()),
        Happening::Abandon => session.abandon(),
        Happening::Lost => {
            told.lost += u32::from(session.lost());
            told.discarded = told.discarded.saturating_add(1);
            told.is_lost = true;
        }
    }
}

fn write(session: &mut TlsSession, told: &mut Told) {
    let stage = stage(session);
    match session.write() {
        TlsWrite::Send => assert!(stage == 2 && session.can_encrypt()),
        TlsWrite::Hold => assert!(session.in_handshake()),
        TlsWrite::Discard { warn } => {
            assert!(stage > 2);
            assert_eq!(warn, told.discarded >= 5, "the first five are silent");
            told.discarded += 1;
        }
    }
}

fn check(session: &TlsSession, told: &Told, stage: u8) {
    assert!(told.connected <= 1 && told.eof <= 1 && told.lost <= 1);
    assert!(told.eof <= told.connected && told.lost <= told.connected);
    assert!(told.goodbyes <= 1, "goodbye is said once");
    // The second is for an application that closes while the peer's end waits for it to read.
    assert!(told.flushes <= 2);
    if told.is_lost {
        assert!(session.is_closed() && !session.can_read() && !session.can_encrypt());
        assert_eq!(
            told.lost, told.connected,
            "who knew of it knows of its loss"
        );
    }
    if stage == 5 {
        assert!(!session.in_handshake() && !session.is_ending());
        assert!(!session.can_read() && !session.can_encrypt());
    }
    assert!(!session.can_read() || !session.is_reading_paused());
    assert!(!session.can_encrypt() || session.was_established());
}
