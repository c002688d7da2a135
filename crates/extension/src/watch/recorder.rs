//! When callbacks and steps begin and end: into the ring of the page, and summed up by task.
//!
//! On only while somebody wants to know, because it reads the clock twice for each. The ring keeps the last events; the sums
//! are handed out and begin anew.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use super::page::{EVENTS, NAME_WORDS, Sheet, monotonic};
use super::text;

/// What an event is.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum EventKind {
    End = 0,
    Turn = 1,
    Park = 2,
    Step = 3,
    Callback = 4,
}

/// The kinds by their numbers.
pub const EVENT_KINDS: [&str; 5] = ["end", "turn", "park", "step", "callback"];

const KIND_SHIFT: u32 = 56;
const NAME_SHIFT: u32 = 32;
const NAME_MASK: u64 = 0xff_ffff;
const VALUE_MASK: u64 = 0xffff_ffff;
/// The name of what there was no room for.
const OTHERS: u64 = 0;
/// Longest name, in bytes.
const LONGEST_NAME: usize = 120;

/// Takes an event's word apart: kind, name, value.
pub const fn event_parts(word: u64) -> (u64, u64, u64) {
    (
        word >> KIND_SHIFT,
        word >> NAME_SHIFT & NAME_MASK,
        word & VALUE_MASK,
    )
}

/// The name that begins at a word: a length and that many bytes.
pub fn name_at(names: &[u64], at: u64) -> String {
    let Some([length, rest @ ..]) = names.get(at as usize..) else {
        return String::new();
    };
    text::unpack(rest, (*length).min(LONGEST_NAME as u64) as usize)
}

/// What one task has done since the sums were last taken.
#[derive(Clone, Copy, Default)]
pub struct Sums {
    pub steps: u64,
    /// Nanoseconds.
    pub busy: u64,
    /// Nanoseconds between the beginning of the turn and its own.
    pub scheduled: u64,
    /// When its last step began.
    pub last: u64,
}

/// What is about to run.
pub struct Subject {
    pub kind: EventKind,
    pub name: String,
    /// The address of the task, for a step.
    pub task: Option<usize>,
}

/// The events of one loop.
#[derive(Default)]
pub struct Recorder {
    names: HashMap<String, u64>,
    sums: HashMap<usize, Sums>,
    /// Somebody wants the sums.
    pub summing: bool,
    /// When the batch began.
    batch: u64,
}

impl Recorder {
    /// Whether anybody wants anything at this time.
    pub fn is_on(&self, sheet: &Sheet, now: u64) -> bool {
        self.summing || sheet.recording.load(Ordering::Relaxed) > now
    }

    /// The batch begins.
    pub fn turn(&mut self, sheet: &Sheet, batch: usize) {
        self.batch = monotonic();
        if sheet.recording.load(Ordering::Relaxed) > self.batch {
            let size = (batch as u64).min(VALUE_MASK);
            write(sheet, self.batch, EventKind::Turn, OTHERS, size);
        }
    }

    /// The loop goes to sleep.
    pub fn park(sheet: &Sheet) {
        let now = monotonic();
        if sheet.recording.load(Ordering::Relaxed) > now {
            write(sheet, now, EventKind::Park, OTHERS, 0);
        }
    }

    /// Something begins to run; when.
    pub fn begin(&mut self, sheet: &Sheet, subject: &Subject) -> u64 {
        let now = monotonic();
        if sheet.recording.load(Ordering::Relaxed) > now {
            let name = self.name(sheet, &subject.name);
            write(sheet, now, subject.kind, name, 0);
        }
        now
    }

    /// It has ended.
    pub fn end(&mut self, sheet: &Sheet, subject: &Subject, began: u64) {
        let now = monotonic();
        if sheet.recording.load(Ordering::Relaxed) > now {
            write(sheet, now, EventKind::End, OTHERS, 0);
        }
        if let Some(task) = subject.task.filter(|_| self.summing) {
            let sums = self.sums.entry(task).or_default();
            sums.steps += 1;
            sums.busy += now.saturating_sub(began);
            sums.scheduled += began.saturating_sub(self.batch);
            sums.last = began;
        }
    }

    /// Hands the sums out; they begin anew.
    pub fn take(&mut self) -> HashMap<usize, Sums> {
        std::mem::take(&mut self.sums)
    }

    fn name(&mut self, sheet: &Sheet, name: &str) -> u64 {
        if let Some(at) = self.names.get(name) {
            return *at;
        }
        let short = text::fitting(name, LONGEST_NAME);
        // Word 0 is the name of the others.
        let at = sheet.names_used.load(Ordering::Relaxed).max(2) as usize;
        let words = 1 + short.len().div_ceil(size_of::<u64>());
        let Some(place) = sheet
            .names
            .get(at..at + words)
            .filter(|_| at + words <= NAME_WORDS)
        else {
            return OTHERS;
        };
        if let [length, packed @ ..] = place {
            text::pack(packed, short);
            length.store(short.len() as u64, Ordering::Relaxed);
        }
        sheet
            .names_used
            .store((at + words) as u64, Ordering::Release);
        self.names.insert(name.to_owned(), at as u64);
        at as u64
    }
}

/// Puts an event into the ring.
fn write(sheet: &Sheet, time: u64, kind: EventKind, name: u64, value: u64) {
    let written = sheet.events_written.load(Ordering::Relaxed);
    if let Some([when, what]) = sheet.events.get(written as usize % EVENTS) {
        when.store(time, Ordering::Relaxed);
        let word =
            (kind as u64) << KIND_SHIFT | (name & NAME_MASK) << NAME_SHIFT | (value & VALUE_MASK);
        what.store(word, Ordering::Relaxed);
    }
    sheet.events_written.store(written + 1, Ordering::Release);
}
