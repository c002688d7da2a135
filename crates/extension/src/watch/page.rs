//! The page of a loop: its layout, and writing it.
//!
//! The loop's thread is the only writer of what it notes, a detector's of the stalls. Everything is an atomic number;
//! texts are packed into numbers. Whoever changes the layout changes `LAYOUT`.

use std::cell::RefCell;
use std::ffi::{CStr, CString};
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use epicycle_reactor::counters::{Counter, Counters};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::time::{ClockId, clock_gettime};

use crate::ffi::mapping::Mapped;
use crate::frames::layout::{Layout, WORDS};
use crate::frames::memory::Memory;
use crate::frames::stack::{Frame, stack};

use super::stall::Slot;
use super::text;

/// "EPICYCLE", as a little-endian number.
pub const MAGIC: u64 = u64::from_le_bytes(*b"EPICYCLE");
/// The number of this layout.
pub const LAYOUT: u64 = 1;
/// Stalls that are kept.
pub const STALLS: usize = 32;
/// Events of the recorder that are kept; a power of two.
pub const EVENTS: usize = 32 * 1024;
/// Words for the names in these events.
pub const NAME_WORDS: usize = 16 * 1024;
/// Words for the layout of frames.
pub const FRAME_WORDS: usize = 64;
const _: () = assert!(WORDS <= FRAME_WORDS);
/// What a loop's memfd is called.
pub const NAME: &CStr = c"epicycle-loop";

/// What the loop does.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum State {
    /// Nobody runs it.
    Idle = 0,
    Running = 1,
    /// Sleeps in the kernel.
    Parked = 2,
    /// Has slept, and waits for the interpreter.
    Waking = 3,
    Closed = 4,
}

/// What is running.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Kind {
    Callback = 1,
    Timer = 2,
    Task = 3,
    Stream = 4,
    Datagram = 5,
    Tls = 6,
    Pipe = 7,
    Accept = 8,
    Other = 9,
}

/// The kinds by their numbers.
pub const KINDS: [&str; 10] = [
    "", "callback", "timer", "task", "stream", "datagram", "tls", "pipe", "accept", "other",
];
/// The states by their numbers.  One that wakes is running as far as others are concerned.
pub const STATES: [&str; 5] = ["idle", "running", "parked", "running", "closed"];

/// The low bits of an object's address are zero, and have room for the kind.
const KIND_BITS: u64 = 15;

/// The page itself.
#[repr(C, align(64))]
pub struct Sheet {
    pub magic: AtomicU64,
    pub layout: AtomicU64,
    pub size: AtomicU64,
    pub pid: AtomicU64,
    /// Number of the loop in its process, from 1.
    pub serial: AtomicU64,
    /// CLOCK_MONOTONIC and wall-clock nanoseconds.
    pub created: AtomicU64,
    pub created_wall: AtomicU64,
    /// PY_VERSION_HEX
    pub python: AtomicU64,
    pub epicycle: [AtomicU64; 4],
    /// What the system calls the thread that runs the loop, what Python calls it, and where its state lies.
    pub thread: AtomicU64,
    pub ident: AtomicU64,
    pub thread_state: AtomicU64,
    /// Descriptor of the doorbell, plus one.
    pub bell: AtomicU64,
    /// Descriptor of the last snapshot, plus one.
    pub snapshot: AtomicU64,
    /// Nanoseconds of the watcher's threshold; zero without one.
    pub watching: AtomicU64,
    /// Until when the recorder is on.
    pub recording: AtomicU64,
    /// Whether an agent answers the bell.
    pub agent: AtomicU64,
    /// Since when the collector of garbage has been at work on the loop's thread; zero while it is not.
    pub collecting: AtomicU64,
    /// How to find frames in the memory of this process.
    pub frames: [AtomicU64; FRAME_WORDS],
    pub now: Now,
    pub counters: Counters,
    pub stalls: [Slot; STALLS],
    pub names_used: AtomicU64,
    pub names: [AtomicU64; NAME_WORDS],
    pub events_written: AtomicU64,
    /// When, and what.
    pub events: [[AtomicU64; 2]; EVENTS],
}

/// What changes with every callback, beside the counters.
#[repr(C, align(64))]
pub struct Now {
    pub state: Counter,
    /// Address and kind of what runs.
    pub running: Counter,
}

