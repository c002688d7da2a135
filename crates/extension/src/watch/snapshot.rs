//! The last snapshot of the agent: a memfd of its own, which others read through /proc like the page.
//!
//! It begins with a sequence number (odd while it is being written), the time, and the length of what follows.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, Mode, fchmod, ftruncate, memfd_create};
use rustix::io::{pread, pwrite};

const HEAD: usize = 3 * size_of::<u64>();
/// The longest that a reader takes.
const LONGEST: u64 = 64 * 1024 * 1024;

/// A file for snapshots.
pub struct Board {
    pub file: OwnedFd,
    sequence: u64,
}

impl Board {
    /// # Errors
    /// No descriptor is left, or the system has no such files.
    pub fn new() -> io::Result<Self> {
        let file = memfd_create(c"epicycle-snapshot", MemfdFlags::CLOEXEC)?;
        fchmod(&file, Mode::RUSR | Mode::WUSR)?;
        Ok(Self { file, sequence: 0 })
    }

    /// Puts a snapshot in place of the last.
    ///
    /// # Errors
    /// No memory is left.
    pub fn put(&mut self, time: u64, data: &[u8]) -> io::Result<()> {
        self.sequence |= 1;
        write_all(&self.file, &self.head(0, 0), 0)?;
        write_all(&self.file, data, HEAD as u64)?;
        ftruncate(&self.file, (HEAD + data.len()) as u64)?;
        self.sequence += 1;
        write_all(&self.file, &self.head(time, data.len() as u64), 0)
    }

    fn head(&self, time: u64, length: u64) -> Vec<u8> {
        [self.sequence, time, length]
            .into_iter()
            .flat_map(u64::to_le_bytes)
            .collect()
    }
}

fn write_all(file: &OwnedFd, mut data: &[u8], mut at: u64) -> io::Result<()> {
    while !data.is_empty() {
        let count = pwrite(file, data, at)?;
        data = data.get(count..).unwrap_or_default();
        at += count as u64;
    }
    Ok(())
}

/// Reads a snapshot: its sequence number, its time, its text.  Nothing while it is being written, or before the first.
///
/// # Errors
/// What the system says.
pub fn read(file: &OwnedFd) -> io::Result<Option<(u64, u64, Vec<u8>)>> {
    let Some([sequence, time, length]) = head(file)? else {
        return Ok(None);
    };
    if sequence % 2 == 1 || sequence == 0 || length > LONGEST {
        return Ok(None);
    }
    let mut data = vec![0; length as usize];
    let mut done = 0;
    while done < data.len() {
        let Some(room) = data.get_mut(done..) else {
            break;
        };
        match pread(file, room, (HEAD + done) as u64)? {
            0 => return Ok(None),
            count => done += count,
        }
    }
    let same = head(file)?.is_some_and(|[again, ..]| again == sequence);
    Ok(same.then_some((sequence, time, data)))
}

fn head(file: &OwnedFd) -> io::Result<Option<[u64; 3]>> {
    let mut bytes = [0; HEAD];
    if pread(file, &mut bytes, 0)? < HEAD {
        return Ok(None);
    }
    let mut words = [0; 3];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(size_of::<u64>())) {
        *word = bytes
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte));
    }
    Ok(Some(words))
}
