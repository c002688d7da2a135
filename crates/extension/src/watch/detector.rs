//! The thread that notices stalls, and never needs the interpreter for it.
//!
//! At short intervals it looks at the pages of the loops it watches. One whose counters stand still although it neither
//! sleeps nor has ended is blocked; one whose turn does not end although its callbacks do is saturated. It writes what it
//! can tell into the page at once and leaves news for a Python thread, which may have to wait for the interpreter.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::cause::{self, Place, Usage};
use super::page::{LoopPage, STALLS, State, monotonic, pages, wall};
use super::reader::told;
use super::stall::{Stall, StallKind};
use crate::event_loop::Loop;
use crate::frames::stack::Frame;

/// Shortest and longest time between two looks.
const SHORTEST: u64 = 2_000_000;
const LONGEST: u64 = 50_000_000;
/// Looks within the threshold.
const LOOKS: u64 = 4;
/// A stall is told again when it has doubled, but at least this often, in nanoseconds.
const AGAIN: u64 = 10_000_000_000;
/// News that nobody has fetched yet; more is dropped.
const MOST_NEWS: usize = 256;
/// A thread that waits for the interpreter asks for it every 5 ms; one that waits for a lock sleeps through.
const ASKS_A_SECOND: f64 = 40.0;
/// Frames that are kept of a stack.
const FRAMES: usize = 24;

/// A stall has begun, is still there, or has ended.
#[derive(Clone, Copy)]
enum Phase {
    Began,
    Grew,
    Ended,
}

impl Phase {
    const fn name(self) -> &'static str {
        match self {
            Self::Began => "began",
            Self::Grew => "grew",
            Self::Ended => "ended",
        }
    }
}

struct News {
    page: Arc<LoopPage>,
    phase: Phase,
    stall: Stall,
    /// What ran then, as the page has it.
    running: u64,
    left: u64,
}

/// What the two threads share.
struct Shared {
    threshold: u64,
    /// The loops to watch; all of the process where it is None.
    chosen: Option<Vec<Arc<LoopPage>>>,
    /// Where files begin that are not the user's.
    libraries: Vec<String>,
    /// File and qualified name of the function that runs a loop.
    run: (String, String),
    news: Mutex<VecDeque<News>>,
    /// What Python has found out about stalls, by loop and number.
    explained: Mutex<HashMap<(u64, u64), String>>,
    arrived: Condvar,
    /// The detector is to end.
    ended: AtomicBool,
    /// It has, and there will be no more news.
    done: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One loop, as the detector has seen it.
struct Watched {
    page: Arc<LoopPage>,
    /// The sum of what counts up while the loop gets on, and since when it stands.
    progress: u64,
    since: u64,
    /// The same of turns.
    turns: u64,
    turn_since: u64,
    /// What the threads had used when the suspicion arose.
    sample: Option<Sample>,
    current: Option<Current>,
}

struct Sample {
    time: u64,
    usage: Usage,
    others: Vec<(u64, Usage)>,
}

struct Current {
    stall: Stall,
    /// When it is told again.
    again: u64,
}

impl Watched {
    fn new(page: Arc<LoopPage>, now: u64) -> Self {
        Self {
            progress: progress(&page),
            turns: page.counters.turns.get(),
            page,
            since: now,
            turn_since: now,
            sample: None,
            current: None,
        }
    }

    fn look(&mut self, shared: &Shared, now: u64) {
        let state = self.page.now.state.get();
        let awake = state == State::Running as u64 || state == State::Waking as u64;
        let progress = progress(&self.page);
        if progress != self.progress || !awake {
            self.progress = progress;
            self.since = now;
            self.sample = None;
            self.end_if(shared, StallKind::Blocked, now);
        }
        let turns = self.page.counters.turns.get();
        if turns != self.turns || !awake {
            self.turns = turns;
            self.turn_since = now;
            self.end_if(shared, StallKind::Saturated, now);
        }
        if !awake {
            return;
        }
        let (stands, lasts) = (now - self.since, now - self.turn_since);
        if lasts >= shared.threshold / 2 && self.sample.is_none() {
            self.sample = Some(Sample::take(&self.page, now));
        }
        let found = if stands >= shared.threshold {
            Some((StallKind::Blocked, self.since))
        } else if lasts >= shared.threshold && stands < shared.threshold / 2 {
            // Something has come to an end lately.  Otherwise it is one callback that will soon be found to block.
            Some((StallKind::Saturated, self.turn_since))
        } else {
            None
        };
        if let Some((kind, since)) = found {
            self.stalls(shared, kind, since, now);
        }
    }

