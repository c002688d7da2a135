//! The operating system's kernel, on Linux: level-triggered epoll, and an eventfd to be woken by.
//!
//! **Timeouts** are nanoseconds where the system has a timerfd for us ([`Alarm`]), milliseconds rounded up elsewhere. It
//! is asked once, when the kernel is made, and the answer is kept with its reason ([`SystemKernel::facts`]). A timeout
//! that needs no nanoseconds (none, for ever, or far away) is that of the wait itself, and costs no further call.
//!
//! **The waker** is watched edge-triggered: each write to an eventfd is an edge of its own whether or not the
//! count was read before, so nobody has to read it, which saves a system call per wake-up. The count cannot
//! overflow: it would take 2^64 - 2 wakes.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, Weak};

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrAny,
    SocketAddrUnix, SocketFlags, SocketType, sockopt,
};
use rustix::rand::{GetRandomFlags, getrandom};
use rustix::time::{ClockId, clock_gettime};

use super::alarm::Alarm;
use super::{Event, Kernel, Wait, Waiter, Wake};
use crate::interest::{Interest, Readiness};
use crate::net::{Address, ListenOptions};
use crate::time::Nanos;
use crate::token::Token;

/// Events taken per wait at first; doubled while waits come back full.
const EVENTS: usize = 256;
/// Where doubling ends.
const MOST_EVENTS: usize = 4096;
/// The longest wait in milliseconds: the call takes a signed 32-bit number. The loop goes round and waits again.
const LONGEST_MILLIS: u64 = i32::MAX as u64;
/// A deadline at least this far away is waited for in whole milliseconds first.
const FAR: Nanos = Nanos::from_millis(10);
const NANOS_PER_MILLI: u64 = 1_000_000;

/// How fine a timeout may be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum TimeoutPrecision {
    /// A timerfd.
    Nanoseconds,
    /// The timeout of `epoll_wait`, rounded up.
    Milliseconds,
}

impl fmt::Display for TimeoutPrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nanoseconds => "nanoseconds",
            Self::Milliseconds => "milliseconds",
        })
    }
}

/// What was found out about the system, and why we do what we do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SystemFacts {
    /// The interface that reports readiness.
    pub poller: &'static str,
    /// How fine a timeout may be.
    pub timeouts: TimeoutPrecision,
    /// Why that precision.
    pub reason: String,
    /// What other threads wake the loop with.
    pub waker: &'static str,
}

/// The system's kernel: see the [module](self).
#[derive(Debug)]
pub struct SystemKernel {
    /// None once retired.
    poller: Option<Poller>,
    facts: SystemFacts,
}

#[derive(Debug)]
struct Poller {
    epoll: Arc<OwnedFd>,
    eventfd: Arc<OwnedFd>,
    alarm: Option<Arc<Alarm>>,
}

impl SystemKernel {
    /// Asks the system for what the loop needs.
    ///
    /// # Errors
    /// No descriptor or memory is left for the epoll or the eventfd.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        match Alarm::new(&epoll) {
            Ok(alarm) => Self::build(epoll, Some(alarm), "the kernel has timerfd".to_owned()),
            Err(error) => Self::build(epoll, None, format!("timerfd does not work here: {error}")),
        }
    }

    /// One that does not use a timerfd, as if the system had none.
    ///
    /// # Errors
    /// As [`SystemKernel::new`].
    pub fn with_millisecond_timeouts() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Self::build(epoll, None, "milliseconds were asked for".to_owned())
    }

    fn build(epoll: OwnedFd, alarm: Option<Alarm>, reason: String) -> io::Result<Self> {
        let waker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(
            &epoll,
            &waker,
            epoll::EventData::new_u64(Token::WAKER.to_u64()),
            edge,
        )?;
        let timeouts = match alarm {
            Some(_) => TimeoutPrecision::Nanoseconds,
            None => TimeoutPrecision::Milliseconds,
        };
        Ok(Self {
            poller: Some(Poller {
                epoll: Arc::new(epoll),
                eventfd: Arc::new(waker),
                alarm: alarm.map(Arc::new),
            }),
            facts: SystemFacts {
                poller: "epoll",
                timeouts,
                reason,
                waker: "eventfd",
            },
        })
    }

    /// What was found out about the system.
    pub const fn facts(&self) -> &SystemFacts {
        &self.facts
    }

    #[inline]
    fn poller(&self) -> io::Result<&Poller> {
        self.poller.as_ref().ok_or_else(|| Errno::BADF.into())
    }
}

/// Wakes the loop: one write to an eventfd. Does nothing once the kernel is retired.
#[derive(Clone, Debug)]
pub struct SystemWaker(Weak<OwnedFd>);

