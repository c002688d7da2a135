//! A TCP echo server on the turn, without Python: `cargo run -p epicycle-reactor --example echo -- [PORT]`.
//!
//! It listens on 127.0.0.1, prints its address, and serves until it is killed. Port 0 or none: the system picks.

mod server;

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};

use epicycle_reactor::SystemKernel;
use server::EchoServer;

#[expect(
    clippy::print_stdout,
    reason = "whoever starts the server wants to know its address"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let port = match std::env::args().nth(1) {
        Some(port) => port.parse()?,
        None => 0,
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut server = EchoServer::new(SystemKernel::new()?, &address.into())?;
    if let Some(address) = server.address().as_socket_addr() {
        println!("{address}");
    }
    server.run(|| true)?;
    Ok(())
}
