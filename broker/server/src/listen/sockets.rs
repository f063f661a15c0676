//! Listening sockets, one for each thread on the same address.

use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{SocketAddr, TcpListener},
};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// The sockets of one address.
pub(crate) struct Bound {
    /// Where they listen (the port is known now, if it was 0).
    pub(crate) address: SocketAddr,
    /// One for each thread.
    pub(crate) sockets: Vec<TcpListener>,
}

/// Binds `count` sockets to one address, the kernel spreading connections over them (SO_REUSEPORT).
///
/// # Errors
/// The address is in use, also by another process that would have shared it.
pub(crate) fn bind(address: SocketAddr, count: usize) -> io::Result<Bound> {
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
    Ok(Bound { address, sockets })
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
