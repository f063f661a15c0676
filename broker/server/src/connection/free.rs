//! Free topics at a connection: what is queued for the session, what is told live, and the steps of QoS 2.

use super::{Connection, io::Transport};
use crate::{
    ledger::{Command, now_ms},
    peer::{Signal, Step},
    session_domain::{FREE_QOS1, FREE_QOS2, Item, Messenger, Note, Origin},
    topics::FreeDelivery,
};
use bytes::Bytes;
use parlance_engine::{Channels, Entry, NoteFate, SubscriptionOptions};
use parlance_mqtt::{PacketId, QoS, ReasonCode, Recipient, TopicFilter, matches};
use parlance_plugin_api::store::StoreError;
use parlance_schema::pb;
use std::sync::Arc;

/// Bytes that a topic alias adds to a packet at most: the property, and one byte to each of the two lengths before it.
const ALIAS_BYTES: usize = 3 + 2;

impl<S: Transport> Connection<S> {
    /// Goes on with the session's queue, if it has one.
    pub(super) fn follow_queue(&mut self) {
        if self.subscriber.is_durable() {
            let queue = self.subscriber.queue();
            self.session.track(Origin::Queue, queue.done, queue.last);
        }
    }

    /// Tells how many messages the queue has dropped since the session was here last, if it did.
    pub(super) fn tell_dropped(&mut self) {
        let dropped = self.subscriber.take_dropped();
        if dropped > 0 {
            self.signal(Signal::Event(Arc::new(pb::Event {
                event: "queue_dropped".into(),
                time_ms: now_ms(),
                message: format!("{dropped} messages of free topics were dropped: the queue was full"),
                ..pb::Event::default()
            })));
        }
    }

    /// A new entry of the session's queue.
    pub(super) fn queued(&mut self, number: u64, delivery: Arc<FreeDelivery>) {
        if !self.session.is_tracked(Origin::Queue) {
            self.follow_queue();
        }
        // From here on it may be sent at any time: with QoS 2 it is then this member's of a shared subscription (MQTT-4.8.2-4).
        self.subscriber.set_handed(number);
        let channels = channels(&delivery);
        self.session.announce(Origin::Queue, number, Item::Free(delivery), channels);
    }

    /// A message that exists nowhere else: dropped, and counted, where too much waits for this client.
    pub(super) fn live(&mut self, delivery: Arc<FreeDelivery>) {
        let bytes = delivery.message.bytes();
        let bytes_max = self.context.config.limits.outbox_bytes_max;
        let fits = self.live_bytes == 0 || self.live_bytes + bytes <= bytes_max;
        let qos = delivery.qos;
        if fits && self.session.note(Note::Free(delivery), qos) == NoteFate::Queued {
            self.live_bytes += bytes;
            self.peer.hold_live(bytes);
        } else {
            self.context.topics.counters().live_dropped();
        }
    }

    /// A live message is on its way, or given up.
    pub(super) fn live_left(&mut self, delivery: &FreeDelivery) {
        let bytes = delivery.message.bytes();
        self.live_bytes = self.live_bytes.saturating_sub(bytes);
        self.peer.let_live_go(bytes);
    }

    /// Writes a delivery. What has expired, is not allowed any more or too large is passed over instead.
    pub(super) fn deliver_free(
        &mut self,
        delivery: &FreeDelivery,
        qos: QoS,
        packet_id: Option<PacketId>,
        dup: bool,
    ) {
        let (message, now) = (&delivery.message, now_ms());
        // What was sent before is sent to its end: only what was not yet begun expires (MQTT-3.3.2-5).
        let expired = message.is_expired(now) && !dup;
        let topic = &message.topic;
        let allowed = self.context.topics.may_receive(&self.subscriber, topic.as_str());
        let template = if expired || !allowed { None } else { message.encoding(self.version, now) };
        let mut recipient = Recipient {
            qos,
            dup,
            packet_id,
            subscription_ids: &delivery.subscription_ids,
            topic_alias: None,
            retain: delivery.retain,
        };
        // Measured first: an alias is agreed on only with a packet that is sent (MQTT-3.1.2-25, MQTT-3.3.2-12).
        let measured = template.map(|template| (template.len(&recipient), template));
        let Some((bytes, template)) = measured.filter(|(bytes, _)| *bytes <= self.client_packet_max) else {
            metrics::counter!("parlance_free_passed_over_total").increment(1);
            return self.session.undeliverable(packet_id);
        };
        if bytes + ALIAS_BYTES <= self.client_packet_max {
            recipient.topic_alias = self.session.alias(topic);
        }
        template.write(&recipient, &mut self.out);
        self.tally.messages_sent += 1;
    }

