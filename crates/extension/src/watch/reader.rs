//! `Page`: reading the page of a loop, of this process or of another.
//!
//! Nothing of another process is mapped here: what is needed is copied with `pread`, so a file that is cut short or
//! written by somebody else is an error and never a signal, and every number in it is checked before it is used.

use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use epicycle_reactor::counters::Counters;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use super::page::{
    EVENTS, KINDS, LAYOUT, LoopPage, MAGIC, NAME_WORDS, STALLS, STATES, Sheet, monotonic, running,
};
use super::recorder::{EVENT_KINDS, event_parts, name_at};
use super::stall::{SLOT_WORDS, STALL_KINDS, Stall};
use super::{bell, snapshot, text};
use crate::frames::layout::{Layout, WORDS};
use crate::frames::memory::Memory;
use crate::frames::stack::stack;
use crate::py::errors;

const WORD: usize = size_of::<u64>();
const NANOS: f64 = 1e9;
/// The most seconds that one request for recording asks for.
const MOST_RECORDING: f64 = 120.0;

/// Where the page lies.
enum Place {
    /// A file, and the folder of its process's descriptors, if it is one of those.
    File(File, Option<PathBuf>),
    /// A loop of this process.
    Here(Arc<LoopPage>),
    Closed,
}

/// The page of a loop, read from outside.  docs/design/005-watching.md, "The page".
#[pyclass(frozen, module = "epicycle._epicycle")]
pub struct Page {
    place: Mutex<Place>,
}

fn damaged(what: &str) -> PyErr {
    PyValueError::new_err(format!("damaged page: {what}"))
}

/// Which words of the page a field takes.
macro_rules! words_of {
    ($field:ident) => {
        offset_of!(Sheet, $field) / WORD
    };
}

/// Splits a number of nanoseconds for people.
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / NANOS
}

impl Page {
    pub fn here(page: &Arc<LoopPage>) -> Self {
        Self {
            place: Mutex::new(Place::Here(Arc::clone(page))),
        }
    }

    fn place(&self) -> std::sync::MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies words from the page.
    fn words(&self, py: Python<'_>, first: usize, count: usize) -> PyResult<Vec<u64>> {
        let mut bytes = vec![0; count * WORD];
        let outcome = match &*self.place() {
            Place::File(file, _) => file.read_exact_at(&mut bytes, (first * WORD) as u64),
            Place::Here(page) => return Ok(crate::ffi::mapping::words(&***page, first, count)),
            Place::Closed => return Err(PyValueError::new_err("the page was closed")),
        };
        match outcome {
            Ok(()) => Ok(bytes
                .chunks_exact(WORD)
                .map(|word| {
                    word.iter()
                        .rev()
                        .fold(0, |number, byte| number << 8 | u64::from(*byte))
                })
                .collect()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(damaged("it is too short"))
            }
            Err(error) => Err(errors::os_error(py, &error)),
        }
    }

    fn word(&self, py: Python<'_>, at: usize) -> PyResult<u64> {
        Ok(self.words(py, at, 1)?.first().copied().unwrap_or_default())
    }

    /// The path under which a descriptor of the page's process can be opened.
    fn beside(&self, number: u64) -> Option<PathBuf> {
        let number = number.checked_sub(1)?;
        match &*self.place() {
            Place::File(_, folder) => Some(folder.as_ref()?.join(number.to_string())),
            Place::Here(_) => Some(PathBuf::from(format!("/proc/self/fd/{number}"))),
            Place::Closed => None,
        }
    }

    /// The living process that the page belongs to, by its number here; the page has the one that it knows itself by.
    fn process(&self) -> Option<u32> {
        match &*self.place() {
            Place::File(_, folder) => {
                let name = folder.as_ref()?.parent()?.file_name()?.to_str()?;
                match name {
                    "self" => Some(std::process::id()),
                    number => number.parse().ok(),
                }
            }
            Place::Here(_) => Some(std::process::id()),
            Place::Closed => None,
        }
    }

