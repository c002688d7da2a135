//! A kernel that does what a test tells it to, on a clock that only the test and its own waits move.
//!
//! - Readiness comes from a script: [`ScriptedKernel::at`] says when which descriptor is ready for what. A wait
//!   moves the clock to the next entry or to its deadline, whichever is first, and never sleeps.
//! - Sockets are placeholders ([`ScriptedKernel::socket`]) with scripted answers: what `recv` gives, how much
//!   `send` takes, what `accept` hands out. What was sent is kept.
//!
//! The kernel is a handle: a clone drives the same script, so a test keeps one and gives the other to the loop.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::{Event, Kernel, Wait, Waiter, Wake};
use crate::interest::{Interest, Readiness};
use crate::net::{Address, ListenOptions};
use crate::time::Nanos;
use crate::token::Token;

/// What a `recv` finds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Incoming {
    /// Bytes; a short buffer leaves the rest for the next call.
    Data(Vec<u8>),
    /// The end of the stream, from now on.
    Eof,
    /// An error, by its number.
    Error(i32),
}

/// A datagram, and its sender if that has an address.
pub type Datagram = (Vec<u8>, Option<Address>);

/// How a `send` goes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum SendResult {
    /// At most this many bytes are taken.
    AtMost(usize),
    /// No room.
    WouldBlock,
    /// An error, by its number.
    Error(i32),
}

/// What the loop asked of its set of descriptors, in order.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Call {
    /// [`Kernel::register`].
    Register(RawFd, Interest),
    /// [`Kernel::modify`].
    Modify(RawFd, Interest),
    /// [`Kernel::deregister`].
    Deregister(RawFd),
    /// [`Waiter::wait`].
    Wait(Wait),
}

#[derive(Debug)]
enum Step {
    Ready(RawFd, Readiness),
    Late(Token, Readiness),
    Interrupt,
    Fail(i32),
}

#[derive(Debug, Default)]
struct Socket {
    incoming: VecDeque<Incoming>,
    sends: VecDeque<SendResult>,
    sent: Vec<u8>,
    /// Waits for what was said to follow.
    held: Vec<u8>,
    datagrams: VecDeque<Result<Datagram, i32>>,
    sent_to: Vec<(Vec<u8>, Address)>,
    accepts: VecDeque<Result<OwnedFd, i32>>,
    shut: bool,
    nodelay: bool,
    error: Option<i32>,
    local: Option<Address>,
    peer: Option<Address>,
}

#[derive(Debug, Default)]
struct State {
    now: Nanos,
    woken: bool,
    /// Ordered by time; equal times in the order they were scripted.
    script: VecDeque<(Nanos, Step)>,
    watched: HashMap<RawFd, (Token, Interest)>,
    sockets: HashMap<RawFd, Socket>,
    calls: Vec<Call>,
    refusals: VecDeque<i32>,
    connects: VecDeque<Result<bool, i32>>,
    entropy: u64,
}

/// The scripted kernel: see the [module](self).
#[derive(Clone, Debug, Default)]
pub struct ScriptedKernel {
    state: Arc<Mutex<State>>,
}

/// Ends the next wait of its kernel.
#[derive(Clone, Debug)]
pub struct ScriptedWaker(ScriptedKernel);

/// Plays the script.
#[derive(Debug)]
pub struct ScriptedWaiter {
    kernel: ScriptedKernel,
    events: Vec<Event>,
}

