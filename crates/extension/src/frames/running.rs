//! The table of the running interpreter.
//!
//! From Python 3.13 on the interpreter publishes its own, at the beginning of `_PyRuntime` (`_Py_DebugOffsets`), in an
//! order that differs between minor versions.  Before, the offsets are those of the headers, the same for every 3.11
//! and every 3.12.

use std::io;

use pyo3::prelude::*;

use super::layout::Layout;

/// The table of this interpreter.
///
/// # Errors
/// Those of reading this process's memory; `Unsupported`: 32 bits, or the interpreter's own table is not as expected.
pub fn layout(py: Python<'_>) -> io::Result<Layout> {
    if usize::BITS != 64 {
        return Err(unsupported());
    }
    let version = py.version_info();
    let (major, minor) = (u64::from(version.major), u64::from(version.minor));
    let python = major << 24 | minor << 16 | u64::from(version.patch) << 8;
    offsets(python)
}

fn unsupported() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "the frames of this build of Python cannot be read from memory",
    )
}

#[cfg(not(Py_3_13))]
use headers::offsets;
#[cfg(Py_3_13)]
use published::offsets;

/// What holds for every version with a GIL: `kind` follows two bits, "interned".
#[cfg(not(all(Py_GIL_DISABLED, Py_3_14)))]
const TEXT_KIND: u64 = 2;
#[cfg(all(Py_GIL_DISABLED, Py_3_14))]
const TEXT_KIND: u64 = 8;

/// The owner of frames that belong to no function: `FRAME_OWNED_BY_CSTACK`, later `FRAME_OWNED_BY_INTERPRETER`.
#[cfg(Py_3_12)]
const OWNER_NATIVE: u64 = 3;
/// There are none.
#[cfg(not(Py_3_12))]
const OWNER_NATIVE: u64 = u64::MAX;

#[cfg(not(Py_3_13))]
mod headers {
    use std::io;

    use super::{Layout, OWNER_NATIVE, TEXT_KIND};
    use crate::ffi::runtime;
    use crate::frames::layout::NONE;

    pub fn offsets(python: u64) -> io::Result<Layout> {
        let [code_type, text_type, bytes_type] = runtime::types();
        Ok(Layout {
            python,
            code_type,
            text_type,
            bytes_type,
            ..OFFSETS
        })
    }

    /// Of 3.11's headers: `_PyCFrame`, `_PyInterpreterFrame`, `PyCodeObject`, `PyASCIIObject`, `PyBytesObject`.
    #[cfg(not(Py_3_12))]
    const OFFSETS: Layout = Layout {
        python: 0,
        thread_frame: 56,
        cframe_frame: 8,
        frame_code: 32,
        frame_previous: 48,
        frame_instruction: 56,
        frame_owner: 69,
        frame_copy: NONE,
        owner_native: OWNER_NATIVE,
        object_type: 8,
        code_type: 0,
        code_file: 112,
        code_name: 128,
        code_lines: 136,
        code_first_line: 72,
        code_bytecode: 184,
        code_copies: NONE,
        text_type: 0,
        text_length: 16,
        text_state: 32,
        text_kind: TEXT_KIND,
        text_ascii: 48,
        text_compact: 72,
        bytes_type: 0,
        bytes_length: 16,
        bytes_data: 32,
    };

    /// Of 3.12's headers: `_PyCFrame`, `_PyInterpreterFrame`, `PyCodeObject`, `PyASCIIObject`, `PyBytesObject`.
    #[cfg(Py_3_12)]
    const OFFSETS: Layout = Layout {
        python: 0,
        thread_frame: 56,
        cframe_frame: 0,
        frame_code: 0,
        frame_previous: 8,
        frame_instruction: 56,
        frame_owner: 70,
        frame_copy: NONE,
        owner_native: OWNER_NATIVE,
        object_type: 8,
        code_type: 0,
        code_file: 112,
        code_name: 128,
        code_lines: 136,
        code_first_line: 68,
        code_bytecode: 192,
        code_copies: NONE,
        text_type: 0,
        text_length: 16,
        text_state: 32,
        text_kind: TEXT_KIND,
        text_ascii: 40,
        text_compact: 56,
        bytes_type: 0,
        bytes_length: 16,
        bytes_data: 32,
    };
}

#[cfg(Py_3_13)]
mod published {
    use std::io;

    use super::{Layout, OWNER_NATIVE, TEXT_KIND, unsupported};
    use crate::ffi::runtime;
    use crate::frames::layout::NONE;
    use crate::frames::memory::Memory;

    /// `_Py_Debug_Cookie`.
    const COOKIE: u64 = u64::from_ne_bytes(*b"xdebugpy");

