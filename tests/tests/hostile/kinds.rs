//! The ways to do harm.

use bytes::BytesMut;
use parlance_tests::{
    Device, Server, User,
    mqtt::{
        Connect, Packet, PublishProperties, QoS, RetainHandling, Subscribe, SubscribeFilter, TopicFilter,
        TopicName, Version, Will, encode,
    },
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU16,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::watch,
    time::{Instant, interval, timeout_at},
};

/// Between two bytes of those who drip.
const DRIP: Duration = Duration::from_millis(300);
/// Accounts of the attackers, who share them.
const ACCOUNTS: usize = 50;
/// Addresses that they come from.
const ADDRESSES: usize = 100;
/// How long an attacker listens at most.
const PATIENCE: Duration = Duration::from_secs(240);

/// A way to do harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Connects and says nothing.
    Silent,
    /// Half a CONNECT, then nothing.
    HalfConnect,
    /// A CONNECT, one byte at a time.
    DrippingConnect,
    /// Bytes without meaning.
    Noise,
    /// Another protocol's name.
    WrongName,
    /// A protocol version that does not exist.
    WrongVersion,
    /// Bits that must be 0.
    ReservedBits,
    /// An HTTP request on the MQTT port.
    Http,
    /// A TLS greeting on the plain port.
    TlsOnPlain,
    /// A length of five bytes.
    LongLength,
    /// The greatest length there is, and then nothing.
    HugeLength,
    /// A first packet that is no CONNECT.
    PublishFirst,
    /// A wrong password.
    WrongPassword,
    /// A CONNECT with as many user properties as fit.
    PropertyFlood,
    /// The TLS port, and never a greeting.
    TlsSilent,
    /// A TLS greeting, one byte at a time.
    TlsDripping,
    /// The head of an HTTP request, one byte at a time.
    HttpDripping,
    /// Half a WebSocket upgrade.
    HalfUpgrade,
    /// Goes as soon as it is there.
    Reset,
    /// Logged in: a second CONNECT.
    SecondConnect,
    /// Logged in: QoS 3.
    QosThree,
    /// Logged in: a topic name with wildcards.
    WildcardTopic,
    /// Logged in: a topic that is not UTF-8.
    NotUtf8,
    /// Logged in: an alias above the maximum.
    AliasTooHigh,
    /// Logged in: a packet larger than is allowed.
    PacketTooLarge,
    /// Logged in: a subscription with thousands of deep filters, again and again.
    SubscriptionBomb,
    /// Logged in: pings as fast as they go, answers never read.
    PingFlood,
    /// Logged in: publishes to what it may not, as fast as they go.
    ForbiddenFlood,
    /// Logged in with a will, and gone.
    WillStorm,
}

/// All of them, in turn.
pub(crate) const KINDS: [Kind; 29] = [
    Kind::Silent,
    Kind::HalfConnect,
    Kind::DrippingConnect,
    Kind::Noise,
    Kind::WrongName,
    Kind::WrongVersion,
    Kind::ReservedBits,
    Kind::Http,
    Kind::TlsOnPlain,
    Kind::LongLength,
    Kind::HugeLength,
    Kind::PublishFirst,
    Kind::WrongPassword,
    Kind::PropertyFlood,
    Kind::TlsSilent,
    Kind::TlsDripping,
    Kind::HttpDripping,
    Kind::HalfUpgrade,
    Kind::Reset,
    Kind::SecondConnect,
    Kind::QosThree,
    Kind::WildcardTopic,
    Kind::NotUtf8,
    Kind::AliasTooHigh,
    Kind::PacketTooLarge,
    Kind::SubscriptionBomb,
    Kind::PingFlood,
    Kind::ForbiddenFlood,
    Kind::WillStorm,
];

impl Kind {
    /// Whether the broker must end it by itself. The others go by themselves.
    pub(crate) fn must_be_closed(self) -> bool {
        !matches!(self, Self::Reset | Self::WillStorm)
    }
}

/// How an attack ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The broker closed the connection.
    ClosedByBroker,
    /// The attacker went when the storm was over, or as its kind does.
    Left,
    /// The broker was not to be reached.
    NotConnected,
}

/// What is attacked, and with which accounts.
pub(crate) struct Target {
    mqtt: SocketAddr,
    mqtts: SocketAddr,
    http: SocketAddr,
    users: Vec<User>,
}

