//! A connected device. It reads only when it waits for something: one that is left alone is a client that stalls.

use crate::{Acked, Delivery, Message, device::Stream, wait::in_time};
use bytes::{Bytes, BytesMut};
use parlance_mqtt::{
    Ack, Auth, ConnAck, Connect, Decoder, Disconnect, Packet, PacketId, Publish, QoS, ReasonCode,
    RetainHandling, SubAck, Subscribe, SubscribeFilter, TopicFilter, TopicName, UnsubAck, Unsubscribe,
    Version, encode,
};
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

const PACKET_BYTES_MAX: u32 = 64 << 20;
const READ_BYTES: usize = 16 << 10;

/// How a connection ended, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// CONNACK with an error.
    Refused(Box<ConnAck>),
    /// DISCONNECT.
    Told(Box<Disconnect>),
    /// The socket ended without a word.
    Ended,
}

impl Closed {
    /// The reason code, if one was told.
    pub fn reason(&self) -> Option<ReasonCode> {
        match self {
            Self::Refused(packet) => Some(packet.reason),
            Self::Told(packet) => Some(packet.reason),
            Self::Ended => None,
        }
    }
}

/// A connected device.
pub struct Client {
    stream: Box<dyn Stream>,
    decoder: Decoder,
    version: Version,
    connack: Option<ConnAck>,
    last_id: u16,
    manual: bool,
    deliveries: VecDeque<Delivery>,
    acks: VecDeque<Acked>,
    /// PUBREC, PUBREL and PUBCOMP that came.
    recs: VecDeque<Ack>,
    rels: VecDeque<Ack>,
    comps: VecDeque<Ack>,
    auths: VecDeque<Auth>,
    /// Topics that the server has given an alias.
    aliases: HashMap<u16, TopicName>,
    subacks: VecDeque<SubAck>,
    unsubacks: VecDeque<UnsubAck>,
    pongs: u32,
    closed: Option<Closed>,
}

impl Client {
    pub(crate) fn over(stream: Box<dyn Stream>, version: Version) -> Self {
        let mut decoder = Decoder::new(PACKET_BYTES_MAX);
        decoder.set_version(version);
        Self {
            stream,
            decoder,
            version,
            connack: None,
            last_id: 0,
            manual: false,
            deliveries: VecDeque::new(),
            acks: VecDeque::new(),
            recs: VecDeque::new(),
            rels: VecDeque::new(),
            comps: VecDeque::new(),
            auths: VecDeque::new(),
            aliases: HashMap::new(),
            subacks: VecDeque::new(),
            unsubacks: VecDeque::new(),
            pongs: 0,
            closed: None,
        }
    }

    pub(crate) async fn handshake(stream: Box<dyn Stream>, connect: Connect) -> Result<Self, Closed> {
        let mut client = Self::over(stream, connect.version);
        client.try_send(&Packet::Connect(Box::new(connect))).await?;
        loop {
            match client.connack.take() {
                Some(connack) if connack.reason == ReasonCode::Success => {
                    client.connack = Some(connack);
                    return Ok(client);
                }
                Some(connack) => return Err(Closed::Refused(Box::new(connack))),
                None => in_time("CONNACK", client.read()).await?,
            }
        }
    }

    /// The CONNACK.
    ///
    /// # Panics
    /// On a connection that was only opened.
    pub fn connack(&self) -> &ConnAck {
        self.connack.as_ref().expect("connected")
    }

    /// The server had a session for this device.
    pub fn session_present(&self) -> bool {
        self.connack().session_present
    }

    /// From now on deliveries are acknowledged only by [`ack`](Self::ack).
    #[must_use]
    pub fn manual_acks(mut self) -> Self {
        self.manual = true;
        self
    }

    // --- sending ----------------------------------------------------------------------------------------------

    /// Sends a packet.
    ///
    /// # Panics
    /// If the connection has ended.
    pub async fn send_packet(&mut self, packet: &Packet) {
        let sent = self.try_send(packet).await;
        sent.unwrap_or_else(|closed| panic!("the connection has ended: {closed:?}"));
    }

