//! Interned attribute and keyword names, made once.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

macro_rules! names {
    ($($name:ident = $text:literal),* $(,)?) => {
        $(#[inline(always)]
        pub fn $name(py: Python<'_>) -> &Bound<'_, PyString> {
            intern!(py, $text)
        })*
    };
}

names! {
    abort = "abort",
    attach = "_attach",
    buffer_updated = "buffer_updated",
    cancel = "cancel",
    call_exception_handler = "call_exception_handler",
    close = "close",
    connection_lost = "connection_lost",
    connection_made = "connection_made",
    context = "context",
    data_received = "data_received",
    datagram_received = "datagram_received",
    detach = "_detach",
    done = "done",
    eof_received = "eof_received",
    error_received = "error_received",
    exception = "exception",
    extra = "_extra",
    fileno = "fileno",
    force_close = "_force_close",
    future_class = "Future",
    get_buffer = "get_buffer",
    get_extra_info = "get_extra_info",
    handle = "handle",
    is_closing = "is_closing",
    is_loop = "loop",
    message = "message",
    pause_reading = "pause_reading",
    pause_writing = "pause_writing",
    pipe = "pipe",
    pending = "pending",
    protocol = "protocol",
    read = "read",
    resume_reading = "resume_reading",
    resume_writing = "resume_writing",
    run = "_run",
    set_exception = "set_exception",
    set_result = "set_result",
    slow_callback_duration = "slow_callback_duration",
    socket = "socket",
    source_traceback = "source_traceback",
    task_class = "Task",
    time = "time",
    transport = "transport",
    write = "write",
}
