//! Whether a broker takes clients: it answers a CONNECT.

use crate::Version;
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(2);

/// Keep alive 60 s, client id `ready`, no session before or after.
const CONNECT_V311: [u8; 19] =
    [0x10, 17, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 5, b'r', b'e', b'a', b'd', b'y'];
const CONNECT_V5: [u8; 20] =
    [0x10, 18, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0, 5, b'r', b'e', b'a', b'd', b'y'];

const DISCONNECT: [u8; 2] = [0xe0, 0];

/// What a broker said to a client without a name or password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Accepted,
    Refused,
}

/// Connects, and gives the answer.
pub(super) fn ask(address: SocketAddr, version: Version) -> io::Result<Answer> {
    let mut socket = TcpStream::connect_timeout(&address, ANSWER)?;
    socket.set_read_timeout(Some(ANSWER))?;
    socket.write_all(match version {
        Version::V311 => &CONNECT_V311,
        Version::V5 => &CONNECT_V5,
    })?;
    // What follows in version 5, its properties, is nothing to this client.
    let mut connack = [0; 4];
    socket.read_exact(&mut connack)?;
    match connack {
        [0x20, _, _, 0] => {
            socket.write_all(&DISCONNECT)?;
            Ok(Answer::Accepted)
        }
        [0x20, ..] => Ok(Answer::Refused),
        other => Err(io::Error::other(format!("no CONNACK: {other:02x?}"))),
    }
}
