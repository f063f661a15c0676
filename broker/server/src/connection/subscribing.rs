//! Subscriptions: what a client asks for, whether it may, and when it is told so.
//!
//! A session that outlives its connection is answered when its subscriptions are written down; one to free topics when
//! they are in force. Until then they count as made: what fails is undone.

use super::{Connection, io::Transport};
use crate::{
    gate,
    ledger::{Command, Subscribing},
    peer::{Settled, Signal},
    subscriptions::{Subscription, Wish},
};
use parlance_engine::SubscriptionOptions;
use parlance_mqtt::{QoS, ReasonCode, RetainHandling, Subscribe, SubscribeFilter, TopicFilter, Unsubscribe};
use parlance_plugin_api::{ConversationId, UserId, identity::Action, record::StoredSubscription};
use parlance_schema::{
    Format,
    topic::{Address, Channel, Interest, TopicError, parse_filter},
};

/// A change that is not written down yet: how it was before.
pub(super) struct Change {
    filter: TopicFilter,
    before: Option<Subscription>,
}

/// A SUBSCRIBE or UNSUBSCRIBE that waits for its answer.
#[derive(Default)]
pub(super) struct Unsettled {
    changes: Vec<Change>,
    /// Filters of the broker's own topics, whose present state is sent with the answer.
    own: Vec<(TopicFilter, SubscriptionOptions)>,
}

/// Subscriptions to free topics that begin and end with one packet.
#[derive(Default)]
struct FreeChanges {
    begin: Vec<(TopicFilter, SubscriptionOptions, RetainHandling)>,
    end: Vec<TopicFilter>,
}

impl<S: Transport> Connection<S> {
    pub(super) fn subscribe(&mut self, subscribe: Subscribe) {
        let shared_local = |asked: &SubscribeFilter| asked.no_local && asked.filter.shared().is_some();
        if subscribe.filters.iter().any(shared_local) {
            // MQTT-3.8.3-4
            return self.session.close(ReasonCode::ProtocolError, None);
        }
        let had_inbox = self.subscriptions.has_inbox();
        let id = subscribe.subscription_id.unwrap_or_default();
        let (mut unsettled, mut free, mut inbox) = (Unsettled::default(), FreeChanges::default(), false);
        let mut codes = Vec::with_capacity(subscribe.filters.len());
        for asked in subscribe.filters {
            inbox |= asked.filter.as_str().starts_with("me/");
            codes.push(match self.subscribe_one(asked, id, &mut unsettled, &mut free) {
                Ok(QoS::AtMostOnce) => ReasonCode::Success,
                Ok(QoS::AtLeastOnce) => ReasonCode::GrantedQoS1,
                Ok(QoS::ExactlyOnce) => ReasonCode::GrantedQoS2,
                Err(reason) => reason,
            });
        }
        self.channels_changed();
        if self.subscriptions.has_inbox() {
            if inbox {
                // Also for a wider filter: what the narrower one passed by begins at the device's position.
                self.opening = Some(bytes::Bytes::new());
            }
        } else if had_inbox {
            self.opening = None;
        }
        let settled = Settled { packet_id: subscribe.packet_id, codes, unsubscribe: false };
        self.keep_subscriptions(settled, unsettled, free);
    }

