//! Texts in memory that consists of numbers.

use std::sync::atomic::{AtomicU64, Ordering};

const WORD: usize = size_of::<u64>();

/// Writes as much of a text as there is room for, and zeros behind it.
pub fn pack(words: &[AtomicU64], text: &str) {
    let mut bytes = fitting(text, words.len() * WORD).as_bytes();
    for word in words {
        let mut packed = [0; WORD];
        let (now, rest) = bytes.split_at(bytes.len().min(WORD));
        for (to, from) in packed.iter_mut().zip(now) {
            *to = *from;
        }
        bytes = rest;
        word.store(u64::from_le_bytes(packed), Ordering::Relaxed);
    }
}

/// The beginning of a text that takes no more than `room` bytes.
pub fn fitting(text: &str, room: usize) -> &str {
    let mut end = text.len().min(room);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Reads a text of at most `length` bytes, up to the first zero; what is no UTF-8 is replaced.
pub fn unpack(words: &[u64], length: usize) -> String {
    let bytes: Vec<u8> = words
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .take(length)
        .take_while(|byte| *byte != 0)
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
