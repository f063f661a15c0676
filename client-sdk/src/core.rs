//! What the handles ([`Client`](crate::Client), [`Events`](crate::Events)) and the connection share.
//!
//! Two locks, never one inside the other, never across an await: the state of what goes out, and the inbox of what
//! came in. Publishes reach rumqttc through its request channel, which only ever is used under the first lock: so the
//! order in the table is the order on the wire.

use crate::{
    error::{ConnectError, Failure},
    event::Event,
    inbox::{Ack, Inbox},
    limits::{SENDS_MAX, TYPING_MAX},
    options::Options,
    pending::{Entry, Outcome, Table, Ticket, Window},
    wire,
};
use bytes::Bytes;
use rumqttc::v5::{
    AsyncClient,
    mqttbytes::{
        QoS,
        v5::{PubAck, Publish, PublishProperties},
    },
};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use uuid::Uuid;

/// The way to rumqttc while connected.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) requests: AsyncClient,
    /// Which connection: packet ids of another mean nothing here.
    pub(crate) connection: u64,
    pub(crate) window: Window,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Asked {
    ticket: Ticket,
    answer: oneshot::Sender<Result<Bytes, Failure>>,
}

#[derive(Debug, Default)]
struct State {
    table: Table,
    asked: HashMap<Uuid, Asked>,
    link: Option<Link>,
    /// Typing notices that rumqttc has not written yet.
    typing: usize,
    ended: bool,
}

impl State {
    /// Hands to rumqttc what the window allows. Its channel has room for all of that
    /// ([`REQUESTS_MAX`](crate::limits::REQUESTS_MAX)); when rumqttc is gone, the loss of the connection is about
    /// to be noticed and makes what was handed out wait again.
    fn hand_out(&mut self) {
        let Some(link) = &self.link else { return };
        while let Some(publish) = self.table.next_to_hand(link.window) {
            let Publish { topic, payload, properties, qos, .. } = publish;
            let topic = String::from_utf8_lossy(&topic);
            let properties = properties.unwrap_or_default();
            let _ = link.requests.try_publish_with_properties(topic, qos, false, payload, properties);
        }
    }
}

/// A request under way; forgotten when dropped.
#[derive(Debug)]
pub(crate) struct Question {
    core: Arc<Core>,
    correlation: Uuid,
    pub(crate) acknowledged: oneshot::Receiver<Outcome>,
    pub(crate) answer: oneshot::Receiver<Result<Bytes, Failure>>,
}

impl Drop for Question {
    fn drop(&mut self) {
        self.core.state().asked.remove(&self.correlation);
    }
}

/// See the module.
pub(crate) struct Core {
    pub(crate) options: Options,
    pub(crate) permits: Arc<Semaphore>,
    /// Ends the connection at once.
    pub(crate) stop: Notify,
    ended: watch::Sender<bool>,
    state: Mutex<State>,
    inbox: Mutex<Inbox>,
}

impl fmt::Debug for Core {
    /// Without what people wrote.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Core {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            permits: Arc::new(Semaphore::new(SENDS_MAX)),
            stop: Notify::new(),
            ended: watch::Sender::new(false),
            state: Mutex::default(),
            inbox: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // --- what goes out ------------------------------------------------------------------------------------------

    /// Waits for a place among [`SENDS_MAX`].
    pub(crate) async fn permit(&self) -> Result<OwnedSemaphorePermit, Failure> {
        self.permits.clone().acquire_owned().await.map_err(|_| Failure::Closed)
    }

    /// Publishes with QoS 1, now or when connected.
    pub(crate) fn publish(
        &self,
        topic: String,
        payload: Vec<u8>,
        permit: OwnedSemaphorePermit,
    ) -> Result<oneshot::Receiver<Outcome>, Failure> {
        let publish = Publish::new(topic, QoS::AtLeastOnce, payload, None);
        let (waiter, outcome) = oneshot::channel();
        let mut state = self.state();
        if state.ended {
            return Err(Failure::Closed);
        }
        state.table.add(Entry::new(publish, false, waiter, Some(permit)));
        state.hand_out();
        Ok(outcome)
    }