    fn stalls(&mut self, shared: &Shared, kind: StallKind, since: u64, now: u64) {
        match &mut self.current {
            // A callback that hangs in a turn that was long already is what to tell of from now on.
            Some(current) if kind == StallKind::Blocked && current.stall.kind != kind as u64 => {
                self.end(shared, now);
                self.begin(shared, kind, since, now);
            }
            Some(current) => {
                current.stall.lasted = now.saturating_sub(current.stall.began);
                if now >= current.again {
                    current.again = now + current.stall.lasted.min(AGAIN);
                    self.tell(shared, Phase::Grew, now);
                } else {
                    slot(&self.page, current.stall.number, |slot| {
                        slot.grow(current.stall.lasted, false);
                    });
                }
            }
            None => self.begin(shared, kind, since, now),
        }
    }

    fn begin(&mut self, shared: &Shared, kind: StallKind, since: u64, now: u64) {
        let lasted = now - since;
        let number = {
            let _writing = self.page.writing();
            self.page.counters.stalls.add(1);
            self.page.counters.stalls.get()
        };
        self.current = Some(Current {
            stall: Stall {
                number,
                began: since,
                began_wall: wall().saturating_sub(lasted),
                lasted,
                over: false,
                kind: kind as u64,
                text: String::new(),
            },
            again: now + lasted,
        });
        self.tell(shared, Phase::Began, now);
    }

    /// Finds out what is the matter now, writes it, and leaves news of it.
    fn tell(&mut self, shared: &Shared, phase: Phase, now: u64) {
        let Some(current) = &mut self.current else {
            return;
        };
        let key = (
            self.page.serial.load(Ordering::Relaxed),
            current.stall.number,
        );
        let mut text = self
            .sample
            .as_ref()
            .map(|sample| cause_of(&self.page, sample, now))
            .unwrap_or_default();
        text.push_str(lock(&shared.explained).get(&key).map_or("", String::as_str));
        text.push_str(&stack_of(&self.page, &shared.libraries, &shared.run));
        current.stall.text = text;
        slot(&self.page, current.stall.number, |slot| {
            slot.write(&current.stall);
        });
        shared.leave(&self.page, phase, current.stall.clone(), now);
        self.sample = Some(Sample::take(&self.page, now));
    }

    fn end_if(&mut self, shared: &Shared, kind: StallKind, now: u64) {
        if self
            .current
            .as_ref()
            .is_some_and(|current| current.stall.kind == kind as u64)
        {
            self.end(shared, now);
        }
    }

    fn end(&mut self, shared: &Shared, now: u64) {
        let Some(Current { mut stall, .. }) = self.current.take() else {
            return;
        };
        stall.lasted = now.saturating_sub(stall.began);
        stall.over = true;
        let key = (self.page.serial.load(Ordering::Relaxed), stall.number);
        lock(&shared.explained).remove(&key);
        slot(&self.page, stall.number, |slot| {
            slot.grow(stall.lasted, true);
        });
        shared.leave(&self.page, Phase::Ended, stall, now);
    }
}

impl Shared {
    fn leave(&self, page: &Arc<LoopPage>, phase: Phase, stall: Stall, now: u64) {
        let mut waiting = lock(&self.news);
        if waiting.len() < MOST_NEWS {
            waiting.push_back(News {
                page: Arc::clone(page),
                phase,
                stall,
                running: page.now.running.get(),
                left: now,
            });
            self.arrived.notify_all();
        }
    }

