//! What the client asks: publishes, subscriptions, calls.

use super::{Connection, RPC_MAX, io::Transport, property, stored_properties, will_publish};
use crate::{
    api::{self, ApiError, Code},
    gate::{self, Routed, RpcCall, Sender},
    ledger::{Command, Done, SendIntent, SendRefusal, Stored, now_ms},
    peer::{RpcDone, Settled, Signal},
    sessions,
    subscriptions::{Subscription, Wish},
};
use bytes::Bytes;
use parlance_engine::{PublishOutcome, Ticket};
use parlance_mqtt::{
    Publish, PublishProperties, PublishTemplate, QoS, ReasonCode, Subscribe, SubscribeFilter, TopicFilter,
    TopicName, Unsubscribe, Version,
};
use parlance_plugin_api::{
    ConversationId, UserId,
    identity::Action,
    ledger::{Ledger, LedgerError},
    record::StoredSubscription,
};
use parlance_schema::{
    Format, pb,
    topic::{Address, Channel, Interest, TopicError, parse_filter},
};
use std::sync::Arc;

/// A typing sign that repeats the one before is passed on once in this time.
const TYPING_REPEAT_MS: u64 = 1000;

impl<S: Transport> Connection<S> {
    pub(super) fn publish(&mut self, ticket: Ticket, publish: Publish) {
        let topic = publish.topic.clone();
        let sender = Sender { principal: &self.principal, owner: &self.owner, session_ms: self.session_ms };
        let routed = gate::route(&self.context, &sender, publish);
        if self.version == Version::V3 && ticket.needs_answer() {
            // Who is told of a refusal by an event must be told of which publish. The answer takes it out again.
            self.undecided.extend(topic.clone().map(|topic| (ticket, topic)));
        }
        let outcome = routed.and_then(|routed| self.carry_out(ticket, routed));
        if let Err(error) = outcome {
            self.refuse(ticket, topic.as_ref().map_or("", |topic| topic.as_str()), &error);
        }
    }

    fn carry_out(&mut self, ticket: Ticket, routed: Routed) -> Result<(), ApiError> {
        match routed {
            Routed::Send(intent) => {
                self.push(Command::Send(intent, Done::Peer(self.peer.clone(), ticket)));
            }
            Routed::Read { conversation, seq } => self.mark_read(ticket, conversation, seq)?,
            Routed::Typing { target, typing } => {
                self.typing(target.conversation, typing)?;
                self.answer(ticket, PublishOutcome::success());
            }
            Routed::Rpc(call) => self.call(ticket, call)?,
        }
        Ok(())
    }

    fn mark_read(&mut self, ticket: Ticket, conversation: ConversationId, seq: u64) -> Result<(), ApiError> {
        // Those that are answered are bounded by Receive Maximum.
        if !ticket.needs_answer() && self.rpcs >= RPC_MAX {
            return Err(ApiError::Ledger(LedgerError::Busy));
        }
        let (ledger, peer, user) = (self.context.ledger.clone(), self.peer.clone(), self.owner.user);
        tokio::spawn(async move {
            let problem = ledger.mark_read(conversation, user, seq).await.err().map(ApiError::from);
            peer.rpc_done(RpcDone { ticket, reply: None, problem });
        });
        self.rpcs += 1;
        Ok(())
    }

    /// A typing sign goes to the live devices of the other members, if the conversation is small enough for that.
    fn typing(&mut self, id: ConversationId, typing: bool) -> Result<(), ApiError> {
        let now = self.now();
        if self
            .last_typing
            .is_some_and(|(last, was, at)| last == id && was == typing && now < at + TYPING_REPEAT_MS)
        {
            return Ok(());
        }
        let members_max = self.context.config.limits.receipts_live_members_max;
        let members = crate::ledger::members_up_to(&*self.context.ledger, id, members_max + 1)?;
        if !members.contains(&self.owner.user) {
            return Err(ApiError::NotAMember);
        }
        self.last_typing = Some((id, typing, now));
        if members.len() > members_max {
            return Ok(());
        }
        let conversation = self.info(id)?;
        let signal = Signal::Typing { conversation, user: self.owner.user, typing };
        self.context.hub.signal(&members, Some(self.owner.device), &signal);
        Ok(())
    }

    fn call(&mut self, ticket: Ticket, call: RpcCall) -> Result<(), ApiError> {
        if self.rpcs >= RPC_MAX {
            return Err(ApiError::Ledger(LedgerError::Busy));
        }
        self.rpcs += 1;
        let (context, peer, principal) = (self.context.clone(), self.peer.clone(), self.principal.clone());
        let (version, from, device) = (self.version, self.from, self.owner.device);
        tokio::spawn(async move {
            let caller = api::Caller { principal: Some(&principal), from, device: Some(device) };
            let answer = api::call(&context, caller, &call.method, &call.body).await;
            let body = answer.unwrap_or_else(|problem| serde_json::to_vec(&problem).unwrap_or_default());
            let done = match reply(version, &call, &body) {
                Ok(template) => RpcDone { ticket, reply: Some((call.reply_topic, template)), problem: None },
                Err(error) => RpcDone { ticket, reply: None, problem: Some(error) },
            };
            peer.rpc_done(done);
        });
        Ok(())
    }

