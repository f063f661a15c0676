//! A client made of packets: it reads, acknowledges and writes only what a test says, when it says so, and many at a
//! time.

use crate::within;
use bytes::{Bytes, BytesMut};
use parlance_tests::{
    Acked, Delivery, Server, User,
    mqtt::{
        Ack, Connect, Decoder, Disconnect, Packet, PacketId, Publish, PublishProperties, QoS, ReasonCode,
        RetainHandling, Subscribe, SubscribeFilter, TopicFilter, TopicName, Version, encode,
    },
};
use std::collections::VecDeque;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpSocket,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

const PACKET_BYTES_MAX: u32 = 4 << 20;
const READ_BYTES: usize = 64 << 10;
const SESSION_EXPIRY_S: u32 = 86_400;

/// How a client connects: a session that lasts, unless told otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) version: Version,
    pub(crate) client_id: String,
    handle: String,
    token: String,
    receive_buffer: Option<u32>,
}

impl Login {
    /// MQTT 5.
    pub(crate) fn new(client_id: &str, user: &User) -> Self {
        let (handle, token) = (user.handle.clone(), user.token.clone());
        Self { version: Version::V5, client_id: client_id.to_owned(), handle, token, receive_buffer: None }
    }

    /// MQTT 3.1.1.
    pub(crate) fn v3(mut self) -> Self {
        self.version = Version::V3;
        self
    }

