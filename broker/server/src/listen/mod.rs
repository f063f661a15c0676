//! Listeners: anything that becomes one byte stream, accepted on the thread that will serve it.
//!
//! A listener is a socket (one for each thread, or one of UDP) and a [`Serving`]: what its connections are served with.
//! The serving can be exchanged while the socket stays, so certificates and rules change without a connection being
//! lost. A new transport is a new file here and a line in [`workers`].
//!
//! What happens before a connection's first packet (PROXY header, TLS, WebSocket) is a task of its own with a time-out:
//! it never keeps the next one from being accepted.

mod certificates;
pub(crate) mod descriptors;
mod http;
mod identity;
mod listeners;
mod proxy;
mod quic;
mod serving;
mod sockets;
mod tcp;
mod tls;
mod websocket;
mod workers;

pub(crate) use certificates::CertificateError;
pub(crate) use listeners::ListenError;
pub(crate) use listeners::{Changes, Listeners, Prepared, prepare, reserve};
use serving::Serving;
pub(crate) use serving::{Routes, make_development_certificates};
use tls::{Resumption, TlsFiles};
pub(crate) use workers::Workers;
