//! What the system says about a thread that does not get on: is it on a processor, in a system call, or waiting for one.

use std::fs;

use crate::ffi::mapping::with_descriptor;

/// What a thread has used so far.
#[derive(Clone, Copy, Default, Debug)]
pub struct Usage {
    /// Nanoseconds on a processor, and waiting for one.
    pub ran: u64,
    pub waited: u64,
    /// How often it was given a processor.
    pub turns: u64,
}

/// What a thread waits in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// Its own code.
    Running,
    /// A system call: its name, or its number where we have no name, and its first argument.
    Call(String, u64),
    Unknown,
}

/// What a thread has used; zeros where the system does not say.
pub fn usage(thread: u64) -> Usage {
    let text =
        fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).unwrap_or_default();
    let mut numbers = text
        .split_whitespace()
        .map(|word| word.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    Usage {
        ran: next(),
        waited: next(),
        turns: next(),
    }
}

/// The threads of this process, by the system's numbers.
pub fn threads() -> impl Iterator<Item = u64> {
    fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// What the system calls a thread.
pub fn thread_name(thread: u64) -> String {
    fs::read_to_string(format!("/proc/self/task/{thread}/comm"))
        .unwrap_or_default()
        .trim_end()
        .to_owned()
}

/// Where a thread is.
pub fn place(thread: u64) -> Place {
    let Ok(text) = fs::read_to_string(format!("/proc/self/task/{thread}/syscall")) else {
        return Place::Unknown;
    };
    let mut words = text.split_whitespace();
    match words.next() {
        Some("running") => Place::Running,
        Some(number) => match number.parse::<i64>() {
            Ok(number @ 0..) => {
                let argument = words
                    .next()
                    .and_then(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
                Place::Call(call_name(number), argument.unwrap_or(0))
            }
            // In the kernel, but not in a call: a page fault, say.
            _ => Place::Running,
        },
        None => Place::Unknown,
    }
}

/// A system call for people: its name, and the file that it waits for.
pub fn described(name: &str, argument: u64) -> String {
    if !FILE_CALLS.contains(&name) {
        return name.to_owned();
    }
    let file = fs::read_link(format!("/proc/self/fd/{argument}"));
    let Ok(file) = file else {
        return format!("{name}({argument})");
    };
    let file = match peer(argument) {
        Some(peer) => format!("connection to {peer}"),
        None => file.to_string_lossy().into_owned(),
    };
    format!("{name}({argument}): {file}")
}

fn peer(number: u64) -> Option<String> {
    let number = i32::try_from(number).ok()?;
    let address = with_descriptor(number, |file| rustix::net::getpeername(file).ok())??;
    let address: std::net::SocketAddr = address?.try_into().ok()?;
    Some(address.to_string())
}

/// Those whose first argument is a descriptor.
const FILE_CALLS: &[&str] = &[
    "read",
    "write",
    "readv",
    "writev",
    "pread64",
    "pwrite64",
    "recvfrom",
    "recvmsg",
    "sendto",
    "sendmsg",
    "connect",
    "accept",
    "accept4",
    "fsync",
    "fdatasync",
    "flock",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "ioctl",
    "sendfile",
    "fcntl",
];

macro_rules! names {
    ($number:expr, $($name:ident)*) => {
        match $number {
            $(number if number == i64::from(libc::$name) => {
                stringify!($name).trim_start_matches("SYS_").to_owned()
            })*
            other => format!("system call {other}"),
        }
    };
}

#[cfg(target_arch = "x86_64")]
fn call_name(number: i64) -> String {
    names!(number, SYS_read SYS_write SYS_readv SYS_writev SYS_pread64 SYS_pwrite64 SYS_recvfrom SYS_recvmsg SYS_sendto
        SYS_sendmsg SYS_connect SYS_accept SYS_accept4 SYS_fsync SYS_fdatasync SYS_flock SYS_ioctl SYS_sendfile SYS_fcntl
        SYS_epoll_wait SYS_epoll_pwait SYS_epoll_pwait2 SYS_poll SYS_ppoll SYS_select SYS_pselect6 SYS_futex
        SYS_nanosleep SYS_clock_nanosleep SYS_wait4 SYS_waitid SYS_openat SYS_open SYS_rename SYS_unlink SYS_statfs
        SYS_pause SYS_rt_sigtimedwait SYS_getrandom SYS_msync SYS_sync SYS_munmap SYS_mmap SYS_vfork SYS_clone)
}

#[cfg(not(target_arch = "x86_64"))]
fn call_name(number: i64) -> String {
    names!(number, SYS_read SYS_write SYS_readv SYS_writev SYS_pread64 SYS_pwrite64 SYS_recvfrom SYS_recvmsg SYS_sendto
        SYS_sendmsg SYS_connect SYS_accept SYS_accept4 SYS_fsync SYS_fdatasync SYS_flock SYS_ioctl SYS_sendfile SYS_fcntl
        SYS_epoll_pwait SYS_epoll_pwait2 SYS_ppoll SYS_pselect6 SYS_futex SYS_nanosleep SYS_clock_nanosleep SYS_wait4
        SYS_waitid SYS_openat SYS_statfs SYS_rt_sigtimedwait SYS_getrandom SYS_msync SYS_sync SYS_munmap SYS_mmap
        SYS_clone)
}