    fn run(&self) {
        let interval = (self.threshold / LOOKS).clamp(SHORTEST, LONGEST);
        let mut watched: Vec<Watched> = Vec::new();
        while !self.ended.load(Ordering::Acquire) {
            let now = monotonic();
            let there = self.chosen.clone().unwrap_or_else(pages);
            for page in there {
                let known = watched.iter().any(|old| Arc::ptr_eq(&page, &old.page));
                if !known && !page.is_closed() {
                    page.watching.store(self.threshold, Ordering::Relaxed);
                    watched.push(Watched::new(page, now));
                }
            }
            for one in &mut watched {
                one.look(self, now);
            }
            // Looked at once more after their end, for the end of a stall.
            watched.retain(|one| !one.page.is_closed());
            let waiting = lock(&self.news);
            if self.ended.load(Ordering::Acquire) {
                break;
            }
            // Whoever ends the detector wakes it; other wake-ups only make it look early.
            drop(
                self.arrived
                    .wait_timeout_while(waiting, Duration::from_nanos(interval), |_| {
                        !self.ended.load(Ordering::Acquire)
                    }),
            );
        }
        for mut one in watched {
            one.end(self, monotonic());
            one.page.watching.store(0, Ordering::Relaxed);
        }
        let _waiting = lock(&self.news);
        self.done.store(true, Ordering::Release);
        self.arrived.notify_all();
    }
}

/// What grows whenever the loop gets on.
fn progress(page: &LoopPage) -> u64 {
    let counters = &page.counters;
    counters
        .callbacks
        .get()
        .wrapping_add(counters.turns.get())
        .wrapping_add(counters.parks.get())
}

fn slot(page: &LoopPage, number: u64, write: impl FnOnce(&super::stall::Slot)) {
    let _writing = page.writing();
    if let Some(slot) = page.stalls.get(number as usize % STALLS) {
        write(slot);
    }
}

impl Sample {
    fn take(page: &LoopPage, now: u64) -> Self {
        let thread = page.thread.load(Ordering::Relaxed);
        Self {
            time: now,
            usage: cause::usage(thread),
            others: cause::threads()
                .filter(|other| *other != thread)
                .map(|other| (other, cause::usage(other)))
                .collect(),
        }
    }
}

/// The lines of a stall's text that say why.
fn cause_of(page: &LoopPage, before: &Sample, now: u64) -> String {
    let thread = page.thread.load(Ordering::Relaxed);
    let time = now.saturating_sub(before.time).max(1) as f64;
    let usage = cause::usage(thread);
    let ran = usage.ran.saturating_sub(before.usage.ran) as f64 / time;
    let waited = usage.waited.saturating_sub(before.usage.waited) as f64 / time;
    let turns = usage.turns.saturating_sub(before.usage.turns) as f64 / (time / 1e9);
    let collecting = page.collecting.load(Ordering::Relaxed);
    let (cause, detail) = if collecting != 0 && collecting < now {
        let taken = (now - collecting) as f64 / 1e9;
        ("gc", format!("collecting garbage for {taken:.3} s"))
    } else if waited > 0.5 {
        let share = waited * 100.0;
        (
            "cpu",
            format!("it waited for a processor {share:.0} % of the time"),
        )
    } else if page.now.state.get() == State::Waking as u64 {
        ("gil", holder(before, time))
    } else {
        match cause::place(thread) {
            Place::Running => ("python", String::new()),
            Place::Call(name, _) if name == "futex" && turns > ASKS_A_SECOND => {
                ("gil", holder(before, time))
            }
            _ if ran > 0.5 => ("python", String::new()),
            Place::Call(name, _) if name == "futex" => ("system call", "futex: a lock".to_owned()),
            Place::Call(name, argument) => ("system call", cause::described(&name, argument)),
            Place::Unknown => ("unknown", String::new()),
        }
    };
    format!("cause\t{cause}\ndetail\t{detail}\n")
}

/// The thread that has been busy, and so probably holds the interpreter.
fn holder(before: &Sample, time: f64) -> String {
    let busiest = before
        .others
        .iter()
        .map(|(thread, usage)| {
            let ran = cause::usage(*thread).ran.saturating_sub(usage.ran);
            (ran, *thread)
        })
        .max();
    match busiest {
        Some((ran, thread)) if ran as f64 / time > 0.3 => {
            let name = cause::thread_name(thread);
            format!("held by another thread, probably {thread} ({name})")
        }
        _ => "held by another thread".to_owned(),
    }
}

/// The lines of a stall's text that say where.
fn stack_of(page: &LoopPage, libraries: &[String], run: &(String, String)) -> String {
    use std::fmt::Write;
    let mut frames = page.stack();
    let theirs = |file: &str| {
        file.starts_with("<frozen") || libraries.iter().any(|library| file.starts_with(library))
    };
    // Whoever runs the loop is not what blocks it.
    let runs = |frame: &Frame| (&frame.file, &frame.function) == (&run.0, &run.1);
    frames.truncate(frames.iter().position(runs).unwrap_or(frames.len()));
    let users = frames
        .iter()
        .find(|frame| !theirs(&frame.file))
        .or(frames.first());
    let mut text = String::new();
    if let Some(frame) = users {
        let _ = writeln!(text, "at\t{}\t{}", frame.line, plain(&frame.file));
    }
    for frame in frames.iter().take(FRAMES) {
        let (file, function) = (plain(&frame.file), plain(&frame.function));
        let _ = writeln!(text, "frame\t{}\t{file}\t{function}", frame.line);
    }
    text
}

/// Without what separates the parts of a stall's text.
fn plain(text: &str) -> String {
    text.replace(['\t', '\n', '\r'], " ")
}

/// Notices stalls of loops, on a thread of its own that needs no interpreter.
#[pyclass(frozen, module = "epicycle._epicycle")]
pub struct Detector {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[pymethods]
impl Detector {
    /// Begins. `threshold` is in seconds; `loops` are those to watch, None for all of the process; files that begin like
    /// one of `libraries` are not the user's; `run` has file and qualified name of the function that runs a loop, which
    /// with all outside of it is left out of stacks.
    #[new]
    #[pyo3(signature = (threshold, loops=None, libraries=Vec::new(), run=(String::new(), String::new())))]
    fn new(
        threshold: f64,
        loops: Option<Vec<Bound<'_, Loop>>>,
        libraries: Vec<String>,
        run: (String, String),
    ) -> PyResult<Self> {
        if !(0.001..=3600.0).contains(&threshold) {
            return Err(PyValueError::new_err(format!(
                "threshold must be from 0.001 to 3600 seconds, not {threshold}"
            )));
        }
        let chosen = loops.map(|loops| loops.iter().map(|one| one.get().page()).collect());
        let shared = Arc::new(Shared {
            threshold: (threshold * 1e9) as u64,
            chosen,
            libraries,
            run,
            news: Mutex::default(),
            explained: Mutex::default(),
            arrived: Condvar::new(),
            ended: AtomicBool::new(false),
            done: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("epicycle-watch".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || theirs.run())
            .map_err(|error| {
                PyRuntimeError::new_err(format!("no thread to watch with: {error}"))
            })?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Waits for news, `seconds` at most: a stall as `Page.stalls()` has it, and with it `loop` (its number), `phase` (`began`,
    /// `grew`, `ended`), `running` (what `loop._running()` said then) and `waited` (seconds that the news had to wait for
    /// the interpreter). None when there is none.
    fn wait<'py>(&self, py: Python<'py>, seconds: f64) -> PyResult<Option<Bound<'py, PyDict>>> {
        let most = Duration::try_from_secs_f64(seconds)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let shared = &self.shared;
        let news = py.detach(|| {
            let waiting = lock(&shared.news);
            let (mut waiting, _) = shared
                .arrived
                .wait_timeout_while(waiting, most, |waiting| {
                    waiting.is_empty() && !shared.done.load(Ordering::Acquire)
                })
                .unwrap_or_else(PoisonError::into_inner);
            waiting.pop_front()
        });
        let Some(news) = news else {
            return Ok(None);
        };
        let dict = told(py, &news.stall)?;
        dict.set_item("loop", news.page.serial.load(Ordering::Relaxed))?;
        dict.set_item("phase", news.phase.name())?;
        dict.set_item("running", news.running)?;
        let waited = monotonic().saturating_sub(news.left);
        dict.set_item("waited", waited as f64 / 1e9)?;
        Ok(Some(dict))
    }

    /// Adds what Python knows of a stall to its record: lines of a name and one or more texts.
    fn explain(&self, serial: u64, number: u64, lines: Vec<Vec<String>>) {
        let mut text = String::new();
        for line in lines {
            let parts: Vec<String> = line.iter().map(|part| plain(part)).collect();
            text.push_str(&parts.join("\t"));
            text.push('\n');
        }
        let there = self.shared.chosen.clone().unwrap_or_else(pages);
        for page in there {
            if page.serial.load(Ordering::Relaxed) == serial {
                slot(&page, number, |slot| slot.prepend(number, &text));
            }
        }
        // Where it is may be another place when the stall is told again.
        let place = |line: &&str| line.starts_with("at\t") || line.starts_with("frame\t");
        let lasting = text
            .split_inclusive('\n')
            .filter(|line| !place(line))
            .collect();
        let mut explained = lock(&self.shared.explained);
        if explained.len() >= MOST_NEWS {
            explained.clear();
        }
        explained.insert((serial, number), lasting);
    }

    /// Ends the thread, and with it every `wait()`.
    fn close(&self, py: Python<'_>) {
        self.shared.ended.store(true, Ordering::Release);
        {
            let _waiting = lock(&self.shared.news);
            self.shared.arrived.notify_all();
        }
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            // It ends within a few microseconds; a panic of its own is nobody's business.
            let _ = py.detach(|| thread.join());
        }
    }

    /// In a child made by fork(): the thread is not there, and nobody may wait for it.
    fn forget(&self) {
        self.shared.ended.store(true, Ordering::Release);
        std::mem::forget(lock(&self.thread).take());
    }
}

impl Drop for Detector {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        self.shared.arrived.notify_all();
    }
}
