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
    buffer = "_buffer",
    buffer_updated = "buffer_updated",
    cancel = "cancel",
    cancelled = "cancelled",
    call_exception_handler = "call_exception_handler",
    check_socket = "_check_socket",
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
    feed_data = "feed_data",
    fileno = "fileno",
    force_close = "_force_close",
    future = "future",
    future_class = "Future",
    get_buffer = "get_buffer",
    get_extra_info = "get_extra_info",
    gettimeout = "gettimeout",
    handle = "handle",
    is_closing = "is_closing",
    is_eof = "_eof",
    is_loop = "loop",
    limit = "_limit",
    lose_user = "_decref_socketios",
    message = "message",
    own_transport = "_transport",
    paused = "_paused",
    pause_reading = "pause_reading",
    pause_writing = "pause_writing",
    pipe = "pipe",
    pending = "pending",
    protocol = "protocol",
    read = "read",
    recv = "recv",
    recv_into = "recv_into",
    resume_reading = "resume_reading",
    resume_writing = "resume_writing",
    run = "_run",
    send = "send",
    set_exception = "set_exception",
    set_result = "set_result",
    slow_callback_duration = "slow_callback_duration",
    socket = "socket",
    source_traceback = "source_traceback",
    stream_reader_reference = "_stream_reader_wr",
    task_class = "Task",
    time = "time",
    transport = "transport",
    users = "_io_refs",
    waiter = "_waiter",
    write = "write",
}
