//! A message of a free topic: who gets it, and what of it is written.
//!
//! Who gets it is decided before anything is changed, so that a publish that is refused has changed nothing. One queue
//! that gets it has the message in its entry; several refer to one body, unless that is small.

use super::{
    Done, FreePublish, Published, SendRefusal,
    decider::{Answer, Decider, answer_sent, store_error},
    free::Undo,
    queues::{BodySlot, Entry, Removed, Room},
};
use crate::{
    config::QueueFull,
    topics::{Choosing, FreeDelivery, FreeMessage, HandOut, Live, Subscriber, Target, publisher_hash},
};
use bytes::Bytes;
use parlance_mqtt::{PacketId, QoS};
use parlance_plugin_api::{
    record::{BodyId, QueueRecord, SessionKey, body_key, queue_key, received_key, retained_key},
    store::{Table, VaultError},
};
use prost::Message as _;
use std::sync::Arc;
use uuid::Uuid;

/// A body up to this size is written into each entry: a row of its own would cost more.
const INLINE_BODY_MAX: usize = 512;

/// Who gets a message.
#[derive(Default)]
pub(super) struct Plan {
    queued: Vec<Target>,
    live: Vec<Target>,
}

impl Plan {
    pub(super) fn add(&mut self, target: Target) {
        match target.is_queued() {
            true => self.queued.push(target),
            false => self.live.push(target),
        }
    }

    fn is_empty(&self) -> bool {
        self.queued.is_empty() && self.live.is_empty()
    }
}

impl Decider {
    pub(super) fn publish(&mut self, publish: FreePublish, done: Done) {
        match self.place_free(&publish) {
            Ok(matched) => self.running.answers.push(Answer::Sent(done, Ok(Published::Free { matched }))),
            Err(refusal) => answer_sent(done, Err(refusal)),
        }
    }

    /// Answers whether anybody gets it.
    fn place_free(&mut self, publish: &FreePublish) -> Result<bool, SendRefusal> {
        if let Some((session, packet_id)) = publish.received
            && self.received(session, packet_id)?.is_some()
        {
            // Sent again after a restart: it was published before.
            return Ok(true);
        }
        let message = &publish.message;
        let plan = self.plan(message)?;
        self.room_to_retain(message)?;
        let matched = !plan.is_empty();
        let carry_out = || {
            self.retain(message)?;
            self.hand_to(plan, message, None)?;
            match publish.received {
                Some((session, packet_id)) => {
                    self.write(Table::Received, &received_key(session, packet_id), Some(Bytes::new()))
                }
                None => Ok(()),
            }
        };
        carry_out().map_err(|error| self.broken(error))?;
        self.running.free.published += 1;
        Ok(matched)
    }

    /// What is kept of a QoS 2 publish that the session has not released yet.
    pub(super) fn received(
        &self,
        session: SessionKey,
        packet_id: PacketId,
    ) -> Result<Option<Bytes>, SendRefusal> {
        self.look(Table::Received, &received_key(session, packet_id))
            .map_err(|error| store_error(error).into())
    }

    fn has_room(&self, who: &Subscriber, bytes: usize, qos: QoS) -> bool {
        let settings = self.free.topics.settings();
        let message = Room { messages: 1, bytes: bytes as u64, exact: qos == QoS::ExactlyOnce };
        let most =
            Room { messages: settings.queue_messages_max, bytes: settings.queue_bytes_max, exact: true };
        self.free.queues.has_room(who.key, message, most)
    }

