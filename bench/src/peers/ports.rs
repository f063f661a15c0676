//! Ports of this machine that nobody else is given while a broker has them.

use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

/// Some of them, reserved while this lives: also while the broker is down.
#[derive(Debug)]
pub(super) struct Ports {
    reserved: Vec<(Socket, SocketAddr)>,
}

impl Ports {
    pub(super) fn reserve(count: usize) -> io::Result<Self> {
        let reserved = (0..count).map(|_| reserve()).collect::<io::Result<_>>()?;
        Ok(Self { reserved })
    }

    /// One of them, counted from 0.
    pub(super) fn address(&self, index: usize) -> SocketAddr {
        self.reserved[index].1
    }

    pub(super) fn port(&self, index: usize) -> u16 {
        self.address(index).port()
    }
}

/// Bound and never listening, so a broker can listen there: the two options allow that whichever of them it sets. Bound on
/// every address: a connection of anybody from this port on another address would be in the way of a broker that listens
/// on all of them.
fn reserve() -> io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&SockAddr::from(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))))?;
    let bound = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok((socket, SocketAddr::from((Ipv4Addr::LOCALHOST, bound.port()))))
}
