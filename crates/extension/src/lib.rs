//! The Python extension module `epicycle._epicycle`: the event loop for CPython.
//!
//! Reading order: `event_loop/` (the loop and its turn), `handle/` (what it runs), `transport/` (connections), `tls/`
//! (connections on top of those), `datagram/` (endpoints of datagrams), `pipe/` (pipes and terminals), `net/` (where
//! connections come from), `streams/` (asyncio's streams), `jobs/` (jobs for threads), `frames/` (the stack of a thread, read from memory).
//! `py/` is what is known of Python's side; `ffi/` is the only place with unsafe code.

#![deny(unsafe_code)]

use pyo3::prelude::*;

mod datagram;
mod event_loop;
mod facts;
#[expect(
    unsafe_code,
    reason = "the bridge to CPython; every block says why it holds"
)]
mod ffi;
mod frames;
mod handle;
mod jobs;
mod net;
mod pipe;
mod py;
mod streams;
mod tls;
mod transport;
mod watch;

/// Shows the module one step and one wake-up of asyncio's C Task, so that it knows them when it sees them.
#[pyfunction]
fn learn_task_callbacks(step: &Bound<'_, PyAny>, wakeup: &Bound<'_, PyAny>) {
    py::imports::TASK_CALLBACKS.learn(step, wakeup);
}

// Written for free-threaded builds too, but nobody has run it on one: there, importing it turns the GIL on.
#[pymodule(gil_used = true)]
fn _epicycle(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ffi::interpreter::only_main(module.py())?;
    ffi::context::learn_variables(module.py())?;
    handle::kinds::make_classes(module)?;
    handle::locked::make_class(module)?;
    transport::make_class(module)?;
    datagram::make_class(module)?;
    pipe::make_classes(module)?;
    tls::make_classes(module)?;
    event_loop::Loop::register(module)?;
    net::Listener::register(module)?;
    jobs::register(module)?;
    watch::register(module)?;
    streams::register(module)?;
    module.add_function(wrap_pyfunction!(learn_task_callbacks, module)?)?;
    module.add_function(wrap_pyfunction!(facts::build_facts, module)?)?;
    module.add_function(wrap_pyfunction!(frames::python::read_stack, module)?)?;
    module.add_function(wrap_pyfunction!(frames::python::frame_layout, module)?)?;
    module.add_function(wrap_pyfunction!(frames::python::thread_state, module)?)
}
