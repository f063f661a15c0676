//! How a device connects.

use crate::{
    Broker, Client, Closed, User,
    quic::{self, QuicStream, endpoint},
    wait::in_time,
    websocket,
};
use bytes::Bytes;
use parlance_mqtt::{Connect, PublishProperties, QoS, TopicName, Version, Will};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// What MQTT travels over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// TCP.
    Tcp,
    /// TLS.
    Tls,
    /// WebSocket.
    WebSocket,
    /// WebSocket over TLS.
    SecureWebSocket,
    /// QUIC; for servers that were started with [`Options::quic`](crate::Options::quic).
    Quic,
}

impl Via {
    /// Each of them.
    pub const ALL: [Self; 5] = [Self::Tcp, Self::Tls, Self::WebSocket, Self::SecureWebSocket, Self::Quic];
}

/// Bytes to and from the server.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A device and how it connects: MQTT 5 over TCP with a session that stays for an hour, unless told otherwise.
#[derive(Debug, Clone)]
pub struct Device {
    connect: Connect,
    via: Via,
    at: Option<SocketAddr>,
    own_login: bool,
}

impl Device {
    /// By its client id.
    pub fn new(client_id: impl Into<String>) -> Self {
        let connect = Connect {
            version: Version::V5,
            clean_start: false,
            keep_alive_s: 0,
            client_id: client_id.into().into(),
            will: None,
            username: None,
            password: None,
            session_expiry_s: Some(3_600),
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: None,
            request_response_information: None,
            request_problem_information: None,
            authentication_method: None,
            authentication_data: None,
            user_properties: Vec::new(),
        };
        Self { connect, via: Via::Tcp, at: None, own_login: false }
    }

    /// Over MQTT 3.1.1.
    #[must_use]
    pub fn v3(mut self) -> Self {
        self.connect.version = Version::V3;
        self.connect.session_expiry_s = None;
        self
    }

    /// With this protocol version.
    #[must_use]
    pub fn version(self, version: Version) -> Self {
        if version == Version::V3 { self.v3() } else { self }
    }

    /// Over TLS.
    #[must_use]
    pub fn via(mut self, via: Via) -> Self {
        self.via = via;
        self
    }