impl ScriptedKernel {
    /// Nothing scripted, the clock at its origin.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn script(&self, time: Nanos, step: Step) {
        let mut state = self.state();
        let place = state.script.partition_point(|(other, _)| *other <= time);
        state.script.insert(place, (time, step));
    }

    /// Moves the clock.
    pub fn advance(&self, by: Nanos) {
        let mut state = self.state();
        state.now = state.now.saturating_add(by);
    }

    /// At `time` the descriptor is ready, once. Nobody hears of it who does not watch it for that at the time;
    /// errors and hang-ups reach whoever watches for anything.
    pub fn at(&self, time: Nanos, fd: RawFd, readiness: Readiness) {
        self.script(time, Step::Ready(fd, readiness));
    }

    /// At `time` an event comes for this token, registered or not: a late one.
    pub fn late_event(&self, time: Nanos, token: Token, readiness: Readiness) {
        self.script(time, Step::Late(token, readiness));
    }

    /// At `time` a signal interrupts the wait.
    pub fn interrupt_at(&self, time: Nanos) {
        self.script(time, Step::Interrupt);
    }

    /// At `time` the wait fails with this error number.
    pub fn fail_wait_at(&self, time: Nanos, error: i32) {
        self.script(time, Step::Fail(error));
    }

    /// The next call that registers or changes a descriptor fails with this error number.
    pub fn refuse_registration(&self, error: i32) {
        self.state().refusals.push_back(error);
    }

    /// The next connect: in progress or not, or an error number. By default it succeeds at once.
    pub fn script_connect(&self, result: Result<bool, i32>) {
        self.state().connects.push_back(result);
    }

    /// A descriptor with a number of its own. Behind it is `/dev/null`, so that it can be owned and closed.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn socket(&self) -> io::Result<OwnedFd> {
        let fd = OwnedFd::from(File::open("/dev/null")?);
        self.state()
            .sockets
            .insert(fd.as_raw_fd(), Socket::default());
        Ok(fd)
    }

    fn socket_state<R>(&self, fd: RawFd, body: impl FnOnce(&mut Socket) -> R) -> io::Result<R> {
        self.state()
            .sockets
            .get_mut(&fd)
            .map(body)
            .ok_or_else(|| error(Errno::BADF.raw_os_error()))
    }

    /// What a `recv` on the socket finds next.
    ///
    /// # Errors
    /// `EBADF` for a socket of another kernel, or a closed one; so for all that script a socket.
    pub fn script_incoming(&self, fd: RawFd, incoming: Incoming) -> io::Result<()> {
        self.socket_state(fd, |socket| socket.incoming.push_back(incoming))
    }

    /// How the next `send` goes; without a script it takes everything.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn script_send(&self, fd: RawFd, result: SendResult) -> io::Result<()> {
        self.socket_state(fd, |socket| socket.sends.push_back(result))
    }

    /// What the next `recv_from` gives: a datagram and its sender, or an error number. Without a script there is
    /// nothing to receive.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn script_datagram(&self, fd: RawFd, result: Result<Datagram, i32>) -> io::Result<()> {
        self.socket_state(fd, |socket| socket.datagrams.push_back(result))
    }

    /// What was sent to an address so far, a datagram each. A `send_to` goes as [`Self::script_send`] says.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn sent_to(&self, fd: RawFd) -> io::Result<Vec<(Vec<u8>, Address)>> {
        self.socket_state(fd, |socket| socket.sent_to.clone())
    }

    /// What the next `accept` gives: a socket, or an error number.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn script_accept(&self, fd: RawFd, result: Result<OwnedFd, i32>) -> io::Result<()> {
        self.socket_state(fd, |socket| socket.accepts.push_back(result))
    }

    /// The error that [`Kernel::take_error`] finds.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn script_error(&self, fd: RawFd, error: i32) -> io::Result<()> {
        self.socket_state(fd, |socket| socket.error = Some(error))
    }

    /// Everything sent on the socket so far.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn sent(&self, fd: RawFd) -> io::Result<Vec<u8>> {
        self.socket_state(fd, |socket| socket.sent.clone())
    }

    /// Whether the writing half was shut down.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn is_shut(&self, fd: RawFd) -> io::Result<bool> {
        self.socket_state(fd, |socket| socket.shut)
    }

    /// Whether `TCP_NODELAY` was set.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn nodelay(&self, fd: RawFd) -> io::Result<bool> {
        self.socket_state(fd, |socket| socket.nodelay)
    }

    /// How many sockets are open.
    pub fn open_sockets(&self) -> usize {
        self.state().sockets.len()
    }

    /// What the descriptor is watched for; nothing when it is not watched.
    pub fn watched(&self, fd: RawFd) -> Option<Interest> {
        self.state().watched.get(&fd).map(|(_, interest)| *interest)
    }

    /// What was asked of the set of descriptors since the last time.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.state().calls)
    }

    fn check_refusal(&self) -> io::Result<()> {
        self.state()
            .refusals
            .pop_front()
            .map_or(Ok(()), |number| Err(error(number)))
    }

    fn take_send(&self, fd: RawFd, length: usize) -> io::Result<usize> {
        match self.socket_state(fd, |socket| socket.sends.pop_front())? {
            None => Ok(length),
            Some(SendResult::AtMost(most)) => Ok(length.min(most)),
            Some(SendResult::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Some(SendResult::Error(number)) => Err(error(number)),
        }
    }
}

fn error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

const fn nowhere() -> Address {
    Address::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))
}

impl Wake for ScriptedWaker {
    fn wake(&self) {
        self.0.state().woken = true;
    }
}