    /// How many words of the interpreter's table are read.
    const WORDS: usize = 128;

    pub fn offsets(python: u64) -> io::Result<Layout> {
        let address = runtime::runtime().ok_or_else(unsupported)?;
        let mut bytes = [0; WORDS * 8];
        Memory::of(std::process::id()).read(address, &mut bytes)?;
        let words: Vec<u64> = bytes
            .as_chunks()
            .0
            .iter()
            .map(|word| u64::from_ne_bytes(*word))
            .collect();
        // A table of another minor version has another order.
        if words[0] != COOKIE || words[1] >> 16 != python >> 16 {
            return Err(unsupported());
        }
        let at = |index: usize| words.get(index).copied().unwrap_or(NONE);
        let free_threaded = words[2] != 0;
        let copies = |index: Option<usize>| match index {
            Some(index) if free_threaded => at(index),
            _ => NONE,
        };
        let [code_type, text_type, bytes_type] = runtime::types();
        let text_ascii = at(PLACES.text_ascii);
        let layout = Layout {
            python,
            thread_frame: at(PLACES.thread_frame),
            cframe_frame: NONE,
            frame_code: at(PLACES.frame_code),
            frame_previous: at(PLACES.frame_previous),
            frame_instruction: at(PLACES.frame_instruction),
            frame_owner: at(PLACES.frame_owner),
            frame_copy: copies(PLACES.frame_copy),
            owner_native: OWNER_NATIVE,
            object_type: at(PLACES.object_type),
            code_type,
            code_file: at(PLACES.code_file),
            code_name: at(PLACES.code_name),
            code_lines: at(PLACES.code_lines),
            code_first_line: at(PLACES.code_first_line),
            code_bytecode: at(PLACES.code_bytecode),
            code_copies: copies(PLACES.code_copies),
            text_type,
            text_length: at(PLACES.text_length),
            text_state: at(PLACES.text_state),
            text_kind: TEXT_KIND,
            text_ascii,
            // The length of the UTF-8 form and a pointer to it.
            text_compact: text_ascii.saturating_add(16),
            bytes_type,
            bytes_length: at(PLACES.bytes_length),
            bytes_data: at(PLACES.bytes_data),
        };
        Layout::from_words(&layout.to_words()).ok_or_else(unsupported)
    }

    /// Which word of `_Py_DebugOffsets` is which offset.
    struct Places {
        thread_frame: usize,
        frame_code: usize,
        frame_previous: usize,
        frame_instruction: usize,
        frame_owner: usize,
        frame_copy: Option<usize>,
        object_type: usize,
        code_file: usize,
        code_name: usize,
        code_lines: usize,
        code_first_line: usize,
        code_bytecode: usize,
        code_copies: Option<usize>,
        text_length: usize,
        text_state: usize,
        text_ascii: usize,
        bytes_length: usize,
        bytes_data: usize,
    }

    #[cfg(not(Py_3_14))]
    const PLACES: Places = Places {
        thread_frame: 23,
        frame_code: 30,
        frame_previous: 29,
        frame_instruction: 31,
        frame_owner: 33,
        frame_copy: None,
        object_type: 45,
        code_file: 35,
        code_name: 37,
        code_lines: 38,
        code_first_line: 39,
        code_bytecode: 43,
        code_copies: None,
        text_length: 69,
        text_state: 68,
        text_ascii: 70,
        bytes_length: 65,
        bytes_data: 66,
    };

    #[cfg(all(Py_3_14, not(Py_3_15)))]
    const PLACES: Places = Places {
        thread_frame: 26,
        frame_code: 33,
        frame_previous: 32,
        frame_instruction: 34,
        frame_owner: 36,
        frame_copy: Some(38),
        object_type: 51,
        code_file: 40,
        code_name: 42,
        code_lines: 43,
        code_first_line: 44,
        code_bytecode: 48,
        code_copies: Some(49),
        text_length: 79,
        text_state: 78,
        text_ascii: 80,
        bytes_length: 75,
        bytes_data: 76,
    };

    #[cfg(Py_3_15)]
    const PLACES: Places = Places {
        thread_frame: 26,
        frame_code: 41,
        frame_previous: 40,
        frame_instruction: 42,
        frame_owner: 44,
        frame_copy: Some(46),
        object_type: 59,
        code_file: 48,
        code_name: 50,
        code_lines: 51,
        code_first_line: 52,
        code_bytecode: 56,
        code_copies: Some(57),
        text_length: 91,
        text_state: 90,
        text_ascii: 92,
        bytes_length: 87,
        bytes_data: 88,
    };
}