    /// Sends a packet, if the connection has not ended.
    ///
    /// # Errors
    /// How it ended.
    pub async fn try_send(&mut self, packet: &Packet) -> Result<(), Closed> {
        let mut out = BytesMut::new();
        encode(packet, self.version, &mut out).unwrap_or_else(|error| panic!("{packet:?}: {error}"));
        self.raw(&out).await
    }

    /// Sends bytes that need not be a packet.
    ///
    /// # Errors
    /// How the connection ended.
    pub async fn raw(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        in_time("the server takes what is sent", write)
            .await
            .map_err(|_| self.closed.clone().unwrap_or(Closed::Ended))
    }

    /// Sends a publish and does not wait; [`next_ack`](Self::next_ack) does.
    ///
    /// # Errors
    /// How the connection ended.
    pub async fn send(&mut self, message: &Message) -> Result<Option<PacketId>, Closed> {
        let mut publish = message.publish.clone();
        if publish.qos != QoS::AtMostOnce && publish.packet_id.is_none() {
            publish.packet_id = Some(self.fresh_id());
        }
        let id = publish.packet_id;
        self.try_send(&Packet::Publish(publish)).await?;
        Ok(id)
    }

    /// Publishes with QoS 1 and waits for its PUBACK, which may be a refusal.
    pub async fn publish(&mut self, topic: &str, payload: impl Into<Bytes>) -> Acked {
        self.publish_message(&Message::new(topic, payload)).await
    }

    /// Publishes and waits for its PUBACK, which may be a refusal. With QoS 2 for its PUBREC, and then for its PUBCOMP.
    ///
    /// # Panics
    /// If the connection ends before.
    pub async fn publish_message(&mut self, message: &Message) -> Acked {
        let id =
            self.send(message).await.unwrap_or_else(|closed| panic!("the connection has ended: {closed:?}"));
        let id = id.expect("a publish with QoS 1 or 2");
        if message.publish.qos == QoS::ExactlyOnce {
            let received = self.pubrec(id).await;
            if !received.reason.is_error() {
                self.send_packet(&Packet::PubRel(Ack::success(id))).await;
                self.pubcomp(id).await;
            }
            return Acked(received);
        }
        loop {
            if let Some(at) = self.acks.iter().position(|ack| ack.packet_id() == id) {
                return self.acks.remove(at).expect("found just now");
            }
            self.must_read("PUBACK").await;
        }
    }

    /// Waits for the PUBREC of a publish.
    pub async fn pubrec(&mut self, id: PacketId) -> Ack {
        loop {
            if let Some(at) = self.recs.iter().position(|ack| ack.packet_id == id) {
                return self.recs.remove(at).expect("found just now");
            }
            self.must_read("PUBREC").await;
        }
    }

    /// Waits for the PUBREL of a delivery.
    pub async fn pubrel(&mut self, id: PacketId) -> Ack {
        loop {
            if let Some(at) = self.rels.iter().position(|ack| ack.packet_id == id) {
                return self.rels.remove(at).expect("found just now");
            }
            self.must_read("PUBREL").await;
        }
    }

    /// Waits for the PUBCOMP of a publish.
    pub async fn pubcomp(&mut self, id: PacketId) -> Ack {
        loop {
            if let Some(at) = self.comps.iter().position(|ack| ack.packet_id == id) {
                return self.comps.remove(at).expect("found just now");
            }
            self.must_read("PUBCOMP").await;
        }
    }

    /// Waits for an AUTH, or for the end of the connection.
    ///
    /// # Errors
    /// How it ended.
    pub async fn next_auth(&mut self) -> Result<Auth, Closed> {
        loop {
            if let Some(auth) = self.auths.pop_front() {
                return Ok(auth);
            }
            in_time("AUTH", self.read()).await?;
        }
    }

    /// Publishes with QoS 0.
    pub async fn publish_qos0(&mut self, topic: &str, payload: impl Into<Bytes>) {
        let sent = self.send(&Message::new(topic, payload).qos0()).await;
        sent.unwrap_or_else(|closed| panic!("the connection has ended: {closed:?}"));
    }

    /// Acknowledges a delivery: with QoS 2 all the way.
    pub async fn ack(&mut self, delivery: &Delivery) {
        let id = delivery.packet_id().expect("a delivery with QoS 1 or 2");
        if delivery.0.qos == QoS::ExactlyOnce {
            self.send_packet(&Packet::PubRec(Ack::success(id))).await;
            self.pubrel(id).await;
            self.send_packet(&Packet::PubComp(Ack::success(id))).await;
        } else {
            self.send_packet(&Packet::PubAck(Ack::success(id))).await;
        }
    }

