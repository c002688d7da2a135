//! A stall, as it stands in the page: numbers, and a text of lines.
//!
//! A detector writes it, and whoever explains it afterwards writes the text again; a sequence number that is odd
//! meanwhile tells readers to come again.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::text;

/// Words for the text of one stall.
pub const TEXT_WORDS: usize = 504;
/// Numbers before the text.
const HEAD: usize = 8;
/// Words of one slot.
pub const SLOT_WORDS: usize = HEAD + TEXT_WORDS;

/// Bytes of one line that is not of a list.
const LONGEST: usize = 400;

/// What kind of stall it is.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum StallKind {
    /// One callback does not end.
    Blocked = 0,
    /// Many short ones keep the turn from ending.
    Saturated = 1,
}

pub const STALL_KINDS: [&str; 2] = ["blocked", "saturated"];

/// The place of one stall in the page.
#[repr(C)]
pub struct Slot {
    sequence: AtomicU64,
    number: AtomicU64,
    /// Monotonic and wall-clock nanoseconds.
    began: AtomicU64,
    began_wall: AtomicU64,
    /// Nanoseconds so far.
    lasted: AtomicU64,
    over: AtomicU64,
    kind: AtomicU64,
    length: AtomicU64,
    text: [AtomicU64; TEXT_WORDS],
}

/// What a slot holds.
#[derive(Clone)]
pub struct Stall {
    pub number: u64,
    pub began: u64,
    pub began_wall: u64,
    pub lasted: u64,
    pub over: bool,
    pub kind: u64,
    pub text: String,
}

impl Slot {
    /// Writes it all.
    pub fn write(&self, stall: &Stall) {
        self.change(|| {
            self.number.store(stall.number, Ordering::Relaxed);
            self.began.store(stall.began, Ordering::Relaxed);
            self.began_wall.store(stall.began_wall, Ordering::Relaxed);
            self.lasted.store(stall.lasted, Ordering::Relaxed);
            self.over.store(u64::from(stall.over), Ordering::Relaxed);
            self.kind.store(stall.kind, Ordering::Relaxed);
            self.put(&stall.text);
        });
    }

    /// Says how long it has lasted by now.
    pub fn grow(&self, lasted: u64, over: bool) {
        self.change(|| {
            self.lasted.store(lasted, Ordering::Relaxed);
            self.over.store(u64::from(over), Ordering::Relaxed);
        });
    }

    /// Puts more before the text, if the slot still holds that stall.
    pub fn prepend(&self, number: u64, more: &str) {
        if self.number.load(Ordering::Relaxed) != number {
            return;
        }
        let words: Vec<u64> = self
            .text
            .iter()
            .map(|word| word.load(Ordering::Relaxed))
            .collect();
        let length = self.length.load(Ordering::Relaxed) as usize;
        let text = format!("{more}{}", text::unpack(&words, length));
        self.change(|| self.put(&text));
    }

    fn put(&self, text: &str) {
        let room = TEXT_WORDS * size_of::<u64>();
        let arranged = arranged(text, room);
        let text = text::fitting(&arranged, room);
        text::pack(&self.text, text);
        self.length.store(text.len() as u64, Ordering::Relaxed);
    }

    fn change(&self, write: impl FnOnce()) {
        let before = self.sequence.load(Ordering::Relaxed);
        self.sequence
            .store(before.wrapping_add(1) | 1, Ordering::Relaxed);
        fence(Ordering::Release);
        write();
        self.sequence
            .store((before | 1).wrapping_add(1), Ordering::Release);
    }
}

/// A text with what matters most in front, as much of it as there is room for: the single lines, the innermost frames, the
/// innermost coroutines. Of lines said twice the first is kept, and of lists the first.
fn arranged(text: &str, room: usize) -> String {
    let mut singles: Vec<&str> = Vec::new();
    let (mut frames, mut awaits) = (Vec::new(), Vec::new());
    let (mut last, mut meant) = ("", false);
    for line in text.lines() {
        let (name, value) = line.split_once('\t').unwrap_or((line, ""));
        let list = match name {
            "frame" => Some(&mut frames),
            "await" => Some(&mut awaits),
            _ => None,
        };
        if let Some(list) = list {
            meant = if last == name { meant } else { list.is_empty() };
            if meant {
                list.push(line);
            }
        } else if !value.is_empty() && !singles.iter().any(|known| names(known, name)) {
            singles.push(text::fitting(line, LONGEST));
        }
        last = name;
    }
    let size = |lines: &[&str]| lines.iter().map(|line| line.len() + 1).sum::<usize>();
    let left = room.saturating_sub(size(&singles));
    let first = fitting(frames.iter(), left / 2);
    let inner = fitting(awaits.iter().rev(), left - size(&frames[..first]));
    let awaits = &awaits[awaits.len() - inner..];
    let more = fitting(frames.iter(), left - size(awaits));
    let lines = [&singles, &frames[..more], awaits].concat();
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

fn names(line: &str, name: &str) -> bool {
    line.strip_prefix(name)
        .is_some_and(|rest| rest.starts_with('\t'))
}

/// How many of the lines have room.
fn fitting<'a>(lines: impl Iterator<Item = &'a &'a str>, room: usize) -> usize {
    let mut taken = 0;
    lines
        .take_while(|line| {
            taken += line.len() + 1;
            taken <= room
        })
        .count()
}

impl Stall {
    /// Reads it from the words of a slot, copied at one moment; nothing when it was being written, or never was.
    pub fn of_words(words: &[u64]) -> Option<Self> {
        let (
            &[
                sequence,
                number,
                began,
                began_wall,
                lasted,
                over,
                kind,
                length,
            ],
            text,
        ) = words.split_first_chunk::<HEAD>()?;
        if sequence % 2 == 1 || number == 0 {
            return None;
        }
        Some(Self {
            number,
            began,
            began_wall,
            lasted,
            over: over != 0,
            kind,
            text: text::unpack(
                text,
                length.min((TEXT_WORDS * size_of::<u64>()) as u64) as usize,
            ),
        })
    }
}

const _: () = assert!(size_of::<Slot>() == SLOT_WORDS * size_of::<u64>());
