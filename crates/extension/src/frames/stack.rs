//! Walking the frames of a thread, from the newest to the oldest.

use std::io;

use super::layout::{Layout, NONE};
use super::lines;
use super::memory::{Block, Memory};
use super::objects::{Bytes, text, unexpected};

/// The most frames that are read; of a deeper stack the innermost.
pub const FRAMES: usize = 128;

/// Frames looked at, those that are no function's included.
const STEPS: usize = 2 * FRAMES;

/// How often a stack is read that changes meanwhile.
const ATTEMPTS: usize = 5;

/// References in frames carry marks in these bits from Python 3.14 on; objects begin at multiples of eight.
const MARKS: u64 = 0b111;

/// A function in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The file as the code object names it.
    pub file: String,
    /// The qualified name.
    pub function: String,
    /// The line, from one; zero where the interpreter knows none.
    pub line: u32,
}

/// The stack of the thread whose `PyThreadState` lies at `thread`, innermost first, 128 frames at most; empty when the
/// thread runs no Python code.
///
/// The thread goes on meanwhile.  A stack that stands still is read as it is; one that changes is read again a few
/// times, and may come out as a mixture of several moments.
///
/// # Errors
/// Those of the memory; `InvalidData`: no stack is there, or it never stood still.
pub fn stack(memory: &Memory, thread: u64, layout: &Layout) -> io::Result<Vec<Frame>> {
    let mut found = Err(unexpected());
    for _ in 0..ATTEMPTS {
        let top = newest(memory, thread, layout)?;
        let frames = walk(memory, top, layout);
        if frames.is_ok() && newest(memory, thread, layout)? == top {
            return frames;
        }
        // A mixture is better than nothing, and nothing better than an error.
        if frames.as_ref().is_ok_and(|frames| !frames.is_empty()) || found.is_err() {
            found = frames;
        }
    }
    found
}

/// The address of the newest frame.
fn newest(memory: &Memory, thread: u64, layout: &Layout) -> io::Result<u64> {
    let found = memory.word(thread.wrapping_add(layout.thread_frame))?;
    match layout.cframe_frame {
        NONE => Ok(found),
        offset => memory.word(found.wrapping_add(offset)),
    }
}

fn walk(memory: &Memory, top: u64, layout: &Layout) -> io::Result<Vec<Frame>> {
    let mut frames = Vec::new();
    let mut address = top;
    for _ in 0..STEPS {
        if address == 0 || frames.len() == FRAMES {
            break;
        }
        let frame = memory.block(address, layout.frame_size())?;
        if u64::from(frame.byte(layout.frame_owner)) < layout.owner_native {
            frames.push(describe(memory, &frame, layout)?);
        }
        address = frame.word(layout.frame_previous);
    }
    Ok(frames)
}

fn describe(memory: &Memory, frame: &Block, layout: &Layout) -> io::Result<Frame> {
    let address = frame.word(layout.frame_code) & !MARKS;
    let code = memory.block(address, layout.code_size())?;
    if code.word(layout.object_type) != layout.code_type {
        return Err(unexpected());
    }
    let begin = bytecode(memory, frame, address, &code, layout)?;
    // In every version the instruction pointer of a frame that waits for a call, and of one that runs, lies within
    // the instruction in progress.
    let offset = frame.word(layout.frame_instruction).wrapping_sub(begin);
    let mut table = Bytes::at(memory, layout, code.word(layout.code_lines))?;
    let first = code.int(layout.code_first_line);
    let line = lines::line(first, offset.cast_signed(), || table.next())?;
    Ok(Frame {
        file: text(memory, layout, code.word(layout.code_file))?,
        function: text(memory, layout, code.word(layout.code_name))?,
        line: line.and_then(|line| u32::try_from(line).ok()).unwrap_or(0),
    })
}

/// Where the instructions begin that the frame runs.
fn bytecode(
    memory: &Memory,
    frame: &Block,
    address: u64,
    code: &Block,
    layout: &Layout,
) -> io::Result<u64> {
    if layout.frame_copy == NONE || layout.code_copies == NONE {
        return Ok(address.wrapping_add(layout.code_bytecode));
    }
    // A count and as many pointers.
    let copies = code.word(layout.code_copies);
    let wanted = u64::from(frame.int(layout.frame_copy).cast_unsigned());
    if wanted >= memory.word(copies)? {
        return Err(unexpected());
    }
    memory.word(copies.wrapping_add(8 * (wanted + 1)))
}
