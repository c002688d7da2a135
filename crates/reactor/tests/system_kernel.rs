//! The system's kernel over real descriptors.
#![cfg(not(loom))]
#![expect(
    clippy::unwrap_used,
    reason = "what fails in a test is to fail the test"
)]

use std::io::{ErrorKind, IoSlice, PipeWriter, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::thread;

use epicycle_reactor::kernel::system::{SystemWaiter, TimeoutPrecision};
use epicycle_reactor::{
    Address, Event, Interest, Kernel, ListenOptions, Nanos, Readiness, SystemKernel, Token, Wait,
    Waiter, Wake,
};

const TOKEN: Token = Token::new(1, 1);

fn kernels() -> [SystemKernel; 2] {
    [
        SystemKernel::new().unwrap(),
        SystemKernel::with_millisecond_timeouts().unwrap(),
    ]
}

fn wait(kernel: &SystemKernel, waiter: &mut SystemWaiter, wait: Wait) -> Vec<Event> {
    loop {
        match waiter.wait(wait, kernel.now()) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => {
                result.unwrap();
                return waiter.events().collect();
            }
        }
    }
}

fn sockets() -> (UnixStream, UnixStream) {
    let (one, other) = UnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    other.set_nonblocking(true).unwrap();
    (one, other)
}

/// Gives `new` the number of `old`, which is closed by that.
fn take_number(old: OwnedFd, new: &OwnedFd) -> OwnedFd {
    let mut old = old;
    rustix::io::dup2(new, &mut old).unwrap();
    old
}