    pub(super) fn rpc_done(&mut self, done: RpcDone) {
        self.rpcs = self.rpcs.saturating_sub(1);
        if let Some(error) = done.problem {
            return self.refuse_decided(done.ticket, &error);
        }
        let Some((topic, template)) = done.reply else {
            return self.answer(done.ticket, PublishOutcome::success());
        };
        let heard = crate::subscriptions::is_reply_topic(&topic).and_then(|(format, rest)| {
            let wanted =
                self.subscriptions.wanted(Channel::Reply, || rest.to_owned()).find(|w| w.format == format);
            wanted.map(|wanted| wanted.qos)
        });
        let outcome = match heard {
            Some(qos) => {
                self.session.note(template, qos);
                PublishOutcome::success()
            }
            None => PublishOutcome::with(ReasonCode::NoMatchingSubscribers),
        };
        self.answer(done.ticket, outcome);
    }

    /// The ledger has decided on a message of this client.
    pub(super) fn published(&mut self, ticket: Ticket, outcome: Result<Stored, SendRefusal>) {
        match outcome {
            Ok(stored) => {
                let user_properties =
                    if self.version == Version::V5 { stored_properties(&stored) } else { Vec::new() };
                let outcome = PublishOutcome { user_properties, ..PublishOutcome::success() };
                self.answer(ticket, outcome);
            }
            Err(refusal) => self.refuse_decided(ticket, &refusal.into()),
        }
    }

    /// Answers a publish that was refused after it had been passed on.
    fn refuse_decided(&mut self, ticket: Ticket, error: &ApiError) {
        let topic = self.undecided.remove(&ticket);
        self.refuse(ticket, topic.as_ref().map_or("", |topic| topic.as_str()), error);
    }

    /// Answers a publish that was refused. 3.1.1 has no way to say so in the acknowledgement, and a message without one
    /// would be sent again for ever: it is acknowledged, and an error event says what happened.
    fn refuse(&mut self, ticket: Ticket, topic: &str, error: &ApiError) {
        error.log("publish");
        let code = error.code();
        metrics::counter!("parlance_publishes_refused_total", "code" => code.as_str()).increment(1);
        if self.version == Version::V3 || !ticket.needs_answer() {
            self.error_event(code, topic, error.detail());
        }
        let reason_string = Some(Bytes::from(error.detail()));
        let user_properties = vec![property("code", code.as_str())];
        let outcome = PublishOutcome { reason: code.mqtt_reason(), reason_string, user_properties };
        self.answer(ticket, outcome);
    }

    pub(super) fn error_event(&mut self, code: Code, topic: &str, message: String) {
        self.signal(Signal::Event(Arc::new(pb::Event {
            event: "error".into(),
            time_ms: now_ms(),
            code: code.as_str().into(),
            topic: topic.into(),
            message,
            ..pb::Event::default()
        })));
    }

    pub(super) fn subscribe(&mut self, subscribe: Subscribe) {
        let had_inbox = self.subscriptions.has_inbox();
        let id = subscribe.subscription_id.unwrap_or_default();
        let codes: Vec<ReasonCode> =
            subscribe.filters.into_iter().map(|filter| self.subscribe_one(filter, id)).collect();
        self.channels_changed();
        if self.subscriptions.has_inbox() {
            // Also for a wider filter: what the narrower one passed by begins at the device's position.
            self.opening = Some(Bytes::new());
        } else if had_inbox {
            self.opening = None;
        }
        self.keep_subscriptions(Settled { packet_id: subscribe.packet_id, codes, unsubscribe: false });
    }

    fn subscribe_one(&mut self, asked: SubscribeFilter, id: u32) -> ReasonCode {
        let limit = self.context.config.limits.subscriptions_per_session_max;
        if !self.subscriptions.contains(&asked.filter) && self.subscriptions.len() >= limit {
            return ReasonCode::QuotaExceeded;
        }
        let wish = match self.wish(&asked.filter) {
            Ok(wish) => wish,
            Err(reason) => return reason,
        };
        // The messenger delivers with QoS 1 at most; nothing of it is retained.
        let qos = asked.qos.min(QoS::AtLeastOnce);
        let watched = match wish {
            Wish::Presence { user, format } => Some((user, format)),
            Wish::Mine { .. } => None,
        };
        self.subscriptions.insert(Subscription {
            filter: asked.filter,
            qos,
            id,
            no_local: asked.no_local,
            wish,
        });
        if let Some((user, _)) = watched {
            self.context.hub.watch(user, &self.peer);
            let last_seen_ms = self.last_seen(user);
            self.signal(Signal::Presence { user, last_seen_ms });
        }
        if qos == QoS::AtMostOnce { ReasonCode::Success } else { ReasonCode::GrantedQoS1 }
    }

