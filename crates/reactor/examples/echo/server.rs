//! The server itself, over any kernel.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};

use epicycle_reactor::{
    Action, Address, Flow, Interest, Kernel, Lifecycle, ListenOptions, MAX_IOVECS, Nanos,
    Readiness, Token, Turn, WriteQueue, WriteVerdict,
};

/// Bytes taken per receive.
const BUFFER: usize = 256 * 1024;
/// Connections taken per event.
const BACKLOG: i32 = 1024;
/// How long to leave the listener alone when no connection can be taken for want of descriptors or memory.
const ACCEPT_PAUSE: Nanos = Nanos::from_secs(1);

/// What the loop queues.
pub enum Due {
    /// A source is ready.
    Event(Token, Readiness),
    /// The listener may try again.
    Listen(Token),
}

/// What watches a descriptor.
enum Source {
    Listener(OwnedFd),
    Connection(Connection),
}

struct Connection {
    fd: OwnedFd,
    queue: WriteQueue<Box<[u8]>>,
    flow: Flow,
    lifecycle: Lifecycle,
}

type Loop<K> = Turn<K, Due, Source>;

/// Sends back what it receives.
pub struct EchoServer<K: Kernel> {
    turn: Loop<K>,
    address: Address,
    buffer: Box<[u8]>,
}

