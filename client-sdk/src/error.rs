//! One error type for each operation.

use parlance_schema::{PayloadError, api::Problem};
use rumqttc::v5::{
    ConnectionError, StateError,
    mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode},
};
use std::{sync::Arc, time::Duration};
use thiserror::Error;

/// Why a URL is no broker's address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// No scheme, or one that carries no MQTT.
    #[error("write the broker as mqtt://host, mqtts://host, ws://host/mqtt or wss://host/mqtt")]
    Scheme,
    /// A name or password in the URL, which would end up in logs.
    #[error("the handle and the secret do not belong into the URL")]
    UserInfo,
    /// No host, or characters that no host name has.
    #[error("the URL names no host")]
    Host,
    /// Not a port.
    #[error("the port is a number from 1 to 65535")]
    Port,
    /// `mqtt://host/path`.
    #[error("only ws:// and wss:// have a path")]
    Path,
    /// An IPv6 address where it cannot be used.
    #[error("an IPv6 address works with mqtt:// only; use a host name")]
    Ipv6,
}

/// Why TLS could not be set up.
#[derive(Debug, Clone, Error)]
pub enum TlsError {
    /// No certificate in the PEM.
    #[error("the CA file holds no PEM certificate")]
    Pem,
    /// A certificate that cannot be a root.
    #[error("the CA file holds a certificate that cannot be used")]
    Certificate(#[source] rustls::Error),
    /// The system has no root certificates.
    #[error("this system has no root certificates; give the CA certificate")]
    NoRoots,
    /// The crypto provider knows none of the protocol versions.
    #[error("TLS cannot be set up")]
    Protocol(#[source] rustls::Error),
}

/// Why there is no connection.
#[derive(Debug, Clone, Error)]
pub enum ConnectError {
    /// The URL.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No client id.
    #[error("a device needs a client id")]
    NoClientId,
    /// Handle or secret is wrong, expired, or the account is disabled.
    #[error("the broker does not accept this handle and secret")]
    BadCredentials,
    /// Shut out by the operator.
    #[error("the broker has banned this client")]
    Banned,
    /// The broker does not accept this client id.
    #[error("the broker does not accept this client id")]
    BadClientId,
    /// The broker does not speak MQTT 5.
    #[error("the broker does not speak MQTT 5")]
    NotMqtt5,
    /// Another program connected with the same client id.
    #[error("another connection uses this client id now")]
    TakenOver,
    /// The broker does not want this connection now.
    #[error("the broker refused the connection ({0})")]
    Refused(&'static str),
    /// The broker ended the connection.
    #[error("the broker ended the connection ({code}){}", reason.as_deref().map(|r| format!(": {r}")).unwrap_or_default())]
    Ended {
        /// The reason code.
        code: &'static str,
        /// Its words.
        reason: Option<Arc<str>>,
    },
    /// Nobody answered, or the network failed.
    #[error("no connection to the broker: {0}")]
    Network(#[source] Arc<ConnectionError>),
    /// The client was closed while it connected.
    #[error("the client was closed")]
    Closed,
}

impl ConnectError {
    /// Trying again with the same options cannot help.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Address(_) | Self::Tls(_) | Self::NoClientId => true,
            Self::BadCredentials | Self::Banned | Self::BadClientId | Self::NotMqtt5 => true,
            Self::TakenOver | Self::Closed => true,
            Self::Refused(_) | Self::Ended { .. } | Self::Network(_) => false,
        }
    }
}

impl From<ConnectionError> for ConnectError {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ConnectionRefused(code)
            | ConnectionError::MqttState(StateError::ConnFail { reason: code }) => refused(code),
            ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string }) => {
                ended(reason_code, reason_string)
            }
            other => Self::Network(Arc::new(other)),
        }
    }
}

fn refused(code: ConnectReturnCode) -> ConnectError {
    use ConnectReturnCode as Code;
    match code {
        Code::BadUserNamePassword | Code::NotAuthorized | Code::BadAuthenticationMethod => {
            ConnectError::BadCredentials
        }
        Code::Banned => ConnectError::Banned,
        Code::BadClientId | Code::ClientIdentifierNotValid => ConnectError::BadClientId,
        Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion => ConnectError::NotMqtt5,
        Code::ServerUnavailable | Code::ServiceUnavailable => ConnectError::Refused("server unavailable"),
        Code::ServerBusy => ConnectError::Refused("server busy"),
        Code::QuotaExceeded => ConnectError::Refused("quota exceeded"),
        Code::ConnectionRateExceeded => ConnectError::Refused("connection rate exceeded"),
        Code::UseAnotherServer | Code::ServerMoved => ConnectError::Refused("use another server"),
        _ => ConnectError::Refused("unspecified error"),
    }
}

