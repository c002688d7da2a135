//! The echo server of the example: over real connections, and over scripted ones for what is hard to bring about.
#![cfg(not(loom))]
#![expect(
    clippy::unwrap_used,
    reason = "what fails in a test is to fail the test"
)]

#[path = "../examples/echo/server.rs"]
mod server;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use epicycle_reactor::kernel::scripted::{Incoming, SendResult};
use epicycle_reactor::{Address, Interest, Kernel, Nanos, Readiness, ScriptedKernel, SystemKernel};
use server::EchoServer;

fn local() -> Address {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()
}

/// Runs `client` against a server that ends afterwards, whatever the client says.
fn with_server<R: Send>(client: impl FnOnce(SocketAddr) -> R + Send) -> R {
    let mut server = EchoServer::new(SystemKernel::new().unwrap(), &local()).unwrap();
    let address = server.address().as_socket_addr().unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| client(address)));
            done.store(true, Ordering::Release);
            // One more connection, so that the server goes round and sees it.
            TcpStream::connect(address).unwrap();
            result
        });
        server.run(|| !done.load(Ordering::Acquire)).unwrap();
        client.join().unwrap().unwrap()
    })
}

#[test]
fn several_clients_get_their_own_bytes_back() {
    with_server(|address| {
        let mut clients: Vec<_> = (0..20)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        for round in 0..5 {
            for (name, client) in clients.iter_mut().enumerate() {
                client
                    .write_all(format!("{name}-{round};").as_bytes())
                    .unwrap();
            }
        }
        for (name, client) in clients.iter_mut().enumerate() {
            client.shutdown(Shutdown::Write).unwrap();
            let mut text = String::new();
            client.read_to_string(&mut text).unwrap();
            let expected: String = (0..5).map(|round| format!("{name}-{round};")).collect();
            assert_eq!(text, expected);
        }
    });
}

#[test]
fn a_client_that_does_not_read_loses_nothing() {
    with_server(|address| {
        let client = TcpStream::connect(address).unwrap();
        // More than the system's buffers take, so that the server has to queue, pause and resume.
        let data: Vec<u8> = (0..16_000_000_u32)
            .map(|number| (number / 7) as u8)
            .collect();
        thread::scope(|scope| {
            scope.spawn(|| {
                (&client).write_all(&data).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
            });
            let mut back = Vec::new();
            (&client).read_to_end(&mut back).unwrap();
            assert!(back == data, "{} bytes came back, or others", back.len());
        });
    });
}

/// A server with one connection that the script has opened.
fn scripted() -> (ScriptedKernel, EchoServer<ScriptedKernel>, i32, i32) {
    let kernel = ScriptedKernel::new();
    let mut server = EchoServer::new(kernel.clone(), &local()).unwrap();
    // The listener is the only descriptor that is watched.
    let listener = (0..1024).find(|fd| kernel.watched(*fd).is_some()).unwrap();
    let connection = kernel.socket().unwrap();
    let fd = connection.as_raw_fd();
    kernel.script_accept(listener, Ok(connection)).unwrap();
    kernel.at(kernel.now(), listener, Readiness::READABLE);
    server.run_turn().unwrap();
    assert!(kernel.nodelay(fd).unwrap());
    (kernel, server, listener, fd)
}

#[test]
fn a_short_send_is_finished_before_the_connection_closes() {
    let (kernel, mut server, _, fd) = scripted();
    kernel
        .script_incoming(fd, Incoming::Data(b"hello".to_vec()))
        .unwrap();
    kernel.script_incoming(fd, Incoming::Eof).unwrap();
    kernel.script_send(fd, SendResult::AtMost(2)).unwrap();
    kernel.at(Nanos(1), fd, Readiness::READABLE);
    server.run_turn().unwrap();
    assert_eq!(
        (kernel.sent(fd).unwrap(), kernel.watched(fd)),
        (b"he".to_vec(), Some(Interest::BOTH))
    );

    kernel.at(Nanos(2), fd, Readiness::READABLE);
    server.run_turn().unwrap();
    assert_eq!(
        kernel.watched(fd),
        Some(Interest::WRITE),
        "the end was read, the rest is still to go"
    );

    kernel.script_send(fd, SendResult::WouldBlock).unwrap();
    kernel.at(Nanos(3), fd, Readiness::WRITABLE);
    server.run_turn().unwrap();
    kernel.script_send(fd, SendResult::AtMost(1)).unwrap();
    kernel.at(Nanos(4), fd, Readiness::WRITABLE);
    server.run_turn().unwrap();
    assert_eq!(kernel.sent(fd).unwrap(), b"hel");
    kernel.at(Nanos(5), fd, Readiness::WRITABLE);
    server.run_turn().unwrap();
    assert_eq!(kernel.open_sockets(), 1, "only the listener is left");
}

#[test]
fn errors_end_one_connection_and_no_more() {
    for broken in [
        Incoming::Error(libc::ECONNRESET),
        Incoming::Data(b"x".to_vec()),
    ] {
        let (kernel, mut server, _, fd) = scripted();
        kernel.script_incoming(fd, broken).unwrap();
        kernel
            .script_send(fd, SendResult::Error(libc::EPIPE))
            .unwrap();
        kernel.at(Nanos(1), fd, Readiness::READABLE);
        server.run_turn().unwrap();
        assert_eq!(kernel.open_sockets(), 1, "only the listener is left");
    }
}

#[test]
fn no_connection_is_lost_when_descriptors_run_out() {
    let (kernel, mut server, listener, _) = scripted();
    let waiting = kernel.socket().unwrap();
    let fd = waiting.as_raw_fd();
    kernel.script_accept(listener, Err(libc::EMFILE)).unwrap();
    kernel.script_accept(listener, Ok(waiting)).unwrap();
    kernel.at(Nanos(1), listener, Readiness::READABLE);
    server.run_turn().unwrap();
    assert_eq!(
        (kernel.watched(listener), kernel.watched(fd)),
        (None, None),
        "left alone for a while"
    );
    server.run_turn().unwrap();
    assert_eq!(kernel.watched(listener), Some(Interest::READ));
    kernel.at(kernel.now(), listener, Readiness::READABLE);
    server.run_turn().unwrap();
    assert_eq!(kernel.watched(fd), Some(Interest::READ));
}
