//! The part of a loop that only its cell reaches: the turn, and what the turn works with.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use epicycle_reactor::inbox::Inbox;
use epicycle_reactor::interest::Interest;
use epicycle_reactor::kernel::system::SystemKernel;
use epicycle_reactor::token::Token;
use epicycle_reactor::turn::Turn;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::tls::Scratch;
use crate::watch::page::{Ledger, numbered};
use crate::watch::recorder::Recorder;
use crate::watch::snapshot::Board;
use crate::watch::{bell, page::LoopPage};

use super::entry::{Entry, Source};
use super::room::Room;

/// The kernel under this loop.
pub type LoopKernel = SystemKernel;

/// Bytes received at once.  One buffer serves all connections: what arrives is copied to its right size at once.
pub const RECEIVE_BUFFER: usize = 256 * 1024;

/// The turn of this loop.
pub type LoopTurn = Turn<LoopKernel, Entry, Source, Ledger>;

pub struct Core {
    pub turn: LoopTurn,
    pub buffer: Room,
    /// Working memory of TLS sessions, made with the first and lent out while one works.
    pub scratch: Option<Box<Scratch>>,
    /// The context that the last callback was scheduled in, as it was then.  Given up before the loop sleeps.
    pub snapshot: Option<Py<PyAny>>,
    /// `{"loop": loop}`, for the loop's tasks and futures.
    pub keywords: Option<Py<PyDict>>,
    /// When steps begin and end, while somebody wants to know.
    pub recorder: Recorder,
    /// Where the agent's snapshots go; made with the first.
    pub board: Option<Board>,
    /// How others ask for them, until the loop is closed.
    pub bell: Option<Arc<OwnedFd>>,
    bell_token: Option<Token>,
    inbox: Arc<Inbox<Entry>>,
}

impl Core {
    /// # Errors
    /// What the kernel says when it has no descriptor left for the loop.
    pub fn new(page: &Arc<LoopPage>) -> std::io::Result<Self> {
        let mut turn = Turn::counting(LoopKernel::new()?, Ledger(Arc::clone(page)))?;
        let inbox = Arc::clone(&turn.inbox);
        let bell = bell::hang()?;
        let mut bell_token = None;
        if let Some(bell) = &bell {
            let token = turn.watch(bell.as_raw_fd(), Source::Bell, Interest::READ)?;
            turn.hush(token);
            bell_token = Some(token);
            page.bell.store(numbered(bell), Ordering::Relaxed);
        }
        Ok(Self {
            turn,
            buffer: Room::new(RECEIVE_BUFFER),
            scratch: None,
            snapshot: None,
            keywords: None,
            recorder: Recorder::default(),
            board: None,
            bell: bell.map(Arc::new),
            bell_token,
            inbox,
        })
    }

    /// Whether the loop itself listens to the bell.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn listen_to_bell(&mut self, on: bool) -> std::io::Result<()> {
        let interest = if on { Interest::READ } else { Interest::NONE };
        match self.bell_token {
            Some(token) => self.turn.set_interest(token, interest),
            None => Ok(()),
        }
    }

    /// Descriptors that the user's program has the loop watch.
    pub fn sources(&self) -> usize {
        let bell = self
            .bell_token
            .is_some_and(|token| self.turn.registry.contains(token));
        self.turn.registry.len() - usize::from(bell)
    }

    /// Queues an entry behind everything that was queued before it, by whatever thread.
    #[inline(always)]
    pub fn push(&mut self, entry: Entry) {
        if !self.inbox.is_empty() {
            self.inbox.drain_into(&mut self.turn.ready);
        }
        self.turn.ready.push(entry);
    }
}
