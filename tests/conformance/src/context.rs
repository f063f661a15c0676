//! What a test is given: a server, a protocol version, and names that nobody else uses.

use crate::{
    Client, Endpoint, Failure, Outcome,
    client::{fits, message, retained},
    outcome::{ensure, violation},
};
use bytes::Bytes;
use parlance_mqtt::{ConnAck, Connect, Packet, Publish, PublishProperties, QoS, ReasonCode, Version, Will};
use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering},
};
use uuid::Uuid;

/// The random part of the names of a test.
pub(crate) const RANDOM_CHARS: usize = 12;

/// Sessions that should outlive a connection are asked to stay this long, seconds.
pub(crate) const SESSION_S: u32 = 120;

/// Keep Alive of connections that are not about it: off.
const KEEP_ALIVE_OFF: u16 = 0;

/// The server under test and how the suite may use it.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it is.
    pub endpoint: Endpoint,
    /// User name and password of every connection.
    pub credentials: Option<(String, String)>,
    /// An Authentication Method that the server accepts, and the Authentication Data of the first step.
    pub authentication: Option<(String, Vec<u8>)>,
    /// An MQTT 5 server that closes a connection for an error must say why.
    pub strict: bool,
}

impl Target {
    /// A server that wants nothing of its clients.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, credentials: None, authentication: None, strict: false }
    }
}

/// The world of one test.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) target: Target,
    pub(crate) version: Version,
    random: String,
    clients: AtomicU32,
    left: Mutex<Left>,
}

/// What is to be removed from the server when the test is over.
#[derive(Debug, Default)]
struct Left {
    sessions: Vec<Bytes>,
    retained: Vec<String>,
}

impl Context {
    pub(crate) fn new(target: Target, version: Version) -> Self {
        let random = Uuid::new_v4().simple().to_string()[..RANDOM_CHARS].to_owned();
        Self { target, version, random, clients: AtomicU32::new(0), left: Mutex::default() }
    }

    pub(crate) fn is_v5(&self) -> bool {
        self.version == Version::V5
    }

    /// A topic of this test.
    pub(crate) fn topic(&self, rest: &str) -> String {
        format!("conformance/{}/{rest}", self.random)
    }

    /// Twelve random characters, the same for the whole test.
    pub(crate) fn random(&self) -> &str {
        &self.random
    }

    /// A client id that was not used before.
    pub(crate) fn client_id(&self) -> String {
        format!("conf{}{}", self.random, self.clients.fetch_add(1, Ordering::Relaxed))
    }

