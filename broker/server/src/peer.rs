//! A live device as the rest of the program sees it: one bounded outbox, one wake.

use crate::{
    api::ApiError,
    delivery::{Committed, ConversationInfo},
    hub::Moved,
    ledger::{Published, SendRefusal},
    topics::FreeDelivery,
    wakes::Mailbox,
};
use futures_util::task::AtomicWaker;
use parlance_engine::Ticket;
use parlance_mqtt::{PacketId, PublishTemplate, ReasonCode};
use parlance_plugin_api::{
    ConversationId, UserId,
    identity::{CredentialId, Principal},
    record::DeviceId,
};
use parlance_schema::pb;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};
use tokio::sync::Semaphore;

/// What ends or changes a session: done before anything else that waits.
#[derive(Debug, Clone)]
pub(crate) enum Control {
    /// Not a member any more: nothing of this conversation is sent from here on.
    Removed(ConversationId),
    /// The connection ends.
    Close(ReasonCode, &'static str),
}

/// Something that is not a message: told live, not kept.
#[derive(Clone)]
pub(crate) enum Signal {
    /// A member has come further.
    Receipt(Arc<Moved>),
    /// A member types, or stopped.
    Typing { conversation: Arc<ConversationInfo>, user: UserId, typing: bool },
    /// A user came or went.
    Presence { user: UserId, last_seen_ms: u64 },
    /// An event.
    Event(Arc<pb::Event>),
}

impl Signal {
    /// The conversation whose members it is for.
    fn conversation(&self) -> Option<ConversationId> {
        match self {
            Self::Receipt(moved) => Some(moved.conversation.id),
            Self::Typing { conversation, .. } => Some(conversation.id),
            Self::Presence { .. } | Self::Event(_) => None,
        }
    }
}

/// A call of this device was answered, or a read position moved.
pub(crate) struct RpcDone {
    pub(crate) ticket: Ticket,
    /// Topic and message of the reply, if there is one.
    pub(crate) reply: Option<(String, PublishTemplate)>,
    /// Why it failed.
    pub(crate) problem: Option<ApiError>,
}

/// Subscriptions were written down, or not.
pub(crate) struct Settled {
    pub(crate) packet_id: PacketId,
    pub(crate) codes: Vec<ReasonCode>,
    pub(crate) unsubscribe: bool,
}

/// A step of this device's session is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A QoS 2 delivery of its queue will not be sent again: PUBREL may leave.
    Released(PacketId),
    /// A QoS 2 publish of it was forgotten: PUBCOMP may leave.
    Completed(PacketId),
    /// The store did not take a step: the session is closed, and the client comes back to do it again.
    Failed,
}

/// Everything that came since the connection last looked.
#[derive(Default)]
pub(crate) struct Arrived {
    pub(crate) control: Vec<Control>,
    pub(crate) published: Vec<(Ticket, Result<Published, SendRefusal>)>,
    pub(crate) replies: Vec<RpcDone>,
    pub(crate) settled: Vec<Settled>,
    pub(crate) messages: VecDeque<Arc<Committed>>,
    pub(crate) signals: VecDeque<Signal>,
    /// Entries of the session's queue, with their numbers.
    pub(crate) queued: VecDeque<(u64, Arc<FreeDelivery>)>,
    /// Free messages that are told live.
    pub(crate) live: VecDeque<Arc<FreeDelivery>>,
    pub(crate) steps: Vec<Step>,
    /// The client has authenticated anew, or failed to.
    pub(crate) renewed: Option<Result<Principal, ApiError>>,
    /// Messages were dropped from the outbox: read on from the log.
    pub(crate) lagging: bool,
}

/// Emptied ones that the next outbox fills: so that a busy server does not allocate for each wake, and an idle connection
/// holds none.
#[expect(clippy::vec_box, reason = "they are handed from outbox to connection and back in their boxes")]
static SPARES: Mutex<Vec<Box<Arrived>>> = Mutex::new(Vec::new());
/// How many are kept.
const SPARES_MAX: usize = 256;
/// Room for more than so many of a kind is not kept.
const SPARE_ROOM_MAX: usize = 64;

