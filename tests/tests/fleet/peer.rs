//! The other side of the client under test: MQTT 5 on the codec alone, with nothing in between that could be kind. It
//! completes every handshake, and hands a message of QoS 2 over once.

use crate::broker::Login;
use bytes::{Bytes, BytesMut};
use parlance_mqtt::{
    Ack, Connect, Decoder, Disconnect, Packet, PacketId, Publish, PublishProperties, QoS, ReasonCode,
    RetainHandling, Subscribe, SubscribeFilter, TopicFilter, TopicName, Version, encode,
};
use parlance_tests::in_time;
use std::{
    collections::{HashSet, VecDeque},
    net::SocketAddr,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const PACKET_BYTES_MAX: u32 = 16 << 20;
const READ_BYTES: usize = 16 << 10;
/// How long the session of a peer outlives its connection, if it is not clean.
const SESSION_S: u32 = 3_600;

/// A connected peer. It reads only while it waits for something.
pub(crate) struct Peer {
    socket: TcpStream,
    decoder: Decoder,
    last_id: u16,
    messages: VecDeque<Publish>,
    /// Messages of QoS 2 that came and are not released yet.
    received: HashSet<PacketId>,
    session_present: bool,
}

/// A publish: QoS 1, not retained, without properties unless told otherwise.
pub(crate) fn message(topic: &str, payload: impl Into<Bytes>) -> Publish {
    Publish {
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: Some(TopicName::new(topic.to_owned()).expect("a topic name")),
        packet_id: None,
        properties: PublishProperties::default(),
        payload: payload.into(),
    }
}

/// The payload of a message as text.
pub(crate) fn text(message: &Publish) -> &str {
    std::str::from_utf8(&message.payload).expect("the tests send text")
}

impl Peer {
    /// Connects; a session that is not clean stays.
    pub(crate) async fn connect(address: SocketAddr, login: &Login, id: &str, clean: bool) -> Self {
        let socket = in_time("a connection", TcpStream::connect(address)).await.expect("a server");
        socket.set_nodelay(true).expect("a socket");
        let mut decoder = Decoder::new(PACKET_BYTES_MAX);
        decoder.set_version(Version::V5);
        let (messages, received) = (VecDeque::new(), HashSet::new());
        let mut peer = Self { socket, decoder, last_id: 0, messages, received, session_present: false };
        peer.send(&connect(login, id, clean)).await;
        match peer.read().await {
            Packet::ConnAck(connack) if connack.reason == ReasonCode::Success => {
                peer.session_present = connack.session_present;
                peer
            }
            other => panic!("the peer is refused: {other:?}"),
        }
    }

    /// Whether the server had its session.
    pub(crate) fn session_present(&self) -> bool {
        self.session_present
    }

    pub(crate) async fn subscribe(&mut self, filter: &str, qos: QoS) {
        let packet_id = self.fresh_id();
        let filter = SubscribeFilter {
            filter: TopicFilter::new(filter.to_owned()).expect("a filter"),
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        };
        let user_properties = Vec::new();
        let packet = Subscribe { packet_id, filters: vec![filter], subscription_id: None, user_properties };
        self.send(&Packet::Subscribe(packet)).await;
        self.until("SUBACK", |packet| match packet {
            Packet::SubAck(suback) => {
                assert_eq!((suback.packet_id, suback.codes[0].code()), (packet_id, qos as u8));
                true
            }
            _ => false,
        })
        .await;
    }

    /// Publishes and completes the handshake, which must not be a refusal.
    pub(crate) async fn publish(&mut self, mut message: Publish) {
        let qos = message.qos;
        let id = (qos != QoS::AtMostOnce).then(|| self.fresh_id());
        message.packet_id = id;
        self.send(&Packet::Publish(message)).await;
        let Some(id) = id else { return };
        let accepted = |ack: &Ack| {
            assert!(!ack.reason.is_error(), "the peer's publish is refused: {ack:?}");
            ack.packet_id == id
        };
        if qos == QoS::AtLeastOnce {
            self.until("PUBACK", |packet| matches!(packet, Packet::PubAck(ack) if accepted(ack))).await;
            return;
        }
        self.until("PUBREC", |packet| matches!(packet, Packet::PubRec(ack) if accepted(ack))).await;
        self.send(&Packet::PubRel(Ack::success(id))).await;
        self.until("PUBCOMP", |packet| matches!(packet, Packet::PubComp(ack) if accepted(ack))).await;
    }

    /// Publishes text with this QoS.
    pub(crate) async fn say(&mut self, topic: &str, qos: QoS, payload: &str) {
        self.publish(Publish { qos, ..message(topic, payload.to_owned()) }).await;
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> Publish {
        loop {
            if let Some(message) = self.messages.pop_front() {
                return message;
            }
            let packet = in_time("a message for the peer", self.read()).await;
            assert!(matches!(packet, Packet::Publish(_) | Packet::PubRel(_)), "unasked: {packet:?}");
        }
    }

    /// Leaves with a DISCONNECT, and waits until the server has closed.
    pub(crate) async fn disconnect(mut self) {
        self.send(&Packet::Disconnect(Disconnect::with(ReasonCode::Success))).await;
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = in_time("the server closes", self.socket.read_to_end(&mut rest)).await;
    }

    async fn until(&mut self, what: &str, mut is_it: impl FnMut(&Packet) -> bool) {
        let search = async { while !is_it(&self.read().await) {} };
        in_time(&format!("{what} for the peer"), search).await;
    }

    /// The next packet. Messages are put where they belong, and acknowledged.
    async fn read(&mut self) -> Packet {
        loop {
            if let Some(packet) = self.decoder.next().expect("the server sends MQTT") {
                self.answer(&packet).await;
                return packet;
            }
            let mut chunk = BytesMut::with_capacity(READ_BYTES);
            let count = self.socket.read_buf(&mut chunk).await.expect("the peer's connection holds");
            assert!(count > 0, "the server ended the peer's connection");
            self.decoder.feed(chunk.freeze());
        }
    }

    async fn answer(&mut self, packet: &Packet) {
        match packet {
            Packet::Publish(publish) => self.take(publish).await,
            Packet::PubRel(ack) => {
                self.received.remove(&ack.packet_id);
                self.send(&Packet::PubComp(Ack::success(ack.packet_id))).await;
            }
            Packet::Disconnect(disconnect) => panic!("the server ends the peer: {disconnect:?}"),
            _ => {}
        }
    }

    async fn take(&mut self, publish: &Publish) {
        let is_new = match publish.packet_id {
            Some(id) if publish.qos == QoS::ExactlyOnce => {
                self.send(&Packet::PubRec(Ack::success(id))).await;
                self.received.insert(id)
            }
            Some(id) => {
                self.send(&Packet::PubAck(Ack::success(id))).await;
                true
            }
            None => true,
        };
        if is_new {
            self.messages.push_back(publish.clone());
        }
    }

    async fn send(&mut self, packet: &Packet) {
        let mut out = BytesMut::new();
        encode(packet, Version::V5, &mut out).expect("a packet that can be sent");
        in_time("the server takes a packet", self.socket.write_all(&out)).await.expect("a connection");
    }

    fn fresh_id(&mut self) -> PacketId {
        self.last_id += 1;
        PacketId::new(self.last_id).expect("a peer sends few")
    }
}

fn connect(login: &Login, id: &str, clean: bool) -> Packet {
    Packet::Connect(Box::new(Connect {
        version: Version::V5,
        clean_start: clean,
        keep_alive_s: 0,
        client_id: id.to_owned().into(),
        will: None,
        username: Some(login.user.clone().into()),
        password: Some(login.password.clone().into()),
        session_expiry_s: (!clean).then_some(SESSION_S),
        receive_maximum: None,
        maximum_packet_size: None,
        topic_alias_maximum: None,
        request_response_information: None,
        request_problem_information: None,
        authentication_method: None,
        authentication_data: None,
        user_properties: Vec::new(),
    }))
}
