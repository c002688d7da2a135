//! Strings and tables of bytes in the memory of a process.

use std::io;

use super::layout::Layout;
use super::memory::Memory;

/// The longest name that is read, in characters.  Of longer ones it is the end that says most.
pub const NAME: usize = 256;

/// The longest table of lines that is looked through, in bytes.
const TABLE: u64 = 1 << 18;

/// How much of it is read at a time.
const PIECE: usize = 512;

/// What lies there is not what should: the memory changed while it was read, or the address was wrong.
pub fn unexpected() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "no Python stack is there, or it changed while it was read",
    )
}

/// The string at `address`; of a longer one than `NAME` the end, after an ellipsis.
///
/// # Errors
/// Those of the memory; `InvalidData` where no string is.
pub fn text(memory: &Memory, layout: &Layout, address: u64) -> io::Result<String> {
    let head = memory.block(address, layout.text_size())?;
    let state = head.int(layout.text_state).cast_unsigned() >> layout.text_kind;
    let (kind, compact, ascii) = (state & 0b111, state >> 3 & 1 == 1, state >> 4 & 1 == 1);
    let is_text = head.word(layout.object_type) == layout.text_type && compact;
    let (true, 1 | 2 | 4) = (is_text, kind) else {
        return Err(unexpected());
    };
    let begin = if ascii {
        layout.text_ascii
    } else {
        layout.text_compact
    };
    let length = head.word(layout.text_length);
    let (skipped, count) = match usize::try_from(length) {
        Ok(count @ ..=NAME) => (0, count),
        _ => (length.wrapping_sub(NAME as u64 - 1), NAME - 1),
    };
    let width = kind as usize;
    let mut bytes = [0; NAME * 4];
    let bytes = &mut bytes[..count * width];
    let from = skipped.wrapping_mul(u64::from(kind));
    memory.read(address.wrapping_add(begin).wrapping_add(from), bytes)?;
    let ellipsis = (skipped > 0).then_some('…');
    let characters = bytes.chunks_exact(width).map(|unit| {
        let mut wide = [0; 4];
        wide[..width].copy_from_slice(unit);
        char::from_u32(u32::from_le_bytes(wide)).unwrap_or(char::REPLACEMENT_CHARACTER)
    });
    Ok(ellipsis.into_iter().chain(characters).collect())
}

/// A `bytes` object, read in pieces from its beginning.
pub struct Bytes<'a> {
    memory: &'a Memory,
    address: u64,
    left: u64,
    piece: [u8; PIECE],
    unread: std::ops::Range<usize>,
}

impl<'a> Bytes<'a> {
    /// The object at `address`.
    ///
    /// # Errors
    /// Those of the memory; `InvalidData` where no `bytes` object is.
    pub fn at(memory: &'a Memory, layout: &Layout, address: u64) -> io::Result<Self> {
        let head = memory.block(address, layout.bytes_size())?;
        if head.word(layout.object_type) != layout.bytes_type {
            return Err(unexpected());
        }
        Ok(Self {
            memory,
            address: address.wrapping_add(layout.bytes_data),
            left: head.word(layout.bytes_length).min(TABLE),
            piece: [0; PIECE],
            unread: 0..0,
        })
    }

    /// The next byte; `None` at the end.
    ///
    /// # Errors
    /// Those of the memory.
    pub fn next(&mut self) -> io::Result<Option<u8>> {
        if self.unread.is_empty() {
            let length = self
                .piece
                .len()
                .min(usize::try_from(self.left).unwrap_or(0));
            self.memory.read(self.address, &mut self.piece[..length])?;
            self.address = self.address.wrapping_add(length as u64);
            self.left -= length as u64;
            self.unread = 0..length;
        }
        Ok(self.unread.next().map(|at| self.piece[at]))
    }
}
