//! Listening sockets, one for each thread on the same address.

use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// The sockets of one address.
pub(super) struct Bound {
    /// Where they listen (the port is known now, if it was 0).
    pub(super) address: SocketAddr,
    /// What they are.
    pub(super) sockets: Sockets,
}

/// What listens.
pub(super) enum Sockets {
    /// One of TCP for each thread.
    Tcp(Vec<TcpListener>),
    /// One of UDP.
    Udp(UdpSocket),
}

/// Binds one UDP socket.
///
/// # Errors
/// The address is in use.
pub(super) fn bind_udp(address: SocketAddr) -> io::Result<Bound> {
    let socket = UdpSocket::bind(address)?;
    Ok(Bound { address: socket.local_addr()?, sockets: Sockets::Udp(socket) })
}

/// Binds `count` sockets to one address, the kernel spreading connections over them (SO_REUSEPORT).
///
/// # Errors
/// The address is in use, also by another process that would have shared it.
pub(super) fn bind_tcp(address: SocketAddr, count: usize) -> io::Result<Bound> {
    if address.port() != 0 {
        // With SO_REUSEPORT a second server would bind too and take half of the connections: without it, this fails.
        drop(socket(address, false)?);
    }
    let first = socket(address, true)?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    while sockets.len() < count {
        sockets.push(socket(address, true)?);
    }
    Ok(Bound { address, sockets: Sockets::Tcp(sockets) })
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
