//! What the client says: publishes and calls.

use super::{Connection, RPC_MAX, io::Transport, property, stored_properties};
use crate::{
    api::{self, ApiError, Code},
    gate::{self, Routed, RpcCall, Sender},
    ledger::{Command, Done, Published, SendRefusal, now_ms},
    peer::{RpcDone, Signal},
    session_domain::Note,
};
use bytes::Bytes;
use parlance_engine::{PublishOutcome, Ticket};
use parlance_mqtt::{Publish, PublishProperties, PublishTemplate, ReasonCode, TopicName, Version};
use parlance_plugin_api::{ConversationId, ledger::LedgerError};
use parlance_schema::{pb, topic::Channel};
use std::sync::Arc;

/// A typing sign that repeats the one before is passed on once in this time.
const TYPING_REPEAT_MS: u64 = 1000;

impl<S: Transport> Connection<S> {
    pub(super) fn publish(&mut self, ticket: Ticket, mut publish: Publish) {
        let topic = publish.topic.take();
        if publish.retain && self.version == Version::V5 && !topic.as_ref().is_some_and(gate::is_free) {
            let words = "messages of conversations are not retained: they have a history";
            return self.session.close(ReasonCode::RetainNotSupported, Some(words.into()));
        }
        let sender = Sender {
            principal: &self.principal,
            owner: &self.owner,
            subscriber: &self.subscriber,
            session_ms: self.session_ms,
        };
        let routed = gate::route(&self.context, &sender, topic.as_ref(), publish, &mut self.last_target);
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
            Routed::Free(publish) => {
                self.push(Command::Publish(publish, Done::Peer(self.peer.clone(), ticket)));
            }
            Routed::Live(message) => {
                self.context.topics.route_live(&message, Some(&self.subscriber));
                self.answer(ticket, PublishOutcome::success());
            }
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
        let (version, from, device) = (self.version, self.door.from.ip(), self.owner.device);
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
                self.session.note(Note::Own(template), qos);
                PublishOutcome::success()
            }
            None => PublishOutcome::with(ReasonCode::NoMatchingSubscribers),
        };
        self.answer(done.ticket, outcome);
    }

    /// The ledger has decided on a message of this client.
    pub(super) fn published(&mut self, ticket: Ticket, outcome: Result<Published, SendRefusal>) {
        match outcome {
            Ok(Published::Free { matched }) => self.answer(
                ticket,
                PublishOutcome::with(match matched {
                    true => ReasonCode::Success,
                    false => ReasonCode::NoMatchingSubscribers,
                }),
            ),
            Ok(Published::Stored(stored)) => {
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
