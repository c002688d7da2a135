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
    use std::os::fd::AsRawFd;

    use super::*;
    use crate::kernel::scripted::ScriptedKernel;

    /// One whose callbacks have made two writes each so far.
    fn pairs(corks: &mut Corks, kernel: &mut ScriptedKernel) -> Bursts {
        let mut bursts = Bursts::default();
        for _ in 0..2 {
            corks.begin(kernel);
            for _ in 0..2 {
                assert!(!corks.expects_more(&mut bursts));
            }
        }
        bursts
    }

    #[test]
    fn what_is_held_back_goes_out_when_the_callback_ends() {
        let mut kernel = ScriptedKernel::new();
        let socket = kernel.socket().unwrap();
        let fd = socket.as_raw_fd();
        let mut corks = Corks::default();
        let mut bursts = pairs(&mut corks, &mut kernel);
        corks.begin(&mut kernel);
        assert!(corks.expects_more(&mut bursts));
        kernel.send_more(fd, b"head").unwrap();
        corks.sent(fd, true);
        assert_eq!(kernel.sent(fd).unwrap(), b"");
        corks.begin(&mut kernel);
        assert_eq!(kernel.sent(fd).unwrap(), b"head");
        assert!(corks.sockets.is_empty());
    }

    #[test]
    fn the_end_of_a_batch_ends_the_last_callback() {
        let mut kernel = ScriptedKernel::new();
        let socket = kernel.socket().unwrap();
        let fd = socket.as_raw_fd();
        let mut corks = Corks::default();
        let mut bursts = pairs(&mut corks, &mut kernel);
        corks.begin(&mut kernel);
        assert!(corks.expects_more(&mut bursts));
        kernel.send_more(fd, b"head").unwrap();
        corks.sent(fd, true);
        corks.end(&mut kernel);
        assert_eq!(kernel.sent(fd).unwrap(), b"head");
        // Nobody would end what is written outside a batch.
        assert!(!corks.expects_more(&mut bursts));
    }

    #[test]
    fn the_last_write_takes_the_others_along() {
        let mut kernel = ScriptedKernel::new();
        let socket = kernel.socket().unwrap();
        let fd = socket.as_raw_fd();
        let mut corks = Corks::default();
        let mut bursts = pairs(&mut corks, &mut kernel);
        corks.begin(&mut kernel);
        assert!(corks.expects_more(&mut bursts));
        kernel.send_more(fd, b"head").unwrap();
        corks.sent(fd, true);
        assert!(!corks.expects_more(&mut bursts));
        kernel.send(fd, b"body").unwrap();
        corks.sent(fd, false);
        assert_eq!(kernel.sent(fd).unwrap(), b"headbody");
        assert!(corks.sockets.is_empty());
    }

    #[test]
    fn so_many_hold_back_and_no_more() {
        let mut kernel = ScriptedKernel::new();
        let mut corks = Corks::default();
        let mut bursts = pairs(&mut corks, &mut kernel);
        corks.begin(&mut kernel);
        for fd in 0..MOST {
            corks.sent(fd as RawFd, true);
        }
        assert!(!corks.expects_more(&mut bursts));
        corks.forget(3);
        corks.forget(3);
        assert_eq!(corks.sockets.len(), MOST - 1);
        let mut bursts = pairs(&mut corks, &mut kernel);
        corks.begin(&mut kernel);
        assert!(corks.expects_more(&mut bursts));
    }
}
