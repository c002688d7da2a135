//! One turn of the loop, in steps: park, collect, expire, hand out the batch, end.
//!
//! The embedder calls the steps itself, because between them it does what only it can: let other threads run while
//! the loop is parked, and run the items. What is queued while a batch runs goes into the next batch.

use std::io;
use std::ops::Deref;
use std::os::fd::RawFd;

use crate::corks::Corks;
use crate::counters::Counters;
use crate::inbox::{Inbox, Remote};
use crate::interest::{Interest, Readiness};
use crate::kernel::{Kernel, Wait, Waiter};
use crate::ready::Ready;
use crate::registry::Registry;
use crate::resting::Resting;
use crate::sync::Arc;
use crate::time::Nanos;
use crate::timers::{Popped, Timers};
use crate::token::Token;

/// Everything a loop without Python is made of. `T` is a queued item, `S` a source that watches a descriptor, and `C`
/// is where the counters lie, which may be memory that others look into.
#[derive(Debug)]
pub struct Turn<K: Kernel, T, S, C = Box<Counters>> {
    /// The system, real or not.
    pub kernel: K,
    /// Items by deadline. Use [`Turn::schedule`] and [`Turn::cancelled`] to have them counted.
    pub timers: Timers<T>,
    /// Items that are due.
    pub ready: Ready<T>,
    /// Items from other threads.
    pub inbox: Arc<Inbox<T>>,
    /// Sources by token. What is changed here does not reach the kernel: use [`Turn::watch`], [`Turn::unwatch`] and
    /// [`Turn::set_interest`].
    pub registry: Registry<S>,
    /// What has happened so far.
    pub counters: C,
    /// What the running callback has sent and the kernel still holds back.
    pub corks: Corks,
    waiter: Option<K::Waiter>,
    /// What is left of the batch that runs.
    batch: usize,
    /// The sources that need not be polled for while the loop is busy: see [`Turn::hush`].
    hushed: Vec<Token>,
    /// How many sources there are besides.
    loud: usize,
    /// The next turn asks the kernel in any case.
    poll_wanted: bool,
    resting: Resting,
}

/// A wait that has been decided on: owns the part of the kernel that sleeps, and borrows nothing.
#[derive(Debug)]
#[must_use = "hand it back to `Turn::collect`"]
pub struct Parking<W> {
    waiter: Option<W>,
    wait: Wait,
    /// Nothing that is watched can have news, and nothing may be waited for: the kernel is not asked.
    idle: bool,
}

impl<W: Waiter> Parking<W> {
    /// Whether the wait may sleep, so that it is worth letting other threads run.
    #[inline]
    pub const fn will_block(&self) -> bool {
        !matches!(self.wait, Wait::Poll)
    }

    /// Whether the kernel will not be asked at all.
    #[inline]
    pub const fn is_idle(&self) -> bool {
        self.idle
    }

    /// How long the wait may last.
    #[inline]
    pub const fn wait_for(&self) -> Wait {
        self.wait
    }

    /// Waits. `now` is the kernel's time, just read.
    ///
    /// # Errors
    /// [`io::ErrorKind::Interrupted`] after a signal, otherwise what the kernel says. The parking goes back to
    /// [`Turn::collect`] all the same; there are no events then.
    #[inline]
    pub fn wait(&mut self, now: Nanos) -> io::Result<()> {
        if self.idle {
            return Ok(());
        }
        match &mut self.waiter {
            Some(waiter) => waiter.wait(self.wait, now),
            None => Err(io::Error::other("the kernel gave no waiter")),
        }
    }
}

impl<K: Kernel, T, S> Turn<K, T, S> {
    /// A loop with nothing to do.
    ///
    /// # Errors
    /// The kernel gives no waiter.
    pub fn new(kernel: K) -> io::Result<Self> {
        Self::counting(kernel, Box::default())
    }
}