const _: () = assert!(size_of::<Sheet>() < 1024 * 1024);
const _: () = assert!(size_of::<Sheet>().is_multiple_of(size_of::<u64>()));

impl Sheet {
    /// Notes what runs from here on.
    #[inline(always)]
    pub fn runs<T>(&self, kind: Kind, object: *const T) {
        self.now
            .running
            .set(object.expose_provenance() as u64 | kind as u64);
    }

    /// Nothing runs any more; called before the object may go away.
    #[inline(always)]
    pub fn rests(&self) {
        self.now.running.set(0);
    }

    #[inline(always)]
    pub fn enter(&self, state: State) {
        self.now.state.set(state as u64);
    }
}

/// Splits what `running` holds into kind and address.
pub const fn running(word: u64) -> (usize, u64) {
    ((word & KIND_BITS) as usize, word & !KIND_BITS)
}

/// CLOCK_MONOTONIC in nanoseconds.
pub fn monotonic() -> u64 {
    nanos(ClockId::Monotonic)
}

/// CLOCK_REALTIME in nanoseconds.
pub fn wall() -> u64 {
    nanos(ClockId::Realtime)
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    (time.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(time.tv_nsec as u64)
}

/// A loop's page, and the file behind it.
pub struct LoopPage {
    sheet: Mapped<Sheet>,
    /// Gone once the loop is closed.  None where the system has no such files.
    file: Mutex<Option<OwnedFd>>,
    /// The file's path, if it has a name.
    path: Mutex<Option<CString>>,
    /// Held by who writes stalls: several detectors may watch one loop.
    writing: Mutex<()>,
}

impl Deref for LoopPage {
    type Target = Sheet;

    #[inline(always)]
    fn deref(&self) -> &Sheet {
        &self.sheet
    }
}

/// The page as the place where the turn counts.
#[derive(Clone)]
pub struct Ledger(pub Arc<LoopPage>);

impl Deref for Ledger {
    type Target = Counters;

    #[inline(always)]
    fn deref(&self) -> &Counters {
        &self.0.sheet.counters
    }
}

/// The pages of this process's loops, for a detector that watches them all.
static PAGES: Mutex<Vec<Weak<LoopPage>>> = Mutex::new(Vec::new());
static SERIAL: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// Held by this thread over a fork.
    static HELD: RefCell<Option<MutexGuard<'static, Vec<Weak<LoopPage>>>>> = const { RefCell::new(None) };
}

/// Keeps other threads from the list of pages until `release`.
pub fn hold() {
    HELD.with_borrow_mut(|held| {
        if held.is_none() {
            *held = Some(PAGES.lock().unwrap_or_else(PoisonError::into_inner));
        }
    });
}

/// Undoes `hold`, in the same thread.
pub fn release() {
    HELD.with_borrow_mut(|held| drop(held.take()));
}

/// The pages of all loops that there are in this process now.
pub fn pages() -> Vec<Arc<LoopPage>> {
    let mut pages = PAGES.lock().unwrap_or_else(PoisonError::into_inner);
    pages.retain(|page| page.strong_count() > 0);
    pages.iter().filter_map(Weak::upgrade).collect()
}

