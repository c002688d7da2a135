//! Packets that wait for the rest of what a callback writes, and for no longer than the callback.

use std::os::fd::RawFd;

use crate::kernel::Kernel;
use crate::stream::Bursts;

/// The most sockets that hold something back at once; further ones send as if nothing followed.
const MOST: usize = 64;

/// The callback that runs now, by number, and the sockets that hold back what it has sent with [`Kernel::send_more`].
#[derive(Debug, Default)]
pub struct Corks {
    callback: u32,
    running: bool,
    sockets: Vec<RawFd>,
}

impl Corks {
    /// A callback begins, and with that the one before has ended.
    #[inline]
    pub(crate) fn begin(&mut self, kernel: &mut impl Kernel) {
        self.release(kernel);
        self.callback = self.callback.wrapping_add(1);
        self.running = true;
    }

    /// The last callback of a batch has ended.
    #[inline]
    pub(crate) fn end(&mut self, kernel: &mut impl Kernel) {
        self.release(kernel);
        self.running = false;
    }

    /// Nothing is held back any more.
    #[inline]
    pub(crate) fn release(&mut self, kernel: &mut impl Kernel) {
        if !self.sockets.is_empty() {
            self.release_all(kernel);
        }
    }

    #[cold]
    fn release_all(&mut self, kernel: &mut impl Kernel) {
        for socket in self.sockets.drain(..) {
            // The kernel does it by itself a little later; a socket that is broken says so at the next call.
            let _ = kernel.push(socket);
        }
    }

    /// A write of the running callback is to be sent. True when it is to say that more follows.
    #[inline]
    pub fn expects_more(&self, bursts: &mut Bursts) -> bool {
        self.running && bursts.write(self.callback) && self.sockets.len() < MOST
    }

    /// What was sent said that more follows, or that nothing does.
    #[inline]
    pub fn sent(&mut self, fd: RawFd, more: bool) {
        if more || !self.sockets.is_empty() {
            self.note(fd, more);
        }
    }

    fn note(&mut self, fd: RawFd, more: bool) {
        // The last that was added is the likely one.
        let known = self.sockets.iter().rposition(|socket| *socket == fd);
        match (known, more) {
            (None, true) => self.sockets.push(fd),
            (Some(index), false) => {
                self.sockets.swap_remove(index);
            }
            _ => {}
        }
    }

    /// The descriptor is about to be closed, which sends what was held back.
    #[inline]
    pub fn forget(&mut self, fd: RawFd) {
        self.sent(fd, false);
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsRawFd, OwnedFd};

    use super::*;
    use crate::kernel::scripted::ScriptedKernel;

    /// A socket, and corks whose callbacks have made two writes each so far; another callback has begun.
    struct Bench {
        kernel: ScriptedKernel,
        socket: OwnedFd,
        corks: Corks,
        bursts: Bursts,
    }

    impl Bench {
        fn new() -> Self {
            let kernel = ScriptedKernel::new();
            let mut bench = Self {
                socket: kernel.socket().unwrap(),
                kernel,
                corks: Corks::default(),
                bursts: Bursts::default(),
            };
            for _ in 0..2 {
                bench.begin();
                for _ in 0..2 {
                    assert!(!bench.write(b""));
                }
            }
            bench.begin();
            bench
        }

        fn begin(&mut self) {
            self.corks.begin(&mut self.kernel);
        }

        /// Sends as a transport does; whether more was said to follow.
        fn write(&mut self, data: &[u8]) -> bool {
            let fd = self.socket.as_raw_fd();
            let more = self.corks.expects_more(&mut self.bursts);
            if more {
                self.kernel.send_more(fd, data).unwrap();
            } else {
                self.kernel.send(fd, data).unwrap();
            }
            self.corks.sent(fd, more);
            more
        }

        fn sent(&self) -> Vec<u8> {
            self.kernel.sent(self.socket.as_raw_fd()).unwrap()
        }
    }

    #[test]
    fn what_is_held_back_goes_out_when_the_callback_ends() {
        let mut bench = Bench::new();
        assert!(bench.write(b"head"));
        assert_eq!(bench.sent(), b"");
        bench.begin();
        assert_eq!(bench.sent(), b"head");
        assert!(bench.corks.sockets.is_empty());
    }

    #[test]
    fn the_end_of_a_batch_ends_the_last_callback() {
        let mut bench = Bench::new();
        assert!(bench.write(b"head"));
        bench.corks.end(&mut bench.kernel);
        assert_eq!(bench.sent(), b"head");
        // Nobody would end what is written outside a batch.
        assert!(!bench.write(b"late"));
    }

    #[test]
    fn the_last_write_takes_the_others_along() {
        let mut bench = Bench::new();
        assert!(bench.write(b"head"));
        assert!(!bench.write(b"body"));
        assert_eq!(bench.sent(), b"headbody");
        assert!(bench.corks.sockets.is_empty());
    }

    #[test]
    fn so_many_hold_back_and_no_more() {
        let mut bench = Bench::new();
        for fd in 0..MOST {
            bench.corks.sent(-2 - fd as RawFd, true);
        }
        let before = bench.bursts;
        assert!(!bench.write(b"head"));
        bench.corks.forget(-2);
        bench.corks.forget(-2);
        assert_eq!(bench.corks.sockets.len(), MOST - 1);
        bench.bursts = before;
        assert!(bench.write(b"head"));
    }
}
