//! A connection that is counted as long as it is there.

use std::sync::Arc;

use epicycle_reactor::counters::{Counter, Counters};

use super::page::LoopPage;

/// The kinds of connections that are counted apart.
#[derive(Clone, Copy)]
pub enum Connection {
    Tcp,
    Unix,
    Tls,
    Udp,
    Pipe,
}

impl Connection {
    fn totals(self, counters: &Counters) -> (&Counter, &Counter) {
        match self {
            Self::Tcp => (&counters.opened_tcp, &counters.closed_tcp),
            Self::Unix => (&counters.opened_unix, &counters.closed_unix),
            Self::Tls => (&counters.opened_tls, &counters.closed_tls),
            Self::Udp => (&counters.opened_udp, &counters.closed_udp),
            Self::Pipe => (&counters.opened_pipe, &counters.closed_pipe),
        }
    }
}

/// Counts a connection as begun when it is made, and as ended when it is dropped.
pub struct Counted {
    page: Arc<LoopPage>,
    kind: Connection,
}

impl Counted {
    pub fn new(page: Arc<LoopPage>, kind: Connection) -> Self {
        kind.totals(&page.counters).0.add(1);
        Self { page, kind }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.kind.totals(&self.page.counters).1.add(1);
    }
}
