//! Subscriptions to free topics that begin and end, and the retained messages that they bring.
//!
//! Retained messages are sent in slices, each of which goes on behind the topic that the one before came to: a filter that
//! matches a million of them neither holds up the decider nor fills anybody's memory. The first slice goes out together
//! with the SUBACK, so that a few come at once.

use super::{
    Subscribing,
    decider::Decider,
    free::{Stepped, Undo},
    publish::Plan,
    work::{Progress, ShareWork, Work},
};
use crate::{
    peer::Peer,
    topics::{FreeMessage, HandOut, Subscriber, Target},
};
use parlance_engine::SubscriptionOptions;
use parlance_mqtt::{QoS, ReasonCode, RetainHandling, TopicFilter, TopicName};
use parlance_plugin_api::{
    record::{self, SessionRecord, StoredSubscription, device_key},
    store::{StoreError, Table},
};
use prost::Message as _;
use std::sync::Arc;

/// Retained messages that are sent in one slice at most.
const RETAINED_SLICE_MAX: usize = 256;

/// Retained messages that a subscription still brings.
#[derive(Clone)]
pub(super) struct RetainedWork {
    pub(super) subscriber: Arc<Subscriber>,
    peer: Option<Arc<Peer>>,
    pub(super) filter: TopicFilter,
    options: SubscriptionOptions,
    /// They go on behind this topic.
    behind: Option<TopicName>,
    /// The same before this batch.
    durable_behind: Option<TopicName>,
}

impl RetainedWork {
    /// Whether the connection is still there that asked for them.
    fn is_here(&self) -> bool {
        match (self.subscriber.peer(), &self.peer) {
            (Some(now), Some(then)) => Arc::ptr_eq(&now, then),
            _ => false,
        }
    }

    pub(super) fn rewind(&mut self) {
        self.behind = self.durable_behind.clone();
    }
}

impl Decider {
    pub(super) fn subscribe(&mut self, subscribing: Subscribing) {
        let Subscribing { subscriber, begin, end, stored, done } = subscribing;
        let new = begin.len().saturating_sub(end.len());
        let topics = self.free.topics.clone();
        if new > 0 && topics.subscriptions() + new > topics.settings().subscriptions_max {
            if let Some((peer, mut settled)) = done {
                settled.codes.fill(ReasonCode::QuotaExceeded);
                peer.settled(settled);
            }
            return;
        }
        if let Some(stored) = stored
            && let Err(error) = self.store_subscriptions(&subscriber, stored)
        {
            tracing::warn!(%error, "the subscriptions of a session could not be looked up: nothing of them changes");
            if let Some((peer, mut settled)) = done {
                settled.codes.fill(ReasonCode::UnspecifiedError);
                peer.settled(settled);
            }
            return;
        }
        let mut retained = Vec::new();
        for (filter, options, handling) in begin {
            let before = topics.subscribe(&filter, &subscriber, options);
            self.running.free.undo.push(Undo::Subscription(filter.clone(), subscriber.clone(), before));
            let wanted = match handling {
                RetainHandling::Send => true,
                RetainHandling::SendIfNew => before.is_none(),
                RetainHandling::DoNotSend => false,
            };
            // Members of a shared subscription are sent none (MQTT 5, 4.8.2).
            if wanted && filter.shared().is_none() {
                retained.push((filter, options));
            }
        }
        for filter in end {
            self.unsubscribe(&subscriber, &filter);
        }
        self.running.free.changed = true;
        if let Some((peer, settled)) = done {
            self.running.free.out.push(HandOut::Settled(peer, settled));
        }
        for (filter, options) in retained {
            self.send_retained(&subscriber, filter, options);
        }
    }

    /// Ends a subscription. What its queue holds of a shared one goes to another member.
    pub(super) fn unsubscribe(&mut self, subscriber: &Arc<Subscriber>, filter: &TopicFilter) {
        let Some(before) = self.free.topics.unsubscribe(filter, subscriber) else { return };
        self.running.free.undo.push(Undo::Subscription(filter.clone(), subscriber.clone(), Some(before)));
        self.running.free.changed = true;
        if let Some((group, inner)) = filter.shared()
            && let Some(queue) = self.free.queues.get(subscriber.key)
            && queue.entries().any(|entry| entry.shared)
        {
            let share: Arc<str> = format!("{group}/{inner}").into();
            let work = Work::Share(ShareWork::new(queue, Some(share)));
            self.running.free.stepped.push(Stepped { work, finished: false, born: true });
        }
    }

    fn store_subscriptions(
        &mut self,
        subscriber: &Subscriber,
        stored: Vec<StoredSubscription>,
    ) -> Result<(), StoreError> {
        let key = device_key(subscriber.key.user, subscriber.key.device);
        let kept = self.look(Table::Sessions, &key)?;
        // A session that is not kept any more (a device that was removed) keeps no subscriptions either.
        let Some(session) = kept.and_then(record::decode::<SessionRecord>) else { return Ok(()) };
        if session.subscriptions == stored {
            return Ok(());
        }
        let session = SessionRecord { subscriptions: stored, ..session };
        if let Err(error) = self.write(Table::Sessions, &key, Some(session.encode_to_vec().into())) {
            self.broken(error);
        }
        Ok(())
    }

