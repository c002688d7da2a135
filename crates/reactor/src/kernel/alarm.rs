//! An alarm for deadlines that are near: a timer of the system among the watched descriptors.
//!
//! The timeout of a wait may end late by the timer slack of its thread, 50 us unless somebody has set another
//! (prctl(2), `PR_SET_TIMERSLACK`); a timerfd knows no slack. It is watched edge-triggered, so that nobody has to read
//! it: each expiry is an edge of its own. One that has been overtaken by another event goes off later, and ends a wait
//! with nothing to report, or is set anew before that.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{Timespec, epoll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use crate::time::Nanos;
use crate::token::Token;

#[derive(Debug)]
pub struct Alarm(OwnedFd);

impl Alarm {
    /// An alarm that ends the waits of this epoll.
    ///
    /// # Errors
    /// No descriptor or memory is left for it, or the system has no such timers.
    pub fn new(epoll: &OwnedFd) -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let token = epoll::EventData::new_u64(Token::ALARM.to_u64());
        let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(epoll, &timer, token, edge)?;
        Ok(Self(timer))
    }

    /// Goes off once, after this time, which is not zero. An earlier setting is forgotten.
    ///
    /// # Errors
    /// What the system says.
    #[inline]
    pub fn set(&self, left: Nanos) -> io::Result<()> {
        let (seconds, nanos) = left.split();
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let once = Itimerspec {
            it_interval: zero,
            it_value: Timespec {
                tv_sec: seconds as i64,
                tv_nsec: nanos as _,
            },
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}
