//! The handle that applications hold.

use crate::{
    Content, Events, Options, Target,
    address::Address,
    connection::Pump,
    core::Core,
    error::{CloseError, ConnectError, Failure, ReadError, SendError},
    limits::{CLOSE_TIMEOUT, DISCONNECT_TIMEOUT, SENDS_MAX},
    pending::AckProperties,
    tls, wire,
};
use parlance_schema::{ConversationId, UnixMillis, pb};
use prost::Message;
use std::sync::Arc;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use uuid::Uuid;

/// Where a message was put. It is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its message id.
    pub id: String,
    /// The conversation.
    pub conversation: ConversationId,
    /// Its position there.
    pub seq: u64,
    /// When the broker accepted it, Unix milliseconds.
    pub time_ms: UnixMillis,
}

/// A connected device. Clones are handles of the same connection; it ends, without a goodbye, when the last of
/// them and the [`Events`] are dropped.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) core: Arc<Core>,
    _handle: mpsc::Sender<()>,
}

impl Client {
    /// Connects and subscribes. Resolves when messages can be sent and will be received.
    pub async fn connect(options: Options) -> Result<(Self, Events), ConnectError> {
        let address = Address::parse(&options.url)?;
        let tls = address.scheme.is_tls().then(|| tls::config(options.ca_pem.as_deref())).transpose()?;
        if options.client_id.is_empty() && !options.ephemeral {
            return Err(ConnectError::NoClientId);
        }
        let core = Arc::new(Core::new(options));
        let (handle, handles) = mpsc::channel(1);
        let (first, connected) = oneshot::channel();
        let events = Events::new(core.clone(), handle.clone());
        let client = Self { core: core.clone(), _handle: handle };
        tokio::spawn(Pump::new(core, address, tls, handles, first).run());
        connected.await.unwrap_or(Err(ConnectError::Closed))?;
        Ok((client, events))
    }

    /// Sends a message under a fresh id. Resolves when it is stored.
    ///
    /// A lost connection is waited out, up to the send timeout of [`Options`]. With the future dropped or timed out,
    /// nothing more is tried; what was on the wire by then may have been stored.
    pub async fn send(&self, target: Target, content: impl Into<Content>) -> Result<Sent, SendError> {
        self.send_as(target, Uuid::now_v7().to_string(), content).await
    }

    /// Sends a message under an id of the caller, at most 64 bytes: however often it is sent, it is stored once and
    /// answered with its first position.
    pub async fn send_as(
        &self,
        target: Target,
        id: impl Into<String>,
        content: impl Into<Content>,
    ) -> Result<Sent, SendError> {
        let id = id.into();
        let message = content.into().message(id.clone())?;
        let topic = format!("{}/pb", target.root());
        let after = self.core.options.send_timeout;
        match timeout(after, self.publish(topic, message.encode_to_vec())).await {
            Ok(properties) => wire::position(&properties?, id).ok_or(SendError::NoPosition),
            Err(_) => Err(SendError::TimedOut { id, after }),
        }
    }

    /// Marks everything up to `seq` as read. Positions never retreat.
    pub async fn read(&self, target: &Target, seq: u64) -> Result<(), ReadError> {
        let topic = format!("{}/read/pb", target.root());
        let after = self.core.options.send_timeout;
        match timeout(after, self.publish(topic, pb::Read { seq }.encode_to_vec())).await {
            Ok(acknowledged) => Ok(acknowledged.map(|_| ())?),
            Err(_) => Err(ReadError::TimedOut { after }),
        }
    }

    /// Tells the others that this user types, or stopped. Never stored; dropped when there is no connection.
    pub fn typing(&self, target: &Target, typing: bool) {
        let notice = pb::Typing { typing, ..Default::default() };
        self.core.typing(format!("{}/typing/pb", target.root()), notice.encode_to_vec());
    }

    async fn publish(&self, topic: String, payload: Vec<u8>) -> Result<AckProperties, Failure> {
        let permit = self.core.permit().await?;
        let outcome = self.core.publish(topic, payload, permit)?;
        outcome.await.unwrap_or(Err(Failure::Closed))
    }

    /// Waits until everything that was sent before is acknowledged (at most [`CLOSE_TIMEOUT`]), then says goodbye.
    /// Afterwards [`Events`] ends; messages that were not taken from it come again at the next connect.
    pub async fn close(self) -> Result<(), CloseError> {
        // Each unacknowledged send holds one of the places, and places are given in the order asked.
        let all = u32::try_from(SENDS_MAX).unwrap_or(u32::MAX);
        let flushed = timeout(CLOSE_TIMEOUT, self.core.permits.clone().acquire_many_owned(all)).await;
        let count = if flushed.is_err() { self.core.unacknowledged() } else { 0 };
        let goodbye = self.core.disconnect() && timeout(DISCONNECT_TIMEOUT, self.core.ended()).await.is_ok();
        if !goodbye {
            self.core.stop.notify_one();
            self.core.ended().await;
        }
        if count == 0 { Ok(()) } else { Err(CloseError::Unacknowledged { count }) }
    }
}
