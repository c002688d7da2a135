//! The doorbell: a FIFO without a name, both of whose ends are one descriptor.
//!
//! Another process of the same user opens it through /proc and writes a byte. Because the loop's own descriptor can write
//! as well, the FIFO never counts as closed, and nothing has to be opened again.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

/// A byte that asks for a snapshot.
pub const LOOK: u8 = 1;
/// From here on a byte asks for a snapshot, and for the recorder to be on for as many seconds as it is more.
pub const RECORD: u8 = 128;

/// What was asked for by ringing.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Whether anybody rang.
    pub rung: bool,
    /// Seconds for the recorder, the most that was asked for.
    pub record: u64,
}

/// A bell; nothing where there is no /proc to open it through.
///
/// # Errors
/// No descriptor is left.
pub fn hang() -> io::Result<Option<OwnedFd>> {
    let (end, _other) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(
        format!("/proc/self/fd/{}", end.as_raw_fd()),
        flags,
        Mode::empty(),
    ) {
        Ok(bell) => Ok(Some(bell)),
        Err(error @ (Errno::MFILE | Errno::NFILE)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// Takes what was rung since the last time.
pub fn answer(bell: &OwnedFd) -> Asked {
    let mut asked = Asked::default();
    let mut bytes = [0; 64];
    while let Ok(count @ 1..) = rustix::io::read(bell, &mut bytes) {
        asked.rung = true;
        for byte in bytes.iter().take(count) {
            asked.record = asked.record.max(u64::from(byte.saturating_sub(RECORD)));
        }
    }
    asked
}

/// Waits until somebody rings, or the time is over.
pub fn wait(bell: &OwnedFd, most: Duration) {
    let timeout = Timespec {
        tv_sec: most.as_secs().min(3600) as i64,
        tv_nsec: most.subsec_nanos().into(),
    };
    let mut watched = [PollFd::new(bell, PollFlags::IN)];
    // A signal ends the wait early; whoever waits looks and comes again.
    let _ = poll(&mut watched, Some(&timeout));
}

/// Rings the bell behind a path, for a snapshot and, if `record` is not zero, for so many seconds of recording.
///
/// # Errors
/// `ENOENT`, `EACCES` and their like; one that has been rung too often without an answer counts as rung.
pub fn ring(path: &str, record: u8) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let bell = rustix::fs::open(path, flags, Mode::empty())?;
    let byte = match record {
        0 => LOOK,
        seconds => RECORD.saturating_add(seconds),
    };
    match rustix::io::write(&bell, &[byte]) {
        Ok(_) | Err(Errno::AGAIN) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
