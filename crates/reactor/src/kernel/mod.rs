//! The contract between the loop and the system: non-blocking calls and one wait.
//!
//! Above this folder nobody makes a system call, reads the clock or asks for entropy. *In:* descriptors with an
//! interest, and calls on them that never block. *Out:* [`Event`]s that carry the [`Token`] of whoever waits.
//!
//! Readiness is level-triggered: what has not been read is reported again.
//!
//! | file | which kernel |
//! | --- | --- |
//! | [`system`] | the operating system's (Linux: epoll). Another system's twin would stand beside it |
//! | `alarm` | its deadlines to the nanosecond |
//! | [`scripted`] | one that does what a test tells it to, on a clock that the test moves |

use std::io::{self, IoSlice};
use std::os::fd::{OwnedFd, RawFd};

use crate::interest::{Interest, Readiness};
use crate::net::{Address, ListenOptions};
use crate::time::Nanos;
use crate::token::Token;

mod alarm;
pub mod scripted;
#[expect(
    unsafe_code,
    reason = "descriptors by number become borrowed ones; the list of events moves between threads"
)]
pub mod system;

/// The most pieces one [`Kernel::send_vectored`] may be given.
pub const MAX_IOVECS: usize = 64;

/// How long a wait may last.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Wait {
    /// Not at all: report what is there.
    Poll,
    /// Until this moment on the kernel's clock.
    Until(Nanos),
    /// Until something happens.
    Forever,
}

/// Somebody's descriptor is ready.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Who.
    pub token: Token,
    /// For what; may be both directions at once.
    pub readiness: Readiness,
}

/// The part of a kernel that sleeps. It is owned apart from the [`Kernel`], so that nothing is borrowed while the
/// loop is parked and other threads run.
pub trait Waiter: Send {
    /// Forgets the events of the last wait, and waits for new ones.
    ///
    /// `now` is the kernel's time as the caller has just read it. A wait with a deadline never ends before it
    /// because of rounding; it may end early with nothing to report, for instance when the loop was woken.
    ///
    /// # Errors
    /// A signal gives [`io::ErrorKind::Interrupted`]: the embedder runs its signal handlers and goes round again.
    /// After an error there are no events.
    fn wait(&mut self, wait: Wait, now: Nanos) -> io::Result<()>;

    /// What the last wait reported. Wake-ups by a [`Wake`] are not among them.
    fn events(&self) -> impl Iterator<Item = Event>;

    /// Forgets what the last wait reported.
    fn clear(&mut self);
}

/// Ends the wait of a [`Waiter`], from any thread. A wake-up while nobody waits ends the next wait at once.
pub trait Wake: Send + Sync {
    /// Wakes. The system's kernel does nothing but one write here, so that a signal handler may call it.
    fn wake(&self);
}

/// The non-blocking calls, the clock and the set of watched descriptors.
///
/// Calls that would block give [`io::ErrorKind::WouldBlock`]. Descriptors are borrowed by number: the caller
/// vouches that it owns them.
pub trait Kernel: Send {
    /// The part that sleeps.
    type Waiter: Waiter;
    /// The part that wakes it.
    type Waker: Wake + Clone + 'static;

    /// The monotonic clock.
    fn now(&self) -> Nanos;

    /// A waiter for this kernel's set of descriptors. One is in use at a time.
    fn waiter(&mut self) -> io::Result<Self::Waiter>;

    /// Something that wakes the waiter.
    fn waker(&self) -> Self::Waker;

    /// Gives the poller and the waker back to the system, once and for all. What they watched is left alone: after
    /// a fork it is the parent's as well, and taking it out here would take it out there.
    ///
    /// Nothing can be watched afterwards; calls on descriptors go on working.
    fn retire(&mut self);

