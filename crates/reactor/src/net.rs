//! Addresses and the options of a listening socket, as values.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

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
}