impl Target {
    /// Where a server is; makes the attackers' accounts.
    pub(crate) async fn prepare(server: &Server) -> Self {
        let users = server.many_users("mallory", ACCOUNTS).await;
        Self { mqtt: server.mqtt(), mqtts: server.mqtts(), http: server.http(), users }
    }

    fn connect_packet(&self, index: usize) -> Connect {
        let user = &self.users[index % self.users.len()];
        // Few client ids for each account: devices of a user are bounded, and they take each other's place.
        Device::new(format!("evil-{}", index % 1_000)).clean().packet(user)
    }
}

/// Attacks once; ends when the broker has closed the connection, or when the storm is over.
pub(crate) async fn attack(
    kind: Kind,
    target: &Target,
    index: usize,
    mut over: watch::Receiver<bool>,
) -> Outcome {
    let address = match kind {
        Kind::TlsSilent | Kind::TlsDripping => target.mqtts,
        Kind::HttpDripping | Kind::HalfUpgrade => target.http,
        _ => target.mqtt,
    };
    let Ok(mut stream) = connect_from(index, address).await else { return Outcome::NotConnected };
    tokio::select! {
        outcome = harm(kind, target, index, &mut stream) => outcome,
        _ = over.wait_for(|over| *over) => Outcome::Left,
    }
}

/// Attackers have addresses of their own: the broker's limits hold for them, and not for those whom it trusts.
async fn connect_from(index: usize, address: SocketAddr) -> io::Result<TcpStream> {
    let host = (index % ADDRESSES) as u8;
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 66, 0, host), 0).into())?;
    socket.connect(address).await
}

async fn harm(kind: Kind, target: &Target, index: usize, stream: &mut TcpStream) -> Outcome {
    let connect = || {
        let mut connect = target.connect_packet(index);
        if kind == Kind::WillStorm {
            connect.will = Some(will(target));
        }
        bytes_of(&Packet::Connect(Box::new(connect)))
    };
    match kind {
        Kind::Silent | Kind::TlsSilent => {}
        Kind::Reset => return Outcome::Left,
        Kind::HalfConnect => write(stream, &connect()[..20]).await,
        Kind::DrippingConnect => drip(stream, &connect()).await,
        Kind::Noise => write(stream, &noise(index)).await,
        Kind::WrongName => write(stream, b"\x10\x10\x00\x04HTTP\x04\x02\x00\x3c\x00\x04evil").await,
        Kind::WrongVersion => write(stream, b"\x10\x10\x00\x04MQTT\x09\x02\x00\x3c\x00\x04evil").await,
        Kind::ReservedBits => write(stream, b"\x1f\x10\x00\x04MQTT\x04\x03\x00\x3c\x00\x04evil").await,
        Kind::Http => write(stream, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await,
        Kind::TlsOnPlain => write(stream, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await,
        Kind::LongLength => write(stream, b"\x10\xff\xff\xff\xff\x7f").await,
        Kind::HugeLength => write(stream, b"\x10\xff\xff\xff\x7f\x00\x04MQTT").await,
        Kind::PublishFirst => write(stream, b"\x30\x06\x00\x03a/bhi").await,
        Kind::WrongPassword => write(stream, &wrong_password(target, index)).await,
        Kind::PropertyFlood => write(stream, &property_flood(target, index)).await,
        Kind::TlsDripping => drip(stream, &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3].repeat(100)).await,
        Kind::HttpDripping => drip(stream, b"GET /ready HTTP/1.1\r\nX-Slow: ".repeat(100).as_slice()).await,
        Kind::HalfUpgrade => write(stream, b"GET /mqtt HTTP/1.1\r\nUpgrade: websocket\r\n").await,
        _ => {
            write(stream, &connect()).await;
            if !connack(stream).await {
                return Outcome::ClosedByBroker;
            }
            return logged_in(kind, stream).await;
        }
    }
    until_closed(stream).await
}

async fn logged_in(kind: Kind, stream: &mut TcpStream) -> Outcome {
    match kind {
        Kind::SecondConnect => write(stream, b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04evil").await,
        Kind::QosThree => write(stream, b"\x36\x09\x00\x03a/b\x00\x01\x00hi").await,
        Kind::WildcardTopic => write(stream, b"\x30\x08\x00\x03a/#\x00hi").await,
        Kind::NotUtf8 => write(stream, b"\x30\x08\x00\x03a\xff\xfe\x00hi").await,
        Kind::AliasTooHigh => write(stream, b"\x30\x0b\x00\x03a/b\x03\x23\xff\xffhi").await,
        Kind::PacketTooLarge => write(stream, b"\x30\xff\xff\xff\x7f\x00\x03a/b").await,
        Kind::SubscriptionBomb => return flood(stream, &subscription_bomb()).await,
        Kind::PingFlood => return flood(stream, &[0xc0, 0x00].repeat(4_096)).await,
        Kind::ForbiddenFlood => return flood(stream, &forbidden()).await,
        // WillStorm: it goes without a goodbye.
        _ => return Outcome::Left,
    }
    until_closed(stream).await
}

/// Writes as long as the broker takes it, and never reads.
async fn flood(stream: &mut TcpStream, bytes: &[u8]) -> Outcome {
    // So many rounds and no more: a flood that nothing bounds would measure the machine, not the broker.
    const ROUNDS: usize = 64;
    for _ in 0..ROUNDS {
        if stream.write_all(bytes).await.is_err() {
            return Outcome::ClosedByBroker;
        }
    }
    until_closed(stream).await
}

/// What cannot be written any more was not wanted: the broker has closed.
async fn write(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes).await;
}

async fn drip(stream: &mut TcpStream, bytes: &[u8]) {
    let mut pace = interval(DRIP);
    for byte in bytes {
        pace.tick().await;
        if stream.write_all(&[*byte]).await.is_err() {
            return;
        }
    }
}

async fn until_closed(stream: &mut TcpStream) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = [0; 512];
    loop {
        match timeout_at(deadline, stream.read(&mut buffer)).await {
            Ok(Ok(1..)) => {}
            Ok(_) => return Outcome::ClosedByBroker,
            Err(_) => return Outcome::Left,
        }
    }
}

