//! The PROXY protocol, version 2: a load balancer tells where the client is before the client's first byte.
//!
//! Specification: haproxy, `doc/proxy-protocol.txt`, 2.2. Version 1 is refused: one form is enough to be read wrongly.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How long a load balancer may take for its header: it sends it at once.
pub(super) const HEADER_WAIT: Duration = Duration::from_secs(5);
/// Longest header behind its first 16 bytes: addresses and what else it may tell.
const HEADER_BYTES_MAX: usize = 2_048;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const FIXED_BYTES: usize = 16;
const IPV4_BYTES: usize = 12;
const IPV6_BYTES: usize = 36;

/// Why a connection that should begin with a header is closed.
#[derive(Debug, Error)]
pub(super) enum ProxyError {
    /// It ended.
    #[error("the connection ended within its PROXY header")]
    Ended(#[from] io::Error),
    /// It is of the old form.
    #[error("a PROXY header of version 1: set the load balancer to version 2 (send-proxy-v2)")]
    Version1,
    /// There is none.
    #[error("the connection does not begin with a PROXY header: does the load balancer send one?")]
    Missing,
    /// It is not well formed.
    #[error("a PROXY header that is not well formed: {0}")]
    Malformed(&'static str),
    /// It is longer than it need be.
    #[error("a PROXY header of {0} bytes; at most {HEADER_BYTES_MAX} are read")]
    TooLong(usize),
}

/// Reads the header and nothing more. `None`: the load balancer speaks for itself (LOCAL), or tells no address.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, ProxyError> {
    let mut fixed = [0; FIXED_BYTES];
    // Whatever is no header is seen by its first bytes: nobody is waited for who speaks MQTT or HTTP.
    let mut read = 0;
    while read < FIXED_BYTES {
        match stream.read(&mut fixed[read..]).await? {
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            count => read += count,
        }
        let signed = read.min(SIGNATURE.len());
        if fixed[..signed] != SIGNATURE[..signed] {
            let is_old = read >= 6 && fixed.starts_with(b"PROXY ");
            return Err(if is_old { ProxyError::Version1 } else { ProxyError::Missing });
        }
    }
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > HEADER_BYTES_MAX {
        return Err(ProxyError::TooLong(length));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    parse(fixed[12], fixed[13], &rest)
}

fn parse(command: u8, family: u8, rest: &[u8]) -> Result<Option<SocketAddr>, ProxyError> {
    match command {
        0x20 => return Ok(None),
        0x21 => {}
        _ if command >> 4 != 2 => return Err(ProxyError::Malformed("another version")),
        _ => return Err(ProxyError::Malformed("an unknown command")),
    }
    let part = |bytes: usize| rest.get(..bytes).ok_or(ProxyError::Malformed("too short for its addresses"));
    let port = |bytes: &[u8], at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    match family {
        0x11 => {
            let bytes = part(IPV4_BYTES)?;
            let address = Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]);
            Ok(Some(SocketAddr::new(address.into(), port(bytes, 8))))
        }
        0x21 => {
            let bytes = part(IPV6_BYTES)?;
            let mut octets = [0; 16];
            octets.copy_from_slice(&bytes[..16]);
            let address = IpAddr::V6(Ipv6Addr::from(octets)).to_canonical();
            Ok(Some(SocketAddr::new(address, port(bytes, 32))))
        }
        // Unspecified, and sockets of the balancer's own machine: there is no address to be told.
        0x00 | 0x31 => Ok(None),
        0x12 | 0x22 | 0x32 => Err(ProxyError::Malformed("not of a stream")),
        _ => Err(ProxyError::Malformed("an unknown family of addresses")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    async fn outcome(mut bytes: &[u8]) -> (Result<Option<SocketAddr>, String>, Vec<u8>) {
        let read = read(&mut bytes).await.map_err(|error| error.to_string());
        (read, bytes.to_vec())
    }

    #[tokio::test]
    async fn addresses_are_read_and_nothing_behind_them() {
        let v4 = [10, 1, 2, 3, 127, 0, 0, 1, 0x30, 0x39, 0x07, 0x5b];
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        v6[15] = 1;
        v6[32..34].copy_from_slice(&[0x30, 0x39]);
        let with_more = [&v4[..], &[0x04, 0, 2, 9, 9]].concat();
        let cases = [
            (header(0x21, 0x11, &v4), Some("10.1.2.3:12345")),
            (header(0x21, 0x11, &with_more), Some("10.1.2.3:12345")),
            (header(0x21, 0x21, &v6), Some("[2001:db8::1]:12345")),
            (header(0x20, 0x00, &[]), None),
            (header(0x20, 0x11, &v4), None),
            (header(0x21, 0x00, &[1, 2, 3]), None),
            (header(0x21, 0x31, &[0; 216]), None),
        ];
        for (mut bytes, expected) in cases {
            bytes.extend(b"next");
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(outcome(&bytes).await, (Ok(expected), b"next".to_vec()));
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_told() {
        let cases = [
            (b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n".to_vec(), "version 1"),
            (vec![0x10, 0x1f, 0, 4], "does not begin with a PROXY header"),
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "does not begin with a PROXY header"),
            (header(0x31, 0x11, &[0; 12]), "another version"),
            (header(0x22, 0x11, &[0; 12]), "an unknown command"),
            (header(0x21, 0x12, &[0; 12]), "not of a stream"),
            (header(0x21, 0x44, &[0; 12]), "an unknown family"),
            (header(0x21, 0x11, &[0; 11]), "too short"),
            (header(0x21, 0x21, &[0; 35]), "too short"),
            (header(0x21, 0x11, &vec![0; 2_049]), "2049 bytes"),
            (header(0x21, 0x11, &[0; 12])[..20].to_vec(), "ended within"),
            (SIGNATURE.to_vec(), "ended within"),
        ];
        for (bytes, expected) in cases {
            let told = outcome(&bytes).await.0.unwrap_err();
            assert!(told.contains(expected), "{told}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(command: u8, family: u8, rest in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(command, family, &rest);
        }
    }
}
