//! The ledger: one thread decides everything that becomes durable, in one order.
//!
//! `decider` takes commands from a bounded queue, decides them against the conversations it holds, and writes what it
//! decided as one batch: one journal entry, one sync. Then the batch is published to the overlay (so that every reader
//! sees it), messages go to the hub, and whoever waits is answered. `applier` moves the overlay's runs into the store.

mod applier;
mod around;
mod batch;
mod conversations;
mod decider;
mod free;
mod layer;
mod load;
mod overlay;
mod publish;
mod queue;
mod queues;
mod reading;
mod sends;
mod start;
mod steps;
mod subscribing;
#[cfg(test)]
mod tests;
mod transaction;
mod verify;
mod view;
mod work;

use crate::{
    peer::{Peer, Settled},
    topics::{FreeDelivery, FreeMessage, Subscriber, Topics},
};
use async_trait::async_trait;
use bytes::Bytes;
use parlance_engine::{SubscriptionOptions, Ticket};
use parlance_mqtt::{PacketId, RetainHandling, TopicFilter, TopicName};
use parlance_plugin_api::{
    ConversationId, UserId,
    ledger::{Job, Ledger, LedgerError, View},
    record::{CursorRecord, DeviceId, SessionKey, SessionRecord, StoredSubscription},
    store::{Entry, Scan, StoreError, Table},
};
use parlance_schema::Content;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};
use thiserror::Error;
use tokio::sync::oneshot;

pub(crate) use conversations::{head, members_up_to};
pub use start::{LedgerOptions, LedgerThreads, StartError, start};
pub use verify::VerifyPage;
#[cfg(feature = "simulation")]
pub(crate) use {
    applier::{Applier, TICK},
    decider::{Decider, Gathered},
    queue::Queue,
    start::{Opened, open},
};

/// A message to be stored.
#[derive(Debug, Clone)]
pub struct SendIntent {
    /// Who writes.
    pub sender: UserId,
    /// On which device; it is not sent its own message.
    pub device: Option<DeviceId>,
    /// Where.
    pub conversation: ConversationId,
    /// The other user of a direct conversation, so that a first message can begin it.
    pub peer: Option<UserId>,
    /// The sender's own id of the message.
    pub id: Option<Vec<u8>>,
    /// For a message without an id: what MQTT says of retransmission.
    pub retry: Option<ImplicitRetry>,
    /// QoS 2 of a durable session: its packet id is kept in the same batch, and tells where the message is until then.
    pub received: Option<(SessionKey, PacketId)>,
    /// What it says.
    pub content: Content,
}

/// How a retransmission of a message without an id is recognised: the packet id of the session, DUP, and the same body.
#[derive(Debug, Clone, Copy)]
pub struct ImplicitRetry {
    /// The device.
    pub device: DeviceId,
    /// Its packet id.
    pub packet_id: u16,
    /// It says that it sent this before.
    pub dup: bool,
    /// When the session began, Unix milliseconds: packet ids of an earlier session mean nothing.
    pub session_ms: u64,
}

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The conversation.
    pub conversation: ConversationId,
    /// The position.
    pub seq: u64,
    /// When it was decided.
    pub time_ms: u64,
    /// It had been stored before.
    pub repeated: bool,
}

/// What became of a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// A message of a conversation is stored.
    Stored(Stored),
    /// A message of a free topic is durable where it must be, and on its way.
    Free {
        /// Somebody subscribes to its topic.
        matched: bool,
    },
}

/// Why a message was not stored, or a position not moved.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SendRefusal {
    /// Not a member (or there is no such conversation: the same).
    #[error("not a member of this conversation")]
    NotMember,
    /// The id was used for another message.
    #[error("this message id was used before for another message (seq {seq})")]
    IdReused {
        /// Where that one is.
        seq: u64,
    },
    /// Too large.
    #[error("the message is larger than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// A subscriber's queue is full, and the configuration says that publishers are refused then.
    #[error("the queue of a subscriber is full: try again later")]
    QueueFull,
    /// No more messages can be retained.
    #[error(
        "the broker retains no more messages: delete some (an empty retained message) or raise topics limits"
    )]
    RetainedFull,
    /// It could not be made durable.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// A publish of a free topic.
#[derive(Debug)]
pub(crate) struct FreePublish {
    /// The message; its record's RETAIN says whether it is retained.
    pub(crate) message: Arc<FreeMessage>,
    /// QoS 2 of a durable session: its packet id is kept in the same batch.
    pub(crate) received: Option<(SessionKey, PacketId)>,
}

/// Subscriptions of one session that begin and end.
pub(crate) struct Subscribing {
    pub(crate) subscriber: Arc<Subscriber>,
    /// Filters of free topics that begin or change, with when their retained messages are sent.
    pub(crate) begin: Vec<(TopicFilter, SubscriptionOptions, RetainHandling)>,
    /// Filters of free topics that end.
    pub(crate) end: Vec<TopicFilter>,
    /// All subscriptions that the session then has, to be kept with it; `None`: the session is not durable.
    pub(crate) stored: Option<Vec<StoredSubscription>>,
    /// Who hears of it, and what: before any retained message.
    pub(crate) done: Option<(Arc<Peer>, Settled)>,
}