    fn send_retained(
        &mut self,
        subscriber: &Arc<Subscriber>,
        filter: TopicFilter,
        options: SubscriptionOptions,
    ) {
        // One that is still under way for the same filter begins anew.
        self.free.later.retain(|work| match work {
            Work::Retained(work) => work.subscriber != *subscriber || work.filter != filter,
            _ => true,
        });
        let mut work = RetainedWork {
            peer: subscriber.peer(),
            subscriber: subscriber.clone(),
            filter,
            options,
            behind: None,
            durable_behind: None,
        };
        let room = self.room_for_retained(&work);
        let progress = match room {
            0 => Progress::Waits,
            room => self.retained_slice(&mut work, room.min(RETAINED_SLICE_MAX)),
        };
        if progress != Progress::Finished {
            let work = Work::Retained(work);
            self.running.free.stepped.push(Stepped { work, finished: false, born: true });
        }
    }

    /// Goes on with retained messages as far as there is room.
    pub(super) fn step_retained(&mut self, work: &mut RetainedWork) -> Progress {
        work.durable_behind = work.behind.clone();
        if !work.subscriber.filters().contains(&work.filter) {
            return Progress::Finished;
        }
        let here = work.is_here();
        if !here && !work.subscriber.is_durable() {
            return Progress::Finished;
        }
        match self.room_for_retained(work) {
            0 if here => Progress::Waits,
            0 => self.give_up_retained(work),
            room => self.retained_slice(work, room.min(RETAINED_SLICE_MAX)),
        }
    }

    /// How many go out now. Half of a queue is left to what is published meanwhile, while the client takes from it.
    fn room_for_retained(&self, work: &RetainedWork) -> usize {
        let here = work.is_here();
        let live = work.peer.as_ref().filter(|_| here).map_or(0, |peer| peer.live_room());
        let live = live.saturating_sub(self.running.free.retained_sent);
        if !work.subscriber.is_durable() || work.options.qos == QoS::AtMostOnce {
            return live;
        }
        let settings = self.free.topics.settings();
        let state = self.free.queues.get(work.subscriber.key).map(|queue| queue.state()).unwrap_or_default();
        let part = if here { 2 } else { 1 };
        if state.bytes > settings.queue_bytes_max / part {
            return 0;
        }
        let messages_max = (settings.queue_messages_max / part).max(1);
        let queue = usize::try_from(messages_max.saturating_sub(state.messages)).unwrap_or(usize::MAX);
        // Those of QoS 0 among them are told live.
        if here { queue.min(live) } else { queue }
    }

    /// The session is away and its queue is full: what is left is counted as dropped, so that it is told.
    fn give_up_retained(&mut self, work: &RetainedWork) -> Progress {
        let mut left = 0;
        let queued = |message: &Arc<FreeMessage>| message.record.qos() != QoS::AtMostOnce;
        self.visit_retained(work, &mut |message| {
            left += usize::from(queued(message));
            true
        });
        if left > 0 {
            tracing::warn!(
                messages = left,
                "retained messages were not sent: the session left, its queue is full"
            );
            self.free.queues.make(&work.subscriber);
            self.running.free.heads.insert(work.subscriber.key);
            self.running.free.dropped.extend(std::iter::repeat_n(work.subscriber.clone(), left));
        }
        Progress::Finished
    }

    fn visit_retained(&self, work: &RetainedWork, visit: &mut dyn FnMut(&Arc<FreeMessage>) -> bool) {
        match &work.behind {
            Some(topic) => self.free.retained.matching_behind(&work.filter, topic.as_str(), visit),
            None => self.free.retained.matching(&work.filter, visit),
        }
    }

    fn retained_slice(&mut self, work: &mut RetainedWork, messages_max: usize) -> Progress {
        let mut slice = Vec::new();
        let mut whole = true;
        self.visit_retained(work, &mut |message| {
            whole = slice.len() < messages_max;
            if whole {
                slice.push(message.clone());
            }
            whole
        });
        if let Some(last) = slice.last() {
            work.behind = Some(last.topic.clone());
        }
        self.running.free.retained_sent += slice.len();
        let own = work.subscriber.key.bytes();
        for message in slice {
            let own = work.options.no_local && message.record.publisher == own[..];
            let topic = message.topic.as_str();
            if own || message.is_expired(self.now) || !self.free.topics.may_receive(&work.subscriber, topic) {
                continue;
            }
            let mut plan = Plan::default();
            plan.add(Target {
                who: work.subscriber.clone(),
                qos: work.options.qos.min(message.record.qos()),
                retain: true,
                subscription_ids: (work.options.id != 0).then_some(work.options.id).into_iter().collect(),
                share: None,
            });
            if let Err(error) = self.hand_to(plan, &message, None) {
                self.broken(error);
                return Progress::Finished;
            }
        }
        if whole { Progress::Finished } else { Progress::More }
    }
}