    fn subscribe_one(
        &mut self,
        asked: SubscribeFilter,
        id: u32,
        unsettled: &mut Unsettled,
        free: &mut FreeChanges,
    ) -> Result<QoS, ReasonCode> {
        let known = self.subscriptions.contains(&asked.filter);
        let limit = self.context.config.limits.subscriptions_per_session_max;
        if !known && self.subscriptions.len() >= limit {
            return Err(ReasonCode::QuotaExceeded);
        }
        let asked = SubscribeFilter { filter: asked.filter.detached(), ..asked };
        let wish = self.wish(&asked.filter)?;
        if wish == Wish::Free {
            self.may_begin(&asked.filter, known)?;
        }
        let qos = match wish {
            Wish::Free => asked.qos,
            // The messenger delivers with QoS 1 at most; nothing of it is retained.
            Wish::Mine { .. } | Wish::Presence { .. } => asked.qos.min(QoS::AtLeastOnce),
        };
        let subscription = Subscription {
            filter: asked.filter.clone(),
            qos,
            id,
            no_local: asked.no_local,
            retain_as_published: asked.retain_as_published,
            wish,
        };
        let (options, wish) = (subscription.options(), subscription.wish.clone());
        let before = self.subscriptions.insert(subscription);
        match wish {
            Wish::Presence { user, .. } => {
                self.context.hub.watch(user, &self.peer);
                let last_seen_ms = self.last_seen(user);
                self.signal(Signal::Presence { user, last_seen_ms });
            }
            Wish::Free => {
                let told = match asked.retain_handling {
                    RetainHandling::Send => true,
                    RetainHandling::SendIfNew => before.is_none(),
                    RetainHandling::DoNotSend => false,
                };
                if told && asked.filter.as_str().starts_with("$SYS") {
                    unsettled.own.push((asked.filter.clone(), options));
                }
                free.begin.push((asked.filter.clone(), options, asked.retain_handling));
            }
            Wish::Mine { .. } => {}
        }
        unsettled.changes.push(Change { filter: asked.filter, before });
        Ok(qos)
    }

    /// Whether there is room, and right, for a subscription to free topics.
    fn may_begin(&self, filter: &TopicFilter, known: bool) -> Result<(), ReasonCode> {
        let topics = &self.context.config.topics;
        let too_deep = filter.levels().count() > topics.levels_max;
        if too_deep || (!known && self.context.topics.subscriptions() >= topics.subscriptions_max) {
            return Err(ReasonCode::QuotaExceeded);
        }
        if !gate::may_filter(&self.context, &self.subscriber, filter) {
            return Err(ReasonCode::NotAuthorized);
        }
        Ok(())
    }

    /// What a filter asks for, if this user may. Deny by default. Rights on free topics are looked at elsewhere.
    fn wish(&self, filter: &TopicFilter) -> Result<Wish, ReasonCode> {
        let interest = parse_filter(filter.as_str()).map_err(|error| match error {
            TopicError::WildcardTooEarly | TopicError::Id(_) => ReasonCode::TopicFilterInvalid,
            TopicError::NotShared => ReasonCode::SharedSubscriptionsNotSupported,
            _ => ReasonCode::NotAuthorized,
        })?;
        if interest == Interest::Free {
            return Ok(Wish::Free);
        }
        if self.owner.open {
            return Err(ReasonCode::NotAuthorized);
        }
        if let Interest::Mine { channel, .. } = interest
            && !matches!(channel, Channel::Events | Channel::Reply)
            && !self.principal.allows_somewhere(Action::Read)
        {
            return Err(ReasonCode::NotAuthorized);
        }
        if let Some(wish) = Wish::mine(&interest) {
            return Ok(wish);
        }
        let Interest::Presence(address, format) = interest else { return Err(ReasonCode::NotAuthorized) };
        let user = match address {
            Address::User(user) => Some(user),
            Address::UserHandle(handle) => match self.context.directory.resolve(&handle) {
                Some(parlance_plugin_api::identity::Named::User(user)) => Some(user),
                _ => None,
            },
            _ => None,
        };
        let user = user.filter(|user| self.may_watch(*user)).ok_or(ReasonCode::NotAuthorized)?;
        Ok(Wish::Presence { user, format })
    }

    /// Presence is for oneself and for those with whom there is a direct conversation.
    pub(super) fn may_watch(&self, user: UserId) -> bool {
        let mine = self.owner.user;
        user == mine
            || (self.principal.allows(Action::Read, Some(ConversationId::direct(mine, user)))
                && matches!(self.member(ConversationId::direct(mine, user)), Ok(Some(_))))
    }