impl Waiter for ScriptedWaiter {
    /// Plays every step that is due; when there is none, moves the clock first.
    ///
    /// # Errors
    /// What the script says; and `TimedOut` for a wait that would never end.
    fn wait(&mut self, wait: Wait, _now: Nanos) -> io::Result<()> {
        self.events.clear();
        let mut guard = self.kernel.state();
        let state = &mut *guard;
        state.calls.push(Call::Wait(wait));
        let woken = std::mem::take(&mut state.woken);
        let next = state.script.front().map(|(time, _)| *time);
        let until = match (wait, next) {
            (Wait::Poll, _) => state.now,
            _ if woken => state.now,
            (Wait::Until(deadline), Some(next)) => deadline.min(next),
            (Wait::Until(deadline), None) => deadline,
            (Wait::Forever, Some(next)) => next,
            (Wait::Forever, None) => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the script is over and the wait has no end",
                ));
            }
        };
        state.now = state.now.max(until);
        while state
            .script
            .front()
            .is_some_and(|(time, _)| *time <= state.now)
        {
            let Some((time, step)) = state.script.pop_front() else {
                break;
            };
            match step {
                Step::Ready(fd, readiness) => {
                    if let Some((token, interest)) = state.watched.get_mut(&fd)
                        && !readiness.for_interest(*interest).is_empty()
                    {
                        self.events.push(Event {
                            token: *token,
                            readiness,
                        });
                        if interest.is_once() {
                            *interest = Interest::NONE;
                        }
                    }
                }
                Step::Late(token, readiness) => self.events.push(Event { token, readiness }),
                // As with the system: what has been found is reported first.
                Step::Interrupt | Step::Fail(_) if !self.events.is_empty() => {
                    state.script.push_front((time, step));
                    break;
                }
                Step::Interrupt => return Err(io::ErrorKind::Interrupted.into()),
                Step::Fail(number) => return Err(error(number)),
            }
        }
        Ok(())
    }

    fn events(&self) -> impl Iterator<Item = Event> {
        self.events.iter().copied()
    }

    fn clear(&mut self) {
        self.events.clear();
    }
}

impl Kernel for ScriptedKernel {
    type Waiter = ScriptedWaiter;
    type Waker = ScriptedWaker;

    fn now(&self) -> Nanos {
        self.state().now
    }

    fn waiter(&mut self) -> io::Result<ScriptedWaiter> {
        Ok(ScriptedWaiter {
            kernel: self.clone(),
            events: Vec::new(),
        })
    }

    fn waker(&self) -> ScriptedWaker {
        ScriptedWaker(self.clone())
    }

    fn retire(&mut self) {
        self.state().watched.clear();
    }

    fn register(&mut self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        self.check_refusal()?;
        let mut state = self.state();
        state.calls.push(Call::Register(fd, interest));
        state.watched.insert(fd, (token, interest));
        Ok(())
    }

    fn modify(&mut self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        self.check_refusal()?;
        let mut state = self.state();
        state.calls.push(Call::Modify(fd, interest));
        state.watched.insert(fd, (token, interest));
        Ok(())
    }

    fn deregister(&mut self, fd: RawFd) -> io::Result<()> {
        let mut state = self.state();
        state.calls.push(Call::Deregister(fd));
        state.watched.remove(&fd);
        Ok(())
    }

    fn recv(&mut self, fd: RawFd, buf: &mut [u8]) -> io::Result<usize> {
        self.socket_state(fd, |socket| match socket.incoming.front_mut() {
            None => Err(io::ErrorKind::WouldBlock.into()),
            Some(Incoming::Eof) => Ok(0),
            Some(Incoming::Error(number)) => {
                let number = *number;
                socket.incoming.pop_front();
                Err(error(number))
            }
            Some(Incoming::Data(data)) => {
                let length = data.len().min(buf.len());
                buf[..length].copy_from_slice(&data[..length]);
                data.drain(..length);
                if data.is_empty() {
                    socket.incoming.pop_front();
                }
                Ok(length)
            }
        })?
    }

    fn send(&mut self, fd: RawFd, data: &[u8]) -> io::Result<usize> {
        let length = self.take_send(fd, data.len())?;
        self.socket_state(fd, |socket| {
            socket.held.extend_from_slice(&data[..length]);
            socket.sent.append(&mut socket.held);
        })?;
        Ok(length)
    }

    fn send_more(&mut self, fd: RawFd, data: &[u8]) -> io::Result<usize> {
        let length = self.take_send(fd, data.len())?;
        self.socket_state(fd, |socket| socket.held.extend_from_slice(&data[..length]))?;
        Ok(length)
    }