    /// Subscribes with QoS 1.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn subscribe(&mut self, filter: &str) {
        let code = self.try_subscribe(filter, QoS::AtLeastOnce).await;
        assert!(!code.is_error(), "{filter}: {code}");
    }

    /// Subscribes; answers the code of the SUBACK.
    pub async fn try_subscribe(&mut self, filter: &str, qos: QoS) -> ReasonCode {
        let filter = SubscribeFilter {
            filter: TopicFilter::new(filter.to_owned()).unwrap_or_else(|error| panic!("{filter}: {error}")),
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        };
        self.subscribe_with(filter, None).await
    }

    /// Subscribes with all options; answers the code of the SUBACK.
    pub async fn subscribe_with(
        &mut self,
        filter: SubscribeFilter,
        subscription_id: Option<u32>,
    ) -> ReasonCode {
        let packet_id = self.fresh_id();
        let packet =
            Subscribe { packet_id, filters: vec![filter], subscription_id, user_properties: Vec::new() };
        self.send_packet(&Packet::Subscribe(packet)).await;
        loop {
            match self.subacks.pop_front() {
                Some(suback) if suback.packet_id == packet_id => return suback.codes[0],
                Some(_) => {}
                None => self.must_read("SUBACK").await,
            }
        }
    }

    /// Unsubscribes; answers the code of the UNSUBACK (5).
    pub async fn unsubscribe(&mut self, filter: &str) -> ReasonCode {
        let packet_id = self.fresh_id();
        let filters =
            vec![TopicFilter::new(filter.to_owned()).unwrap_or_else(|error| panic!("{filter}: {error}"))];
        self.send_packet(&Packet::Unsubscribe(Unsubscribe {
            packet_id,
            filters,
            user_properties: Vec::new(),
        }))
        .await;
        loop {
            match self.unsubacks.pop_front() {
                Some(unsuback) if unsuback.packet_id == packet_id => {
                    return unsuback.codes.first().copied().unwrap_or(ReasonCode::Success);
                }
                Some(_) => {}
                None => self.must_read("UNSUBACK").await,
            }
        }
    }

    /// PINGREQ, and waits for the answer: then the server has seen everything that was sent before.
    pub async fn ping(&mut self) {
        let before = self.pongs;
        self.send_packet(&Packet::PingReq).await;
        while self.pongs == before {
            self.must_read("PINGRESP").await;
        }
    }

    /// DISCONNECT, and waits until the server has closed.
    pub async fn disconnect(mut self) {
        self.send_packet(&Packet::Disconnect(Disconnect::with(ReasonCode::Success))).await;
        self.closed().await;
    }

    /// Ends the connection without a word, as a dead battery does.
    pub fn vanish(self) {
        drop(self);
    }

    // --- receiving --------------------------------------------------------------------------------------------

    /// The next delivery.
    ///
    /// # Panics
    /// If the connection ends before, or nothing comes.
    pub async fn next(&mut self) -> Delivery {
        let next = in_time("a delivery", self.try_next()).await;
        next.unwrap_or_else(|closed| panic!("the connection has ended: {closed:?}"))
    }

    /// The next `count` deliveries.
    pub async fn next_many(&mut self, count: usize) -> Vec<Delivery> {
        let mut deliveries = Vec::with_capacity(count);
        while deliveries.len() < count {
            deliveries.push(self.next().await);
        }
        deliveries
    }

    /// The next delivery, however long it takes.
    ///
    /// # Errors
    /// How the connection ended.
    pub async fn try_next(&mut self) -> Result<Delivery, Closed> {
        self.wait_for_delivery().await?;
        self.take().await
    }

    /// The next delivery, if one comes within this time.
    ///
    /// # Panics
    /// If the connection ends.
    pub async fn next_within(&mut self, time: Duration) -> Option<Delivery> {
        let next = match timeout(time, self.wait_for_delivery()).await {
            Ok(Ok(())) => self.take().await,
            Ok(Err(closed)) => Err(closed),
            Err(_) => return None,
        };
        Some(next.unwrap_or_else(|closed| panic!("the connection has ended: {closed:?}")))
    }

    async fn wait_for_delivery(&mut self) -> Result<(), Closed> {
        while self.deliveries.is_empty() {
            self.read().await?;
        }
        Ok(())
    }

    async fn take(&mut self) -> Result<Delivery, Closed> {
        let delivery = self.deliveries.pop_front().expect("waited for");
        if let Some(id) = delivery.packet_id().filter(|_| !self.manual) {
            let ack = Ack::success(id);
            // PUBREL is answered where it is read.
            let packet =
                if delivery.0.qos == QoS::ExactlyOnce { Packet::PubRec(ack) } else { Packet::PubAck(ack) };
            self.try_send(&packet).await?;
        }
        Ok(delivery)
    }

    /// The next PUBACK.
    ///
    /// # Errors
    /// How the connection ended.
    pub async fn next_ack(&mut self) -> Result<Acked, Closed> {
        loop {
            if let Some(ack) = self.acks.pop_front() {
                return Ok(ack);
            }
            in_time("PUBACK", self.read()).await?;
        }
    }

    /// Waits for the end of the connection and answers how it ended. What came before stays to be read.
    pub async fn closed(&mut self) -> Closed {
        loop {
            if let Err(closed) = in_time("the end of the connection", self.read()).await {
                return closed;
            }
        }
    }

    async fn must_read(&mut self, what: &str) {
        let read = in_time(what, self.read()).await;
        read.unwrap_or_else(|closed| panic!("{what} does not come, the connection has ended: {closed:?}"));
    }

    /// Reads until at least one packet was put where it belongs. Can be abandoned at any time without loss.
    async fn read(&mut self) -> Result<(), Closed> {
        loop {
            let packet =
                self.decoder.next().unwrap_or_else(|error| panic!("the server sent nonsense: {error}"));
            if let Some(packet) = packet {
                if let Packet::PubRel(ack) = &packet
                    && !self.manual
                {
                    self.try_send(&Packet::PubComp(Ack::success(ack.packet_id))).await?;
                }
                self.sort(packet);
                return Ok(());
            }
            if let Some(closed) = &self.closed {
                return Err(closed.clone());
            }
            let mut chunk = BytesMut::with_capacity(READ_BYTES);
            match self.stream.read_buf(&mut chunk).await {
                Ok(count) if count > 0 => self.decoder.feed(chunk.freeze()),
                // A reset after a DISCONNECT is an end like any other.
                _ => self.closed = Some(Closed::Ended),
            }
        }
    }

    fn sort(&mut self, packet: Packet) {
        match packet {
            Packet::ConnAck(connack) => self.connack = Some(*connack),
            Packet::Publish(publish) => {
                let publish = self.named(publish);
                self.deliveries.push_back(Delivery(publish));
            }
            Packet::PubRec(ack) => self.recs.push_back(ack),
            Packet::PubRel(ack) if self.manual => self.rels.push_back(ack),
            Packet::PubRel(_) => {}
            Packet::PubComp(ack) => self.comps.push_back(ack),
            Packet::Auth(auth) => self.auths.push_back(auth),
            Packet::PubAck(ack) => self.acks.push_back(Acked(ack)),
            Packet::SubAck(suback) => self.subacks.push_back(suback),
            Packet::UnsubAck(unsuback) => self.unsubacks.push_back(unsuback),
            Packet::PingResp => self.pongs += 1,
            Packet::Disconnect(disconnect) => self.closed = Some(Closed::Told(Box::new(disconnect))),
            other => panic!("a server does not send {other:?}"),
        }
    }

    /// A publish with its topic, where an alias stands for it. The alias stays to be seen.
    fn named(&mut self, mut publish: Publish) -> Publish {
        if let Some(alias) = publish.properties.topic_alias {
            match &publish.topic {
                Some(topic) => {
                    self.aliases.insert(alias, topic.clone());
                }
                None => publish.topic = self.aliases.get(&alias).cloned(),
            }
        }
        assert!(publish.topic.is_some(), "an alias that was not agreed on: {publish:?}");
        publish
    }

    fn fresh_id(&mut self) -> PacketId {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        PacketId::new(self.last_id).expect("never 0")
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("version", &self.version)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}