    /// Who gets a message, as far as they may. Changes nothing.
    fn plan(&mut self, message: &Arc<FreeMessage>) -> Result<Plan, SendRefusal> {
        let topics = self.free.topics.clone();
        let publisher = message.publisher().and_then(|key| topics.find(key));
        let mut found = std::mem::take(&mut self.free.found);
        topics.matching(&message.topic, publisher.as_ref(), &mut found);
        let (topic, published) = (message.topic.as_str(), message.record.qos());
        let mut plan = Plan::default();
        for hit in found.direct.drain(..).filter(|hit| topics.may_receive(&hit.who, topic)) {
            plan.add(Target {
                qos: hit.qos.min(published),
                retain: message.record.retain && hit.retain_as_published,
                subscription_ids: (*hit.ids).into(),
                share: None,
                who: hit.who,
            });
        }
        let mut full = false;
        for shared in found.shared.drain(..) {
            match self.choose(&shared, message, None, false) {
                Chosen::Member(target) => plan.add(target),
                Chosen::AllFull => full = true,
                Chosen::Nobody => {}
            }
        }
        found.clear();
        self.free.found = found;
        let refuses = topics.settings().queue_full == QueueFull::Refuse;
        full |= refuses
            && plan.queued.iter().any(|target| !self.has_room(&target.who, message.bytes(), target.qos));
        if full { Err(SendRefusal::QueueFull) } else { Ok(plan) }
    }

    /// The member of a shared subscription that gets a message.
    pub(super) fn choose(
        &self,
        shared: &parlance_engine::SharedMatch<Arc<Subscriber>>,
        message: &FreeMessage,
        except: Option<SessionKey>,
        online_only: bool,
    ) -> Chosen {
        let topics = &self.free.topics;
        let refuses = topics.settings().queue_full == QueueFull::Refuse;
        let choosing = Choosing {
            publisher: publisher_hash(message),
            topic: message.topic.as_str(),
            published: message.record.qos(),
            except,
            online_only,
        };
        // Where publishers are refused, a member whose queue is full does not get what another one can have.
        let full = std::cell::Cell::new(false);
        let has_room = |who: &Subscriber| {
            let room = !refuses || self.has_room(who, message.bytes(), message.record.qos());
            full.set(full.get() || !room);
            room
        };
        match topics.choose(shared, &choosing, has_room) {
            Some(mut target) => {
                target.retain &= message.record.retain;
                Chosen::Member(target)
            }
            None if full.get() => Chosen::AllFull,
            None => Chosen::Nobody,
        }
    }

    /// Writes and hands out a message to everybody in a plan. `body`: where it is already.
    pub(super) fn hand_to(
        &mut self,
        mut plan: Plan,
        message: &Arc<FreeMessage>,
        body: Option<BodySlot>,
    ) -> Result<(), VaultError> {
        let body = match body {
            None if plan.queued.len() > 1 && message.record.encoded_len() > INLINE_BODY_MAX => {
                Some(self.share_body(message)?)
            }
            body => body,
        };
        let mut deliveries = Live::new(message);
        for target in &mut plan.queued {
            let who = target.who.clone();
            let delivery = deliveries.delivery(target);
            if let Some(number) = self.enqueue(&who, &delivery, body)? {
                self.running.free.out.push(HandOut::Queued(who, number, delivery));
            }
        }
        for mut target in plan.live {
            let delivery = deliveries.delivery(&mut target);
            self.running.free.out.push(HandOut::Live(target.who, delivery));
        }
        Ok(())
    }

    fn share_body(&mut self, message: &FreeMessage) -> Result<BodySlot, VaultError> {
        let id = BodyId(Uuid::now_v7().into_bytes());
        let record = message.record.encode_to_vec();
        self.running.batch.put(&*self.view.vault, Table::Bodies, &body_key(id), &record)?;
        Ok(self.free.queues.make_body(id))
    }

    /// Appends an entry to a session's queue; the oldest make room. `None`: it finds none, and is dropped and counted itself.
    pub(super) fn enqueue(
        &mut self,
        who: &Arc<Subscriber>,
        delivery: &FreeDelivery,
        body: Option<BodySlot>,
    ) -> Result<Option<u64>, VaultError> {
        let bytes = delivery.message.bytes();
        let fits = bytes as u64 <= self.free.topics.settings().queue_bytes_max;
        while fits && !self.has_room(who, bytes, delivery.qos) {
            let Some(removed) = self.free.queues.drop_oldest(who.key) else { break };
            self.delete_entry(who.key, removed);
            self.count_dropped(who);
        }
        if !fits || !self.has_room(who, bytes, delivery.qos) {
            self.free.queues.make(who);
            self.count_dropped(who);
            return Ok(None);
        }
        let entry = Entry {
            number: 0,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            body,
            exact: delivery.qos == QoS::ExactlyOnce,
            released: false,
            shared: delivery.share.is_some(),
        };
        let (number, reserves) = self.free.queues.push(who, entry);
        if reserves {
            self.running.free.heads.insert(who.key);
        }
        let record = QueueRecord {
            message: body.is_none().then(|| delivery.message.record.clone()),
            body: body.map(|body| Bytes::copy_from_slice(&self.free.queues.body(body).0)).unwrap_or_default(),
            qos: delivery.qos as u32,
            retain: delivery.retain,
            subscription_ids: delivery.subscription_ids.to_vec(),
            share: delivery.share.as_deref().unwrap_or_default().to_owned(),
            released: false,
            bytes: bytes as u64,
        };
        let key = queue_key(who.key, number);
        self.running.batch.put(&*self.view.vault, Table::Queue, &key, &record.encode_to_vec())?;
        Ok(Some(number))
    }

