//! A client on a socket, without a will of its own: it writes what it is told and takes what comes.

use std::collections::HashSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use parlance_mqtt::{Ack, Decoder, Packet, PacketId, QoS, Version, encode};

/// How long a broker may take to answer.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1_500);

/// What came when something was waited for.
pub(crate) enum Came {
    Packet(Box<Packet>),
    /// The broker closed, or sent what is no packet.
    Closed,
    /// Nothing, for as long as was waited.
    Nothing,
}

pub(crate) struct Client {
    socket: TcpStream,
    decoder: Decoder,
    pub(crate) version: Version,
    /// Whether deliveries are answered.
    pub(crate) answers: bool,
    /// QoS 2 packet ids that were answered with PUBREC.
    held: HashSet<PacketId>,
}

impl Client {
    pub(crate) fn connect(to: SocketAddr, version: Version) -> io::Result<Self> {
        let socket = TcpStream::connect_timeout(&to, PATIENCE)?;
        socket.set_nodelay(true)?;
        let mut decoder = Decoder::new(1 << 20);
        decoder.set_version(version);
        Ok(Self { socket, decoder, version, answers: true, held: HashSet::new() })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    pub(crate) fn send(&mut self, packet: &Packet) -> bool {
        let mut out = BytesMut::new();
        encode(packet, self.version, &mut out).expect("a script's packet can be encoded");
        self.write(&out)
    }

    /// The next packet, waited for until `until`. Answers it if that is due.
    pub(crate) fn next(&mut self, until: Instant) -> Came {
        loop {
            match self.decoder.next() {
                Ok(Some(packet)) => {
                    self.answer(&packet);
                    return Came::Packet(Box::new(packet));
                }
                Ok(None) => {}
                Err(_) => return Came::Closed,
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Came::Nothing;
            }
            let mut buffer = [0; 4096];
            let read = self.socket.set_read_timeout(Some(left)).and_then(|()| self.socket.read(&mut buffer));
            match read {
                Ok(0) => return Came::Closed,
                Ok(count) => self.decoder.feed(Bytes::copy_from_slice(&buffer[..count])),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Came::Nothing;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Came::Closed,
            }
        }
    }

    fn answer(&mut self, packet: &Packet) {
        let answer = match packet {
            Packet::Publish(publish) if self.answers => match (publish.qos, publish.packet_id) {
                (QoS::AtLeastOnce, Some(id)) => Packet::PubAck(Ack::success(id)),
                (QoS::ExactlyOnce, Some(id)) => {
                    self.held.insert(id);
                    Packet::PubRec(Ack::success(id))
                }
                _ => return,
            },
            Packet::PubRel(ack) if self.answers => Packet::PubComp(Ack::success(ack.packet_id)),
            // The client's own publishes are always brought to their end.
            Packet::PubRec(ack) if !ack.reason.is_error() => Packet::PubRel(Ack::success(ack.packet_id)),
            _ => return,
        };
        // If the broker has closed, that is found when reading.
        self.send(&answer);
    }
}
