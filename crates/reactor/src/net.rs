//! Addresses and the options of a listening socket, as values.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Where a socket is, or where its peer is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Address {
    /// IPv4 and a port.
    V4(SocketAddrV4),
    /// IPv6 and a port, with flow and zone.
    V6(SocketAddrV6),
    /// A path in the file system, without a terminating NUL.
    UnixPath(Box<[u8]>),
    /// A name outside the file system, without the NUL it begins with.
    UnixAbstract(Box<[u8]>),
    /// A Unix socket that has no name.
    UnixUnnamed,
    /// A family we have no form for, by its number.
    Other(u16),
}

impl Address {
    /// The internet address, if it is one.
    pub const fn as_socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::V4(address) => Some(SocketAddr::V4(*address)),
            Self::V6(address) => Some(SocketAddr::V6(*address)),
            _ => None,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::V4(address),
            SocketAddr::V6(address) => Self::V6(address),
        }
    }
}

/// How a listening socket is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenOptions {
    /// How many finished connections the kernel may hold for us.
    pub backlog: i32,
    /// `SO_REUSEADDR`: bind though an old connection lingers. Not for Unix sockets.
    pub reuse_address: bool,
    /// `SO_REUSEPORT`: share the port with other sockets.
    pub reuse_port: bool,
}

impl Default for ListenOptions {
    /// asyncio's: a backlog of 100, the address reused, the port not shared.
    fn default() -> Self {
        Self {
            backlog: 100,
            reuse_address: true,
            reuse_port: false,
        }
    }
}

/// An IPv4 address as text, without a way through the formatter, which takes as long as receiving a datagram.
#[derive(Clone, Debug)]
pub struct Dotted {
    text: [u8; 15],
    length: usize,
}

impl Dotted {
    /// The text of an address.
    #[inline]
    pub fn of(address: Ipv4Addr) -> Self {
        let mut dotted = Self {
            text: [b'.'; 15],
            length: 0,
        };
        for (index, octet) in address.octets().into_iter().enumerate() {
            dotted.length += usize::from(index > 0);
            if octet >= 100 {
                dotted.push(octet / 100);
            }
            if octet >= 10 {
                dotted.push(octet / 10 % 10);
            }
            dotted.push(octet % 10);
        }
        dotted
    }

    fn push(&mut self, digit: u8) {
        self.text[self.length] = b'0' + digit;
        self.length += 1;
    }

    /// As [`std::fmt::Display`] writes it.
    #[inline]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.text[..self.length]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internet_addresses_go_both_ways() {
        for text in ["127.0.0.1:80", "[::1]:443", "[fe80::1%3]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Address::from(address).as_socket_addr(), Some(address));
        }
        for other in [
            Address::UnixUnnamed,
            Address::Other(16),
            Address::UnixPath(Box::from(*b"/x")),
        ] {
            assert_eq!(other.as_socket_addr(), None);
        }
    }

    #[test]
    fn every_octet_is_written_as_the_formatter_writes_it() {
        for octet in 0..=255 {
            for address in [
                Ipv4Addr::new(octet, 0, 9, 255),
                Ipv4Addr::new(10, octet, octet, 99),
                Ipv4Addr::new(127, 0, 0, octet),
                Ipv4Addr::from([octet; 4]),
            ] {
                assert_eq!(Dotted::of(address).text(), address.to_string());
            }
        }
    }
}
