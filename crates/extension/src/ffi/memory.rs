//! Reading the memory of a process by address, this one's or another's, without ever following a pointer.

use std::io;

/// Copies memory of process `pid` from `address` on; how many bytes came, which are fewer where a page is not there.
///
/// # Errors
/// `EFAULT`: nothing is there.  `ESRCH`: no such process.  `EPERM`, `ENOSYS`: refused.
pub fn read(pid: u32, address: u64, into: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    let remote = libc::iovec {
        iov_base: std::ptr::without_provenance_mut(usize::try_from(address).unwrap_or(0)),
        iov_len: into.len(),
    };
    // SAFETY: the kernel writes at most `into.len()` bytes into `into`, which is borrowed for the length of the call.
    // It is the kernel that looks at the remote address; where nothing is, it says so.
    let count = unsafe {
        libc::process_vm_readv(
            pid.cast_signed(),
            &raw const local,
            1,
            &raw const remote,
            1,
            0,
        )
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}
