//! A thread that the interpreter cuts off while it runs a loop, or jobs for one.
//!
//! What happens: when the interpreter ends, daemon threads go on until they next want the GIL.  Before Python 3.14 such
//! a thread is then ended by `pthread_exit()`, wherever it is: in a callback, deep below the frames of the loop.  Under
//! glibc `pthread_exit()` unwinds the stack as an exception does.  Rust's frames do not let a foreign unwinding pass,
//! and the process aborts at the very end of a program that was about to exit with success.  `PyO3` guards the calls in
//! which the loop itself asks for the GIL, but not those in which the interpreter does on its own, between two
//! instructions of a callback.  Asking first whether the interpreter is ending only makes that rarer.
//!
//! What was chosen: such a thread stays where it is for ever, as it does from Python 3.14 on.  glibc asks, before each
//! frame that it unwinds, which of the thread's clean-up handlers of the old kind (`_pthread_cleanup_push`) lie in
//! frames already left, and runs them.  It tells by the handler's address, and a handler that is not on the stack at all
//! counts as left from the first frame on.  So the handler that is registered here while a loop runs lies on the heap,
//! is called before any frame was touched, and never returns.
//!
//! What it costs: two calls and an allocation for each `run_forever` and each turn of a pool's thread to what is no job; nothing for a
//! callback or a job.  A thread that really
//! wants to end itself by `pthread_exit()` out of a callback, which has never worked, is held instead of aborting.
//! Where the two functions are not there nothing is done: musl's `pthread_exit()` unwinds nothing.
//!
//! What is left: a thread that runs no loop and is cut off in Python code which native code of ours called, a finaliser
//! for instance.

#[cfg(all(not(Py_3_14), target_env = "gnu"))]
pub use glibc::Held;
#[cfg(not(all(not(Py_3_14), target_env = "gnu")))]
pub use nothing::Held;

#[cfg(all(not(Py_3_14), target_env = "gnu"))]
mod glibc {
    use std::cell::Cell;
    use std::ffi::{CStr, c_char, c_int, c_void};
    use std::marker::PhantomData;
    use std::ptr;
    use std::sync::OnceLock;

    /// `struct _pthread_cleanup_buffer` of glibc's `<pthread.h>`.
    #[repr(C)]
    struct Handler {
        routine: Option<unsafe extern "C" fn(*mut c_void)>,
        argument: *mut c_void,
        cancel_type: c_int,
        before: *mut Handler,
    }

    type Push = unsafe extern "C" fn(*mut Handler, unsafe extern "C" fn(*mut c_void), *mut c_void);
    type Pop = unsafe extern "C" fn(*mut Handler, c_int);

    unsafe extern "C" {
        fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
        fn pause() -> c_int;
    }

    fn functions() -> Option<(Push, Pop)> {
        static FOUND: OnceLock<Option<(Push, Pop)>> = OnceLock::new();
        let find = |name: &CStr| {
            // SAFETY: looks a name up among everything that is loaded (RTLD_DEFAULT, which is NULL in glibc).
            let address = unsafe { dlsym(ptr::null_mut(), name.as_ptr()) };
            (!address.is_null()).then_some(address)
        };
        *FOUND.get_or_init(|| {
            let (push, pop) = (
                find(c"_pthread_cleanup_push")?,
                find(c"_pthread_cleanup_pop")?,
            );
            // SAFETY: glibc's functions of these names have had these signatures since its version 2.0.
            Some(unsafe {
                (
                    std::mem::transmute::<*mut c_void, Push>(push),
                    std::mem::transmute::<*mut c_void, Pop>(pop),
                )
            })
        })
    }

    /// The thread stays here.  What it owns is not given back: nobody can, and the process is about to end.
    unsafe extern "C" fn stay(_: *mut c_void) {
        loop {
            // SAFETY: waits for a signal and needs nothing.
            unsafe { pause() };
        }
    }

    thread_local! {
        /// How many loops hold this thread, and the handler that the first of them registered.
        static HOLDS: Cell<(usize, *mut Handler)> = const { Cell::new((0, ptr::null_mut())) };
    }

    /// While it lives, the thread that made it cannot be unwound by `pthread_exit()`.
    ///
    /// Nested ones share a handler, which the last to go removes: code that switches stacks (greenlets) may end them
    /// in another order than they began.
    pub struct Held {
        /// Belongs to its thread.
        of: PhantomData<*mut ()>,
    }

    impl Held {
        pub fn here() -> Self {
            let (count, mut handler) = HOLDS.get();
            if count == 0 {
                handler = register();
            }
            HOLDS.set((count + 1, handler));
            Self { of: PhantomData }
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            let (count, handler) = HOLDS.get();
            if count > 1 {
                HOLDS.set((count - 1, handler));
                return;
            }
            HOLDS.set((0, ptr::null_mut()));
            unregister(handler);
        }
    }

    /// The handler, registered; null where that cannot be done.
    fn register() -> *mut Handler {
        let Some((push, _)) = functions() else {
            return ptr::null_mut();
        };
        let handler = Box::into_raw(Box::new(Handler {
            routine: None,
            argument: ptr::null_mut(),
            cancel_type: 0,
            before: ptr::null_mut(),
        }));
        // SAFETY: the handler stays where it is until `unregister`; glibc fills it in.
        unsafe { push(handler, stay, ptr::null_mut()) };
        handler
    }

    fn unregister(handler: *mut Handler) {
        let (Some((_, pop)), false) = (functions(), handler.is_null()) else {
            return;
        };
        // SAFETY: registered by this thread, which holds nothing registered later: handlers of other code are those
        // of the calls that it is in, and none of these is still in progress.  Nobody knows the handler afterwards.
        unsafe {
            pop(handler, 0);
            drop(Box::from_raw(handler));
        }
    }
}

#[cfg(not(all(not(Py_3_14), target_env = "gnu")))]
mod nothing {
    /// Holds nothing: here a thread is not unwound when the interpreter ends.
    pub struct Held;

    impl Held {
        pub fn here() -> Self {
            Self
        }
    }
}