impl Wake for SystemWaker {
    #[inline]
    fn wake(&self) {
        if let Some(eventfd) = self.0.upgrade() {
            // The only failure is a full count, and then a wake-up is on its way.
            let _ = rustix::io::write(&*eventfd, &1_u64.to_ne_bytes());
        }
    }
}

/// What the kernel wrote.
struct Events(Vec<epoll::Event>);

// SAFETY: an event may carry a pointer, but ours are all registered with a number; rustix's type is not `Send` only
// for the sake of the pointer.
unsafe impl Send for Events {}
// SAFETY: as above; and a shared reference only reads.
unsafe impl Sync for Events {}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("len", &self.0.len())
            .finish_non_exhaustive()
    }
}

/// Sleeps in epoll.
#[derive(Debug)]
pub struct SystemWaiter {
    epoll: Arc<OwnedFd>,
    events: Events,
    alarm: Option<Arc<Alarm>>,
}

impl SystemWaiter {
    /// Whole milliseconds, or for ever: the cheapest wait there is.
    #[inline]
    fn wait_millis(&mut self, millis: Option<u64>) -> io::Result<()> {
        let timeout = millis.map(|millis| {
            let millis = millis.min(LONGEST_MILLIS);
            Timespec {
                tv_sec: (millis / 1_000) as i64,
                tv_nsec: (millis % 1_000 * 1_000_000) as _,
            }
        });
        epoll::wait(
            &*self.epoll,
            spare_capacity(&mut self.events.0),
            timeout.as_ref(),
        )?;
        Ok(())
    }

    #[inline]
    fn wait_until(&mut self, deadline: Nanos, now: Nanos) -> io::Result<()> {
        let mut left = deadline.saturating_sub(now);
        if left == Nanos::ZERO {
            return self.wait_millis(Some(0));
        }
        if self.alarm.is_none() {
            // Up, never down: a wait that ends early makes a loop that spins until the deadline.
            return self.wait_millis(Some(left.0.div_ceil(NANOS_PER_MILLI)));
        }
        if left >= FAR {
            // A busy loop with a far deadline hardly ever gets there, and this is one call less.
            // `now` may be of another clock than ours, so only the distance counts.
            let until = monotonic().saturating_add(left);
            self.wait_millis(Some(left.0 / NANOS_PER_MILLI))?;
            if !self.events.0.is_empty() {
                return Ok(());
            }
            left = until.saturating_sub(monotonic());
            if left == Nanos::ZERO {
                return Ok(());
            }
        }
        if let Some(alarm) = &self.alarm {
            alarm.set(left)?;
        }
        self.wait_millis(None)
    }
}

impl Waiter for SystemWaiter {
    #[inline]
    fn wait(&mut self, wait: Wait, now: Nanos) -> io::Result<()> {
        let events = &mut self.events.0;
        if events.len() == events.capacity() && events.len() < MOST_EVENTS {
            let more = 2 * events.len();
            events.clear();
            events.reserve_exact(more);
        }
        events.clear();
        match wait {
            Wait::Poll => self.wait_millis(Some(0)),
            Wait::Until(deadline) => self.wait_until(deadline, now),
            Wait::Forever => self.wait_millis(None),
        }
    }

    #[inline]
    fn events(&self) -> impl Iterator<Item = Event> {
        self.events.0.iter().filter_map(|event| {
            let (data, flags) = (event.data, event.flags);
            let token = Token::from_u64(data.u64());
            (token != Token::WAKER && token != Token::ALARM).then(|| Event {
                token,
                readiness: readiness(flags),
            })
        })
    }

    #[inline]
    fn clear(&mut self) {
        self.events.0.clear();
    }
}