    pub(super) fn unsubscribe(&mut self, unsubscribe: Unsubscribe) {
        let (mut unsettled, mut free) = (Unsettled::default(), FreeChanges::default());
        let mut codes = Vec::with_capacity(unsubscribe.filters.len());
        for filter in unsubscribe.filters {
            let Some(removed) = self.subscriptions.remove(&filter) else {
                codes.push(ReasonCode::NoSubscriptionExisted);
                continue;
            };
            codes.push(ReasonCode::Success);
            self.unwatch(&removed);
            if removed.wish == Wish::Free {
                free.end.push(filter.clone());
            }
            unsettled.changes.push(Change { filter, before: Some(removed) });
        }
        self.channels_changed();
        let settled = Settled { packet_id: unsubscribe.packet_id, codes, unsubscribe: true };
        self.keep_subscriptions(settled, unsettled, free);
    }

    fn unwatch(&self, ended: &Subscription) {
        if let Wish::Presence { user, .. } = ended.wish
            && self.subscriptions.presence(user).next().is_none()
        {
            self.context.hub.unwatch(user, &self.peer);
        }
    }

    fn keep_subscriptions(&mut self, settled: Settled, unsettled: Unsettled, free: FreeChanges) {
        let stored = self.subscriber.is_durable().then(|| self.subscriptions.stored());
        // A change before this one that is not written down yet would have the last word.
        let first = self.unsettled.is_empty();
        let keeps =
            |stored: &Vec<_>| first && crate::sessions::keeps(&*self.context.ledger, &self.owner, stored);
        let written = stored.as_ref().is_none_or(keeps);
        let none_free = free.begin.is_empty() && free.end.is_empty();
        self.unsettled.insert(settled.packet_id, unsettled);
        if none_free && written {
            return self.settled(settled);
        }
        let FreeChanges { begin, end } = free;
        self.push(Command::Subscribe(Box::new(Subscribing {
            subscriber: self.subscriber.clone(),
            begin,
            end,
            stored,
            done: Some((self.peer.clone(), settled)),
        })));
    }

    /// Subscriptions are in force and written down, or nothing of them is.
    pub(super) fn settled(&mut self, settled: Settled) {
        let Settled { packet_id, codes, unsubscribe } = settled;
        let Unsettled { changes, own } = self.unsettled.remove(&packet_id).unwrap_or_default();
        let failed = !changes.is_empty() && codes.iter().all(|code| code.is_error());
        if failed {
            self.undo(changes);
        }
        if unsubscribe {
            self.session.unsubscribe_done(packet_id, codes, None);
        } else {
            self.session.subscribe_done(packet_id, codes, None);
        }
        if !failed {
            self.tell_own_state(&own);
        }
    }

    fn undo(&mut self, changes: Vec<Change>) {
        for Change { filter, before } in changes.into_iter().rev() {
            let ended = match before {
                Some(before) => {
                    if let Wish::Presence { user, .. } = before.wish {
                        self.context.hub.watch(user, &self.peer);
                    }
                    self.subscriptions.insert(before);
                    None
                }
                None => self.subscriptions.remove(&filter),
            };
            if let Some(ended) = ended {
                self.unwatch(&ended);
            }
        }
        self.channels_changed();
    }

    /// The session's subscriptions of before, without asking anew who may: delivery is checked when it happens.
    pub(super) fn restore_subscriptions(&mut self, stored: Vec<StoredSubscription>) {
        for subscription in stored {
            let Ok(filter) = TopicFilter::new(subscription.filter) else { continue };
            let Ok(wish) = self.wish(&filter) else { continue };
            if let Wish::Presence { user, .. } = wish {
                self.context.hub.watch(user, &self.peer);
            }
            let qos = u8::try_from(subscription.qos).ok().and_then(|qos| QoS::try_from(qos).ok());
            self.subscriptions.insert(Subscription {
                filter,
                qos: qos.unwrap_or(QoS::AtLeastOnce),
                id: subscription.subscription_id,
                no_local: subscription.no_local,
                retain_as_published: subscription.retain_as_published,
                wish,
            });
        }
        self.channels_changed();
        if self.subscriptions.has_inbox() {
            self.opening = Some(bytes::Bytes::new());
        }
    }

    fn channels_changed(&mut self) {
        for format in Format::ALL {
            if let Some(qos) = self.subscriptions.inbox_qos(format) {
                self.session.set_channel_qos(format as u8, qos);
            }
        }
    }
}
