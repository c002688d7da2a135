//! One value in memory that other processes may map.

use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// What may lie in such memory.
///
/// # Safety
/// Any bits are a value of the type, zeros among them, it is changed only through atomics, and it needs no drop.
pub unsafe trait Plain: Sync {}

// SAFETY: it consists of atomic numbers, in C's layout.
unsafe impl Plain for crate::watch::page::Sheet {}

/// A value of zeros in memory of its own.
pub struct Mapped<T: Plain> {
    at: NonNull<T>,
    value: PhantomData<T>,
}

// SAFETY: the memory belongs to this value until it is dropped, and `T` is only changed through atomics.
unsafe impl<T: Plain> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: Plain> Sync for Mapped<T> {}

impl<T: Plain> Mapped<T> {
    /// The value at the beginning of a file, which is at least as long as `T`: what is written goes to the file.
    ///
    /// # Errors
    /// What mmap says.
    pub fn of_file(file: BorrowedFd<'_>) -> io::Result<Self> {
        // SAFETY: a new mapping at an address that the kernel chooses.
        let at = unsafe {
            mmap(
                std::ptr::null_mut(),
                size_of::<T>(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                file,
                0,
            )
        }?;
        Self::at(at)
    }

    /// A value that nobody else can map.
    ///
    /// # Errors
    /// What mmap says.
    pub fn private() -> io::Result<Self> {
        // SAFETY: a new mapping at an address that the kernel chooses.
        let at = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                size_of::<T>(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        }?;
        Self::at(at)
    }

    fn at(address: *mut std::ffi::c_void) -> io::Result<Self> {
        match NonNull::new(address.cast()) {
            Some(at) => Ok(Self {
                at,
                value: PhantomData,
            }),
            None => Err(io::ErrorKind::OutOfMemory.into()),
        }
    }

    /// From now on the value is this process's own, and begins with zeros: for a child made by fork(), whose writes would
    /// otherwise go into the parent's.
    ///
    /// # Errors
    /// What mmap says; the value is shared as before then.
    pub fn part(&self) -> io::Result<()> {
        // SAFETY: replaces exactly the pages of this mapping, which stay mapped and stay zeros or better for `T`;
        // references into it see other values, as they may at any time.
        unsafe {
            mmap_anonymous(
                self.at.as_ptr().cast(),
                size_of::<T>(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::FIXED,
            )
        }?;
        Ok(())
    }
}

impl<T: Plain> Deref for Mapped<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: mapped as long as `self` lives, at the beginning of a page and so aligned; any bits are a `T`.
        unsafe { self.at.as_ref() }
    }
}

impl<T: Plain> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by `of_file` or `private` with this length, and nothing refers to it any more.
        let _ = unsafe { munmap(self.at.as_ptr().cast(), size_of::<T>()) };
    }
}

/// Copies words out of a value, each of them whole.
pub fn words<T: Plain>(value: &T, first: usize, count: usize) -> Vec<u64> {
    let there = size_of::<T>() / size_of::<u64>();
    let last = first.saturating_add(count).min(there);
    (first..last)
        .map(|at| {
            // SAFETY: within the value, which is aligned for it, consists of atomic numbers and may have any bits.
            unsafe { &*(&raw const *value).cast::<AtomicU64>().add(at) }.load(Ordering::Relaxed)
        })
        .collect()
}

/// Lends out a descriptor by its number for one look; nothing when it is not open.
pub fn with_descriptor<R>(number: i32, look: impl FnOnce(BorrowedFd<'_>) -> R) -> Option<R> {
    if number < 0 {
        return None;
    }
    // SAFETY: not -1; it goes into one system call, which fails with EBADF if the number is not open any more.
    Some(look(unsafe { BorrowedFd::borrow_raw(number) }))
}
