//! The table of a code object that says which line an instruction is from (`co_linetable`, Python 3.11 and later).
//!
//! It is a row of entries.  Each begins with a byte whose highest bit is set, which no later byte of it has: four bits
//! say in which form the rest is written, three how many instructions it is for.  Only some forms move the line, by so
//! much from that of the entry before.

use std::io;

/// The size of an instruction, in bytes.
const INSTRUCTION: i64 = 2;

const NO_LOCATION: u8 = 15;
const LONG: u8 = 14;
const NO_COLUMNS: u8 = 13;
const ONE_LINE: std::ops::RangeInclusive<u8> = 10..=12;

/// The line of the instruction at `offset` (bytes) of a function that begins at line `first`; `None`: it has none.
/// `next` yields the table.
///
/// # Errors
/// Those of `next`.
pub fn line(
    first: i32,
    offset: i64,
    mut next: impl FnMut() -> io::Result<Option<u8>>,
) -> io::Result<Option<i64>> {
    let mut line = i64::from(first);
    if offset < 0 {
        // Set up, but not begun.
        return Ok(Some(line));
    }
    let mut end = 0;
    let mut head = next()?;
    while let Some(byte) = head {
        let form = byte >> 3 & 0b1111;
        line = line.wrapping_add(match form {
            LONG | NO_COLUMNS => signed(&mut next)?,
            form if ONE_LINE.contains(&form) => i64::from(form - ONE_LINE.start()),
            _ => 0,
        });
        end += INSTRUCTION * i64::from((byte & 0b111) + 1);
        if offset < end {
            return Ok((form != NO_LOCATION).then_some(line));
        }
        head = next()?;
        while head.is_some_and(|byte| byte & 0x80 == 0) {
            head = next()?;
        }
    }
    Ok(None)
}

/// A number in groups of six bits, the lowest first; the lowest bit of all is its sign.
fn signed(next: &mut impl FnMut() -> io::Result<Option<u8>>) -> io::Result<i64> {
    let mut value = 0_i64;
    for shift in (0..36).step_by(6) {
        let Some(byte) = next()? else {
            break;
        };
        value |= i64::from(byte & 0x3f) << shift;
        if byte & 0x40 == 0 {
            break;
        }
    }
    let magnitude = value >> 1;
    Ok(if value & 1 == 0 {
        magnitude
    } else {
        -magnitude
    })
}