    /// What a filter asks for, if this user may. Deny by default.
    fn wish(&self, filter: &TopicFilter) -> Result<Wish, ReasonCode> {
        if filter.shared().is_some() {
            return Err(ReasonCode::SharedSubscriptionsNotSupported);
        }
        let interest = parse_filter(filter.as_str()).map_err(|error| match error {
            TopicError::WildcardTooEarly | TopicError::Id(_) => ReasonCode::TopicFilterInvalid,
            _ => ReasonCode::NotAuthorized,
        })?;
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
        let mut codes = Vec::with_capacity(unsubscribe.filters.len());
        for filter in &unsubscribe.filters {
            let removed = self.subscriptions.remove(filter);
            codes.push(if removed.is_some() {
                ReasonCode::Success
            } else {
                ReasonCode::NoSubscriptionExisted
            });
            if let Some(Subscription { wish: Wish::Presence { user, .. }, .. }) = removed
                && self.subscriptions.presence(user).next().is_none()
            {
                self.context.hub.unwatch(user, &self.peer);
            }
        }
        self.channels_changed();
        self.keep_subscriptions(Settled { packet_id: unsubscribe.packet_id, codes, unsubscribe: true });
    }

    /// A session that outlives its connection acknowledges only what is written down.
    fn keep_subscriptions(&mut self, settled: Settled) {
        if self.session_expiry_s == 0 {
            return self.settled(settled);
        }
        let stored: Vec<StoredSubscription> = self.subscriptions.stored();
        let (ledger, peer, owner) = (self.context.ledger.clone(), self.peer.clone(), self.owner.clone());
        tokio::spawn(async move {
            let kept = sessions::save_subscriptions(&*ledger as &dyn Ledger, &owner, stored).await;
            let Settled { packet_id, mut codes, unsubscribe } = settled;
            if let Err(error) = kept {
                tracing::warn!(%error, "subscriptions were not written down");
                codes.fill(ReasonCode::UnspecifiedError);
            }
            peer.settled(Settled { packet_id, codes, unsubscribe });
        });
    }

    pub(super) fn settled(&mut self, settled: Settled) {
        let Settled { packet_id, codes, unsubscribe } = settled;
        if unsubscribe {
            self.session.unsubscribe_done(packet_id, codes, None);
        } else {
            self.session.subscribe_done(packet_id, codes, None);
        }
    }

    /// The session's subscriptions of before, without asking anew who may: delivery is checked when it happens.
    pub(super) fn restore_subscriptions(&mut self, stored: Vec<StoredSubscription>) {
        for subscription in stored {
            let Ok(filter) = TopicFilter::new(subscription.filter) else { continue };
            let Ok(wish) = self.wish(&filter) else { continue };
            if let Wish::Presence { user, .. } = wish {
                self.context.hub.watch(user, &self.peer);
            }
            let qos = if subscription.qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
            let (id, no_local) = (subscription.subscription_id, subscription.no_local);
            self.subscriptions.insert(Subscription { filter, qos, id, no_local, wish });
        }
        self.channels_changed();
        if self.subscriptions.has_inbox() {
            self.opening = Some(Bytes::new());
        }
    }

    fn channels_changed(&mut self) {
        for format in Format::ALL {
            if let Some(qos) = self.subscriptions.inbox_qos(format) {
                self.session.set_channel_qos(format as u8, qos);
            }
        }
    }

    /// The will is a publish like any other, checked when it is made; nobody waits for its outcome. It is no last word of
    /// an account or credential that has ended.
    pub(super) async fn publish_will(&mut self) {
        let Some(will) = self.will.take() else { return };
        if let Err(error) = self.context.authenticator.still_holds(&self.principal) {
            tracing::debug!(%error, "a will was refused");
            return;
        }
        let sender = Sender { principal: &self.principal, owner: &self.owner, session_ms: self.session_ms };
        match gate::route(&self.context, &sender, will_publish(will)) {
            Ok(Routed::Send(intent)) => {
                let intent = SendIntent { device: None, ..*intent };
                // It fails only when the ledger stops.
                let _ = self.context.ledger.push(Command::Send(Box::new(intent), Done::Nobody)).await;
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(code = error.code().as_str(), "a will was refused"),
        }
    }
}

fn reply(version: Version, call: &RpcCall, body: &[u8]) -> Result<PublishTemplate, ApiError> {
    let internal = |_| ApiError::TaskEnded;
    let topic =
        TopicName::new(call.reply_topic.clone()).map_err(|_| ApiError::Malformed("response topic".into()))?;
    let properties = PublishProperties {
        payload_is_utf8: Some(true),
        content_type: Some(Bytes::from_static(b"application/json")),
        correlation_data: call.correlation.clone(),
        ..PublishProperties::default()
    };
    PublishTemplate::new(version, &topic, &properties, body, false).map_err(internal)
}
