//! One byte stream to a server, whatever carries it.

mod quic;
mod websocket;

pub(crate) use websocket::upgrade;

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use std::{fmt, io, net::SocketAddr, path::Path, str::FromStr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// How long a connection may take to be there.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes to and from a server.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What carries MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket.
    Ws,
    /// WebSocket over TLS.
    Wss,
    /// One bidirectional stream of a QUIC connection, ALPN `mqtt`.
    Quic,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Tcp, Self::Tls, Self::Ws, Self::Wss, Self::Quic];

    /// As on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Quic => "quic",
        }
    }

    /// Whether MQTT travels in WebSocket frames.
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Wss | Self::Quic)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|transport| transport.as_str() == text);
        found.ok_or_else(|| format!("{text} is none of tcp, tls, ws, wss, quic"))
    }
}

/// How the certificate of a server is judged.
#[derive(Debug, Clone, Copy)]
pub enum Trust<'a> {
    /// It must lead to a certificate of this PEM file.
    Roots(&'a Path),
    /// Any: for laboratories.
    Anything,
}

/// Where a server is, and how it is reached.
#[derive(Clone)]
pub struct Endpoint {
    address: SocketAddr,
    transport: Transport,
    /// Path of the WebSocket.
    path: String,
    /// The name that its certificate must carry.
    name: String,
    tls: Option<Arc<ClientConfig>>,
    quic: Option<quinn::Endpoint>,
}

impl Endpoint {
    /// An endpoint. A QUIC one must be made inside of a tokio runtime.
    ///
    /// # Errors
    /// If the root certificates cannot be read, or no UDP socket can be had.
    pub fn new(address: SocketAddr, transport: Transport, trust: Trust<'_>) -> io::Result<Self> {
        let tls = transport.is_encrypted().then(|| tls_config(trust)).transpose()?;
        let quic = match &tls {
            Some(tls) if transport == Transport::Quic => Some(quic::endpoint(address, tls)?),
            _ => None,
        };
        let tls = tls.map(Arc::new);
        Ok(Self { address, transport, path: "/mqtt".to_owned(), name: "localhost".to_owned(), tls, quic })
    }

    /// With another path than `/mqtt` for WebSocket.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// With another name than `localhost` in the certificate.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What carries the bytes.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Opens a byte stream.
    ///
    /// # Errors
    /// If the server is not there, or the handshake of TLS, WebSocket or QUIC fails or takes too long.
    pub async fn open(&self) -> io::Result<Box<dyn Stream>> {
        let opened = timeout(OPEN_TIMEOUT, self.open_unbounded()).await;
        opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn open_unbounded(&self) -> io::Result<Box<dyn Stream>> {
        if let Some(endpoint) = &self.quic {
            return Ok(Box::new(quic::open(endpoint, self.address, &self.name).await?));
        }
        let carrier = self.carrier().await?;
        if self.transport.is_websocket() {
            let (socket, _) = upgrade(carrier, &self.host(), &self.path, "mqtt").await?;
            return Ok(Box::new(websocket::as_stream(socket)));
        }
        Ok(carrier)
    }

    /// What is below MQTT and below WebSocket: TCP, or TLS over it.
    pub(crate) async fn carrier(&self) -> io::Result<Box<dyn Stream>> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Box::new(socket)),
            Some(tls) => {
                let name = ServerName::try_from(self.name.clone()).map_err(io::Error::other)?;
                Ok(Box::new(TlsConnector::from(Arc::clone(tls)).connect(name, socket).await?))
            }
        }
    }

    /// What a WebSocket request needs: `host:port` and the path.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn websocket_path(&self) -> &str {
        &self.path
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.transport, self.address)
    }
}

fn tls_config(trust: Trust<'_>) -> io::Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(match trust {
        Trust::Roots(file) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(file).map_err(io::Error::other)? {
                roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        Trust::Anything => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth(),
    })
}

/// Takes any certificate, but still wants the server to hold its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
