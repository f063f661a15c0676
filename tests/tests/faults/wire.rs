//! An MQTT connection that hides nothing: packet ids, DUP and the order of packets are the test's.

use bytes::{Bytes, BytesMut};
use parlance_mqtt::{
    Ack, ConnAck, Connect, Decoder, Packet, PacketId, Publish, PublishProperties, QoS, ReasonCode, RetainHandling,
    Subscribe, SubscribeFilter, TopicFilter, TopicName, Version, encode,
};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Longest wait for a packet that must come.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Who connects, and how.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) version: Version,
    pub(crate) handle: String,
    pub(crate) token: String,
    pub(crate) client_id: String,
    /// The session outlives the connection.
    pub(crate) persistent: bool,
}

pub(crate) struct Wire {
    stream: TcpStream,
    decoder: Decoder,
    version: Version,
    out: BytesMut,
}

fn broken(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, what.into())
}

impl Wire {
    /// Connects; a CONNACK that refuses is an error of kind `PermissionDenied`.
    pub(crate) async fn connect(address: SocketAddr, login: &Login) -> io::Result<(Self, ConnAck)> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut decoder = Decoder::new(1 << 24);
        decoder.set_version(login.version);
        let mut wire = Self { stream, decoder, version: login.version, out: BytesMut::new() };
        wire.send(&Packet::Connect(Box::new(connect(login))));
        match wire.next().await? {
            Packet::ConnAck(ack) if ack.reason == ReasonCode::Success => Ok((wire, *ack)),
            Packet::ConnAck(ack) => Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{ack:?}"))),
            other => Err(broken(format!("{other:?} instead of CONNACK"))),
        }
    }

    /// Puts a packet behind those that wait to be written.
    pub(crate) fn send(&mut self, packet: &Packet) {
        encode(packet, self.version, &mut self.out).expect("the test's own packets are well formed");
    }

    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all_buf(&mut self.out).await
    }

    /// Writes what waits, then reads the next packet. Cancel safe in its reading part.
    pub(crate) async fn next(&mut self) -> io::Result<Packet> {
        self.flush().await?;
        loop {
            if let Some(packet) = self.decoder.next().map_err(|error| broken(error.to_string()))? {
                return match packet {
                    Packet::Disconnect(goodbye) => Err(broken(format!("{goodbye:?}"))),
                    packet => Ok(packet),
                };
            }
            let mut chunk = BytesMut::with_capacity(64 << 10);
            let read = timeout(ANSWER_WITHIN, self.stream.read_buf(&mut chunk)).await;
            match read.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "nothing was answered"))?? {
                0 => return Err(broken("end of stream")),
                _ => self.decoder.feed(chunk.freeze()),
            }
        }
    }

    /// Subscribes and waits for the SUBACK; what arrives in between is an error.
    pub(crate) async fn subscribe(&mut self, filters: &[&str]) -> io::Result<()> {
        let filters = filters.iter().map(|filter| SubscribeFilter {
            filter: TopicFilter::new(filter.to_string()).expect("the test's own filter"),
            qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        });
        let packet_id = PacketId::MAX;
        let subscribe =
            Subscribe { packet_id, filters: filters.collect(), subscription_id: None, user_properties: Vec::new() };
        self.send(&Packet::Subscribe(subscribe));
        match self.next().await? {
            Packet::SubAck(ack) if ack.codes.iter().all(|code| !code.is_error()) => Ok(()),
            other => Err(broken(format!("{other:?} instead of SUBACK"))),
        }
    }

    pub(crate) fn ack(&mut self, packet_id: PacketId) {
        self.send(&Packet::PubAck(Ack::success(packet_id)));
    }
}

fn connect(login: &Login) -> Connect {
    Connect {
        version: login.version,
        clean_start: !login.persistent,
        keep_alive_s: 60,
        client_id: login.client_id.clone().into(),
        will: None,
        username: Some(login.handle.clone().into()),
        password: Some(login.token.clone().into()),
        session_expiry_s: (login.version == Version::V5 && login.persistent).then_some(86_400),
        receive_maximum: None,
        maximum_packet_size: None,
        topic_alias_maximum: None,
        request_response_information: None,
        request_problem_information: None,
        authentication_method: None,
        authentication_data: None,
        user_properties: Vec::new(),
    }
}

/// A message with QoS 1.
pub(crate) fn publish(topic: &str, payload: impl Into<Bytes>, packet_id: u16, dup: bool, id: Option<&str>) -> Packet {
    let user_properties = id.map(|id| (Bytes::from_static(b"id"), Bytes::copy_from_slice(id.as_bytes())));
    Packet::Publish(Publish {
        dup,
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: Some(TopicName::new(topic.to_owned()).expect("the test's own topic")),
        packet_id: PacketId::new(packet_id),
        properties: PublishProperties {
            user_properties: user_properties.into_iter().collect(),
            ..PublishProperties::default()
        },
        payload: payload.into(),
    })
}

/// The value of a user property.
pub(crate) fn property<'a>(ack: &'a Ack, name: &str) -> Option<&'a str> {
    let (_, value) = ack.user_properties.iter().find(|(key, _)| key == name.as_bytes())?;
    std::str::from_utf8(value).ok()
}