/// What a device acknowledged since it was last reported.
#[derive(Debug)]
pub(crate) struct Moves {
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
    /// Whether the device's own positions are kept (not for one that gets a new client id each time).
    pub(crate) keep_device: bool,
    pub(crate) positions: Vec<(ConversationId, u64)>,
    /// Where the device begins, and behind which position.
    pub(crate) begins: Vec<(ConversationId, u64)>,
    /// Entries of its queue up to this number are done with.
    pub(crate) queue: Option<u64>,
}

/// Who hears of a decision.
pub(crate) enum Done {
    /// A caller that awaits.
    Reply(oneshot::Sender<Result<Published, SendRefusal>>),
    /// A connection: through its outbox. With QoS 0, only of a refusal.
    Peer(Arc<Peer>, Ticket),
    /// Nobody (wills).
    Nobody,
}

/// What the decider is asked.
pub(crate) enum Command {
    Send(Box<SendIntent>, Done),
    MarkRead {
        conversation: ConversationId,
        user: UserId,
        seq: u64,
        done: oneshot::Sender<Result<CursorRecord, SendRefusal>>,
    },
    Moves(Moves),
    /// A message of a free topic.
    Publish(Box<FreePublish>, Done),
    /// Subscriptions to free topics.
    Subscribe(Box<Subscribing>),
    /// A QoS 2 entry of a queue will not be sent again: the peer hears [`Step::Released`].
    Release {
        session: SessionKey,
        number: u64,
        packet_id: PacketId,
        peer: Arc<Peer>,
    },
    /// A QoS 2 publish of a session was released by it: the peer hears [`Step::Completed`].
    Complete {
        session: SessionKey,
        packet_id: PacketId,
        peer: Arc<Peer>,
    },
    /// A connection ended. What it was handed of shared subscriptions goes to another member; with `whole`, the session
    /// ends too: its subscriptions, its queue and its received packet ids go.
    Leave {
        subscriber: Arc<Subscriber>,
        whole: bool,
        done: Option<oneshot::Sender<Result<(), LedgerError>>>,
    },
    /// What a member of shared subscriptions was handed live and did not take before its connection ended: each goes to
    /// another one.
    Redeliver {
        from: SessionKey,
        deliveries: Vec<Arc<FreeDelivery>>,
    },
    /// Retained messages of these topics were seen to be over.
    ExpireRetained(Vec<TopicName>),
    Job(Job, oneshot::Sender<Result<(), LedgerError>>),
    Stop(oneshot::Sender<()>),
}

/// How the ledger is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Takes writes.
    Ready,
    /// Serves reads, refuses writes.
    ReadOnly {
        /// Why.
        reason: String,
    },
    /// Writes fail.
    Failed {
        /// Why.
        reason: String,
    },
}

/// The ledger as everybody else holds it.
pub struct LedgerHandle {
    queue: queue::Entrance,
    view: view::OpenView,
    health: Arc<Mutex<Health>>,
    topics: Arc<Topics>,
    wills: Mutex<Vec<(SessionKey, SessionRecord)>>,
}

/// Unix milliseconds.
pub fn now_ms() -> u64 {
    #[cfg(feature = "simulation")]
    if let Some(now) = crate::simulation::now_ms() {
        return now;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl LedgerHandle {
    /// Stores a message; answers when it is durable.
    ///
    /// # Errors
    /// [`SendRefusal`]; nothing was stored then.
    pub async fn send(&self, intent: SendIntent) -> Result<Stored, SendRefusal> {
        let (reply, stored) = oneshot::channel();
        self.push(Command::Send(Box::new(intent), Done::Reply(reply))).await?;
        match stored.await.map_err(|_| LedgerError::Stopping)?? {
            Published::Stored(stored) => Ok(stored),
            Published::Free { .. } => Err(LedgerError::Stopping.into()),
        }
    }

    /// Moves a member's read position; answers when durable.
    ///
    /// # Errors
    /// [`SendRefusal::NotMember`] or [`SendRefusal::Ledger`].
    pub async fn mark_read(
        &self,
        conversation: ConversationId,
        user: UserId,
        seq: u64,
    ) -> Result<CursorRecord, SendRefusal> {
        let (done, moved) = oneshot::channel();
        self.push(Command::MarkRead { conversation, user, seq, done }).await?;
        moved.await.map_err(|_| LedgerError::Stopping)?
    }

    /// Whether it takes writes.
    pub fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a command into the queue if there is room: the command comes back if not.
    pub(crate) fn try_push(&self, command: Command) -> Result<(), Command> {
        self.queue.try_push(command)
    }

    /// Puts a command into the queue, waiting for room.
    pub(crate) async fn push(&self, command: Command) -> Result<(), LedgerError> {
        self.queue.push(command).await
    }

    /// Puts a command into the queue from a blocking thread.
    pub(crate) async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.push(Command::Stop(done)).await.is_ok() {
            // An error means that the decider is gone already: that is what was asked for.
            let _ = stopped.await;
        }
    }
}

impl View for LedgerHandle {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.view.get(table, key)
    }

    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError> {
        self.view.scan(scan)
    }
}

#[async_trait]
impl Ledger for LedgerHandle {
    async fn submit(&self, job: Job) -> Result<(), LedgerError> {
        let (done, submitted) = oneshot::channel();
        self.push(Command::Job(job, done)).await?;
        submitted.await.map_err(|_| LedgerError::Stopping)?
    }
}
