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
mod layer;
mod overlay;
mod queue;
mod sends;
mod start;
mod transaction;
mod verify;
mod view;

use crate::peer::Peer;
use async_trait::async_trait;
use bytes::Bytes;
use parlance_engine::Ticket;
use parlance_plugin_api::{
    ConversationId, UserId,
    ledger::{Job, Ledger, LedgerError, View},
    record::{CursorRecord, DeviceId},
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
    /// It could not be made durable.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What a device acknowledged since it was last reported.
#[derive(Debug)]
pub(crate) struct Moves {
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
    /// Whether the device's own positions are kept (not for one that gets a new client id each time).
    pub(crate) keep_device: bool,
    pub(crate) positions: Vec<(ConversationId, u64)>,
}

/// Who hears of a decision.
pub(crate) enum Done {
    /// A caller that awaits.
    Reply(oneshot::Sender<Result<Stored, SendRefusal>>),
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
}

/// Unix milliseconds.
pub fn now_ms() -> u64 {
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
        stored.await.map_err(|_| LedgerError::Stopping)?
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
