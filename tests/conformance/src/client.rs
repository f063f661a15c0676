//! A raw client: sends packets or any bytes, and takes the server's packets one by one.
//!
//! Whatever the server sends is judged on its way in: its form (the codec refuses what is malformed), the shortest
//! Remaining Length, nothing before CONNACK, nothing after DISCONNECT, and no packet above the limit that this client
//! gave. Every wait ends after [`PATIENCE`].

mod build;
mod words;

pub(crate) use build::{message, retained, subscription, topic_name};
pub(crate) use words::{seen, text};

use self::{
    build::topic_filter,
    words::{name, start},
};
use crate::{
    Failure, Outcome,
    outcome::{ensure, violation},
    transport::Stream,
};
use bytes::{Bytes, BytesMut};
use parlance_mqtt::{
    Ack, ConnAck, Connect, Disconnect, Packet, PacketId, PacketType, Publish, QoS, ReasonCode, SubAck,
    Subscribe, SubscribeFilter, UnsubAck, Unsubscribe, Version, decode, encode,
};
use std::{collections::VecDeque, future::Future, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// How long the client waits for what should happen at once. Generous: a machine can be busy.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// How long nothing must come before the client believes that nothing comes.
const QUIET: Duration = Duration::from_millis(350);

/// What a server may send in one packet. Far above all that the suite provokes.
const PACKET_BYTES_MAX: u32 = 1 << 20;

/// A connection to the server under test.
pub struct Client {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
    version: Version,
    strict: bool,
    accepted: bool,
    disconnect: Option<Disconnect>,
    bytes_max: u32,
    frame: Bytes,
    stash: VecDeque<(Publish, Bytes)>,
    last_id: u16,
}

impl Client {
    pub(crate) fn over(stream: Box<dyn Stream>, version: Version, strict: bool) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            version,
            strict,
            accepted: false,
            disconnect: None,
            bytes_max: PACKET_BYTES_MAX,
            frame: Bytes::new(),
            stash: VecDeque::new(),
            last_id: 0,
        }
    }

    // --- sending ----------------------------------------------------------------------------------------------

    /// Sends a packet.
    pub(crate) async fn send(&mut self, packet: &Packet) -> Outcome {
        let mut out = BytesMut::new();
        encode(packet, self.version, &mut out)
            .map_err(|error| Failure::Violation(format!("the suite cannot send {packet:?}: {error}")))?;
        self.raw(&out).await
    }

    /// Sends any bytes. A server that has closed is not a failure here: reading tells.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) -> Outcome {
        let stream = &mut self.stream;
        let write = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        // An error means that the server has closed, which the next read reports with what was said before.
        let _ = in_time("the server takes what is sent", write).await?;
        Ok(())
    }

    /// Sends CONNECT and waits for the CONNACK, which may be a refusal.
    pub(crate) async fn handshake(&mut self, connect: Connect) -> Outcome<ConnAck> {
        self.limit(connect.maximum_packet_size);
        self.send(&Packet::Connect(Box::new(connect))).await?;
        match self.next().await? {
            Some(Packet::ConnAck(connack)) => Ok(*connack),
            other => violation!("CONNACK expected, {}", seen(other.as_ref())),
        }
    }

    /// No packet may be larger than this from now on.
    pub(crate) fn limit(&mut self, bytes_max: Option<u32>) {
        self.bytes_max = bytes_max.unwrap_or(PACKET_BYTES_MAX);
    }

    /// A packet id that was not used yet on this connection.
    pub(crate) fn fresh_id(&mut self) -> PacketId {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        PacketId::new(self.last_id).expect("never 0")
    }

    /// Publishes, and completes the exchange that the QoS asks for.
    pub(crate) async fn publish(&mut self, topic: &str, payload: impl Into<Bytes>, qos: QoS) -> Outcome {
        self.publish_message(message(topic, payload, qos)).await
    }

    /// As [`publish`](Self::publish), with all that a PUBLISH can carry.
    pub(crate) async fn publish_message(&mut self, message: Publish) -> Outcome {
        let reason = self.try_publish(message).await?;
        ensure!(!reason.is_error(), "the publish is refused: {reason}");
        Ok(())
    }

    /// Publishes and completes the exchange, which may be a refusal.
    pub(crate) async fn try_publish(&mut self, mut message: Publish) -> Outcome<ReasonCode> {
        if message.qos == QoS::AtMostOnce {
            self.send(&Packet::Publish(message)).await?;
            return Ok(ReasonCode::Success);
        }
        let id = *message.packet_id.get_or_insert_with(|| self.fresh_id());
        let qos = message.qos;
        self.send(&Packet::Publish(message)).await?;
        if qos == QoS::AtLeastOnce {
            return Ok(self.puback(id).await?.reason);
        }
        let reason = self.pubrec(id).await?.reason;
        if !reason.is_error() {
            self.send(&Packet::PubRel(Ack::success(id))).await?;
            self.pubcomp(id).await?;
        }
        Ok(reason)
    }

    /// Subscribes to one filter, with the QoS granted that was asked for.
    pub(crate) async fn subscribe(&mut self, filter: &str, qos: QoS) -> Outcome {
        self.subscribe_with(subscription(filter, qos)).await
    }

    /// As [`subscribe`](Self::subscribe), with options.
    pub(crate) async fn subscribe_with(&mut self, filter: SubscribeFilter) -> Outcome {
        self.subscribe_many(vec![filter], None).await
    }

    /// Subscribes to several filters, each with the QoS granted that was asked for.
    pub(crate) async fn subscribe_many(&mut self, filters: Vec<SubscribeFilter>, id: Option<u32>) -> Outcome {
        let wanted: Vec<u8> = filters.iter().map(|filter| filter.qos as u8).collect();
        let granted: Vec<u8> =
            self.try_subscribe(filters, id).await?.codes.iter().map(|code| code.code()).collect();
        if granted != wanted && granted.iter().all(|code| *code < 0x80) {
            return Err(Failure::Unsupported(format!("QoS {wanted:?} asked for, {granted:?} granted")));
        }
        ensure!(granted == wanted, "SUBACK {granted:02X?} for a subscription to QoS {wanted:?}");
        Ok(())
    }

    /// Subscribes, whatever is granted.
    pub(crate) async fn try_subscribe(
        &mut self,
        filters: Vec<SubscribeFilter>,
        subscription_id: Option<u32>,
    ) -> Outcome<SubAck> {
        let packet_id = self.fresh_id();
        let count = filters.len();
        let packet = Subscribe { packet_id, filters, subscription_id, user_properties: Vec::new() };
        self.send(&Packet::Subscribe(packet)).await?;
        let suback = self.suback(packet_id).await?;
        ensure!(suback.codes.len() == count, "{} codes in the SUBACK of {count} filters", suback.codes.len());
        Ok(suback)
    }

    /// Unsubscribes.
    pub(crate) async fn unsubscribe(&mut self, filters: &[&str]) -> Outcome<UnsubAck> {
        let packet_id = self.fresh_id();
        let filters = filters.iter().map(|filter| topic_filter(filter)).collect();
        self.send(&Packet::Unsubscribe(Unsubscribe { packet_id, filters, user_properties: Vec::new() }))
            .await?;
        self.unsuback(packet_id).await
    }

    /// Sends DISCONNECT and closes.
    pub(crate) async fn disconnect(self) -> Outcome {
        self.disconnect_with(Disconnect::with(ReasonCode::Success)).await
    }

    /// Sends this DISCONNECT and waits until the server has closed too, so that it has dealt with it.
    pub(crate) async fn disconnect_with(mut self, disconnect: Disconnect) -> Outcome {
        self.send(&Packet::Disconnect(disconnect)).await?;
        // The server should close; one that leaves it to the client is given a moment, then left.
        let _ = timeout(QUIET, async { while let Ok(Some(_)) = self.frame().await {} }).await;
        Ok(())
    }

    /// Closes without DISCONNECT, as a dead battery does.
    pub(crate) fn vanish(self) {
        drop(self);
    }

    // --- receiving --------------------------------------------------------------------------------------------

    /// The next packet; `None` when the server has closed.
    pub(crate) async fn next(&mut self) -> Outcome<Option<Packet>> {
        in_time("a packet, or the end of the connection", self.next_unbounded()).await?
    }

    async fn next_unbounded(&mut self) -> Outcome<Option<Packet>> {
        let Some(frame) = self.frame().await? else { return Ok(None) };
        self.judge(frame).map(Some)
    }

    /// The bytes of the packet that came last.
    pub(crate) fn last_frame(&self) -> &Bytes {
        &self.frame
    }

    /// Reads one packet's bytes. Can be abandoned at any time without loss.
    async fn frame(&mut self) -> Outcome<Option<Bytes>> {
        loop {
            if let Some(length) = frame_length(&self.buffer, self.version)? {
                ensure!(
                    length <= self.bytes_max as usize,
                    "a packet of {length} bytes, {} allowed",
                    self.bytes_max
                );
                if self.buffer.len() >= length {
                    return Ok(Some(self.buffer.split_to(length).freeze()));
                }
            }
            // A reset is an end like any other.
            if !matches!(self.stream.read_buf(&mut self.buffer).await, Ok(count) if count > 0) {
                ensure!(self.buffer.is_empty(), "closed in the middle of a packet");
                return Ok(None);
            }
        }
    }

    fn judge(&mut self, frame: Bytes) -> Outcome<Packet> {
        self.frame = frame.clone();
        let packet = match decode(&mut frame.clone(), self.version, PACKET_BYTES_MAX) {
            Ok(Some(packet)) => packet,
            Ok(_) => violation!("an incomplete packet: {frame:02X?}"),
            Err(error) => violation!("the server sent a malformed packet ({error}): {:02X?}", start(&frame)),
        };
        ensure!(self.disconnect.is_none(), "after its DISCONNECT the server sent {}", name(&packet));
        match &packet {
            Packet::ConnAck(_) if self.accepted => violation!("a second CONNACK"),
            Packet::ConnAck(connack) => self.accepted = !connack.reason.is_error(),
            Packet::Auth(_) => {}
            other if !self.accepted => violation!("{} before an accepting CONNACK", name(other)),
            Packet::Disconnect(_) if self.version == Version::V3 => {
                violation!("a DISCONNECT from a 3.1.1 server")
            }
            Packet::Disconnect(disconnect) => {
                ensure!(
                    disconnect.session_expiry_s.is_none(),
                    "Session Expiry Interval in a server's DISCONNECT"
                );
                self.disconnect = Some(disconnect.clone());
            }
            Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::PingReq => {
                violation!("a server does not send {}", name(&packet))
            }
            _ => {}
        }
        Ok(packet)
    }

    /// The next PUBLISH. Nothing else may come before it.
    pub(crate) async fn delivery(&mut self) -> Outcome<Publish> {
        if let Some((publish, frame)) = self.stash.pop_front() {
            self.frame = frame;
            return Ok(publish);
        }
        match self.next().await? {
            Some(Packet::Publish(publish)) => Ok(publish),
            other => violation!("PUBLISH expected, {}", seen(other.as_ref())),
        }
    }

    /// The next PUBLISH, acknowledged as its QoS asks for.
    pub(crate) async fn receive(&mut self) -> Outcome<Publish> {
        let publish = self.delivery().await?;
        self.acknowledge(&publish).await?;
        Ok(publish)
    }

    /// The next PUBLISH must have this payload; it is acknowledged.
    pub(crate) async fn receive_payload(&mut self, payload: impl AsRef<[u8]>) -> Outcome<Publish> {
        let publish = self.receive().await?;
        ensure!(
            publish.payload == payload.as_ref(),
            "the message {:?} expected, {:?} came",
            text(payload.as_ref()),
            text(&publish.payload)
        );
        Ok(publish)
    }

    /// A message that came while something else was waited for.
    pub(crate) fn stashed(&mut self) -> Option<Publish> {
        self.stash.pop_front().map(|(publish, _)| publish)
    }

    /// The next message, acknowledged, if one comes within this time.
    pub(crate) async fn receive_within(&mut self, time: Duration) -> Outcome<Option<Publish>> {
        match timeout(time, self.next_unbounded()).await {
            Err(_) => Ok(None),
            Ok(Ok(Some(Packet::Publish(publish)))) => {
                self.acknowledge(&publish).await?;
                Ok(Some(publish))
            }
            Ok(Ok(other)) => violation!("PUBLISH expected, {}", seen(other.as_ref())),
            Ok(Err(failure)) => Err(failure),
        }
    }

    /// The next `count` messages, acknowledged.
    pub(crate) async fn receive_many(&mut self, count: usize) -> Outcome<Vec<Publish>> {
        let mut messages = Vec::with_capacity(count);
        while messages.len() < count {
            messages.push(self.receive().await?);
        }
        Ok(messages)
    }

    /// Acknowledges a delivery with the whole exchange of its QoS.
    pub(crate) async fn acknowledge(&mut self, publish: &Publish) -> Outcome {
        let Some(id) = publish.packet_id else { return Ok(()) };
        if publish.qos == QoS::AtLeastOnce {
            return self.send(&Packet::PubAck(Ack::success(id))).await;
        }
        self.send(&Packet::PubRec(Ack::success(id))).await?;
        self.pubrel(id).await?;
        self.send(&Packet::PubComp(Ack::success(id))).await
    }

    pub(crate) async fn puback(&mut self, id: PacketId) -> Outcome<Ack> {
        match self.answer().await? {
            Some(Packet::PubAck(ack)) if ack.packet_id == id => allowed(ack, PacketType::PubAck),
            other => violation!("PUBACK {id} expected, {}", seen(other.as_ref())),
        }
    }

    pub(crate) async fn pubrec(&mut self, id: PacketId) -> Outcome<Ack> {
        match self.answer().await? {
            Some(Packet::PubRec(ack)) if ack.packet_id == id => allowed(ack, PacketType::PubRec),
            other => violation!("PUBREC {id} expected, {}", seen(other.as_ref())),
        }
    }

    pub(crate) async fn pubrel(&mut self, id: PacketId) -> Outcome<Ack> {
        match self.answer().await? {
            Some(Packet::PubRel(ack)) if ack.packet_id == id => allowed(ack, PacketType::PubRel),
            other => violation!("PUBREL {id} expected, {}", seen(other.as_ref())),
        }
    }

    pub(crate) async fn pubcomp(&mut self, id: PacketId) -> Outcome<Ack> {
        match self.answer().await? {
            Some(Packet::PubComp(ack)) if ack.packet_id == id => allowed(ack, PacketType::PubComp),
            other => violation!("PUBCOMP {id} expected, {}", seen(other.as_ref())),
        }
    }

    pub(crate) async fn suback(&mut self, id: PacketId) -> Outcome<SubAck> {
        match self.answer().await? {
            Some(Packet::SubAck(suback)) if suback.packet_id == id => Ok(suback),
            other => violation!("SUBACK {id} expected, {}", seen(other.as_ref())),
        }
    }

    pub(crate) async fn unsuback(&mut self, id: PacketId) -> Outcome<UnsubAck> {
        match self.answer().await? {
            Some(Packet::UnsubAck(unsuback)) if unsuback.packet_id == id => Ok(unsuback),
            other => violation!("UNSUBACK {id} expected, {}", seen(other.as_ref())),
        }
    }

    /// PINGREQ, and waits for the PINGRESP.
    pub(crate) async fn ping(&mut self) -> Outcome {
        self.send(&Packet::PingReq).await?;
        match self.answer().await? {
            Some(Packet::PingResp) => Ok(()),
            other => violation!("PINGRESP expected, {}", seen(other.as_ref())),
        }
    }

    /// The next packet that is not a PUBLISH: deliveries may come in between and are kept.
    pub(crate) async fn answer(&mut self) -> Outcome<Option<Packet>> {
        loop {
            match self.next().await? {
                Some(Packet::Publish(publish)) => self.stash.push_back((publish, self.frame.clone())),
                other => return Ok(other),
            }
        }
    }

    /// Nothing may come: neither before the answer to a PINGREQ nor for a while after it.
    pub(crate) async fn silent(&mut self) -> Outcome {
        self.ping().await?;
        if let Some((publish, _)) = self.stash.front() {
            violation!("nothing expected, {} came", name(&Packet::Publish(publish.clone())));
        }
        self.silent_for(QUIET).await
    }

    /// Nothing may come for this long.
    pub(crate) async fn silent_for(&mut self, time: Duration) -> Outcome {
        match timeout(time, self.next_unbounded()).await {
            Err(_) => Ok(()),
            Ok(Err(failure)) => Err(failure),
            Ok(Ok(packet)) => violation!("nothing expected, {}", seen(packet.as_ref())),
        }
    }

    /// Everything that the server sends until it closes, whatever it is.
    pub(crate) async fn any_bytes(&mut self) -> Outcome<Bytes> {
        let stream = &mut self.stream;
        let mut bytes = BytesMut::new();
        let read = async { while matches!(stream.read_buf(&mut bytes).await, Ok(count) if count > 0) {} };
        in_time("the end of the connection", read).await?;
        Ok(bytes.freeze())
    }

    /// The server must close. Answers the DISCONNECT that it sent before, if any. Deliveries may come before that.
    pub(crate) async fn closed(&mut self) -> Outcome<Option<Disconnect>> {
        loop {
            match self.next().await {
                Ok(None) => return Ok(self.disconnect.take()),
                Ok(Some(Packet::Disconnect(_) | Packet::Publish(_))) => {}
                Ok(Some(other)) => violation!("the connection should be closed, {} came", name(&other)),
                Err(Failure::Violation(text)) if text.starts_with(NOT_IN_TIME) => {
                    violation!("the connection should be closed, it stays open")
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// The server must close. If it says why (5), it says one of these reasons.
    pub(crate) async fn closed_with(&mut self, reasons: &[ReasonCode]) -> Outcome {
        let Some(disconnect) = self.closed().await? else {
            ensure!(!(self.strict && self.version == Version::V5), "closed without a DISCONNECT");
            return Ok(());
        };
        ensure!(
            fits(disconnect.reason, reasons, self.strict),
            "DISCONNECT {}, {reasons:?} expected",
            disconnect.reason
        );
        Ok(())
    }
}

/// Whether a reason is one of those expected. Malformed Packet and Protocol Error stand for each other unless the server
/// is judged strictly: no statement demands the one or the other, only the text around them does.
pub(crate) fn fits(reason: ReasonCode, expected: &[ReasonCode], strict: bool) -> bool {
    let general =
        |reason: &ReasonCode| matches!(reason, ReasonCode::MalformedPacket | ReasonCode::ProtocolError);
    expected.contains(&reason) || !strict && general(&reason) && expected.iter().any(general)
}

/// Every step that waits goes through here.
async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> Outcome<T> {
    timeout(PATIENCE, future)
        .await
        .map_err(|_| Failure::Violation(format!("{NOT_IN_TIME} ({} s): {what}", PATIENCE.as_secs())))
}

const NOT_IN_TIME: &str = "not in time";

/// The length of the first packet, when its fixed header is there.
fn frame_length(buffer: &[u8], version: Version) -> Outcome<Option<usize>> {
    let mut remaining = 0;
    for (index, byte) in buffer.iter().skip(1).take(4).enumerate() {
        remaining |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            let shortest = index == 0 || *byte != 0 || version == Version::V3;
            ensure!(shortest, "a Remaining Length that is not in its shortest form");
            return Ok(Some(2 + index + remaining));
        }
    }
    ensure!(buffer.len() < 5, "a Remaining Length of more than four bytes");
    Ok(None)
}

fn allowed(ack: Ack, packet: PacketType) -> Outcome<Ack> {
    ensure!(ack.reason.is_allowed_in(packet), "{} is no reason of {packet}", ack.reason);
    Ok(ack)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        assert_eq!(frame_length(&[], Version::V5), Ok(None));
        assert_eq!(frame_length(&[0xD0], Version::V5), Ok(None));
        assert_eq!(frame_length(&[0xD0, 0], Version::V5), Ok(Some(2)));
        assert_eq!(frame_length(&[0x30, 0x80], Version::V5), Ok(None));
        assert_eq!(frame_length(&[0x30, 0x80, 0x01], Version::V5), Ok(Some(131)));
        assert!(frame_length(&[0x30, 0x81, 0x00], Version::V5).is_err());
        assert!(frame_length(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF], Version::V5).is_err());
    }
}