impl Arrived {
    fn spare() -> Box<Self> {
        SPARES.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Everything in it was looked at.
    pub(crate) fn give_back(mut self: Box<Self>) {
        let Self { published, messages, queued, live, .. } = &mut *self;
        published.clear();
        published.shrink_to(SPARE_ROOM_MAX);
        messages.clear();
        messages.shrink_to(SPARE_ROOM_MAX);
        queued.clear();
        queued.shrink_to(SPARE_ROOM_MAX);
        live.clear();
        live.shrink_to(SPARE_ROOM_MAX);
        self.lagging = false;
        let mut spares = SPARES.lock().unwrap_or_else(PoisonError::into_inner);
        if spares.len() < SPARES_MAX {
            spares.push(self);
        }
    }
}

#[derive(Default)]
struct Outbox {
    /// `None`: nothing came since the connection last looked.
    arrived: Option<Box<Arrived>>,
    message_bytes: usize,
    live_bytes: usize,
    /// Live messages that the connection has taken and its client has not.
    held_live: usize,
    held_live_bytes: usize,
}

impl Outbox {
    fn arrived(&mut self) -> &mut Arrived {
        self.arrived.get_or_insert_with(Arrived::spare)
    }

    /// Messages with a position are forgotten: they are read again.
    fn overflow(&mut self) {
        let arrived = self.arrived();
        arrived.messages = VecDeque::new();
        arrived.queued = VecDeque::new();
        arrived.lagging = true;
        self.message_bytes = 0;
        metrics::counter!("parlance_outbox_overflows_total").increment(1);
    }
}

/// Limits of an outbox.
#[derive(Debug, Clone, Copy)]
pub struct OutboxLimits {
    /// Messages that may wait.
    pub messages_max: usize,
    /// Bytes of messages that may wait.
    pub bytes_max: usize,
    /// Signals that may wait; more are dropped and counted.
    pub signals_max: usize,
}

/// A live device.
pub struct Peer {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub device: DeviceId,
    /// Its MQTT client id.
    pub client_id: Arc<str>,
    /// What it logged in with: changed when it authenticates anew.
    credential: Mutex<Option<CredentialId>>,
    limits: OutboxLimits,
    outbox: Mutex<Outbox>,
    waker: AtomicWaker,
    /// Where its connection is woken from other threads.
    home: Option<Arc<Mailbox>>,
    ended: Semaphore,
    /// What its connection holds for it, bytes; the outbox is beside that.
    held_bytes: AtomicUsize,
}

impl Peer {
    /// A device that is about to be connected.
    pub fn new(
        user: UserId,
        device: DeviceId,
        client_id: Arc<str>,
        credential: Option<CredentialId>,
        limits: OutboxLimits,
    ) -> Self {
        Self {
            user,
            device,
            client_id,
            credential: Mutex::new(credential),
            limits,
            outbox: Mutex::default(),
            waker: AtomicWaker::new(),
            home: Mailbox::home(),
            ended: Semaphore::new(0),
            held_bytes: AtomicUsize::new(0),
        }
    }

