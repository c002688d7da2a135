//! Datagrams through the system's kernel and the scripted one.
#![cfg(not(loom))]
#![expect(
    clippy::unwrap_used,
    reason = "what fails in a test is to fail the test"
)]

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

use epicycle_reactor::kernel::scripted::SendResult;
use epicycle_reactor::{Address, Kernel, ScriptedKernel, SystemKernel};

fn udp(host: &str) -> (UdpSocket, Address) {
    let socket = UdpSocket::bind((host, 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap().into();
    (socket, address)
}

fn blocks<T>(result: io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

#[test]
fn a_datagram_arrives_whole_with_its_sender() {
    let mut kernel = SystemKernel::new().unwrap();
    for host in ["127.0.0.1", "::1"] {
        let ((one, from), (two, to)) = (udp(host), udp(host));
        let mut buffer = [0; 16];
        assert!(blocks(kernel.recv_from(two.as_raw_fd(), &mut buffer)));
        assert_eq!(kernel.send_to(one.as_raw_fd(), b"hello", &to).unwrap(), 5);
        let received = kernel.recv_from(two.as_raw_fd(), &mut buffer).unwrap();
        assert_eq!(received, (5, Some(from)));
        assert_eq!(&buffer[..5], b"hello");
    }
}

#[test]
fn an_empty_datagram_is_no_end_and_a_long_one_is_cut() {
    let mut kernel = SystemKernel::new().unwrap();
    let ((one, from), (two, to)) = (udp("127.0.0.1"), udp("127.0.0.1"));
    for data in [&b""[..], b"longer than the buffer", b"short"] {
        kernel.send_to(one.as_raw_fd(), data, &to).unwrap();
    }
    let mut buffer = [0; 6];
    for length in [0, 6, 5] {
        let received = kernel.recv_from(two.as_raw_fd(), &mut buffer).unwrap();
        assert_eq!(received, (length, Some(from.clone())));
    }
}

#[test]
fn an_unnamed_sender_has_no_address() {
    let mut kernel = SystemKernel::new().unwrap();
    let (one, two) = UnixDatagram::pair().unwrap();
    kernel.send(one.as_raw_fd(), b"hello").unwrap();
    let received = kernel.recv_from(two.as_raw_fd(), &mut [0; 16]).unwrap();
    assert_eq!(received, (5, None));
}

#[test]
fn abstract_names_go_both_ways() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    let mut kernel = SystemKernel::new().unwrap();
    let name = |role: &str| format!("epicycle datagrams {} {role}", std::process::id());
    let bind = |name: &str| {
        UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap()
    };
    let (one, two) = (bind(&name("one")), bind(&name("two")));
    let address = |name: String| Address::UnixAbstract(name.into_bytes().into());
    kernel
        .send_to(one.as_raw_fd(), b"hello", &address(name("two")))
        .unwrap();
    let received = kernel.recv_from(two.as_raw_fd(), &mut [0; 16]).unwrap();
    assert_eq!(received, (5, Some(address(name("one")))));
}

#[test]
fn the_scripted_kernel_keeps_what_was_sent_and_where() {
    let mut kernel = ScriptedKernel::new();
    let socket = kernel.socket().unwrap();
    let fd = socket.as_raw_fd();
    let to = Address::V4("192.0.2.1:53".parse().unwrap());
    kernel
        .script_datagram(fd, Ok((b"hello".to_vec(), Some(to.clone()))))
        .unwrap();
    kernel.script_datagram(fd, Err(111)).unwrap();
    let mut buffer = [0; 3];
    assert_eq!(
        kernel.recv_from(fd, &mut buffer).unwrap(),
        (3, Some(to.clone()))
    );
    assert_eq!(&buffer, b"hel");
    let refused = kernel.recv_from(fd, &mut buffer).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(111));
    assert!(blocks(kernel.recv_from(fd, &mut buffer)));

    kernel.script_send(fd, SendResult::WouldBlock).unwrap();
    assert!(blocks(kernel.send_to(fd, b"lost", &to)));
    kernel.send_to(fd, b"", &to).unwrap();
    assert_eq!(kernel.sent_to(fd).unwrap(), [(Vec::new(), to)]);
    kernel.close(socket);
}