    /// A CONNECT with a session that ends with the connection.
    pub(crate) fn clean(&self) -> Connect {
        let (username, password) = self.target.credentials.clone().unzip();
        Connect {
            version: self.version,
            clean_start: true,
            keep_alive_s: KEEP_ALIVE_OFF,
            client_id: self.client_id().into(),
            will: None,
            username: username.map(Bytes::from),
            password: password.map(Bytes::from),
            session_expiry_s: None,
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

    /// A CONNECT with a session that stays, and is resumed if it is there.
    pub(crate) fn lasting(&self, client_id: &str) -> Connect {
        Connect {
            clean_start: false,
            client_id: client_id.to_owned().into(),
            session_expiry_s: self.is_v5().then_some(SESSION_S),
            ..self.clean()
        }
    }

    /// A byte stream on which nothing was sent yet.
    pub(crate) async fn open(&self) -> Outcome<Client> {
        let opened = self.target.endpoint.open().await;
        let stream = opened.map_err(|error| Failure::Violation(format!("no connection: {error}")))?;
        Ok(Client::over(stream, self.version, self.target.strict))
    }

    /// Connects with a new client id and a clean session.
    pub(crate) async fn connect(&self) -> Outcome<Client> {
        Ok(self.accepted(self.clean()).await?.0)
    }

    /// Connects, and is accepted.
    pub(crate) async fn accepted(&self, connect: Connect) -> Outcome<(Client, ConnAck)> {
        if !connect.clean_start || connect.session_expiry_s.is_some_and(|seconds| seconds > 0) {
            self.left().sessions.push(connect.client_id.clone());
        }
        let mut client = self.open().await?;
        let connack = client.handshake(connect).await?;
        ensure!(connack.reason == ReasonCode::Success, "the CONNECT is refused: {}", connack.reason);
        Ok((client, connack))
    }

    /// Connects to a lasting session, which must be there or not.
    pub(crate) async fn session(&self, client_id: &str, present: bool) -> Outcome<Client> {
        let (client, connack) = self.accepted(self.lasting(client_id)).await?;
        ensure!(
            connack.session_present == present,
            "Session Present is {}, {present} expected",
            connack.session_present
        );
        Ok(client)
    }

    /// A lasting session with one subscription, left without a connection.
    pub(crate) async fn leave_session(&self, client_id: &str, filter: &str, qos: QoS) -> Outcome {
        let mut client = self.session(client_id, false).await?;
        client.subscribe(filter, qos).await?;
        client.disconnect().await
    }

    /// A connected client with one subscription.
    pub(crate) async fn subscriber(&self, filter: &str, qos: QoS) -> Outcome<Client> {
        let mut client = self.connect().await?;
        client.subscribe(filter, qos).await?;
        Ok(client)
    }

    /// Sends bytes in the place of CONNECT: the server must not accept. Answers its CONNACK, if it sent one.
    pub(crate) async fn refused(&self, bytes: &[u8]) -> Outcome<Option<ConnAck>> {
        let mut client = self.open().await?;
        client.raw(bytes).await?;
        match client.next().await? {
            None => Ok(None),
            Some(Packet::ConnAck(connack)) => {
                ensure!(connack.reason.is_error(), "the CONNECT is accepted");
                ensure!(!connack.session_present, "Session Present in a refusal");
                client.closed().await?;
                Ok(Some(*connack))
            }
            Some(other) => violation!("{} in answer to a wrong CONNECT", other.packet_type()),
        }
    }

    /// As [`refused`](Self::refused); a CONNACK of MQTT 5 must have one of these reasons, and 3.1.1 sends none: it
    /// has no code for what is malformed.
    pub(crate) async fn malformed(&self, bytes: &[u8], reasons: &[ReasonCode]) -> Outcome {
        let Some(connack) = self.refused(bytes).await? else { return Ok(()) };
        ensure!(self.is_v5(), "CONNACK {} for a malformed CONNECT", connack.reason);
        ensure!(
            fits(connack.reason, reasons, self.target.strict),
            "CONNACK {}, {reasons:?} expected",
            connack.reason
        );
        Ok(())
    }

    /// Sends bytes on a connection of their own: the server must close, for one of these reasons.
    pub(crate) async fn rejects(&self, bytes: &[u8], reasons: &[ReasonCode]) -> Outcome {
        let mut client = self.connect().await?;
        client.raw(bytes).await?;
        client.closed_with(reasons).await
    }

    /// Publishes from a connection of its own.
    pub(crate) async fn publish(&self, topic: &str, payload: impl Into<Bytes>, qos: QoS) -> Outcome {
        self.publish_message(message(topic, payload, qos)).await
    }

    /// As [`publish`](Self::publish), with all that a PUBLISH can carry.
    pub(crate) async fn publish_message(&self, message: Publish) -> Outcome {
        let mut client = self.connect().await?;
        client.publish_message(message).await?;
        client.disconnect().await
    }

    /// Publishes a retained message; it is removed when the test is over.
    pub(crate) async fn retain(&self, topic: &str, payload: impl Into<Bytes>, qos: QoS) -> Outcome {
        self.retain_message(retained(topic, payload, qos)).await
    }

    /// As [`retain`](Self::retain), with all that a PUBLISH can carry.
    pub(crate) async fn retain_message(&self, message: Publish) -> Outcome {
        if let Some(topic) = &message.topic {
            self.left().retained.push(topic.as_str().to_owned());
        }
        self.publish_message(message).await
    }

    /// The topic of a retained message that the server stores by itself, so that it is removed.
    pub(crate) fn will_be_retained(&self, topic: &str) {
        self.left().retained.push(topic.to_owned());
    }

    /// What a new subscriber is sent on this filter right away: the retained messages.
    pub(crate) async fn retained_on(&self, filter: &str) -> Outcome<Vec<Publish>> {
        let mut client = self.connect().await?;
        client.subscribe(filter, QoS::ExactlyOnce).await?;
        // The marker comes behind what the subscription brings along.
        let marker = format!("conformance/{}marker", self.random);
        client.subscribe(&marker, QoS::AtMostOnce).await?;
        let mut found = Vec::new();
        for round in 0..2 {
            client.publish(&marker, "marker", QoS::AtMostOnce).await?;
            loop {
                let message = client.receive().await?;
                if message.topic.as_ref().is_some_and(|topic| topic.as_str() == marker) {
                    break;
                }
                found.push(message);
            }
            if round == 0 {
                client.ping().await?;
            }
        }
        client.silent().await?;
        Ok(found)
    }

    /// Removes what the test left on the server. Errors do not matter: the names are used by nobody else.
    pub(crate) async fn clean_up(&self) {
        let left = std::mem::take(&mut *self.left());
        for client_id in left.sessions {
            let connect = Connect { client_id, ..self.clean() };
            if let Ok((client, _)) = self.accepted(connect).await {
                let _ = client.disconnect().await;
            }
        }
        for topic in left.retained {
            let _ = self.publish_message(retained(&topic, "", QoS::AtLeastOnce)).await;
        }
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A will without properties.
pub(crate) fn will(topic: &str, payload: &str, qos: QoS) -> Will {
    Will {
        topic: crate::client::topic_name(topic),
        payload: payload.to_owned().into(),
        qos,
        retain: false,
        delay_s: None,
        properties: PublishProperties::default(),
    }
}