    fn call(&self, py: Python<'_>, record: u8) -> PyResult<()> {
        let number = self.word(py, words_of!(bell))?;
        let path = self
            .beside(number)
            .ok_or_else(|| errors::os_error(py, &io::ErrorKind::NotFound.into()))?;
        bell::ring(&path.to_string_lossy(), record).map_err(|error| errors::os_error(py, &error))
    }
}

#[pymethods]
impl Page {
    /// The page in a file: `/proc/PID/fd/N`, or one that `EPICYCLE_PAGE` asked for.
    ///
    /// Raises OSError when it cannot be read, ValueError when it is no page, is damaged, or has another layout.
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let file = File::open(&path).map_err(|error| errors::os_error(py, &error))?;
        let folder = path
            .parent()
            .filter(|folder| folder.ends_with("fd") && folder.starts_with("/proc"))
            .map(Path::to_path_buf);
        let folder = folder.or_else(|| Some(process_of(&file)?.join("fd")));
        let page = Self {
            place: Mutex::new(Place::File(file, folder)),
        };
        let no_page =
            || PyValueError::new_err(format!("{}: not a page of Epicycle", path.display()));
        match page.words(py, 0, 3).map_err(|_| no_page())?[..] {
            [MAGIC, LAYOUT, size] if size == size_of::<Sheet>() as u64 => {}
            [MAGIC, LAYOUT, _] => return Err(damaged("its size is wrong")),
            [MAGIC, layout, _] => {
                return Err(PyValueError::new_err(format!(
                    "the page has layout {layout}, and this Epicycle reads layout {LAYOUT}"
                )));
            }
            _ => return Err(no_page()),
        }
        Ok(page)
    }

    /// What the page says of the process and of the loop: docs/design/005-watching.md has the keys.
    fn facts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let words = self.words(py, 0, offset_of!(Sheet, counters) / WORD)?;
        let get = |at: usize| words.get(at).copied().unwrap_or_default();
        let python = get(words_of!(python));
        let from = words_of!(epicycle);
        let version = words.get(from..from + 4).unwrap_or_default();
        let now = offset_of!(Sheet, now) / WORD;
        let state = get(now);
        let tick = self.word(py, offset_of!(Sheet, counters) / WORD + 1)?;
        let recording = get(words_of!(recording)) > monotonic();
        let facts = PyDict::new(py);
        facts.set_item("layout", get(words_of!(layout)))?;
        facts.set_item("pid", get(words_of!(pid)))?;
        facts.set_item("loop", get(words_of!(serial)))?;
        facts.set_item("epicycle", text::unpack(version, 32))?;
        facts.set_item(
            "python",
            format!(
                "{}.{}.{}",
                python >> 24 & 0xff,
                python >> 16 & 0xff,
                python >> 8 & 0xff
            ),
        )?;
        facts.set_item("created", seconds(get(words_of!(created_wall))))?;
        facts.set_item("created_ns", get(words_of!(created)))?;
        facts.set_item("now_ns", monotonic())?;
        facts.set_item("thread", get(words_of!(thread)))?;
        facts.set_item("ident", get(words_of!(ident)))?;
        let state = STATES
            .get(state as usize)
            .ok_or_else(|| damaged("no such state"))?;
        facts.set_item("state", state)?;
        facts.set_item("tick", tick)?;
        let (kind, _) = running(get(now + 1));
        facts.set_item(
            "runs",
            KINDS.get(kind).ok_or_else(|| damaged("no such kind"))?,
        )?;
        facts.set_item("watching", seconds(get(words_of!(watching))))?;
        facts.set_item("recording", recording)?;
        facts.set_item("agent", get(words_of!(agent)) != 0)?;
        Ok(facts)
    }

    /// Every total by its name.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let names = Counters::default();
        let names: Vec<_> = names.iter().map(|(name, _)| name).collect();
        let words = self.words(py, offset_of!(Sheet, counters) / WORD, names.len())?;
        let counters = PyDict::new(py);
        for (name, total) in names.into_iter().zip(words) {
            counters.set_item(name, total)?;
        }
        Ok(counters)
    }

    /// How many timers were between `2**i` and `2**(i+1)` nanoseconds late, for every i.
    fn lateness(&self, py: Python<'_>) -> PyResult<Vec<u64>> {
        let first = offset_of!(Sheet, counters) + offset_of!(Counters, lateness);
        self.words(py, first / WORD, 64)
    }

    /// The last stalls, oldest first.
    fn stalls<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let words = self.words(py, words_of!(stalls), STALLS * SLOT_WORDS)?;
        let mut stalls: Vec<_> = words
            .chunks_exact(SLOT_WORDS)
            .filter_map(Stall::of_words)
            .collect();
        stalls.sort_by_key(|stall| stall.number);
        let list = PyList::empty(py);
        for stall in stalls {
            list.append(told(py, &stall)?)?;
        }
        Ok(list)
    }

    /// The recorder's events from number `after` on: the number to ask for next, and (number, monotonic nanoseconds, kind,
    /// name, value) for each.
    #[pyo3(signature = (after=0))]
    fn events<'py>(&self, py: Python<'py>, after: u64) -> PyResult<(u64, Bound<'py, PyList>)> {
        let list = PyList::empty(py);
        let written = self.word(py, words_of!(events_written))?;
        let oldest = written.saturating_sub(EVENTS as u64);
        let first = after.max(oldest);
        if first >= written {
            return Ok((written, list));
        }
        let ring = self.words(py, words_of!(events), 2 * EVENTS)?;
        let names = self.words(py, words_of!(names), NAME_WORDS)?;
        // What was overwritten while it was copied is left out.
        let again = self.word(py, words_of!(events_written))?;
        let first = first.max(again.saturating_sub(EVENTS as u64));
        for number in first..written {
            let at = 2 * (number as usize % EVENTS);
            let Some(&[when, what]) = ring.get(at..at + 2) else {
                break;
            };
            let (kind, name, value) = event_parts(what);
            let kind = EVENT_KINDS.get(kind as usize).copied().unwrap_or_default();
            let name = match name {
                0 => String::new(),
                at => name_at(&names, at),
            };
            list.append((number, when, kind, name, value))?;
        }
        Ok((written, list))
    }

    /// What the agent saw last: number, monotonic nanoseconds, JSON.  None before anybody has rung.
    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<Option<(u64, u64, Bound<'py, PyBytes>)>> {
        let number = self.word(py, words_of!(snapshot))?;
        let Some(path) = self.beside(number) else {
            return Ok(None);
        };
        let found = File::open(path)
            .and_then(|file| snapshot::read(&OwnedFd::from(file)))
            .map_err(|error| errors::os_error(py, &error))?;
        Ok(found.map(|(number, time, data)| (number, time, PyBytes::new(py, &data))))
    }

    /// The Python stack of the thread that runs the loop, innermost first: file, function, line.  Read from the process's
    /// memory, so it takes nothing of that process, and works while it is stuck.
    ///
    /// Raises OSError (PermissionError, ProcessLookupError) where it cannot be read; empty while the loop does not run.
    fn stack(&self, py: Python<'_>) -> PyResult<Vec<(String, String, u32)>> {
        let thread_state = self.word(py, words_of!(thread_state))?;
        if thread_state == 0 {
            return Ok(Vec::new());
        }
        let words = self.words(py, words_of!(frames), WORDS)?;
        let layout = Layout::from_words(&words).ok_or_else(|| {
            PyValueError::new_err("this process does not say where its frames are")
        })?;
        let pid = self
            .process()
            .ok_or_else(|| errors::os_error(py, &rustix::io::Errno::SRCH.into()))?;
        let frames = py
            .detach(|| stack(&Memory::of(pid), thread_state, &layout))
            .map_err(|error| errors::os_error(py, &error))?;
        Ok(frames
            .into_iter()
            .map(|frame| (frame.file, frame.function, frame.line))
            .collect())
    }

    /// Asks for a new snapshot; it is there a little later.  Raises OSError when the process is gone or has no bell.
    fn ring(&self, py: Python<'_>) -> PyResult<()> {
        self.call(py, 0)
    }

    /// Asks for the recorder to be on from now on, for `seconds` (at most 120).  Raises as `ring()`, and ValueError.
    fn record(&self, py: Python<'_>, seconds: f64) -> PyResult<()> {
        if !(seconds > 0.0 && seconds <= MOST_RECORDING) {
            return Err(PyValueError::new_err(format!(
                "seconds must be more than 0 and at most {MOST_RECORDING}, not {seconds}"
            )));
        }
        self.call(py, seconds.ceil() as u8)
    }

    /// Lets go of the file.
    fn close(&self) {
        *self.place() = Place::Closed;
    }
}

