//! A broker that does what a test tells it to, packet by packet, on a real socket.

use bytes::{Bytes, BytesMut};
use parlance_client::{Client, ConnectError, Event, Events, Options};
use parlance_mqtt::{
    Ack, ConnAck, ConnAckProperties, Connect, Decoder, Disconnect, Packet, PacketId, Publish,
    PublishProperties, QoS, ReasonCode, SubAck, Subscribe, TopicName, Version, encode,
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Nothing here takes this long; a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const CONVERSATION: &str = "g00000000000000000000000000";

/// Waits, but not for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

pub(crate) struct FakeBroker {
    listener: TcpListener,
}

impl FakeBroker {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    /// Options for this broker that reconnect at once.
    pub(crate) fn options(&self) -> Options {
        let url = format!("mqtt://{}", self.listener.local_addr().unwrap());
        Options::new(url, "alice", "secret", "laptop")
            .backoff(Duration::from_millis(1), Duration::from_millis(5))
    }

    pub(crate) fn visitor(&self) -> Options {
        Options::ephemeral(format!("mqtt://{}", self.listener.local_addr().unwrap()), "alice", "secret")
    }

    pub(crate) async fn accept(&self) -> Socket {
        let (stream, _) = soon("a connection", self.listener.accept()).await.unwrap();
        let mut decoder = Decoder::new(1 << 20);
        decoder.set_version(Version::V5);
        Socket { stream, decoder }
    }

    /// Accepts, and answers CONNECT and SUBSCRIBE well.
    pub(crate) async fn welcome(&self, session_present: bool) -> Socket {
        let mut socket = self.accept().await;
        socket.connect().await;
        socket.connack(session_present, ReasonCode::Success, ConnAckProperties::default()).await;
        let subscribe = socket.subscribe().await;
        socket.suback(&subscribe).await;
        socket
    }

    /// A connected client and its connection.
    pub(crate) async fn client(&self, options: Options) -> (Client, Events, Socket) {
        let (connected, socket) = tokio::join!(Client::connect(options), self.welcome(false));
        let (client, mut events) = connected.unwrap();
        assert!(matches!(next(&mut events).await, Event::Connected { session_present: false }));
        (client, events, socket)
    }

    /// Lets a client fail to connect.
    pub(crate) async fn refuse(&self, options: Options, reason: ReasonCode) -> ConnectError {
        let refusing = async {
            let mut socket = self.accept().await;
            socket.connect().await;
            socket.connack(false, reason, ConnAckProperties::default()).await;
        };
        let (connected, ()) = tokio::join!(Client::connect(options), refusing);
        connected.map(|_| ()).unwrap_err()
    }

    /// Nobody connects within a while in which a client would long have done so.
    pub(crate) async fn assert_left_alone(&self) {
        let connected = timeout(Duration::from_millis(300), self.listener.accept()).await;
        assert!(connected.is_err(), "the client came back");
    }
}

pub(crate) async fn next(events: &mut Events) -> Event {
    soon("an event", events.next()).await.expect("an event")
}

pub(crate) struct Socket {
    stream: TcpStream,
    decoder: Decoder,
}

impl Socket {
    /// The next packet that is no ping; `None` at the end of the stream.
    pub(crate) async fn read(&mut self) -> Option<Packet> {
        loop {
            match self.decoder.next().unwrap() {
                Some(Packet::PingReq) => self.write(&Packet::PingResp).await,
                Some(packet) => return Some(packet),
                None => {
                    let mut buffer = vec![0; 4096];
                    let read = soon("a packet", self.stream.read(&mut buffer)).await.unwrap_or(0);
                    if read == 0 {
                        return None;
                    }
                    buffer.truncate(read);
                    self.decoder.feed(buffer.into());
                }
            }
        }
    }

    pub(crate) async fn write(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        encode(packet, Version::V5, &mut bytes).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
    }

    pub(crate) async fn connect(&mut self) -> Connect {
        match self.read().await {
            Some(Packet::Connect(connect)) => *connect,
            other => panic!("CONNECT expected, not {other:?}"),
        }
    }

    pub(crate) async fn connack(
        &mut self,
        session_present: bool,
        reason: ReasonCode,
        properties: ConnAckProperties,
    ) {
        self.write(&Packet::ConnAck(Box::new(ConnAck { session_present, reason, properties }))).await;
    }

    pub(crate) async fn subscribe(&mut self) -> Subscribe {
        match self.read().await {
            Some(Packet::Subscribe(subscribe)) => subscribe,
            other => panic!("SUBSCRIBE expected, not {other:?}"),
        }
    }

    pub(crate) async fn suback(&mut self, subscribe: &Subscribe) {
        let codes = vec![ReasonCode::GrantedQoS1; subscribe.filters.len()];
        let packet_id = subscribe.packet_id;
        self.write(&Packet::SubAck(SubAck {
            packet_id,
            codes,
            reason_string: None,
            user_properties: Vec::new(),
        }))
        .await;
    }

    pub(crate) async fn publish(&mut self) -> Publish {
        match self.read().await {
            Some(Packet::Publish(publish)) => publish,
            other => panic!("PUBLISH expected, not {other:?}"),
        }
    }

    pub(crate) async fn puback(&mut self) -> PacketId {
        match self.read().await {
            Some(Packet::PubAck(ack)) => ack.packet_id,
            other => panic!("PUBACK expected, not {other:?}"),
        }
    }

    /// Acknowledges a publish as stored at `seq`.
    pub(crate) async fn stored(&mut self, publish: &Publish, seq: u64) {
        let properties = [
            ("seq", seq.to_string()),
            ("time", "1700000000000".into()),
            ("conversation", CONVERSATION.into()),
        ];
        let user_properties = properties
            .into_iter()
            .map(|(key, value)| (Bytes::from_static(key.as_bytes()), value.into()))
            .collect();
        let packet_id = publish.packet_id.unwrap();
        self.write(&Packet::PubAck(Ack { user_properties, ..Ack::success(packet_id) })).await;
    }

    /// Refuses a publish.
    pub(crate) async fn refused(&mut self, publish: &Publish, reason: ReasonCode, code: &'static str) {
        let ack = Ack {
            reason,
            reason_string: Some(Bytes::from_static(b"not there")),
            user_properties: vec![(Bytes::from_static(b"code"), Bytes::from_static(code.as_bytes()))],
            ..Ack::success(publish.packet_id.unwrap())
        };
        self.write(&Packet::PubAck(ack)).await;
    }

    /// Delivers with QoS 1.
    pub(crate) async fn deliver(
        &mut self,
        topic: &str,
        packet_id: u16,
        payload: Vec<u8>,
        correlation: Option<Bytes>,
    ) {
        let topic = TopicName::new(topic.as_bytes().to_vec()).unwrap();
        let properties = PublishProperties { correlation_data: correlation, ..Default::default() };
        let publish = Publish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: false,
            topic: Some(topic),
            packet_id: PacketId::new(packet_id),
            properties,
            payload: payload.into(),
        };
        self.write(&Packet::Publish(publish)).await;
    }

    /// Says goodbye, with words: rumqttc silently drops a DISCONNECT that ends behind its reason code.
    pub(crate) async fn disconnect(&mut self, reason: ReasonCode) {
        let reason_string = Some(Bytes::from_static(reason.text().as_bytes()));
        self.write(&Packet::Disconnect(Disconnect { reason_string, ..Disconnect::with(reason) })).await;
    }

    /// Nothing arrives within a while in which it would long have arrived.
    pub(crate) async fn assert_silent(&mut self) {
        if let Ok(packet) = timeout(Duration::from_millis(300), self.read()).await {
            panic!("unexpected: {packet:?}");
        }
    }
}