impl<K: Kernel, T, S, C: Deref<Target = Counters>> Turn<K, T, S, C> {
    /// A loop with nothing to do, which counts there.
    ///
    /// # Errors
    /// The kernel gives no waiter.
    pub fn counting(mut kernel: K, counters: C) -> io::Result<Self> {
        let waiter = kernel.waiter()?;
        Ok(Self {
            kernel,
            timers: Timers::new(),
            ready: Ready::new(),
            inbox: Arc::new(Inbox::new()),
            registry: Registry::new(),
            counters,
            corks: Corks::default(),
            waiter: Some(waiter),
            batch: 0,
            hushed: Vec::new(),
            loud: 0,
            poll_wanted: false,
            resting: Resting::default(),
        })
    }

    /// Ends the turn's dealings with the poller, once and for all: see [`Kernel::retire`].
    pub fn retire(&mut self) {
        self.waiter = None;
        self.kernel.retire();
    }

    /// What another thread needs to leave items here.
    pub fn remote(&self) -> Remote<T, K::Waker> {
        Remote::new(Arc::clone(&self.inbox), self.kernel.waker())
    }

    /// Watches a descriptor.
    ///
    /// # Errors
    /// The kernel refuses, for instance with `EPERM` for a regular file. The source is dropped: when that may
    /// run foreign code, use [`Turn::try_watch`].
    pub fn watch(&mut self, fd: RawFd, source: S, interest: Interest) -> io::Result<Token> {
        self.try_watch(fd, source, interest)
            .map_err(|(error, _)| error)
    }