    /// To this address, over TCP.
    #[must_use]
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.at = Some(address);
        self
    }

    /// Topic Alias Maximum (5).
    #[must_use]
    pub fn topic_alias_maximum(mut self, aliases: u16) -> Self {
        self.connect.topic_alias_maximum = Some(aliases);
        self
    }

    /// With Authentication Method `token` (5), and this token in the place of user name and password.
    #[must_use]
    pub fn token(mut self, method: &str, token: &str) -> Self {
        self = self.login(None, None);
        self.connect.authentication_method = Some(method.to_owned().into());
        self.connect.authentication_data = Some(token.to_owned().into());
        self
    }

    /// With any change of its CONNECT.
    #[must_use]
    pub fn with_connect(mut self, change: impl FnOnce(&mut Connect)) -> Self {
        change(&mut self.connect);
        self
    }

    /// With changes to its will.
    ///
    /// # Panics
    /// If it has none.
    #[must_use]
    pub fn with_will(mut self, change: impl FnOnce(&mut Will)) -> Self {
        change(self.connect.will.as_mut().expect("a will"));
        self
    }

    /// Clean Start (5), Clean Session (3.1.1).
    #[must_use]
    pub fn clean(mut self) -> Self {
        self.connect.clean_start = true;
        self
    }

    /// Session Expiry Interval (5), seconds.
    #[must_use]
    pub fn expiry_s(mut self, seconds: u32) -> Self {
        self.connect.session_expiry_s = Some(seconds);
        self
    }

    /// Receive Maximum (5).
    #[must_use]
    pub fn receive_maximum(mut self, messages: u16) -> Self {
        self.connect.receive_maximum = Some(messages);
        self
    }

    /// Maximum Packet Size (5), bytes.
    #[must_use]
    pub fn packet_bytes_max(mut self, bytes: u32) -> Self {
        self.connect.maximum_packet_size = Some(bytes);
        self
    }

    /// Keep Alive, seconds. The client pings only when told to.
    #[must_use]
    pub fn keep_alive_s(mut self, seconds: u16) -> Self {
        self.connect.keep_alive_s = seconds;
        self
    }

    /// With a will, QoS 1.
    #[must_use]
    pub fn will(mut self, topic: &str, payload: &str) -> Self {
        let topic = TopicName::new(topic.to_owned()).expect("a topic name");
        let (payload, properties) = (payload.to_owned().into(), PublishProperties::default());
        self.connect.will =
            Some(Will { topic, payload, qos: QoS::AtLeastOnce, retain: false, delay_s: None, properties });
        self
    }

    /// With this user name and password in the place of the user's handle and token.
    #[must_use]
    pub fn login(mut self, name: Option<&str>, secret: Option<&str>) -> Self {
        let bytes = |text: &str| Bytes::from(text.to_owned());
        (self.connect.username, self.connect.password) = (name.map(bytes), secret.map(bytes));
        self.own_login = true;
        self
    }

    /// Connects as `user`.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn connect(&self, broker: &Broker, user: &User) -> Client {
        self.try_connect(broker, user)
            .await
            .unwrap_or_else(|closed| panic!("@{} is refused: {closed:?}", user.handle))
    }

    /// Connects as `user`, or is refused.
    ///
    /// # Errors
    /// [`Closed::Refused`] with the CONNACK, [`Closed::Ended`] if the server ended the connection without one, or
    /// is not there.
    pub async fn try_connect(&self, broker: &Broker, user: &User) -> Result<Client, Closed> {
        let connect = self.packet(user);
        let stream =
            in_time("a connection", Box::pin(open(broker, self.via))).await.map_err(|_| Closed::Ended)?;
        Client::handshake(stream, connect).await
    }

    /// The same over a stream that was opened elsewhere.
    ///
    /// # Errors
    /// As [`try_connect`](Self::try_connect).
    pub async fn connect_over(&self, stream: impl Stream + 'static, user: &User) -> Result<Client, Closed> {
        Client::handshake(Box::new(stream), self.packet(user)).await
    }

    /// The same without user name and password, unless [`login`](Self::login) says otherwise.
    ///
    /// # Errors
    /// As [`try_connect`](Self::try_connect).
    pub async fn connect_as_nobody(&self, stream: impl Stream + 'static) -> Result<Client, Closed> {
        Client::handshake(Box::new(stream), self.connect.clone()).await
    }

    /// The CONNECT of `user`.
    pub fn packet(&self, user: &User) -> Connect {
        let mut connect = self.connect.clone();
        if !self.own_login {
            connect.username = Some(user.handle.clone().into());
            connect.password = Some(user.token.clone().into());
        }
        connect
    }

    /// Connects as nobody, without user name and password: where a listener is open to all.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn connect_open(&self) -> Client {
        self.try_connect_open().await.unwrap_or_else(|closed| panic!("refused: {closed:?}"))
    }

    /// Connects as nobody, or is refused.
    ///
    /// # Errors
    /// As [`try_connect`](Self::try_connect).
    ///
    /// # Panics
    /// If no address was given.
    pub async fn try_connect_open(&self) -> Result<Client, Closed> {
        let address = self.at.expect("the address of the open listener");
        let socket = in_time("a connection", TcpStream::connect(address)).await.map_err(|_| Closed::Ended)?;
        socket.set_nodelay(true).map_err(|_| Closed::Ended)?;
        Client::handshake(Box::new(socket), self.connect.clone()).await
    }

    /// A connection on which nothing was sent yet.
    ///
    /// # Panics
    /// If there is no server.
    pub async fn open(&self, broker: &Broker) -> Client {
        let stream = in_time("a connection", Box::pin(open(broker, self.via))).await.expect("a server");
        Client::over(stream, self.connect.version)
    }
}

async fn open(broker: &Broker, via: Via) -> io::Result<Box<dyn Stream>> {
    let address = match via {
        Via::Tcp => broker.mqtt(),
        Via::Tls => broker.mqtts(),
        Via::WebSocket => broker.http(),
        Via::SecureWebSocket => broker.https(),
        Via::Quic => {
            return Ok(Box::new(QuicStream::open(endpoint(), broker.quic(), quic::trusting(broker)).await?));
        }
    };
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    match via {
        Via::Tcp => Ok(Box::new(socket)),
        Via::WebSocket => Ok(Box::new(websocket::open(socket, address).await?)),
        Via::Quic => unreachable!("opened above"),
        Via::Tls | Via::SecureWebSocket => {
            let name = ServerName::IpAddress(address.ip().into());
            let secure = TlsConnector::from(Arc::new(trusting(broker))).connect(name, socket).await?;
            match via {
                Via::Tls => Ok(Box::new(secure)),
                _ => Ok(Box::new(websocket::open(secure, address).await?)),
            }
        }
    }
}

/// TLS that trusts the server's own root and nothing else.
///
/// # Panics
/// If it is not there.
pub fn trusting(broker: &Broker) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let pem = CertificateDer::pem_file_iter(broker.ca_file()).expect("the certificate of the server's root");
    for certificate in pem {
        roots.add(certificate.expect("PEM")).expect("a certificate");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS versions of the provider");
    config.with_root_certificates(roots).with_no_client_auth()
}