    /// With a receive buffer of about so many bytes in the kernel, so that it is full soon.
    pub(crate) fn receive_buffer(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    fn packet(&self) -> Packet {
        Packet::Connect(Box::new(Connect {
            version: self.version,
            clean_start: false,
            keep_alive_s: 0,
            client_id: self.client_id.clone().into(),
            will: None,
            username: Some(self.handle.clone().into()),
            password: Some(self.token.clone().into()),
            session_expiry_s: (self.version == Version::V5).then_some(SESSION_EXPIRY_S),
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
}

/// A publish with QoS 1.
pub(crate) fn publish(packet_id: PacketId, topic: &str, payload: Bytes) -> Packet {
    Packet::Publish(Publish {
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: Some(TopicName::new(topic.to_owned()).expect("a topic name")),
        packet_id: Some(packet_id),
        properties: PublishProperties::default(),
        payload,
    })
}

/// Where an accepted publish was put.
pub(crate) fn seq_of(ack: Ack) -> u64 {
    assert_eq!(ack.reason, ReasonCode::Success, "{ack:?}");
    Acked(ack).seq()
}

/// What comes from the server.
pub(crate) struct Reader {
    stream: OwnedReadHalf,
    decoder: Decoder,
    /// What came while something else was waited for.
    early: VecDeque<Packet>,
}

impl Reader {
    /// The next packet; `None` when the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = self.there() {
                return Some(packet);
            }
            let mut buffer = BytesMut::with_capacity(READ_BYTES);
            match within("something to read", self.stream.read_buf(&mut buffer)).await {
                Ok(count) if count > 0 => self.decoder.feed(buffer.freeze()),
                _ => return None,
            }
        }
    }

    /// A packet that was read already.
    pub(crate) fn there(&mut self) -> Option<Packet> {
        self.early.pop_front().or_else(|| self.decoder.next().expect("the broker's packets are well-formed"))
    }
}

/// What goes to the server.
pub(crate) struct Writer {
    stream: OwnedWriteHalf,
    version: Version,
    out: BytesMut,
}

impl Writer {
    /// Adds a packet to what [`flush`](Self::flush) writes.
    pub(crate) fn push(&mut self, packet: &Packet) {
        encode(packet, self.version, &mut self.out).expect("it can be encoded");
    }

    /// Writes what was pushed. False: the server has closed.
    pub(crate) async fn flush(&mut self) -> bool {
        within("writing", self.write()).await
    }

    /// As [`flush`](Self::flush), however long it takes. Can be abandoned: what was not written stays.
    pub(crate) async fn write(&mut self) -> bool {
        self.stream.write_all_buf(&mut self.out).await.is_ok()
    }
}

/// A connected client.
pub(crate) struct Wire {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    /// Publishes that the server lets wait for their PUBACK.
    pub(crate) receive_maximum: u16,
    /// The server had a session.
    pub(crate) present: bool,
}

impl Wire {
    /// Connects and logs in.
    pub(crate) async fn connect(server: &Server, login: &Login) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        if let Some(bytes) = login.receive_buffer {
            socket.set_recv_buffer_size(bytes).expect("a receive buffer");
        }
        let stream = within("a connection", socket.connect(server.mqtt())).await.expect("the broker listens");
        stream.set_nodelay(true).expect("no delay");
        let (read, write) = stream.into_split();
        let mut decoder = Decoder::new(PACKET_BYTES_MAX);
        decoder.set_version(login.version);
        let reader = Reader { stream: read, decoder, early: VecDeque::new() };
        let writer = Writer { stream: write, version: login.version, out: BytesMut::new() };
        let mut wire = Self { reader, writer, receive_maximum: u16::MAX, present: false };
        wire.writer.push(&login.packet());
        wire.writer.flush().await;
        match wire.reader.next().await {
            Some(Packet::ConnAck(ack)) if ack.reason == ReasonCode::Success => {
                wire.receive_maximum = ack.properties.receive_maximum.unwrap_or(u16::MAX);
                wire.present = ack.session_present;
            }
            other => panic!("{}: no CONNACK but {other:?}", login.client_id),
        }
        wire
    }

    /// Subscribes to the whole inbox and waits for the SUBACK; messages that pass it stay to be read.
    pub(crate) async fn subscribe(&mut self, qos: QoS) {
        let filter = SubscribeFilter {
            filter: TopicFilter::new("me/text/inbox/#").expect("a filter"),
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        };
        let (packet_id, filters, user_properties) = (PacketId::MAX, vec![filter], Vec::new());
        self.writer.push(&Packet::Subscribe(Subscribe {
            packet_id,
            filters,
            subscription_id: None,
            user_properties,
        }));
        self.writer.flush().await;
        let mut early = VecDeque::new();
        loop {
            match self.reader.next().await {
                Some(Packet::SubAck(ack)) => {
                    assert_eq!(ack.codes[0] as u8, qos as u8, "{ack:?}");
                    early.append(&mut self.reader.early);
                    self.reader.early = early;
                    return;
                }
                Some(packet @ Packet::Publish(_)) => early.push_back(packet),
                other => panic!("no SUBACK but {other:?}"),
            }
        }
    }

    /// The next message, which must come before anything else. It is not acknowledged.
    pub(crate) async fn next(&mut self) -> Delivery {
        match self.reader.next().await {
            Some(Packet::Publish(publish)) => Delivery(publish),
            other => panic!("no message but {other:?}"),
        }
    }

    /// Acknowledges a delivery with the next flush.
    pub(crate) fn ack(&mut self, delivery: &Delivery) {
        if let Some(packet_id) = delivery.packet_id() {
            self.writer.push(&Packet::PubAck(Ack::success(packet_id)));
        }
    }

    /// The next `count` messages, acknowledged when nothing more is there to be read.
    pub(crate) async fn take(&mut self, count: usize, mut each: impl FnMut(&Delivery)) {
        for taken in 0..count {
            let packet = match self.reader.there() {
                Some(packet) => Some(packet),
                None => {
                    self.writer.flush().await;
                    self.reader.next().await
                }
            };
            let Some(Packet::Publish(publish)) = packet else {
                panic!("{taken} of {count} messages, then {packet:?}");
            };
            let delivery = Delivery(publish);
            self.ack(&delivery);
            each(&delivery);
        }
        self.writer.flush().await;
    }

    /// Says goodbye, and waits until the server has closed: then what was acknowledged is written down.
    pub(crate) async fn goodbye(mut self) {
        self.writer.push(&Packet::Disconnect(Disconnect::with(ReasonCode::Success)));
        self.writer.flush().await;
        while let Some(packet) = self.reader.next().await {
            assert!(!matches!(packet, Packet::Disconnect(_)), "{packet:?}");
        }
    }
}