    /// The client has a QoS 2 message of its queue.
    pub(super) fn release(&mut self, number: u64, packet_id: PacketId) {
        let (session, peer) = (self.owner.key(), self.peer.clone());
        self.push(Command::Release { session, number, packet_id, peer });
    }

    /// The client has released a QoS 2 publish of a durable session.
    pub(super) fn complete(&mut self, packet_id: PacketId) {
        let (session, peer) = (self.owner.key(), self.peer.clone());
        self.push(Command::Complete { session, packet_id, peer });
    }

    /// A step of QoS 2 is durable, or failed.
    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Released(packet_id) => self.session.released(packet_id),
            Step::Completed(packet_id) => self.session.completed(packet_id),
            Step::Failed => {
                let words = Bytes::from_static(b"the broker could not write a step down: connect again");
                self.session.close(ReasonCode::ImplementationSpecificError, Some(words));
            }
        }
    }

    pub(super) fn read_queue(&mut self, after: u64, limit: usize) {
        match self.queue_entries(after, limit) {
            Ok((entries, head)) => self.session.page(Origin::Queue, after, entries, head),
            Err(error) => {
                tracing::error!(%error, "the queue of a session could not be read");
                // A page that says nothing: the session asks again after a while.
                self.session.page(Origin::Queue, after, Vec::new(), after);
            }
        }
    }

    fn queue_entries(
        &mut self,
        after: u64,
        limit: usize,
    ) -> Result<(Vec<Entry<Messenger>>, u64), StoreError> {
        let bytes_max = (self.context.config.limits.ready_bytes_max / 2).max(1);
        let (page, head) = self.context.ledger.queue_page(&self.subscriber, after, limit, bytes_max)?;
        let last = page.last().map(|(number, _)| *number);
        let entries: Vec<_> = page
            .into_iter()
            .filter_map(|(seq, delivery)| {
                let delivery = delivery?;
                let channels = channels(&delivery);
                Some(Entry { seq, message: Item::Free(delivery), channels })
            })
            .collect();
        // Nothing of this page is wanted any more: the session passes over it, and asks for the next one.
        let head = if entries.is_empty() { last.unwrap_or(head) } else { head };
        Ok((entries, head))
    }

    /// An entry that was in flight; `None` when it is gone.
    pub(super) fn restore_queued(&mut self, number: u64) -> Result<Option<Item>, StoreError> {
        Ok(self.context.ledger.queue_entry(self.owner.key(), number)?.map(Item::Free))
    }

    /// What the broker says of itself at present, for subscriptions that begin.
    pub(super) fn tell_own_state(&mut self, begun: &[(TopicFilter, SubscriptionOptions)]) {
        if begun.is_empty() {
            return;
        }
        for message in self.context.sys.present() {
            let matching = |filter: &TopicFilter| matches(filter.as_str(), message.topic.as_str());
            for (_, options) in begun.iter().filter(|(filter, _)| matching(filter)) {
                let subscription_ids = if options.id == 0 { Box::default() } else { [options.id].into() };
                self.live(Arc::new(FreeDelivery {
                    message: message.clone(),
                    qos: QoS::AtMostOnce,
                    retain: true,
                    subscription_ids,
                    share: None,
                }));
            }
        }
    }
}

/// Which of the session's channels a queued delivery is for.
fn channels(delivery: &FreeDelivery) -> Channels {
    match delivery.qos {
        QoS::AtMostOnce => Channels::NONE,
        QoS::AtLeastOnce => Channels::NONE.with(FREE_QOS1),
        QoS::ExactlyOnce => Channels::NONE.with(FREE_QOS2),
    }
}
