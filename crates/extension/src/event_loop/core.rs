//! The part of a loop that only its cell reaches: the turn, and what the turn works with.

use std::sync::Arc;

use epicycle_reactor::inbox::Inbox;
use epicycle_reactor::kernel::system::SystemKernel;
use epicycle_reactor::turn::Turn;

use crate::tls::Scratch;

use super::entry::{Entry, Source};

/// The kernel under this loop.
pub type LoopKernel = SystemKernel;

/// Bytes received at once.  One buffer serves all connections: what arrives is copied to its right size at once.
pub const RECEIVE_BUFFER: usize = 256 * 1024;

pub struct Core {
    pub turn: Turn<LoopKernel, Entry, Source>,
    pub buffer: Box<[u8]>,
    /// Working memory of TLS sessions, made with the first and lent out while one works.
    pub scratch: Option<Box<Scratch>>,
    inbox: Arc<Inbox<Entry>>,
}

impl Core {
    /// # Errors
    /// What the kernel says when it has no descriptor left for the loop.
    pub fn new() -> std::io::Result<Self> {
        let turn = Turn::new(LoopKernel::new()?)?;
        let inbox = Arc::clone(&turn.inbox);
        Ok(Self {
            turn,
            buffer: vec![0; RECEIVE_BUFFER].into_boxed_slice(),
            scratch: None,
            inbox,
        })
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