    /// What it is logged in with.
    pub(crate) fn credential(&self) -> Option<CredentialId> {
        *self.credential.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It has authenticated anew.
    pub(crate) fn set_credential(&self, credential: Option<CredentialId>) {
        *self.credential.lock().unwrap_or_else(PoisonError::into_inner) = credential;
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        // Nothing under this lock can leave it half changed.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its connection holds so much for it.
    pub(crate) fn hold(&self, bytes: usize) {
        self.held_bytes.store(bytes, Ordering::Relaxed);
    }

    /// What is held for it, bytes: by its connection, and in its outbox.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed) + self.outbox().message_bytes
    }

    fn push(&self, change: impl FnOnce(&mut Outbox, &OutboxLimits)) {
        let wake = {
            let mut outbox = self.outbox();
            let waits = outbox.arrived.is_some();
            change(&mut outbox, &self.limits);
            !waits
        };
        if wake && let Some(waker) = self.waker.take() {
            match &self.home {
                Some(home) => home.wake(waker),
                None => waker.wake(),
            }
        }
    }

    /// A committed message. A full outbox is no loss: the session forgets it and reads on from the log.
    pub(crate) fn message(&self, message: &Arc<Committed>) {
        self.push(|outbox, limits| {
            if outbox.arrived().lagging {
                return;
            }
            outbox.message_bytes += message.bytes();
            if outbox.arrived().messages.len() >= limits.messages_max
                || outbox.message_bytes > limits.bytes_max
            {
                outbox.overflow();
                return;
            }
            outbox.arrived().messages.push_back(message.clone());
        });
    }

    /// Something that is told live only.
    pub(crate) fn signal(&self, signal: Signal) {
        self.push(|outbox, limits| {
            if outbox.arrived().signals.len() >= limits.signals_max {
                metrics::counter!("parlance_signals_dropped_total").increment(1);
                return;
            }
            outbox.arrived().signals.push_back(signal);
        });
    }

    /// An entry of the session's queue. A full outbox is no loss: the session reads on from the queue.
    pub(crate) fn queued(&self, number: u64, delivery: &Arc<FreeDelivery>) {
        self.push(|outbox, limits| {
            if outbox.arrived().lagging {
                return;
            }
            outbox.message_bytes += delivery.message.bytes();
            if outbox.arrived().queued.len() >= limits.messages_max || outbox.message_bytes > limits.bytes_max
            {
                outbox.overflow();
                return;
            }
            outbox.arrived().queued.push_back((number, delivery.clone()));
        });
    }

    /// A free message that exists nowhere else. `false`: the outbox is full, and it was dropped.
    pub(crate) fn live(&self, delivery: &Arc<FreeDelivery>) -> bool {
        let mut taken = true;
        self.push(|outbox, limits| {
            let bytes = delivery.message.bytes();
            if outbox.arrived().live.len() >= limits.messages_max
                || outbox.live_bytes + bytes > limits.bytes_max
            {
                taken = false;
                return;
            }
            outbox.live_bytes += bytes;
            outbox.arrived().live.push_back(delivery.clone());
        });
        taken
    }

    /// Takes out what was told live and never taken: the connection has ended.
    pub(crate) fn take_live(&self) -> VecDeque<Arc<FreeDelivery>> {
        let mut outbox = self.outbox();
        outbox.live_bytes = 0;
        outbox.arrived.as_mut().map(|arrived| std::mem::take(&mut arrived.live)).unwrap_or_default()
    }

    /// How many more live messages find room, here and at the connection, as far as can be seen: none while half of the
    /// room for bytes is taken.
    pub(crate) fn live_room(&self) -> usize {
        let outbox = self.outbox();
        let bytes = outbox.live_bytes + outbox.held_live_bytes;
        let waiting = outbox.arrived.as_ref().map_or(0, |arrived| arrived.live.len());
        let messages = waiting + outbox.held_live;
        let room = bytes < self.limits.bytes_max / 2;
        if room { self.limits.messages_max.saturating_sub(messages) } else { 0 }
    }

    /// The connection holds a live message until its client takes it.
    pub(crate) fn hold_live(&self, bytes: usize) {
        let mut outbox = self.outbox();
        outbox.held_live += 1;
        outbox.held_live_bytes += bytes;
    }

    /// The connection holds it no longer. One of an earlier connection of the session counts for nothing.
    pub(crate) fn let_live_go(&self, bytes: usize) {
        let mut outbox = self.outbox();
        outbox.held_live = outbox.held_live.saturating_sub(1);
        outbox.held_live_bytes = outbox.held_live_bytes.saturating_sub(bytes);
    }

    /// A step of the session is durable, or failed.
    pub(crate) fn step(&self, step: Step) {
        self.push(|outbox, _| outbox.arrived().steps.push(step));
    }

    /// The client has authenticated anew, or failed to.
    pub(crate) fn renewed(&self, outcome: Result<Principal, ApiError>) {
        self.push(|outbox, _| outbox.arrived().renewed = Some(outcome));
    }

    /// What must happen before anything else.
    pub(crate) fn control(&self, control: Control) {
        self.push(|outbox, _| {
            if let Control::Removed(conversation) = &control {
                outbox.arrived().messages.retain(|message| message.conversation.id != *conversation);
                outbox.arrived().signals.retain(|signal| signal.conversation() != Some(*conversation));
            }
            outbox.arrived().control.push(control);
        });
    }

    /// A publish of this device was decided.
    pub(crate) fn publish_done(&self, ticket: Ticket, outcome: Result<Published, SendRefusal>) {
        self.push(|outbox, _| outbox.arrived().published.push((ticket, outcome)));
    }

    /// An RPC of this device was answered.
    pub(crate) fn rpc_done(&self, done: RpcDone) {
        self.push(|outbox, _| outbox.arrived().replies.push(done));
    }

    /// Subscriptions of this device were written down.
    pub(crate) fn settled(&self, settled: Settled) {
        self.push(|outbox, _| outbox.arrived().settled.push(settled));
    }

    /// What came, or wait.
    pub(crate) fn poll_arrived(&self, cx: &mut Context<'_>) -> Poll<Box<Arrived>> {
        if let Some(arrived) = self.take() {
            return Poll::Ready(arrived);
        }
        self.waker.register(cx.waker());
        // Something may have come between the look and the registration.
        self.take().map_or(Poll::Pending, Poll::Ready)
    }

    fn take(&self) -> Option<Box<Arrived>> {
        let mut outbox = self.outbox();
        let arrived = outbox.arrived.take()?;
        outbox.message_bytes = 0;
        outbox.live_bytes = 0;
        Some(arrived)
    }

    /// The connection is gone and everything of it is written down.
    pub(crate) fn end(&self) {
        self.ended.close();
    }

    /// Waits for [`Self::end`].
    pub(crate) async fn ended(&self) {
        // The semaphore never has permits: this returns when it is closed.
        let _ = self.ended.acquire().await;
    }
}