impl LoopPage {
    /// A page, in a memfd or, with EPICYCLE_PAGE, in a file of that directory.  With EPICYCLE_RECORD the recorder is on
    /// from the first turn to the last.
    ///
    /// # Errors
    /// No descriptor or memory is left; the directory does not take a file.
    pub fn new(python: u64, frames: Option<&Layout>) -> io::Result<Arc<Self>> {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let (file, path) = match std::env::var_os("EPICYCLE_PAGE").filter(|name| !name.is_empty()) {
            Some(directory) => {
                let (file, path) = named_file(directory.as_bytes(), serial)?;
                (Some(file), Some(path))
            }
            None => (nameless_file()?, None),
        };
        let sheet: Mapped<Sheet> = match &file {
            Some(file) => Mapped::of_file(file.as_fd())?,
            None => Mapped::private()?,
        };
        sheet.layout.store(LAYOUT, Ordering::Relaxed);
        let size = size_of::<Sheet>() as u64;
        sheet.size.store(size, Ordering::Relaxed);
        sheet
            .pid
            .store(u64::from(std::process::id()), Ordering::Relaxed);
        sheet.serial.store(serial, Ordering::Relaxed);
        sheet.created.store(monotonic(), Ordering::Relaxed);
        sheet.created_wall.store(wall(), Ordering::Relaxed);
        sheet.python.store(python, Ordering::Relaxed);
        if let Some(frames) = frames {
            for (place, word) in sheet.frames.iter().zip(frames.to_words()) {
                place.store(word, Ordering::Relaxed);
            }
        }
        text::pack(&sheet.epicycle, env!("CARGO_PKG_VERSION"));
        if std::env::var_os("EPICYCLE_RECORD")
            .is_some_and(|wanted| !matches!(wanted.as_bytes(), b"" | b"0"))
        {
            sheet.recording.store(u64::MAX, Ordering::Relaxed);
        }
        // Last: until then it is no page.
        sheet.magic.store(MAGIC, Ordering::Release);
        let page = Arc::new(Self {
            sheet,
            file: Mutex::new(file),
            path: Mutex::new(path),
            writing: Mutex::new(()),
        });
        PAGES
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::downgrade(&page));
        Ok(page)
    }

    /// Whether the loop is closed.
    pub fn is_closed(&self) -> bool {
        self.now.state.get() == State::Closed as u64
    }

    /// The right to write stalls.
    pub fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The Python stack of the thread that runs the loop, innermost first, whoever holds the interpreter; empty where it
    /// cannot be read.
    pub fn stack(&self) -> Vec<Frame> {
        let word = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let words: Vec<u64> = self.frames.iter().take(WORDS).map(word).collect();
        let Some(layout) = Layout::from_words(&words) else {
            return Vec::new();
        };
        let memory = Memory::of(std::process::id());
        // What changes while it is read may make no sense; at the second try it mostly does.
        let read = || stack(&memory, word(&self.thread_state), &layout);
        read().or_else(|_| read()).unwrap_or_default()
    }

    /// The loop is closed: others find it no more.
    pub fn retire(&self) {
        self.enter(State::Closed);
        self.thread.store(0, Ordering::Relaxed);
        drop(
            self.file
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let path = self
            .path
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(path) = path {
            // It was there for the case of a crash.
            let _ = rustix::fs::unlink(&*path);
        }
    }

    /// In a child made by fork(): the page is the parent's.
    pub fn part(&self) {
        // If it fails, the child's loop counts into the parent's page; it does not run any more.
        let _ = self.sheet.part();
        self.path
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(
            self.file
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }
}

/// None where the system does not have such files, or does not let this process make one of that size (`ulimit -f`): a
/// loop that nobody can look into is better than none.
fn nameless_file() -> io::Result<Option<OwnedFd>> {
    use rustix::io::Errno;
    let make = || {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create(NAME, flags)?;
        rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR)?;
        rustix::fs::ftruncate(&file, size_of::<Sheet>() as u64)?;
        // Nobody may take the memory away from under us.
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW)?;
        Ok(file)
    };
    match make() {
        Ok(file) => Ok(Some(file)),
        Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

fn named_file(directory: &[u8], serial: u64) -> io::Result<(OwnedFd, CString)> {
    let mut path = directory.to_vec();
    path.extend_from_slice(format!("/epicycle-{}-{serial}.page", std::process::id()).as_bytes());
    let path = CString::new(path)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let open = || rustix::fs::open(&*path, flags, Mode::RUSR | Mode::WUSR);
    let file = match open() {
        // Of a process with our number that crashed.
        Err(rustix::io::Errno::EXIST) => {
            rustix::fs::unlink(&*path)?;
            open()?
        }
        other => other?,
    };
    let size = size_of::<Sheet>() as u64;
    // Room for all of it now: a full disk is an error here, and not a signal in the middle of a turn.
    if let Err(error) = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size) {
        let _ = rustix::fs::unlink(&*path);
        return Err(error.into());
    }
    Ok((file, path))
}

/// A descriptor's number as the page has it.
pub fn numbered(file: &impl AsRawFd) -> u64 {
    u64::from(file.as_raw_fd().unsigned_abs()) + 1
}