/// The `/proc` folder of the living process that a page file belongs to, as the page itself says.
fn process_of(file: &File) -> Option<PathBuf> {
    let mut bytes = [0; WORD];
    file.read_exact_at(&mut bytes, offset_of!(Sheet, pid) as u64)
        .ok()?;
    let folder = PathBuf::from(format!("/proc/{}", u64::from_le_bytes(bytes)));
    // Another process may have its number by now: only one that has this very file open is it.
    let ours = rustix::fs::fstat(file).ok()?;
    let theirs = |entry: std::fs::DirEntry| rustix::fs::stat(entry.path()).ok();
    std::fs::read_dir(folder.join("fd"))
        .ok()?
        .flatten()
        .filter_map(theirs)
        .any(|file| (file.st_dev, file.st_ino) == (ours.st_dev, ours.st_ino))
        .then_some(folder)
}

/// A stall as Python sees it.
pub fn told<'py>(py: Python<'py>, stall: &Stall) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("number", stall.number)?;
    dict.set_item("began", seconds(stall.began_wall))?;
    dict.set_item("began_ns", stall.began)?;
    dict.set_item("lasted", seconds(stall.lasted))?;
    dict.set_item("over", stall.over)?;
    let kind = STALL_KINDS
        .get(stall.kind as usize)
        .ok_or_else(|| damaged("no such kind of stall"))?;
    dict.set_item("kind", kind)?;
    dict.set_item("line", 0)?;
    for name in TEXTS {
        dict.set_item(name, "")?;
    }
    let lists = [("frame", PyList::empty(py)), ("await", PyList::empty(py))];
    let mut last = "";
    let mut meant = false;
    // What was written first is what is known best; of lists, only the first is meant.
    for line in stall.text.lines() {
        let parts: Vec<&str> = line.split('\t').collect();
        let name = parts.first().copied().unwrap_or_default();
        let list = lists.iter().find(|(list, _)| *list == name);
        if last != name {
            meant = list.is_some_and(|(_, list)| list.is_empty());
        }
        if let Some((_, list)) = list
            && meant
        {
            match parts[..] {
                ["frame", line, file, function] => {
                    list.append((file, function, line.parse().unwrap_or(0_u32)))?;
                }
                ["await", text] => list.append(text)?,
                _ => {}
            }
        }
        match parts[..] {
            ["at", line, file] if unset(&dict, "file")? => {
                dict.set_item("file", file)?;
                dict.set_item("line", line.parse().unwrap_or(0_u32))?;
            }
            [name, text] if TEXTS.contains(&name) && unset(&dict, name)? => {
                dict.set_item(name, text)?;
            }
            _ => {}
        }
        last = name;
    }
    let [(_, stack), (_, awaits)] = lists;
    dict.set_item("stack", stack)?;
    dict.set_item("awaits", awaits)?;
    Ok(dict)
}

/// What a stall's text may say, besides lists.
const TEXTS: [&str; 6] = ["cause", "detail", "what", "task", "coroutine", "file"];

fn unset(dict: &Bound<'_, PyDict>, name: &str) -> PyResult<bool> {
    match dict.get_item(name)? {
        Some(text) => text.is_truthy().map(|set| !set),
        None => Ok(true),
    }
}