    fn count_dropped(&mut self, who: &Arc<Subscriber>) {
        self.running.free.heads.insert(who.key);
        self.running.free.dropped.push(who.clone());
    }

    /// Deletes the rows of an entry that is gone.
    pub(super) fn delete_entry(&mut self, key: SessionKey, removed: Removed) {
        self.running.batch.delete(Table::Queue, &queue_key(key, removed.number));
        self.delete_body(removed.body);
    }

    pub(super) fn delete_body(&mut self, body: Option<BodyId>) {
        if let Some(body) = body {
            self.running.batch.delete(Table::Bodies, &body_key(body));
        }
    }

    /// Whether a message may be retained, if it asks for that.
    fn room_to_retain(&self, message: &FreeMessage) -> Result<(), SendRefusal> {
        if !message.record.retain || message.payload().is_empty() {
            return Ok(());
        }
        let settings = self.free.topics.settings();
        let before = self.free.retained.get(message.topic.as_str()).map(|before| before.bytes());
        let messages = self.free.retained.len() + usize::from(before.is_none());
        let bytes = self.free.retained_bytes - before.unwrap_or_default() + message.bytes();
        match messages <= settings.retained_messages_max && bytes <= settings.retained_bytes_max {
            true => Ok(()),
            false => Err(SendRefusal::RetainedFull),
        }
    }

    /// Keeps a message as the retained one of its topic, or deletes that where it is empty (MQTT-3.3.1-5, MQTT-3.3.1-6).
    fn retain(&mut self, message: &Arc<FreeMessage>) -> Result<(), VaultError> {
        if !message.record.retain {
            return Ok(());
        }
        if message.payload().is_empty() {
            self.forget_retained(message.topic.as_str());
            return Ok(());
        }
        let vault = &*self.view.vault;
        let key = retained_key(vault, message.topic.as_bytes());
        self.running.batch.put(vault, Table::Retained, &key, &message.record.encode_to_vec())?;
        let before = self.free.retained.insert(&message.topic, message.clone());
        self.free.retained_bytes += message.bytes();
        self.free.retained_bytes -= before.as_ref().map_or(0, |before| before.bytes());
        self.running.free.undo.push(Undo::Retained(message.clone(), before));
        self.running.free.changed = true;
        Ok(())
    }

    pub(super) fn forget_retained(&mut self, topic: &str) {
        let Some(before) = self.free.retained.remove(topic) else { return };
        self.free.retained_bytes -= before.bytes();
        let key = retained_key(&*self.view.vault, topic.as_bytes());
        self.running.batch.delete(Table::Retained, &key);
        self.running.free.undo.push(Undo::Retained(before.clone(), Some(before)));
        self.running.free.changed = true;
    }

    /// Retained messages that were seen to be over: those that still are go.
    pub(super) fn expire_retained(&mut self, topics: Vec<parlance_mqtt::TopicName>) {
        for topic in topics {
            let known = self.free.retained.get(topic.as_str());
            if known.is_some_and(|message| message.is_expired(self.now)) {
                self.forget_retained(topic.as_str());
            }
        }
    }
}

/// Who of a shared subscription gets a message.
pub(super) enum Chosen {
    Member(Target),
    /// Somebody would, and has no room.
    AllFull,
    Nobody,
}
