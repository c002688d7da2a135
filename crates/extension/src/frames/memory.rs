//! The memory of a process, read without trusting it: every address may be wrong, every value may be changing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use crate::ffi::memory;

/// The most that is read of one object at a time, in bytes.
pub const BLOCK: usize = 512;

/// A process whose memory can be read.  It is known by its number: make a new one after a fork.
pub struct Memory {
    pid: u32,
    /// `/proc/PID/mem`, where the system call is refused: containers filter it more often than the file.
    file: OnceLock<File>,
}

impl Memory {
    /// Process `pid`, which may be this one (`std::process::id()`); whether it exists and may be read turns out when it is.
    pub fn of(pid: u32) -> Self {
        Self {
            pid,
            file: OnceLock::new(),
        }
    }

    /// Fills `into` from `address` on.
    ///
    /// # Errors
    /// `EFAULT` or `EIO`: not all of it is there.  `ESRCH`: the process has ended.  `EPERM`, `EACCES`: not permitted.
    pub fn read(&self, address: u64, into: &mut [u8]) -> io::Result<()> {
        if self.file.get().is_none() {
            match memory::read(self.pid, address, into) {
                Ok(count) if count == into.len() => return Ok(()),
                Ok(_) => return Err(io::Error::from_raw_os_error(libc::EFAULT)),
                Err(error) if refused(&error) => {}
                Err(error) => return Err(error),
            }
        }
        self.file()?
            .read_exact_at(into, address)
            .map_err(|error| match error.kind() {
                // The file outlives the process, and is empty then.
                io::ErrorKind::UnexpectedEof => ended(),
                _ => error,
            })
    }

    /// A word.
    ///
    /// # Errors
    /// As `read`.
    pub fn word(&self, address: u64) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    /// The first `length` bytes, `BLOCK` at most, of what lies at `address`.
    ///
    /// # Errors
    /// As `read`.
    pub fn block(&self, address: u64, length: usize) -> io::Result<Block> {
        let mut bytes = [0; BLOCK];
        self.read(address, &mut bytes[..length.min(BLOCK)])?;
        Ok(Block { bytes })
    }

    fn file(&self) -> io::Result<&File> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let file =
            File::open(format!("/proc/{}/mem", self.pid)).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => ended(),
                _ => error,
            })?;
        Ok(self.file.get_or_init(|| file))
    }
}

fn refused(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS))
}

fn ended() -> io::Error {
    io::Error::from_raw_os_error(libc::ESRCH)
}

/// The beginning of an object, copied; what was not read of it is zero.
pub struct Block {
    bytes: [u8; BLOCK],
}

impl Block {
    pub fn word(&self, offset: u64) -> u64 {
        u64::from_ne_bytes(self.array(offset))
    }

    pub fn int(&self, offset: u64) -> i32 {
        i32::from_ne_bytes(self.array(offset))
    }

    pub fn byte(&self, offset: u64) -> u8 {
        u8::from_ne_bytes(self.array(offset))
    }

    fn array<const N: usize>(&self, offset: u64) -> [u8; N] {
        usize::try_from(offset)
            .ok()
            .and_then(|offset| self.bytes.get(offset..)?.first_chunk().copied())
            .unwrap_or([0; N])
    }
}