    /// Watches a descriptor; a failure hands the source back.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn try_watch(
        &mut self,
        fd: RawFd,
        source: S,
        interest: Interest,
    ) -> Result<Token, (io::Error, S)> {
        if !interest.is_empty() {
            let token = self.registry.next_token();
            let watched = if self.resting.remove(fd) {
                self.kernel.modify(fd, token, interest)
            } else {
                self.kernel.register(fd, token, interest)
            };
            if let Err(error) = watched {
                return Err((error, source));
            }
        }
        let token = self.registry.insert(fd, source);
        self.registry.set_interest(token, interest);
        self.loud += 1;
        Ok(token)
    }

    /// Changes what a source waits for. Nothing is asked of the kernel when nothing changes; with
    /// [`Interest::NONE`] the kernel forgets the descriptor, but the source keeps its token.
    ///
    /// # Errors
    /// `NotFound` for a stale token, or one whose descriptor's number has passed to a newer source; otherwise what
    /// the kernel says, and the interest stays what it was.
    #[inline]
    pub fn set_interest(&mut self, token: Token, interest: Interest) -> io::Result<()> {
        match self.registry.interest(token) {
            Some(before) if before == interest => Ok(()),
            Some(before) => self.change_interest(token, before, interest),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn change_interest(
        &mut self,
        token: Token,
        before: Interest,
        interest: Interest,
    ) -> io::Result<()> {
        let fd = self
            .registry
            .fd(token)
            .filter(|fd| self.registry.token_of(*fd) == Some(token));
        let fd = fd.ok_or(io::ErrorKind::NotFound)?;
        if interest.is_empty() {
            self.kernel.deregister(fd)?;
        } else if before.is_empty() {
            self.kernel.register(fd, token, interest)?;
        } else {
            self.kernel.modify(fd, token, interest)?;
        }
        self.registry.set_interest(token, interest);
        Ok(())
    }

    /// Stops watching and hands the source back. Call it before the descriptor is closed.
    pub fn unwatch(&mut self, token: Token) -> Option<S> {
        let fd = self.registry.fd(token)?;
        let watched = self
            .registry
            .interest(token)
            .is_some_and(|interest| !interest.is_empty());
        // If the number has passed to a newer source, what the kernel watches is that one's.
        if watched && self.registry.token_of(fd) == Some(token) {
            // Taking something out of epoll fails only if it is not there or not ours.
            let _ = self.kernel.deregister(fd);
        }
        self.forget(token)
    }

    /// As [`Turn::unwatch`], for a source whose one report ([`Interest::ONCE`]) has come: the descriptor stays with the
    /// kernel, which says nothing of it, and watching it again takes one call instead of two.
    ///
    /// It may be closed like any other. What the kernel keeps for it then, if another process shares it, is never heard of.
    pub fn rest(&mut self, token: Token) -> Option<S> {
        let fd = self.registry.fd(token)?;
        if self.registry.token_of(fd) == Some(token) {
            self.resting.insert(fd);
        }
        self.forget(token)
    }

    /// A source whose one report has come wants another.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn ask_again(&mut self, token: Token) -> io::Result<()> {
        match (self.registry.fd(token), self.registry.interest(token)) {
            (Some(fd), Some(interest)) if interest.is_once() => {
                self.kernel.modify(fd, token, interest)
            }
            _ => Ok(()),
        }
    }

    fn forget(&mut self, token: Token) -> Option<S> {
        let (_, source) = self.registry.remove(token)?;
        match self.hushed.iter().position(|hushed| *hushed == token) {
            Some(at) => _ = self.hushed.swap_remove(at),
            None => self.loud -= 1,
        }
        Some(source)
    }

    /// Queues an item for a deadline.
    #[inline]
    pub fn schedule(&mut self, deadline: Nanos, item: T) {
        self.counters.timers_scheduled.add(1);
        self.timers.insert(deadline, item);
    }

    /// An item of [`Turn::timers`] has been cancelled. True when a [`Timers::sweep`] is due.
    #[inline]
    pub fn cancelled(&mut self) -> bool {
        self.counters.timers_cancelled.add(1);
        self.timers.note_cancelled()
    }

    /// Before parking: takes cancelled items off the top of the timers, so that the loop does not wake for them.
    /// They are put into `dead` for the caller to drop.
    #[inline]
    pub fn prune(&mut self, mut is_dead: impl FnMut(&T) -> bool, dead: &mut Vec<T>) {
        while let Some(item) = self.timers.pop_dead_top(&mut is_dead) {
            dead.push(item);
        }
    }

    /// First step: decides how long to wait. Not at all if something is ready, has arrived, or the loop is
    /// stopping; otherwise until the next deadline.
    #[inline]
    pub fn park(&mut self, now: Nanos, stopping: bool) -> Parking<K::Waiter> {
        // A callback may run turns of its own before it ends.
        self.corks.release(&mut self.kernel);
        let wait = if stopping || !self.ready.is_empty() {
            Wait::Poll
        } else {
            match self.timers.next_deadline() {
                Some(deadline) if deadline <= now => Wait::Poll,
                deadline if self.inbox.prepare_park() => {
                    self.counters.parks.add(1);
                    match deadline {
                        Some(deadline) if deadline != Nanos::MAX => Wait::Until(deadline),
                        _ => Wait::Forever,
                    }
                }
                _ => Wait::Poll,
            }
        };
        let waiter = match self.waiter.take() {
            Some(waiter) => Some(waiter),
            // The last parking was lost on the way, as a panic may do.
            None => self.kernel.waiter().ok(),
        };
        let idle = wait == Wait::Poll && !self.poll_wanted && self.loud == 0;
        self.poll_wanted = false;
        Parking { waiter, wait, idle }
    }

    /// This source does not make a busy loop ask the kernel in every turn. Whoever makes it ready says so by
    /// [`Turn::want_poll`], or has time until the embedder calls that anyway. It still ends a wait like any other.
    pub fn hush(&mut self, token: Token) {
        if self.registry.contains(token) && !self.hushed.contains(&token) {
            self.hushed.push(token);
            self.loud -= 1;
        }
        self.poll_wanted = true;
    }

    /// Whether this is a source of [`Turn::hush`].
    pub fn is_hushed(&self, token: Token) -> bool {
        self.hushed.contains(&token)
    }

    /// The next turn asks the kernel, whatever is watched.
    #[inline]
    pub fn want_poll(&mut self) {
        self.poll_wanted = true;
    }

    /// Second step: takes the waiter back, moves what other threads have left into the ready queue, and then hands
    /// each event to `on_event`, masked by what its source waits for. Events whose token is stale are dropped and
    /// counted.
    ///
    /// In this order, because a thread that leaves an item and then causes an event may expect them to be seen in
    /// that order.
    #[inline]
    pub fn collect(
        &mut self,
        parking: Parking<K::Waiter>,
        mut on_event: impl FnMut(&mut Registry<S>, &mut Ready<T>, Token, Readiness),
    ) {
        let woken = self.inbox.unpark();
        self.counters.wakes.add(u64::from(woken));
        self.inbox.drain_into(&mut self.ready);
        if let Some(mut waiter) = parking.waiter {
            for event in waiter.events() {
                // Asked again for each event: an earlier one may have taken its source away.
                let interest = self
                    .registry
                    .interest(event.token)
                    .unwrap_or(Interest::NONE);
                let readiness = event.readiness.for_interest(interest);
                if readiness.is_empty() {
                    self.counters.stale_events.add(1);
                    continue;
                }
                self.counters.events.add(1);
                on_event(&mut self.registry, &mut self.ready, event.token, readiness);
            }
            waiter.clear();
            self.waiter = Some(waiter);
        }
    }

    /// Third step: moves the timers that are due into the ready queue, earliest first. Cancelled ones that are
    /// met on the way are put into `dead` for the caller to drop.
    #[inline]
    pub fn expire(&mut self, now: Nanos, mut is_dead: impl FnMut(&T) -> bool, dead: &mut Vec<T>) {
        while let Some(popped) = self.timers.pop_due_with(now, &mut is_dead) {
            match popped {
                Popped::Due(deadline, item) => {
                    self.counters.timers_fired.add(1);
                    self.counters.lateness.note(deadline, now);
                    self.ready.push(item);
                }
                Popped::Dead(item) => dead.push(item),
            }
        }
    }

    /// Fourth step: what is ready now is the batch. Says how many items it has.
    #[inline]
    pub fn begin_batch(&mut self) -> usize {
        self.batch = self.ready.len();
        self.ready.note_batch(self.batch);
        self.batch
    }

    /// The next item of the batch; nothing when the batch is done, though more may have been queued since.
    #[inline]
    #[expect(
        clippy::should_implement_trait,
        reason = "a loop is no iterator: a batch ends and the loop goes on"
    )]
    pub fn next(&mut self) -> Option<T> {
        self.batch = self.batch.checked_sub(1)?;
        let item = self.ready.pop()?;
        self.corks.begin(&mut self.kernel);
        self.counters.callbacks.add(1);
        Some(item)
    }

    /// Last step. A batch that was left early is continued by the next turn.
    #[inline]
    pub fn end_turn(&mut self) {
        self.batch = 0;
        self.corks.end(&mut self.kernel);
        self.counters.turns.add(1);
        self.ready.relax();
    }

    /// In place of [`Turn::end_turn`] when an item ends the run: nothing that was sent is held back any longer.
    pub fn leave(&mut self) {
        self.corks.end(&mut self.kernel);
    }

    /// A whole turn for an embedder whose items are never cancelled and that lets no other thread run.
    ///
    /// # Errors
    /// What the kernel's wait says, except that being interrupted is no error.
    pub fn run_turn(
        &mut self,
        stopping: bool,
        on_event: impl FnMut(&mut Registry<S>, &mut Ready<T>, Token, Readiness),
        mut run: impl FnMut(&mut Self, T),
    ) -> io::Result<()> {
        let now = self.kernel.now();
        let mut parking = self.park(now, stopping);
        let waited = match parking.wait(now) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            other => other,
        };
        self.collect(parking, on_event);
        waited?;
        if !self.timers.is_empty() {
            let now = self.kernel.now();
            self.expire(now, |_| false, &mut Vec::new());
        }
        self.begin_batch();
        while let Some(item) = self.next() {
            run(self, item);
        }
        self.end_turn();
        Ok(())
    }
}
