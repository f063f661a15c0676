//! A device's end of a connection: packets in and out, with the codec of the broker, the other way round.

use crate::{faults::Mutation, random::Random, wire::Socket};
use bytes::{Buf, BytesMut};
use parlance_mqtt::{Decoder, Packet, PacketId, QoS, Version, encode};
use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Largest packet that a device takes, bytes.
const PACKET_BYTES_MAX: u32 = 1 << 20;
/// Bytes of one read.
const READ_BYTES: usize = 4096;

/// The connection is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Over {
    /// It broke, or was closed.
    Lost,
    /// The server sent something that is no packet.
    Malformed(String),
}

/// See the module.
pub(super) struct Line {
    /// The connection's number in the run.
    pub(super) number: u64,
    socket: Socket,
    decoder: Decoder,
    out: BytesMut,
    version: Version,
    ready: VecDeque<Packet>,
    mangle: Option<(Mutation, Random)>,
}

impl Line {
    pub(super) fn new(
        number: u64,
        socket: Socket,
        version: Version,
        mangle: Option<(Mutation, Random)>,
    ) -> Self {
        let mut decoder = Decoder::new(PACKET_BYTES_MAX);
        decoder.set_version(version);
        let (out, ready) = (BytesMut::new(), VecDeque::new());
        Self { number, socket, decoder, out, version, ready, mangle }
    }

    /// Has a packet sent with the next look at the connection.
    pub(super) fn send(&mut self, packet: &Packet) {
        encode(packet, self.version, &mut self.out).expect("a device's packets fit its protocol version");
    }

    /// The next packet. What is to be sent is sent meanwhile.
    pub(super) async fn next(&mut self) -> Result<Packet, Over> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Sends all that is to be sent.
    pub(super) async fn flush(&mut self) {
        std::future::poll_fn(|cx| self.poll_send(cx)).await;
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.out.is_empty() {
            match Pin::new(&mut self.socket).poll_write(cx, &self.out) {
                Poll::Ready(Ok(count)) => self.out.advance(count),
                // Reading tells that it is over.
                Poll::Ready(Err(_)) => self.out.clear(),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Packet, Over>> {
        // It waits for room by itself: whatever becomes of it, there may be something to read.
        let _ = self.poll_send(cx);
        loop {
            if let Some(packet) = self.ready.pop_front() {
                return Poll::Ready(Ok(packet));
            }
            match self.decoder.next() {
                Ok(Some(packet)) => {
                    self.take(packet);
                    continue;
                }
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(Over::Malformed(error.to_string()))),
            }
            let mut bytes = [0; READ_BYTES];
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.socket).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.decoder.feed(buffer.filled().to_vec().into());
                }
                Poll::Ready(_) => return Poll::Ready(Err(Over::Lost)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// A packet has come: as it is, or as a mutated network leaves it.
    fn take(&mut self, packet: Packet) {
        let delivery = match &packet {
            Packet::Publish(publish) if publish.qos == QoS::AtLeastOnce => {
                publish.topic.as_ref().is_some_and(|topic| topic.as_str().contains("/inbox/"))
            }
            _ => false,
        };
        let (mutation, strikes) = match &mut self.mangle {
            Some((mutation, random)) if delivery => (Some(*mutation), random.chance(100)),
            _ => (None, false),
        };
        match (mutation.filter(|_| strikes), packet) {
            (Some(Mutation::DeliveryLost), Packet::Publish(publish)) => {
                self.acknowledge(publish.packet_id);
            }
            (Some(Mutation::DeliveriesSwapped), packet) => match self.ready.pop_back() {
                Some(before) => self.ready.extend([packet, before]),
                None => {
                    // The next one, if it is here already, goes first.
                    let next = self.decoder.next().ok().flatten();
                    self.ready.extend(next.into_iter().chain([packet]));
                }
            },
            (Some(Mutation::DeliveryForged), Packet::Publish(mut publish)) => {
                let forged: Vec<u8> =
                    publish.payload.iter().map(|byte| if *byte == b'#' { b'*' } else { *byte }).collect();
                publish.payload = forged.into();
                self.ready.push_back(Packet::Publish(publish));
            }
            (_, packet) => self.ready.push_back(packet),
        }
    }

    fn acknowledge(&mut self, packet_id: Option<PacketId>) {
        if let Some(packet_id) = packet_id {
            self.send(&Packet::PubAck(parlance_mqtt::Ack::success(packet_id)));
        }
    }
}
