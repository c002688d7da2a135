//! Addresses that go to the system and come back: what a socket is bound to is what it says it is bound to.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;

use epicycle_reactor::{Address, Kernel, ListenOptions, SystemKernel};

/// An address to listen on: of this machine alone, with a port or a name that nobody else uses.
#[derive(Clone, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub enum Place {
    /// 127.x.y.z, in the lower half: the very last one is for broadcasts.
    V4(u8, u8, u8),
    /// ::1 with a flow and a zone.
    V6 {
        flow: u32,
        zone: u32,
    },
    /// A name outside the file system; an empty one is given by the system.
    Abstract(Vec<u8>),
    /// A path that cannot be: in a folder that is not there, or too long, or with a NUL.
    Path(Vec<u8>),
    Unnamed,
    Other(u16),
}

/// A folder that is nowhere.
const NOWHERE: &[u8] = b"/proc/self/nothing of this name/";

impl Place {
    fn address(&self) -> Address {
        match self {
            Self::V4(x, y, z) => {
                Address::V4(SocketAddrV4::new(Ipv4Addr::new(127, *x % 128, *y, *z), 0))
            }
            Self::V6 { flow, zone } => {
                Address::V6(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 0, *flow, *zone))
            }
            Self::Abstract(name) => {
                let mut whole = format!("epicycle {} ", std::process::id()).into_bytes();
                whole.extend(name);
                Address::UnixAbstract(whole.into())
            }
            Self::Path(path) => Address::UnixPath([NOWHERE, path].concat().into()),
            Self::Unnamed => Address::UnixUnnamed,
            Self::Other(family) => Address::Other(*family),
        }
    }
}

/// Listens there, and looks at where that is.
///
/// # Panics
/// Where the system's address is not ours, or an impossible one is not refused.
pub fn run(place: &Place) {
    let address = place.address();
    let mut kernel = SystemKernel::new().expect("a kernel");
    let listened = kernel.listen(&address, &ListenOptions::default());
    match place {
        Place::Path(_) | Place::Unnamed | Place::Other(_) => {
            assert!(listened.is_err(), "{address:?}");
        }
        Place::V4(..) | Place::V6 { .. } | Place::Abstract(_) => {
            // 127.0.0.0 and names that are too long, for instance, are refused.
            let Ok(socket) = listened else { return };
            let local = kernel
                .local_address(socket.as_raw_fd())
                .expect("a bound socket has an address");
            match (local.as_socket_addr(), address.as_socket_addr()) {
                (Some(local), Some(asked)) => {
                    assert!(local.is_ipv4() == asked.is_ipv4() && local.ip() == asked.ip());
                    assert_ne!(local.port(), 0);
                    assert_eq!(Address::from(local).as_socket_addr(), Some(local));
                }
                _ => assert_eq!(local, address),
            }
            connect(&mut kernel, &local);
        }
    }
}

/// The other end sees the same address.
fn connect(kernel: &mut SystemKernel, local: &Address) {
    // A zone of our own choosing may be refused.
    if let Some(SocketAddr::V6(address)) = local.as_socket_addr()
        && address.scope_id() != 0
    {
        return;
    }
    let (socket, _) = kernel.connect(local).expect("a listening socket");
    let peer = kernel
        .peer_address(socket.as_raw_fd())
        .expect("a connected socket has a peer");
    match (peer.as_socket_addr(), local.as_socket_addr()) {
        (Some(peer), Some(local)) => {
            assert_eq!((peer.ip(), peer.port()), (local.ip(), local.port()));
        }
        _ => assert_eq!(&peer, local),
    }
}