    fn push(&mut self, fd: RawFd) -> io::Result<()> {
        self.socket_state(fd, |socket| socket.sent.append(&mut socket.held))
    }

    fn send_vectored(&mut self, fd: RawFd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let data: Vec<u8> = bufs
            .iter()
            .flat_map(|piece| piece.iter().copied())
            .collect();
        self.send(fd, &data)
    }

    fn recv_from(&mut self, fd: RawFd, buf: &mut [u8]) -> io::Result<(usize, Option<Address>)> {
        match self.socket_state(fd, |socket| socket.datagrams.pop_front())? {
            None => Err(io::ErrorKind::WouldBlock.into()),
            Some(Err(number)) => Err(error(number)),
            Some(Ok((data, from))) => {
                let length = data.len().min(buf.len());
                buf[..length].copy_from_slice(&data[..length]);
                Ok((length, from))
            }
        }
    }

    fn send_to(&mut self, fd: RawFd, data: &[u8], to: &Address) -> io::Result<usize> {
        // A datagram goes whole: a script that takes less is for streams.
        self.take_send(fd, data.len())?;
        self.socket_state(fd, |socket| {
            socket.sent_to.push((data.to_vec(), to.clone()))
        })?;
        Ok(data.len())
    }

    /// As `recv`: a placeholder does not tell a pipe from a socket.
    fn read(&mut self, fd: RawFd, buf: &mut [u8]) -> io::Result<usize> {
        self.recv(fd, buf)
    }

    /// As `send`.
    fn write(&mut self, fd: RawFd, data: &[u8]) -> io::Result<usize> {
        self.send(fd, data)
    }

    /// As `send_vectored`.
    fn write_vectored(&mut self, fd: RawFd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send_vectored(fd, bufs)
    }

    fn accept(&mut self, fd: RawFd) -> io::Result<(OwnedFd, Address)> {
        match self.socket_state(fd, |socket| socket.accepts.pop_front())? {
            None => Err(io::ErrorKind::WouldBlock.into()),
            Some(Err(number)) => Err(error(number)),
            Some(Ok(accepted)) => {
                let peer = self.peer_address(accepted.as_raw_fd()).unwrap_or(nowhere());
                Ok((accepted, peer))
            }
        }
    }

    fn shutdown_write(&mut self, fd: RawFd) -> io::Result<()> {
        self.socket_state(fd, |socket| socket.shut = true)
    }

    fn close(&mut self, fd: OwnedFd) {
        let mut state = self.state();
        state.sockets.remove(&fd.as_raw_fd());
        state.watched.remove(&fd.as_raw_fd());
    }

    fn local_address(&self, fd: RawFd) -> io::Result<Address> {
        self.socket_state(fd, |socket| socket.local.clone().unwrap_or(nowhere()))
    }

    fn peer_address(&self, fd: RawFd) -> io::Result<Address> {
        self.socket_state(fd, |socket| socket.peer.clone().unwrap_or(nowhere()))
    }

    fn unread(&self, fd: RawFd) -> io::Result<u64> {
        self.socket_state(fd, |socket| {
            let data = socket.incoming.iter().map(|incoming| match incoming {
                Incoming::Data(data) => data.len() as u64,
                _ => 0,
            });
            data.sum()
        })
    }

    fn set_nodelay(&mut self, fd: RawFd, on: bool) -> io::Result<()> {
        self.socket_state(fd, |socket| socket.nodelay = on)
    }

    fn take_error(&mut self, fd: RawFd) -> io::Result<Option<io::Error>> {
        self.socket_state(fd, |socket| socket.error.take().map(error))
    }

    fn listen(&mut self, addr: &Address, _options: &ListenOptions) -> io::Result<OwnedFd> {
        let fd = self.socket()?;
        self.socket_state(fd.as_raw_fd(), |socket| socket.local = Some(addr.clone()))?;
        Ok(fd)
    }

    fn connect(&mut self, addr: &Address) -> io::Result<(OwnedFd, bool)> {
        let result = self.state().connects.pop_front().unwrap_or(Ok(false));
        let in_progress = result.map_err(error)?;
        let fd = self.socket()?;
        self.socket_state(fd.as_raw_fd(), |socket| socket.peer = Some(addr.clone()))?;
        Ok((fd, in_progress))
    }

    /// Bytes that are the same in every run.
    fn entropy(&mut self, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        for byte in out {
            // A Weyl sequence: odd steps, the high bits out.
            state.entropy = state.entropy.wrapping_add(0x9e37_79b9_7f4a_7c15);
            *byte = (state.entropy >> 56) as u8;
        }
        Ok(())
    }
}
