//! Everything between a socket and its first packet: transports, certificates, listeners that come and go, and what keeps
//! strangers from taking more than their share.
//!
//! All of it over real sockets against a server process.

mod carry;
mod clients;
mod http;
mod limits;
mod pki;
mod proxy;
mod quic;
mod rates;
mod reload;
mod slow;
mod tls;
mod websocket;

use parlance_tests::{Client, Closed};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// TLS to an address, asking for a name.
async fn secure(to: SocketAddr, config: ClientConfig, name: &str) -> io::Result<TlsStream<TcpStream>> {
    secure_again(to, &Arc::new(config), name).await
}

/// The same with a configuration that remembers what it saw.
async fn secure_again(
    to: SocketAddr,
    config: &Arc<ClientConfig>,
    name: &str,
) -> io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(to).await?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    TlsConnector::from(config.clone()).connect(name, socket).await
}

/// The certificate that the server shows, DER.
fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().expect("a certificate")[0].to_vec()
}

/// How a connection was refused.
fn refused(outcome: Result<Client, Closed>) -> Box<parlance_tests::mqtt::ConnAck> {
    match outcome {
        Err(Closed::Refused(connack)) => connack,
        Err(other) => panic!("expected a refusal: {other:?}"),
        Ok(_) => panic!("it was let in"),
    }
}
