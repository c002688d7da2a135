//! Memory that the kernel copies into, aligned to a page.
//!
//! A large allocation begins sixteen bytes into a page, behind the allocator's own note.  Copying 64 KiB there with the
//! string instructions that the kernel uses took half of the time of an echo server on the AMD processors measured,
//! against a tenth at the beginning of a page.

use std::ops::{Deref, DerefMut};

/// What the copy wants: a page of the system.
const ALIGNMENT: usize = 4096;

/// Zeroed memory of a fixed size that begins at a page.
pub struct Room {
    memory: Box<[u8]>,
    start: usize,
    length: usize,
}

impl Room {
    pub fn new(length: usize) -> Self {
        let memory = vec![0; length + ALIGNMENT].into_boxed_slice();
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self {
            memory,
            start,
            length,
        }
    }
}

impl Deref for Room {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }
}

impl DerefMut for Room {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}