    /// Publishes a request and remembers who wants the answer.
    pub(crate) fn ask(
        self: &Arc<Self>,
        method: &str,
        payload: Vec<u8>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Question, Failure> {
        let correlation = Uuid::now_v7();
        let properties = PublishProperties {
            response_topic: Some(wire::reply_topic(method)),
            correlation_data: Some(Bytes::copy_from_slice(correlation.as_bytes())),
            ..Default::default()
        };
        let publish = Publish::new(format!("rpc/{method}"), QoS::AtLeastOnce, payload, Some(properties));
        let (waiter, acknowledged) = oneshot::channel();
        let (answerer, answer) = oneshot::channel();
        let mut state = self.state();
        if state.ended {
            return Err(Failure::Closed);
        }
        let ticket = state.table.add(Entry::new(publish, true, waiter, Some(permit)));
        state.asked.insert(correlation, Asked { ticket, answer: answerer });
        state.hand_out();
        drop(state);
        Ok(Question { core: self.clone(), correlation, acknowledged, answer })
    }

    /// Publishes a typing notice (QoS 0), or drops it when that cannot be done now.
    pub(crate) fn typing(&self, topic: String, payload: Vec<u8>) {
        let mut state = self.state();
        let State { link: Some(link), typing, .. } = &mut *state else { return };
        if *typing < TYPING_MAX && link.requests.try_publish(topic, QoS::AtMostOnce, false, payload).is_ok() {
            *typing += 1;
        }
    }

    /// Acknowledges something that arrived, if it arrived on this connection: on another it comes again.
    pub(crate) fn acknowledge(&self, ack: Ack) {
        let state = self.state();
        if let Some(link) = state.link.as_ref().filter(|link| link.connection == ack.connection) {
            let publish = Publish { qos: QoS::AtLeastOnce, pkid: ack.packet_id, ..Default::default() };
            let _ = link.requests.try_ack(&publish);
        }
    }

    /// Says goodbye. False when there is no connection to say it on.
    pub(crate) fn disconnect(&self) -> bool {
        self.state().link.as_ref().is_some_and(|link| link.requests.try_disconnect().is_ok())
    }

    // --- what the connection reports ----------------------------------------------------------------------------

    /// Connected. Answers what rumqttc has to resend before anything else.
    pub(crate) fn connected(&self, link: Link, session_kept: bool) -> Vec<Publish> {
        let mut state = self.state();
        let resend = state.table.connected(session_kept, link.window);
        state.typing = 0;
        state.link = Some(link);
        state.hand_out();
        resend
    }

    /// rumqttc wrote a publish; 0 is one of QoS 0.
    pub(crate) fn written(&self, packet_id: u16) {
        let mut state = self.state();
        match packet_id {
            0 => state.typing = state.typing.saturating_sub(1),
            _ => state.table.written(packet_id),
        }
    }

    /// rumqttc keeps a publish back.
    pub(crate) fn held_back(&self, packet_id: u16) {
        self.state().table.held_back(packet_id);
    }

    /// The broker acknowledged or refused a publish.
    pub(crate) fn acknowledged(&self, ack: PubAck) {
        let mut state = self.state();
        state.table.acknowledged(ack);
        state.hand_out();
    }

    /// An answer arrived. Nobody may want it any more.
    pub(crate) fn answered(&self, correlation: Uuid, payload: Bytes) {
        let asked = self.state().asked.remove(&correlation);
        if let Some(asked) = asked {
            let _ = asked.answer.send(Ok(payload));
        }
    }

    /// The connection is gone.
    pub(crate) fn lost(&self) {
        let mut state = self.state();
        state.link = None;
        state.table.connection_lost();
        let State { asked, table, .. } = &mut *state;
        // What still waits in the table was never sent; the rest may have been done.
        for (_, lost) in asked.extract_if(|_, asked| !table.contains(asked.ticket)) {
            let _ = lost.answer.send(Err(Failure::Interrupted));
        }
        drop(state);
        self.inbox().connection_lost();
    }

    /// Nothing more will happen.
    pub(crate) fn end(&self, reason: Option<ConnectError>) {
        self.permits.close();
        let mut state = self.state();
        state.ended = true;
        state.link = None;
        state.table.fail_all(&Failure::Closed);
        for (_, asked) in state.asked.drain() {
            let _ = asked.answer.send(Err(Failure::Closed));
        }
        drop(state);
        let mut inbox = self.inbox();
        inbox.connection_lost();
        inbox.end(Event::Closed { reason });
        drop(inbox);
        self.ended.send_replace(true);
    }

    /// How many publishes are not acknowledged.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.state().table.len()
    }

    /// Waits for the end.
    pub(crate) async fn ended(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }
}