#[inline]
fn monotonic() -> Nanos {
    let time = clock_gettime(ClockId::Monotonic);
    Nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

#[inline]
fn readiness(flags: epoll::EventFlags) -> Readiness {
    let mut readiness = Readiness::NONE;
    if flags.contains(epoll::EventFlags::IN) {
        readiness = readiness.with(Readiness::READABLE);
    }
    if flags.contains(epoll::EventFlags::OUT) {
        readiness = readiness.with(Readiness::WRITABLE);
    }
    if flags.contains(epoll::EventFlags::ERR) {
        readiness = readiness.with(Readiness::ERROR);
    }
    if flags.contains(epoll::EventFlags::HUP) {
        readiness = readiness.with(Readiness::HANGUP);
    }
    readiness
}

#[inline]
fn flags(interest: Interest) -> epoll::EventFlags {
    let mut flags = epoll::EventFlags::empty();
    if interest.contains(Interest::READ) {
        flags |= epoll::EventFlags::IN;
    }
    if interest.contains(Interest::WRITE) {
        flags |= epoll::EventFlags::OUT;
    }
    if interest.is_once() {
        flags |= epoll::EventFlags::ONESHOT;
    }
    flags
}

/// The descriptor a caller named by number.
///
/// # Errors
/// A negative number is `EBADF`, as the system would say.
#[inline]
fn borrow<'fd>(fd: RawFd) -> io::Result<BorrowedFd<'fd>> {
    if fd < 0 {
        return Err(Errno::BADF.into());
    }
    // SAFETY: not -1. The contract of `Kernel` is that the caller owns the descriptor for the length of the call;
    // it goes into one system call and no further, and one that is closed makes that call fail with EBADF.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

fn to_address(address: Option<SocketAddrAny>) -> Address {
    // Some systems give no address at all for a peer without a name.
    let Some(address) = address else {
        return Address::UnixUnnamed;
    };
    let family = address.address_family();
    let known = match family {
        AddressFamily::INET => address.try_into().map(Address::V4).ok(),
        AddressFamily::INET6 => address.try_into().map(Address::V6).ok(),
        AddressFamily::UNIX => Some(to_unix_address(&address)),
        _ => None,
    };
    known.unwrap_or_else(|| Address::Other(family.as_raw() as _))
}

/// By hand: rustix panics for a path that fills its field and so has no NUL in it.
fn to_unix_address(address: &SocketAddrAny) -> Address {
    // SAFETY: an address is initialised up to its length, and lives as long as the borrow.
    let bytes = unsafe {
        std::slice::from_raw_parts(address.as_ptr().cast::<u8>(), address.addr_len() as usize)
    };
    // On Linux the family takes two bytes, and the rest is the name.
    match bytes.get(2..).unwrap_or_default() {
        [] => Address::UnixUnnamed,
        [0, name @ ..] => Address::UnixAbstract(name.into()),
        path => {
            let end = path
                .iter()
                .position(|byte| *byte == 0)
                .unwrap_or(path.len());
            Address::UnixPath(path[..end].into())
        }
    }
}

fn from_address(address: &Address) -> io::Result<SocketAddrAny> {
    Ok(match address {
        Address::V4(address) => (*address).into(),
        Address::V6(address) => (*address).into(),
        // An empty path would be taken for an abstract name.
        Address::UnixPath(path) if path.is_empty() => return Err(Errno::INVAL.into()),
        Address::UnixPath(path) => SocketAddrUnix::new(&**path)?.into(),
        Address::UnixAbstract(name) => SocketAddrUnix::new_abstract_name(name)?.into(),
        Address::UnixUnnamed | Address::Other(_) => return Err(Errno::AFNOSUPPORT.into()),
    })
}

fn stream_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(net::socket_with(family, SocketType::STREAM, flags, None)?)
}

impl Kernel for SystemKernel {
    type Waiter = SystemWaiter;
    type Waker = SystemWaker;

    #[inline]
    fn now(&self) -> Nanos {
        monotonic()
    }

    fn waiter(&mut self) -> io::Result<SystemWaiter> {
        let poller = self.poller()?;
        Ok(SystemWaiter {
            epoll: Arc::clone(&poller.epoll),
            events: Events(Vec::with_capacity(EVENTS)),
            alarm: poller.alarm.clone(),
        })
    }

    fn waker(&self) -> SystemWaker {
        SystemWaker(match &self.poller {
            Some(poller) => Arc::downgrade(&poller.eventfd),
            None => Weak::new(),
        })
    }

    fn retire(&mut self) {
        self.poller = None;
    }

    fn register(&mut self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        let epoll = &*self.poller()?.epoll;
        let (fd, data) = (borrow(fd)?, epoll::EventData::new_u64(token.to_u64()));
        match epoll::add(epoll, fd, data, flags(interest)) {
            Err(Errno::EXIST) => Ok(epoll::modify(epoll, fd, data, flags(interest))?),
            other => Ok(other?),
        }
    }

    fn modify(&mut self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        let epoll = &*self.poller()?.epoll;
        let (fd, data) = (borrow(fd)?, epoll::EventData::new_u64(token.to_u64()));
        match epoll::modify(epoll, fd, data, flags(interest)) {
            Err(Errno::NOENT) => Ok(epoll::add(epoll, fd, data, flags(interest))?),
            other => Ok(other?),
        }
    }

    fn deregister(&mut self, fd: RawFd) -> io::Result<()> {
        let (Some(poller), Ok(fd)) = (&self.poller, borrow(fd)) else {
            return Ok(());
        };
        match epoll::delete(&*poller.epoll, fd) {
            Err(Errno::NOENT | Errno::BADF) => Ok(()),
            other => Ok(other?),
        }
    }

    #[inline]
    fn recv(&mut self, fd: RawFd, buf: &mut [u8]) -> io::Result<usize> {
        // DONTWAIT, though our sockets are non-blocking: the flag is on the open file, which others may share.
        let (_, length) = net::recv(borrow(fd)?, buf, RecvFlags::DONTWAIT)?;
        Ok(length)
    }

    #[inline]
    fn send(&mut self, fd: RawFd, data: &[u8]) -> io::Result<usize> {
        Ok(net::send(
            borrow(fd)?,
            data,
            SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
        )?)
    }

    #[inline]
    fn send_more(&mut self, fd: RawFd, data: &[u8]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL | SendFlags::MORE;
        Ok(net::send(borrow(fd)?, data, flags)?)
    }

    #[inline]
    fn push(&mut self, fd: RawFd) -> io::Result<()> {
        let socket = borrow(fd)?;
        match sockopt::tcp_cork(socket) {
            // A cork of the user's own stays in.
            Ok(true) | Err(Errno::OPNOTSUPP | Errno::NOPROTOOPT) => Ok(()),
            // Taking out the one that is not in sends what is left.
            Ok(false) => Ok(sockopt::set_tcp_cork(socket, false)?),
            Err(error) => Err(error.into()),
        }
    }

    #[inline]
    fn send_vectored(&mut self, fd: RawFd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        Ok(net::sendmsg(
            borrow(fd)?,
            bufs,
            &mut SendAncillaryBuffer::default(),
            flags,
        )?)
    }

    #[inline]
    fn recv_from(&mut self, fd: RawFd, buf: &mut [u8]) -> io::Result<(usize, Option<Address>)> {
        let (_, length, from) = net::recvfrom(borrow(fd)?, buf, RecvFlags::DONTWAIT)?;
        Ok((length, from.map(|from| to_address(Some(from)))))
    }

    #[inline]
    fn send_to(&mut self, fd: RawFd, data: &[u8], to: &Address) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        Ok(net::sendto(borrow(fd)?, data, flags, &from_address(to)?)?)
    }

    #[inline]
    fn read(&mut self, fd: RawFd, buf: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(borrow(fd)?, buf)?)
    }

    #[inline]
    fn write(&mut self, fd: RawFd, data: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(borrow(fd)?, data)?)
    }

    #[inline]
    fn write_vectored(&mut self, fd: RawFd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(rustix::io::writev(borrow(fd)?, bufs)?)
    }

    fn accept(&mut self, fd: RawFd) -> io::Result<(OwnedFd, Address)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (accepted, address) = net::acceptfrom_with(borrow(fd)?, flags)?;
        Ok((accepted, to_address(address)))
    }

    fn shutdown_write(&mut self, fd: RawFd) -> io::Result<()> {
        Ok(net::shutdown(borrow(fd)?, Shutdown::Write)?)
    }

    fn close(&mut self, fd: OwnedFd) {
        drop(fd);
    }

    fn local_address(&self, fd: RawFd) -> io::Result<Address> {
        Ok(to_address(Some(net::getsockname(borrow(fd)?)?)))
    }

    fn peer_address(&self, fd: RawFd) -> io::Result<Address> {
        Ok(to_address(net::getpeername(borrow(fd)?)?))
    }

    fn unread(&self, fd: RawFd) -> io::Result<u64> {
        Ok(rustix::io::ioctl_fionread(borrow(fd)?)?)
    }

    fn set_nodelay(&mut self, fd: RawFd, on: bool) -> io::Result<()> {
        Ok(sockopt::set_tcp_nodelay(borrow(fd)?, on)?)
    }

    fn take_error(&mut self, fd: RawFd) -> io::Result<Option<io::Error>> {
        Ok(sockopt::socket_error(borrow(fd)?)?.err().map(Into::into))
    }

    fn listen(&mut self, addr: &Address, options: &ListenOptions) -> io::Result<OwnedFd> {
        let address = from_address(addr)?;
        let family = address.address_family();
        let socket = stream_socket(family)?;
        if options.reuse_address && family != AddressFamily::UNIX {
            sockopt::set_socket_reuseaddr(&socket, true)?;
        }
        if options.reuse_port {
            sockopt::set_socket_reuseport(&socket, true)?;
        }
        if family == AddressFamily::INET6 {
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        net::bind(&socket, &address)?;
        net::listen(&socket, options.backlog)?;
        Ok(socket)
    }

    fn connect(&mut self, addr: &Address) -> io::Result<(OwnedFd, bool)> {
        let address = from_address(addr)?;
        let socket = stream_socket(address.address_family())?;
        match net::connect(&socket, &address) {
            Ok(()) => Ok((socket, false)),
            Err(Errno::INPROGRESS | Errno::INTR) => Ok((socket, true)),
            Err(error) => Err(error.into()),
        }
    }

    fn entropy(&mut self, out: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < out.len() {
            match getrandom(&mut out[filled..], GetRandomFlags::empty()) {
                Ok(length) => filled += length,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