impl<K: Kernel> EchoServer<K> {
    /// Listens on an address.
    pub fn new(mut kernel: K, address: &Address) -> io::Result<Self> {
        let options = ListenOptions {
            backlog: BACKLOG,
            ..ListenOptions::default()
        };
        let listener = kernel.listen(address, &options)?;
        let fd = listener.as_raw_fd();
        let address = kernel.local_address(fd)?;
        let mut turn = Turn::new(kernel)?;
        turn.watch(fd, Source::Listener(listener), Interest::READ)?;
        Ok(Self {
            turn,
            address,
            buffer: vec![0; BUFFER].into(),
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Serves for as long as `go_on` says so, which is asked after every turn.
    pub fn run(&mut self, mut go_on: impl FnMut() -> bool) -> io::Result<()> {
        while go_on() {
            self.run_turn()?;
        }
        Ok(())
    }

    /// One turn of its loop.
    pub fn run_turn(&mut self) -> io::Result<()> {
        let Self { turn, buffer, .. } = self;
        turn.run_turn(
            false,
            |_, ready, token, readiness| ready.push(Due::Event(token, readiness)),
            |turn, due| match due {
                Due::Event(token, readiness) => serve(turn, token, readiness, buffer),
                Due::Listen(token) => {
                    // The listener is only taken away together with the server.
                    let _ = turn.set_interest(token, Interest::READ);
                }
            },
        )
    }
}

fn serve<K: Kernel>(turn: &mut Loop<K>, token: Token, readiness: Readiness, buffer: &mut [u8]) {
    match turn.registry.get(token) {
        Some(Source::Listener(listener)) => {
            let fd = listener.as_raw_fd();
            accept(turn, token, fd);
        }
        Some(Source::Connection(_)) => {
            if readiness.is_writable() {
                flush(turn, token);
            }
            if readiness.is_readable() {
                receive(turn, token, buffer);
            }
        }
        // Taken away by something that ran before it in the batch.
        None => {}
    }
}

fn accept<K: Kernel>(turn: &mut Loop<K>, token: Token, listener: i32) {
    for _ in 0..BACKLOG {
        match turn.kernel.accept(listener) {
            Ok((fd, _)) => {
                turn.counters.accepts.add(1);
                let number = fd.as_raw_fd();
                // It would echo without, only later.
                let _ = turn.kernel.set_nodelay(number, true);
                let connection = Connection {
                    fd,
                    queue: WriteQueue::new(),
                    flow: Flow::new(),
                    lifecycle: Lifecycle::new(),
                };
                if let Err((_, source)) =
                    turn.try_watch(number, Source::Connection(connection), Interest::READ)
                {
                    close(turn, source);
                }
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => return,
                ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                // EMFILE and its like: the connection waits in the backlog, so the listener stays readable.
                _ => {
                    let _ = turn.set_interest(token, Interest::NONE);
                    let again = turn.kernel.now().saturating_add(ACCEPT_PAUSE);
                    turn.schedule(again, Due::Listen(token));
                    return;
                }
            },
        }
    }
}

fn receive<K: Kernel>(turn: &mut Loop<K>, token: Token, buffer: &mut [u8]) {
    let Some(Source::Connection(connection)) = turn.registry.get_mut(token) else {
        return;
    };
    if !connection.lifecycle.is_reading() {
        return;
    }
    let action = match turn.kernel.recv(connection.fd.as_raw_fd(), buffer) {
        Ok(0) => connection
            .lifecycle
            .peer_eof(false, !connection.queue.is_empty()),
        Ok(length) => {
            turn.counters.bytes_in.add(length as u64);
            return write(turn, token, &buffer[..length]);
        }
        Err(error) if would_block(&error) => Action::Nothing,
        Err(_) => connection.lifecycle.fail(),
    };
    act(turn, token, action);
}

fn write<K: Kernel>(turn: &mut Loop<K>, token: Token, data: &[u8]) {
    let Some(Source::Connection(connection)) = turn.registry.get_mut(token) else {
        return;
    };
    if connection.lifecycle.write() != WriteVerdict::Accept {
        return;
    }
    let mut action = Action::Nothing;
    let sent = if connection.queue.is_empty() {
        match turn.kernel.send(connection.fd.as_raw_fd(), data) {
            Ok(sent) => sent,
            Err(error) if would_block(&error) => 0,
            Err(_) => {
                action = connection.lifecycle.fail();
                data.len()
            }
        }
    } else {
        0
    };
    turn.counters.bytes_out.add(sent as u64);
    if sent < data.len() {
        connection.queue.push(data[sent..].into());
        if connection.flow.after_growth(connection.queue.len_bytes()) {
            action = connection.lifecycle.pause_reading();
        }
    }
    act(turn, token, action);
}

fn flush<K: Kernel>(turn: &mut Loop<K>, token: Token) {
    let Some(Source::Connection(connection)) = turn.registry.get_mut(token) else {
        return;
    };
    let mut slices = [IoSlice::new(&[]); MAX_IOVECS];
    let count = connection.queue.fill_slices(&mut slices);
    if count == 0 {
        return;
    }
    let action = match turn
        .kernel
        .send_vectored(connection.fd.as_raw_fd(), &slices[..count])
    {
        Ok(sent) => {
            turn.counters.bytes_out.add(sent as u64);
            connection.queue.advance(sent, drop);
            if connection.queue.is_empty() && connection.lifecycle.is_closing() {
                connection.lifecycle.drained()
            } else if connection.flow.after_shrink(connection.queue.len_bytes()) {
                connection.lifecycle.resume_reading()
            } else {
                Action::Nothing
            }
        }
        Err(error) if would_block(&error) => Action::Nothing,
        Err(_) => connection.lifecycle.fail(),
    };
    act(turn, token, action);
}

/// Does what the lifecycle asks for, and watches for what is left.
fn act<K: Kernel>(turn: &mut Loop<K>, token: Token, action: Action) {
    let lost = matches!(action, Action::Lose | Action::LoseNow);
    if !lost {
        let Some(Source::Connection(connection)) = turn.registry.get(token) else {
            return;
        };
        let mut interest = Interest::NONE;
        if connection.lifecycle.is_reading() {
            interest = interest.with(Interest::READ);
        }
        if !connection.queue.is_empty() {
            interest = interest.with(Interest::WRITE);
        }
        if turn.set_interest(token, interest).is_ok() {
            return;
        }
    }
    if let Some(source) = turn.unwatch(token) {
        close(turn, source);
    }
}

fn close<K: Kernel>(turn: &mut Loop<K>, source: Source) {
    let (Source::Listener(fd) | Source::Connection(Connection { fd, .. })) = source;
    turn.kernel.close(fd);
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