fn ended(code: DisconnectReasonCode, reason: Option<String>) -> ConnectError {
    use DisconnectReasonCode as Code;
    let code = match code {
        Code::SessionTakenOver => return ConnectError::TakenOver,
        Code::NotAuthorized => return ConnectError::BadCredentials,
        Code::ServerShuttingDown => "server shutting down",
        Code::ServerBusy => "server busy",
        Code::KeepAliveTimeout => "keep alive timeout",
        Code::AdministrativeAction => "administrative action",
        Code::QuotaExceeded => "quota exceeded",
        Code::MessageRateTooHigh => "message rate too high",
        Code::PacketTooLarge => "packet too large",
        Code::MalformedPacket => "malformed packet",
        Code::ProtocolError => "protocol error",
        Code::ReceiveMaximumExceeded => "receive maximum exceeded",
        Code::ConnectionRateExceeded => "connection rate exceeded",
        Code::UseAnotherServer | Code::ServerMoved => "use another server",
        _ => "unspecified error",
    };
    ConnectError::Ended { code, reason: reason.map(Into::into) }
}

/// What the broker answered instead of doing it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason} ({code})")]
pub struct Refusal {
    /// The stable code, as in topics.md; the name of the MQTT reason code where the broker gave none.
    pub code: String,
    /// Words for a person.
    pub reason: String,
}

/// How a publish can end other than well; common to sends and requests.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    /// The broker refused it.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// Greater than what the broker accepts.
    #[error("{bytes} bytes are more than the {bytes_max} that the broker accepts")]
    TooLarge {
        /// Size of the packet.
        bytes: usize,
        /// The broker's Maximum Packet Size.
        bytes_max: usize,
    },
    /// The connection was lost with the answer outstanding; whether it was done is not known.
    #[error("the connection was lost before the answer came; it may have been done")]
    Interrupted,
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}

/// Why a message was not sent, or is not known to be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SendError {
    /// Not a message.
    #[error(transparent)]
    Invalid(#[from] PayloadError),
    /// See [`Failure`].
    #[error(transparent)]
    Failed(#[from] Failure),
    /// No acknowledgement in time. It may have been stored; sending it again under the same id finds out.
    #[error("not acknowledged within {after:?}; message {id} may have been stored all the same")]
    TimedOut {
        /// Its message id, for [`send_as`](crate::Client::send_as).
        id: String,
        /// How long it was tried.
        after: Duration,
    },
    /// Acknowledged without a position: the broker at this address is not Parlance.
    #[error("acknowledged without a position; is this a Parlance broker?")]
    NoPosition,
}

/// Why a read position was not set, or is not known to be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// See [`Failure`].
    #[error(transparent)]
    Failed(#[from] Failure),
    /// No acknowledgement in time; setting it again does no harm.
    #[error("not acknowledged within {after:?}")]
    TimedOut {
        /// How long it was tried.
        after: Duration,
    },
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RpcError {
    /// The broker's answer is an error.
    #[error("{} ({})", .0.detail, .0.code)]
    Problem(Box<Problem>),
    /// See [`Failure`].
    #[error(transparent)]
    Failed(#[from] Failure),
    /// No answer in time; it may have been done.
    #[error("no answer to {method} within {after:?}")]
    TimedOut {
        /// Which method.
        method: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// Not the name of a method.
    #[error("{method:?} is not a method")]
    NoMethod {
        /// As given.
        method: String,
    },
    /// The request could not be written as JSON, or the answer not be read.
    #[error("{method}: {problem}")]
    Json {
        /// Which method.
        method: String,
        /// What is wrong.
        problem: String,
    },
}

/// How closing can end other than well.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CloseError {
    /// Something was still not acknowledged; each of these sends has failed with [`Failure::Closed`].
    #[error("{count} sends were not acknowledged in time")]
    Unacknowledged {
        /// How many.
        count: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_get_better_is_fatal() {
        use ConnectReturnCode as Code;
        for (code, fatal) in [
            (Code::BadUserNamePassword, true),
            (Code::NotAuthorized, true),
            (Code::Banned, true),
            (Code::ClientIdentifierNotValid, true),
            (Code::UnsupportedProtocolVersion, true),
            (Code::ServerBusy, false),
            (Code::ServerUnavailable, false),
            (Code::QuotaExceeded, false),
            (Code::UnspecifiedError, false),
        ] {
            assert_eq!(
                ConnectError::from(ConnectionError::ConnectionRefused(code)).is_fatal(),
                fatal,
                "{code:?}"
            );
        }
    }

    #[test]
    fn a_takeover_ends_it_and_a_restart_does_not() {
        let ended_by = |reason_code| {
            let reason_string = Some("why".to_owned());
            ConnectError::from(ConnectionError::MqttState(StateError::ServerDisconnect {
                reason_code,
                reason_string,
            }))
        };
        assert!(ended_by(DisconnectReasonCode::SessionTakenOver).is_fatal());
        let restart = ended_by(DisconnectReasonCode::ServerShuttingDown);
        assert!(!restart.is_fatal());
        assert_eq!(restart.to_string(), "the broker ended the connection (server shutting down): why");
    }
}
