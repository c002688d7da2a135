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
    attach = "_attach",
    buffer_updated = "buffer_updated",
    call_exception_handler = "call_exception_handler",
    close = "close",
    connection_lost = "connection_lost",
    connection_made = "connection_made",
    context = "context",
    data_received = "data_received",
    datagram_received = "datagram_received",
    detach = "_detach",
    eof_received = "eof_received",
    error_received = "error_received",
    exception = "exception",
    extra = "_extra",
    fileno = "fileno",
    future_class = "Future",
    get_buffer = "get_buffer",
    handle = "handle",
    is_loop = "loop",
    message = "message",
    pause_writing = "pause_writing",
    pipe = "pipe",
    protocol = "protocol",
    resume_writing = "resume_writing",
    run = "_run",
    set_result = "set_result",
    slow_callback_duration = "slow_callback_duration",
    socket = "socket",
    source_traceback = "source_traceback",
    task_class = "Task",
    time = "time",
    transport = "transport",
}
