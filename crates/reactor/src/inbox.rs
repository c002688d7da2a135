//! Items from other threads, and the flag that says whether the loop has to be woken for them.
//!
//! Only the first arrival while the loop is parked (or about to park) asks for a wake-up; one that comes while
//! the loop works costs a lock and no system call. What decides that is one atomic word, so that every question
//! ("is somebody asleep?") and every promise ("I go to sleep if nothing has come") are ordered against each
//! other without any reasoning about two variables.

use std::collections::VecDeque;
use std::sync::PoisonError;

use crate::kernel::Wake;
use crate::ready::Ready;
use crate::sync::{Arc, AtomicU8, Mutex, MutexGuard, Ordering};

/// There are items.
const ITEMS: u8 = 1;
/// The loop is parked, or on its way.
const PARKED: u8 = 2;
/// A wake-up was asked for without an item.
const WAKE: u8 = 4;

/// Room that is kept when a burst is over.
const KEEP: usize = 256;

/// Where other threads leave items for the loop. Shared through an [`Arc`].
#[derive(Debug)]
pub struct Inbox<T> {
    state: AtomicU8,
    queue: Mutex<Queue<T>>,
}

#[derive(Debug)]
struct Queue<T> {
    items: VecDeque<T>,
    closed: bool,
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Inbox<T> {
    /// An open, empty inbox whose loop is awake.
    pub fn new() -> Self {
        Self {
            state: AtomicU8::new(0),
            queue: Mutex::new(Queue {
                items: VecDeque::new(),
                closed: false,
            }),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        // Nothing under the lock runs foreign code or leaves the queue half done.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves an item. True when the caller must wake the loop.
    ///
    /// # Errors
    /// A closed inbox hands the item back.
    pub fn push(&self, item: T) -> Result<bool, T> {
        let mut queue = self.queue();
        if queue.closed {
            drop(queue);
            return Err(item);
        }
        queue.items.push_back(item);
        // Under the lock, so that the flag and the queue agree for whoever drains.
        let before = self.state.fetch_or(ITEMS, Ordering::AcqRel);
        drop(queue);
        Ok(before & (PARKED | ITEMS | WAKE) == PARKED)
    }

    /// Asks the loop to go round once more though there is no item. True when the caller must wake it.
    ///
    /// Takes no lock: a signal handler may call it.
    #[inline]
    pub fn request_wake(&self) -> bool {
        let before = self.state.fetch_or(WAKE, Ordering::AcqRel);
        before & (PARKED | ITEMS | WAKE) == PARKED
    }

    /// Whether there are no items: one load.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.state.load(Ordering::Acquire) & ITEMS == 0
    }

    /// The loop is about to sleep. False: something has arrived or a wake-up was asked for, so it must not.
    #[inline]
    pub fn prepare_park(&self) -> bool {
        match self
            .state
            .compare_exchange(0, PARKED, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => true,
            // An earlier park whose wait never ran: its promise holds.
            Err(state) => state == PARKED,
        }
    }

    /// The loop is awake again: arrivals need not wake it, and a wake-up that was asked for has happened.
    /// True when somebody had asked for it since [`Inbox::prepare_park`].
    #[inline]
    pub fn unpark(&self) -> bool {
        // Most turns were never parked, and a plain load is much cheaper than a locked write.
        if self.state.load(Ordering::Relaxed) & (PARKED | WAKE) == 0 {
            return false;
        }
        let before = self.state.fetch_and(!(PARKED | WAKE), Ordering::AcqRel);
        before & PARKED != 0 && before & (ITEMS | WAKE) != 0
    }

    /// Moves everything that has arrived into `ready`, in the order of arrival.
    #[inline]
    pub fn drain_into(&self, ready: &mut Ready<T>) {
        if !self.is_empty() {
            self.drain_some_into(ready);
        }
    }

    fn drain_some_into(&self, ready: &mut Ready<T>) {
        let mut queue = self.queue();
        ready.append(&mut queue.items);
        if queue.items.capacity() > KEEP {
            queue.items.shrink_to(KEEP);
        }
        self.state.fetch_and(!ITEMS, Ordering::AcqRel);
    }

    /// Accepts nothing more, and hands back what has not been drained.
    pub fn close(&self) -> Vec<T> {
        let mut queue = self.queue();
        queue.closed = true;
        self.state.fetch_and(!ITEMS, Ordering::AcqRel);
        std::mem::take(&mut queue.items).into()
    }

    /// Whether [`Inbox::close`] has been called.
    pub fn is_closed(&self) -> bool {
        self.queue().closed
    }

    /// Calls `visit` for each waiting item under the lock; it must not touch the inbox.
    pub fn for_each(&self, visit: impl FnMut(&T)) {
        self.queue().items.iter().for_each(visit);
    }
}

/// The inbox of a loop together with the way to wake it: what another thread is given.
#[derive(Debug)]
pub struct Remote<T, W> {
    inbox: Arc<Inbox<T>>,
    waker: W,
}

impl<T, W: Clone> Clone for Remote<T, W> {
    fn clone(&self) -> Self {
        Self {
            inbox: Arc::clone(&self.inbox),
            waker: self.waker.clone(),
        }
    }
}

impl<T, W: Wake> Remote<T, W> {
    /// Binds an inbox to a waker of the kernel that its loop parks in.
    pub const fn new(inbox: Arc<Inbox<T>>, waker: W) -> Self {
        Self { inbox, waker }
    }

    /// Leaves an item and wakes the loop if it has to be woken.
    ///
    /// # Errors
    /// A closed inbox hands the item back.
    pub fn send(&self, item: T) -> Result<(), T> {
        if self.inbox.push(item)? {
            self.waker.wake();
        }
        Ok(())
    }

    /// Makes the loop go round once more.
    pub fn wake(&self) {
        if self.inbox.request_wake() {
            self.waker.wake();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn drained<T>(inbox: &Inbox<T>) -> Vec<T> {
        let mut ready = Ready::new();
        inbox.drain_into(&mut ready);
        ready.drain_all()
    }

    #[test]
    fn a_push_while_the_loop_works_needs_no_wake() {
        let inbox = Inbox::new();
        assert_eq!(inbox.push(1), Ok(false));
        assert!(!inbox.is_empty());
        assert!(!inbox.prepare_park(), "there is work");
        assert_eq!(drained(&inbox), [1]);
        assert!(inbox.is_empty() && inbox.prepare_park());
    }

    #[test]
    fn only_the_first_push_while_parked_wakes() {
        let inbox = Inbox::new();
        assert!(inbox.prepare_park());
        assert_eq!(inbox.push(1), Ok(true));
        assert_eq!(inbox.push(2), Ok(false));
        assert!(!inbox.request_wake());
        assert!(inbox.unpark(), "somebody woke it");
        assert_eq!(drained(&inbox), [1, 2]);
        assert!(inbox.prepare_park());
        assert!(!inbox.unpark(), "nobody woke it");
    }

    #[test]
    fn a_wake_without_an_item_counts_once() {
        let inbox = Inbox::<()>::new();
        assert!(!inbox.request_wake(), "awake already");
        assert!(!inbox.prepare_park(), "but it must go round");
        inbox.unpark();
        assert!(inbox.prepare_park());
        assert!(inbox.request_wake());
        assert!(!inbox.request_wake());
        assert!(inbox.unpark());
        assert!(inbox.is_empty() && drained(&inbox).is_empty());
    }

    #[test]
    fn a_closed_inbox_hands_everything_back() {
        let inbox = Inbox::new();
        assert_eq!(inbox.push("left"), Ok(false));
        let mut seen = Vec::new();
        inbox.for_each(|item| seen.push(*item));
        assert_eq!(seen, ["left"]);
        assert_eq!(inbox.close(), ["left"]);
        assert!(inbox.is_closed() && inbox.is_empty());
        assert_eq!(inbox.push("late"), Err("late"));
        assert!(inbox.close().is_empty());
    }

    #[test]
    fn arrivals_go_behind_what_is_ready() {
        let inbox = Inbox::new();
        let mut ready = Ready::new();
        ready.push(0);
        for item in 1..1_000 {
            assert_eq!(inbox.push(item), Ok(false));
        }
        inbox.drain_into(&mut ready);
        assert_eq!(ready.drain_all(), (0..1_000).collect::<Vec<_>>());
        assert!(inbox.queue().items.capacity() <= 2 * KEEP);
    }
}
