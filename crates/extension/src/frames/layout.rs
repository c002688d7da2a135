//! Where the interpreter keeps what is needed to read a stack: a table that differs from version to version.
//!
//! A process can give its table to others as plain words, so that a reader needs to know only what the words mean,
//! and not the reader's own version of Python.

use super::memory::BLOCK;

/// How many words a table has.
pub const WORDS: usize = 27;

/// The first word: which meaning the others have.
const FORMAT: u64 = 1;

/// Instead of an offset, where this interpreter has no such thing.
pub const NONE: u64 = u64::MAX;

/// The largest offset into a thread state, in bytes.
const THREAD_LIMIT: u64 = 1 << 16;

/// The table, its words and what was words before, in one order.
macro_rules! table {
    ($($(#[$text:meta])* $name:ident,)*) => {
        /// Offsets in bytes, and addresses of types.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Layout {
            $($(#[$text])* pub $name: u64,)*
        }

        impl Layout {
            /// The table as words.
            pub fn to_words(&self) -> [u64; WORDS] {
                [FORMAT, $(self.$name,)*]
            }

            /// The table that `to_words` gave; `None` where it cannot be one: another format, or offsets beyond any
            /// object.
            pub fn from_words(words: &[u64]) -> Option<Self> {
                let words: &[u64; WORDS] = words.try_into().ok()?;
                let [format, $($name,)*] = *words;
                let layout = Self { $($name,)* };
                (format == FORMAT && layout.plausible()).then_some(layout)
            }
        }
    };
}

table! {
    /// The version of Python, as in `sys.hexversion`.  For people; nothing depends on it.
    python,
    /// The thread state's newest frame; or its `_PyCFrame`, if that has an offset.
    thread_frame,
    /// The newest frame in a `_PyCFrame` (3.11 and 3.12), or `NONE`.
    cframe_frame,
    frame_code,
    frame_previous,
    frame_instruction,
    frame_owner,
    /// Which of the bytecode's copies runs (free-threaded from 3.14 on), or `NONE`.
    frame_copy,
    /// Owners of this number or a higher one have frames that are no function's.
    owner_native,
    object_type,
    code_type,
    code_file,
    code_name,
    code_lines,
    code_first_line,
    code_bytecode,
    /// The copies of the bytecode, or `NONE`.
    code_copies,
    text_type,
    text_length,
    text_state,
    /// How far left in the state's bits the kind of a string lies; "compact" and "ASCII" follow it.
    text_kind,
    /// Where the characters of an ASCII string begin, and those of another one.
    text_ascii,
    text_compact,
    bytes_type,
    bytes_length,
    bytes_data,
}

impl Layout {
    /// Whether every object's part that is looked at fits into a block.
    fn plausible(&self) -> bool {
        let within = |offset: u64| offset <= BLOCK as u64 - 8;
        let optional = |offset: u64| offset == NONE || within(offset);
        self.thread_frame <= THREAD_LIMIT
            && [self.cframe_frame, self.frame_copy, self.code_copies]
                .into_iter()
                .all(optional)
            && [
                self.frame_code,
                self.frame_previous,
                self.frame_instruction,
                self.frame_owner,
                self.object_type,
                self.code_file,
                self.code_name,
                self.code_lines,
                self.code_first_line,
                self.code_bytecode,
                self.text_length,
                self.text_state,
                self.text_ascii,
                self.text_compact,
                self.bytes_length,
                self.bytes_data,
            ]
            .into_iter()
            .all(within)
            && self.text_kind <= 16
    }

    /// How much of a frame is looked at, in bytes.
    pub fn frame_size(&self) -> usize {
        size(
            &[self.frame_code, self.frame_previous, self.frame_instruction],
            &[self.frame_copy],
            &[self.frame_owner],
        )
    }

    /// How much of a code object.
    pub fn code_size(&self) -> usize {
        size(
            &[
                self.object_type,
                self.code_file,
                self.code_name,
                self.code_lines,
                self.code_copies,
            ],
            &[self.code_first_line],
            &[],
        )
    }

    /// How much of a string before its characters.
    pub fn text_size(&self) -> usize {
        size(
            &[self.object_type, self.text_length],
            &[self.text_state],
            &[],
        )
    }

    /// How much of a `bytes` object before its data.
    pub fn bytes_size(&self) -> usize {
        size(&[self.object_type, self.bytes_length], &[], &[])
    }
}

/// The end of the last of these fields: of eight bytes, of four, of one.
fn size(words: &[u64], ints: &[u64], bytes: &[u64]) -> usize {
    let ends = |offsets: &[u64], length: u64| {
        let offsets = offsets.iter().filter(|offset| **offset != NONE);
        offsets.map(|offset| offset + length).max().unwrap_or(0)
    };
    let end = ends(words, 8).max(ends(ints, 4)).max(ends(bytes, 1));
    usize::try_from(end).unwrap_or(BLOCK)
}