#[test]
fn what_is_not_read_is_reported_again() {
    for mut kernel in kernels() {
        let mut waiter = kernel.waiter().unwrap();
        let (one, mut other) = sockets();
        kernel
            .register(one.as_raw_fd(), TOKEN, Interest::READ)
            .unwrap();
        assert_eq!(wait(&kernel, &mut waiter, Wait::Poll), []);
        other.write_all(b"hello").unwrap();
        let readable = Event {
            token: TOKEN,
            readiness: Readiness::READABLE,
        };
        assert_eq!(wait(&kernel, &mut waiter, Wait::Forever), [readable]);
        let mut buffer = [0; 3];
        assert_eq!(kernel.recv(one.as_raw_fd(), &mut buffer).unwrap(), 3);
        assert_eq!(wait(&kernel, &mut waiter, Wait::Poll), [readable]);
        assert_eq!(kernel.recv(one.as_raw_fd(), &mut buffer).unwrap(), 2);
        assert_eq!(wait(&kernel, &mut waiter, Wait::Poll), []);
        let error = kernel.recv(one.as_raw_fd(), &mut buffer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
}

#[test]
fn what_is_asked_for_once_is_reported_once() {
    for mut kernel in kernels() {
        let mut waiter = kernel.waiter().unwrap();
        let (one, mut other) = sockets();
        let fd = one.as_raw_fd();
        let once = Interest::READ.with(Interest::ONCE);
        kernel.register(fd, TOKEN, once).unwrap();
        other.write_all(b"hello").unwrap();
        assert_eq!(wait(&kernel, &mut waiter, Wait::Forever).len(), 1);
        assert_eq!(wait(&kernel, &mut waiter, Wait::Poll), []);
        // Not even the end of the stream.
        drop(other);
        assert_eq!(wait(&kernel, &mut waiter, Wait::Poll), []);
        kernel.modify(fd, TOKEN, once).unwrap();
        assert_eq!(wait(&kernel, &mut waiter, Wait::Forever).len(), 1);
        kernel.deregister(fd).unwrap();
    }
}

#[test]
fn what_rests_for_a_socket_that_is_shared_and_closed_is_not_heard_of() {
    for mut kernel in kernels() {
        let mut waiter = kernel.waiter().unwrap();
        let (one, mut other) = sockets();
        let fd = one.as_raw_fd();
        let once = Interest::READ.with(Interest::ONCE);
        kernel.register(fd, TOKEN, once).unwrap();
        other.write_all(b"hello").unwrap();
        assert_eq!(wait(&kernel, &mut waiter, Wait::Forever).len(), 1);
        // As a child process would have it.
        let shared = one.try_clone().unwrap();
        let (newer, mut peer) = sockets();
        let newer = take_number(one.into(), &newer.into());
        other.write_all(b"more").unwrap();
        assert_eq!(wait(&kernel, &mut waiter, Wait::Poll), []);
        // The number is another socket's now, and that one is heard of.
        let token = Token::new(2, 2);
        kernel.modify(newer.as_raw_fd(), token, once).unwrap();
        peer.write_all(b"hello").unwrap();
        let events = wait(&kernel, &mut waiter, Wait::Forever);
        assert_eq!(
            events.iter().map(|event| event.token).collect::<Vec<_>>(),
            [token]
        );
        drop(shared);
    }
}

#[test]
fn one_event_carries_both_directions() {
    for mut kernel in kernels() {
        let mut waiter = kernel.waiter().unwrap();
        let (one, mut other) = sockets();
        other.write_all(b"x").unwrap();
        kernel
            .register(one.as_raw_fd(), TOKEN, Interest::BOTH)
            .unwrap();
        let events = wait(&kernel, &mut waiter, Wait::Forever);
        assert_eq!(
            events,
            [Event {
                token: TOKEN,
                readiness: Readiness::READABLE.with(Readiness::WRITABLE)
            }]
        );
        waiter.clear();
        assert_eq!(waiter.events().count(), 0);
    }
}

#[test]
fn the_end_of_a_pipe_is_a_hang_up_for_its_reader_and_an_error_for_its_writer() {
    let mut kernel = SystemKernel::new().unwrap();
    let mut waiter = kernel.waiter().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    kernel
        .register(reader.as_raw_fd(), TOKEN, Interest::READ)
        .unwrap();
    drop(writer);
    let events = wait(&kernel, &mut waiter, Wait::Forever);
    assert!(events[0].readiness.is_hangup() && events[0].readiness.is_readable());
    kernel.deregister(reader.as_raw_fd()).unwrap();

    let (reader, writer): (_, PipeWriter) = std::io::pipe().unwrap();
    kernel
        .register(writer.as_raw_fd(), TOKEN, Interest::READ)
        .unwrap();
    assert_eq!(wait(&kernel, &mut waiter, Wait::Poll), []);
    drop(reader);
    let events = wait(&kernel, &mut waiter, Wait::Forever);
    assert!(events[0].readiness.is_error() && events[0].readiness.is_readable());
    let error = kernel.write(writer.as_raw_fd(), b"to nobody").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn waits_are_never_early() {
    for mut kernel in kernels() {
        let mut waiter = kernel.waiter().unwrap();
        for nanos in [
            0, 1, 999, 100_000, 1_000_000, 1_000_001, 2_999_999, 10_000_001,
        ] {
            let deadline = kernel.now().saturating_add(Nanos(nanos));
            assert_eq!(wait(&kernel, &mut waiter, Wait::Until(deadline)), []);
            assert!(
                kernel.now() >= deadline,
                "{nanos} ns in {:?}",
                kernel.facts()
            );
        }
        // A deadline that has passed does not wait at all, nor does it underflow.
        assert_eq!(wait(&kernel, &mut waiter, Wait::Until(Nanos::ZERO)), []);
    }
}

#[test]
fn a_waker_ends_the_wait_from_another_thread_and_is_not_an_event() {
    for mut kernel in kernels() {
        let mut waiter = kernel.waiter().unwrap();
        let waker = kernel.waker();
        for _ in 0..100 {
            thread::scope(|scope| {
                scope.spawn(|| waker.wake());
                assert_eq!(wait(&kernel, &mut waiter, Wait::Forever), []);
            });
        }
        // A wake-up while nobody waits is kept, several are one.
        waker.clone().wake();
        waker.wake();
        assert_eq!(wait(&kernel, &mut waiter, Wait::Forever), []);
        let deadline = kernel.now().saturating_add(Nanos::from_millis(2));
        assert_eq!(wait(&kernel, &mut waiter, Wait::Until(deadline)), []);
        assert!(kernel.now() >= deadline, "the wake-up was not used up");
    }
}

#[test]
fn an_alarm_that_was_overtaken_is_no_event() {
    for mut kernel in kernels() {
        let mut waiter = kernel.waiter().unwrap();
        let (one, mut other) = sockets();
        kernel
            .register(one.as_raw_fd(), TOKEN, Interest::READ)
            .unwrap();
        other.write_all(b"x").unwrap();
        let near = kernel.now().saturating_add(Nanos::from_millis(3));
        assert_eq!(wait(&kernel, &mut waiter, Wait::Until(near)).len(), 1);
        kernel.recv(one.as_raw_fd(), &mut [0; 9]).unwrap();
        // It may end these waits early, and is not among what they report.
        let far = near.saturating_add(Nanos::from_millis(20));
        while kernel.now() < far {
            assert_eq!(wait(&kernel, &mut waiter, Wait::Until(far)), []);
        }
    }
}

#[test]
fn what_follows_is_waited_for_until_it_is_pushed() {
    let mut kernel = SystemKernel::new().unwrap();
    let any = Address::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let listener = kernel.listen(&any, &ListenOptions::default()).unwrap();
    let address = kernel.local_address(listener.as_raw_fd()).unwrap();
    let (sender, _) = kernel.connect(&address).unwrap();
    let (receiver, _) = kernel.accept(listener.as_raw_fd()).unwrap();
    let (sender, receiver) = (sender.as_raw_fd(), receiver.as_raw_fd());
    let mut room = [0; 16];
    assert_eq!(kernel.send_more(sender, b"head").unwrap(), 4);
    assert_eq!(kernel.unread(receiver).unwrap(), 0);
    kernel.push(sender).unwrap();
    assert_eq!(kernel.recv(receiver, &mut room).unwrap(), 4);
    kernel.send_more(sender, b"head").unwrap();
    kernel.send(sender, b"body").unwrap();
    assert_eq!(kernel.recv(receiver, &mut room).unwrap(), 8);
    assert_eq!(&room[..8], b"headbody");
    // Other sockets have no packets to fill.
    let (one, other) = sockets();
    kernel.send_more(one.as_raw_fd(), b"at once").unwrap();
    assert_eq!(kernel.unread(other.as_raw_fd()).unwrap(), 7);
    kernel.push(one.as_raw_fd()).unwrap();
}

#[test]
fn the_longest_deadline_is_no_error() {
    for mut kernel in kernels() {
        let mut waiter = kernel.waiter().unwrap();
        kernel.waker().wake();
        assert_eq!(wait(&kernel, &mut waiter, Wait::Until(Nanos::MAX)), []);
    }
}

#[test]
fn more_events_than_the_list_has_room_for_all_come() {
    let mut kernel = SystemKernel::new().unwrap();
    let mut waiter = kernel.waiter().unwrap();
    let sockets: Vec<_> = (0..300).map(|_| sockets()).collect();
    for (slot, (one, _)) in sockets.iter().enumerate() {
        kernel
            .register(one.as_raw_fd(), Token::new(slot as u32, 0), Interest::WRITE)
            .unwrap();
    }
    let first = wait(&kernel, &mut waiter, Wait::Poll).len();
    let mut second: Vec<_> = wait(&kernel, &mut waiter, Wait::Poll)
        .into_iter()
        .map(|event| event.token.slot())
        .collect();
    second.sort_unstable();
    assert!(first < 300, "the list grows only when it was full");
    assert_eq!(second, (0..300).collect::<Vec<_>>());
}

#[test]
fn a_reused_number_can_be_registered_or_changed() {
    let mut kernel = SystemKernel::new().unwrap();
    let mut waiter = kernel.waiter().unwrap();
    let (old, _old_peer) = sockets();
    let number = old.as_raw_fd();
    kernel.register(number, TOKEN, Interest::WRITE).unwrap();

    // Registered twice: the second wins.
    let newer = Token::new(1, 2);
    kernel.register(number, newer, Interest::WRITE).unwrap();
    assert_eq!(wait(&kernel, &mut waiter, Wait::Poll)[0].token, newer);

    // Closed behind our back and given away again: changing it adds it.
    let (new, _new_peer) = sockets();
    let reused = take_number(old.into(), &new.into());
    assert_eq!(reused.as_raw_fd(), number);
    assert_eq!(wait(&kernel, &mut waiter, Wait::Poll), []);
    kernel.modify(number, TOKEN, Interest::WRITE).unwrap();
    assert_eq!(wait(&kernel, &mut waiter, Wait::Poll)[0].token, TOKEN);
}

#[test]
fn deregistering_is_never_an_error_but_watching_may_be() {
    let mut kernel = SystemKernel::new().unwrap();
    let (one, _other) = sockets();
    kernel.deregister(one.as_raw_fd()).unwrap();
    for closed in [-1, RawFd::MAX] {
        kernel.deregister(closed).unwrap();
        let error = kernel.register(closed, TOKEN, Interest::READ).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    }
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    let error = kernel
        .register(file.as_raw_fd(), TOKEN, Interest::READ)
        .unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EPERM));
}

#[test]
fn pieces_are_sent_as_one_and_a_broken_pipe_is_an_error() {
    let mut kernel = SystemKernel::new().unwrap();
    let (one, other) = sockets();
    let pieces = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cd")];
    assert_eq!(kernel.send_vectored(one.as_raw_fd(), &pieces).unwrap(), 4);
    let mut buffer = [0; 8];
    assert_eq!(kernel.recv(other.as_raw_fd(), &mut buffer).unwrap(), 4);
    assert_eq!(&buffer[..4], b"abcd");
    kernel.shutdown_write(one.as_raw_fd()).unwrap();
    assert_eq!(kernel.recv(other.as_raw_fd(), &mut buffer).unwrap(), 0);
    drop(other);
    for error in [
        kernel.send(one.as_raw_fd(), b"x").unwrap_err(),
        kernel.send_vectored(one.as_raw_fd(), &pieces).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}

#[test]
fn connections_over_both_internet_protocols() {
    let mut kernel = SystemKernel::new().unwrap();
    let mut waiter = kernel.waiter().unwrap();
    for any_port in [
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
    ] {
        let listener = match kernel.listen(&any_port.into(), &ListenOptions::default()) {
            Err(error) if any_port.is_ipv6() && error.kind() == ErrorKind::AddrNotAvailable => {
                continue;
            }
            listener => listener.unwrap(),
        };
        let address = kernel.local_address(listener.as_raw_fd()).unwrap();
        assert_ne!(address.as_socket_addr().unwrap().port(), 0);
        let error = kernel.accept(listener.as_raw_fd()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);

        let (client, _) = kernel.connect(&address).unwrap();
        kernel
            .register(client.as_raw_fd(), TOKEN, Interest::WRITE)
            .unwrap();
        assert!(
            wait(&kernel, &mut waiter, Wait::Forever)[0]
                .readiness
                .is_writable()
        );
        assert!(kernel.take_error(client.as_raw_fd()).unwrap().is_none());
        let (served, peer) = kernel.accept(listener.as_raw_fd()).unwrap();
        assert_eq!(peer, kernel.local_address(client.as_raw_fd()).unwrap());
        assert_eq!(kernel.peer_address(client.as_raw_fd()).unwrap(), address);
        kernel.set_nodelay(served.as_raw_fd(), true).unwrap();
        kernel.deregister(client.as_raw_fd()).unwrap();
        [client, served, listener]
            .into_iter()
            .for_each(|fd| kernel.close(fd));
    }
}

#[test]
fn a_refused_connection_says_so() {
    let mut kernel = SystemKernel::new().unwrap();
    let mut waiter = kernel.waiter().unwrap();
    let any_port = Address::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let listener = kernel.listen(&any_port, &ListenOptions::default()).unwrap();
    let address = kernel.local_address(listener.as_raw_fd()).unwrap();
    kernel.close(listener);
    let refused = match kernel.connect(&address) {
        Err(error) => error,
        Ok((client, _)) => {
            kernel
                .register(client.as_raw_fd(), TOKEN, Interest::WRITE)
                .unwrap();
            wait(&kernel, &mut waiter, Wait::Forever);
            kernel.take_error(client.as_raw_fd()).unwrap().unwrap()
        }
    };
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn unix_sockets_have_paths_names_or_nothing() {
    let mut kernel = SystemKernel::new().unwrap();
    let path = std::env::temp_dir().join(format!("epicycle-reactor-{}.sock", std::process::id()));
    let name = format!("epicycle-reactor-{}", std::process::id());
    // As long as a path may be: the kernel's field has no room for a NUL then.
    let longest = format!("{:/<108}", format!("{}/", std::env::temp_dir().display()));
    let longest = format!("{}{}", &longest[..108 - name.len()], name);
    for address in [
        Address::UnixPath(path.as_os_str().as_encoded_bytes().into()),
        Address::UnixPath(longest.as_bytes().into()),
        Address::UnixAbstract(name.as_bytes().into()),
    ] {
        let listener = kernel.listen(&address, &ListenOptions::default()).unwrap();
        assert_eq!(kernel.local_address(listener.as_raw_fd()).unwrap(), address);
        let (client, in_progress) = kernel.connect(&address).unwrap();
        assert!(!in_progress);
        let (_served, peer) = kernel.accept(listener.as_raw_fd()).unwrap();
        assert_eq!(peer, Address::UnixUnnamed);
        assert_eq!(kernel.peer_address(client.as_raw_fd()).unwrap(), address);
    }
    std::fs::remove_file(path).unwrap();
    std::fs::remove_file(longest).unwrap();
    let error = kernel.connect(&Address::UnixPath([].into())).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    for nowhere in [Address::UnixUnnamed, Address::Other(99)] {
        let error = kernel.connect(&nowhere).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EAFNOSUPPORT));
    }
}

#[test]
fn what_has_arrived_is_counted_until_it_is_read() {
    let mut kernel = SystemKernel::new().unwrap();
    let (mut here, there) = sockets();
    assert_eq!(kernel.unread(there.as_raw_fd()).unwrap(), 0);
    here.write_all(b"some bytes").unwrap();
    assert_eq!(kernel.unread(there.as_raw_fd()).unwrap(), 10);
    let mut room = [0; 6];
    assert_eq!(kernel.read(there.as_raw_fd(), &mut room).unwrap(), 6);
    assert_eq!(kernel.unread(there.as_raw_fd()).unwrap(), 4);
    assert!(kernel.unread(-1).is_err());
}

#[test]
fn the_clock_and_the_entropy_are_the_systems() {
    let mut kernel = SystemKernel::new().unwrap();
    let before = kernel.now();
    assert!(kernel.now() >= before && before > Nanos::ZERO);
    let (mut one, mut other) = ([0; 32], [0; 32]);
    kernel.entropy(&mut one).unwrap();
    kernel.entropy(&mut other).unwrap();
    assert_ne!(one, other);
}

#[test]
fn the_facts_say_which_timeouts_and_why() {
    let [probed, coarse] = kernels();
    assert_eq!(
        (probed.facts().poller, probed.facts().waker),
        ("epoll", "eventfd")
    );
    assert!(
        probed.facts().reason.contains("timerfd"),
        "{}",
        probed.facts().reason
    );
    assert_eq!(coarse.facts().timeouts, TimeoutPrecision::Milliseconds);
    assert_eq!(coarse.facts().timeouts.to_string(), "milliseconds");
}

#[test]
fn pipes_are_written_until_full_and_read_to_the_end() {
    let mut kernel = SystemKernel::new().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&reader, true).unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    let (from, to) = (reader.as_raw_fd(), writer.as_raw_fd());
    let mut buf = [0; 100_000];

    let error = kernel.read(from, &mut buf).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    let pieces = [IoSlice::new(b"one "), IoSlice::new(b"two")];
    assert_eq!(kernel.write_vectored(to, &pieces).unwrap(), 7);
    assert_eq!(kernel.read(from, &mut buf).unwrap(), 7);
    assert_eq!(&buf[..7], b"one two");

    let taken = kernel.write(to, &[1; 1_000_000]).unwrap();
    assert!(taken < 1_000_000);
    let error = kernel.write(to, b"more").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    drop(writer);
    let mut left = taken;
    while left > 0 {
        left -= kernel.read(from, &mut buf).unwrap();
    }
    assert_eq!(kernel.read(from, &mut buf).unwrap(), 0);
    assert_eq!(
        kernel.read(-1, &mut buf).unwrap_err().raw_os_error(),
        Some(libc::EBADF)
    );
}