/// Reads a CONNACK; false if the connection is refused or closed instead.
async fn connack(stream: &mut TcpStream) -> bool {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.is_ok() && head[0] == 0x20 && head[3] == 0
}

fn bytes_of(packet: &Packet) -> BytesMut {
    let mut out = BytesMut::new();
    encode(packet, Version::V5, &mut out).expect("a packet of ours");
    out
}

/// Bytes that differ for each attacker and never begin a CONNECT.
fn noise(index: usize) -> Vec<u8> {
    let mut state = index as u64 | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::once(0xf7).chain((0..256).map(|_| next())).collect()
}

fn wrong_password(target: &Target, index: usize) -> BytesMut {
    let connect = Connect { password: Some("guess".into()), ..target.connect_packet(index) };
    bytes_of(&Packet::Connect(Box::new(connect)))
}

fn property_flood(target: &Target, index: usize) -> BytesMut {
    // More than a CONNECT may have before anybody is known.
    let user_properties =
        (0..8_000).map(|i| (format!("name {i}").into(), "value".repeat(4).into())).collect();
    let connect = Connect { user_properties, ..target.connect_packet(index) };
    bytes_of(&Packet::Connect(Box::new(connect)))
}

fn subscription_bomb() -> BytesMut {
    let filters = (0..2_000).map(|i| SubscribeFilter {
        filter: TopicFilter::new(format!("app/{}{i}/#", "+/".repeat(100))).expect("a filter"),
        qos: QoS::AtMostOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    });
    bytes_of(&Packet::Subscribe(Subscribe {
        packet_id: NonZeroU16::MIN,
        filters: filters.collect(),
        subscription_id: None,
        user_properties: Vec::new(),
    }))
}

fn forbidden() -> BytesMut {
    let mut out = BytesMut::new();
    for i in 0..256 {
        let publish = parlance_tests::mqtt::Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: Some(TopicName::new(format!("app/forbidden/{i}")).expect("a topic")),
            packet_id: None,
            properties: PublishProperties::default(),
            payload: vec![b'.'; 256].into(),
        };
        out.extend_from_slice(&bytes_of(&Packet::Publish(publish)));
    }
    out
}

/// The will of those who go without a goodbye: a message to one of their own.
fn will(target: &Target) -> Will {
    Will {
        topic: TopicName::new(format!("user/{}/text", target.users[0].at())).expect("a topic"),
        payload: "gone".into(),
        qos: QoS::AtLeastOnce,
        retain: false,
        delay_s: None,
        properties: PublishProperties::default(),
    }
}