    /// Watches a descriptor. One that is watched already is changed instead.
    fn register(&mut self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()>;

    /// Changes the token and interest of a watched descriptor. One that is not watched, because it was closed and
    /// its number given away behind our back, is added instead.
    fn modify(&mut self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()>;

    /// Stops watching. That it was not watched, or is closed, is no error.
    fn deregister(&mut self, fd: RawFd) -> io::Result<()>;

    /// Receives what is there; 0 is the end of the stream.
    fn recv(&mut self, fd: RawFd, buf: &mut [u8]) -> io::Result<usize>;

    /// Sends what fits; a broken pipe is an error, never a signal.
    fn send(&mut self, fd: RawFd, data: &[u8]) -> io::Result<usize>;

    /// Sends what fits, and says that more follows at once: TCP need not make a packet of it before that is there, or
    /// before [`Kernel::push`]. It does so by itself after a fifth of a second. To other sockets it is [`Kernel::send`].
    fn send_more(&mut self, fd: RawFd, data: &[u8]) -> io::Result<usize>;

    /// No more follows: what [`Kernel::send_more`] was given goes out. A socket that is not TCP's has nothing to push.
    fn push(&mut self, fd: RawFd) -> io::Result<()>;

    /// Sends what fits of several pieces, at most [`MAX_IOVECS`] of them.
    fn send_vectored(&mut self, fd: RawFd, bufs: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Receives one datagram: its length and its sender, where the sender has an address. What does not fit into
    /// `buf` is lost, as the system has it; a length of 0 is an empty datagram, not an end.
    fn recv_from(&mut self, fd: RawFd, buf: &mut [u8]) -> io::Result<(usize, Option<Address>)>;

    /// Sends one datagram, whole or not at all. On a connected socket, [`Kernel::send`] does.
    fn send_to(&mut self, fd: RawFd, data: &[u8], to: &Address) -> io::Result<usize>;

    /// Reads what is there in a pipe, a terminal or a socket; 0 is the end. The descriptor is set not to block.
    fn read(&mut self, fd: RawFd, buf: &mut [u8]) -> io::Result<usize>;

    /// Writes what fits into a pipe, a terminal or a socket. The descriptor is set not to block; a broken pipe is an
    /// error for as long as `SIGPIPE` is ignored, as Python sees to when it starts.
    fn write(&mut self, fd: RawFd, data: &[u8]) -> io::Result<usize>;

    /// Writes what fits of several pieces, at most [`MAX_IOVECS`] of them.
    fn write_vectored(&mut self, fd: RawFd, bufs: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Takes a connection: non-blocking, not inherited by child processes.
    fn accept(&mut self, fd: RawFd) -> io::Result<(OwnedFd, Address)>;

    /// Tells the peer that nothing more comes.
    fn shutdown_write(&mut self, fd: RawFd) -> io::Result<()>;

    /// Closes a descriptor. Its owner has deregistered it before.
    fn close(&mut self, fd: OwnedFd);

    /// Where the socket is.
    fn local_address(&self, fd: RawFd) -> io::Result<Address>;

    /// Where its peer is.
    fn peer_address(&self, fd: RawFd) -> io::Result<Address>;

    /// How many bytes have arrived and were not read.
    fn unread(&self, fd: RawFd) -> io::Result<u64>;

    /// `TCP_NODELAY`.
    fn set_nodelay(&mut self, fd: RawFd, on: bool) -> io::Result<()>;

    /// `SO_ERROR`: the pending error, such as the end of a connect; it is forgotten by being read.
    fn take_error(&mut self, fd: RawFd) -> io::Result<Option<io::Error>>;

    /// A listening socket. One for IPv6 does not take IPv4 connections, as asyncio's do not.
    fn listen(&mut self, addr: &Address, options: &ListenOptions) -> io::Result<OwnedFd>;

    /// Begins a connection. True when it is in progress: wait for room to write, then [`Kernel::take_error`].
    fn connect(&mut self, addr: &Address) -> io::Result<(OwnedFd, bool)>;

    /// Fills `out` with unpredictable bytes.
    fn entropy(&mut self, out: &mut [u8]) -> io::Result<()>;
}
