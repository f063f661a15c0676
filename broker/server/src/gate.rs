//! What a publish means and whether it is allowed, from memory and without waiting.

use crate::{
    api::{
        ApiError,
        address::{Purpose, Resolver, Target},
    },
    context::Context,
    ledger::{FreePublish, ImplicitRetry, SendIntent, now_ms},
    sessions::Owner,
    topics::{FreeMessage, Subscriber},
};
use bytes::Bytes;
use parlance_mqtt::{PacketId, Publish, QoS, TopicFilter, TopicName};
use parlance_plugin_api::{
    ConversationId, ConversationKind,
    access::TopicAction,
    identity::{AccountKind, Principal},
    record::{FreeRecord, SessionKey},
};
use parlance_schema::{
    Format,
    message::{parse_read, parse_send, parse_typing},
    topic::{Address, Channel, TopicError, Up, mine, parse_up},
};
use std::sync::Arc;

/// A publish, understood and allowed.
pub(crate) enum Routed {
    /// A message for the ledger.
    Send(Box<SendIntent>),
    /// A read position.
    Read { conversation: ConversationId, seq: u64 },
    /// A typing sign.
    Typing { target: Target, typing: bool },
    /// A call.
    Rpc(RpcCall),
    /// A message of a free topic that must be durable, or retained.
    Free(Box<FreePublish>),
    /// A message of a free topic with QoS 0 that is not retained: for who is there now.
    Live(Arc<FreeMessage>),
}

/// A call of a method.
pub(crate) struct RpcCall {
    pub(crate) method: String,
    pub(crate) body: Bytes,
    pub(crate) reply_topic: String,
    pub(crate) correlation: Option<Bytes>,
}

/// The sender's end.
pub(crate) struct Sender<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) owner: &'a Owner,
    /// Its rights on free topics.
    pub(crate) subscriber: &'a Subscriber,
    /// When its session began, Unix milliseconds.
    pub(crate) session_ms: u64,
}

impl Sender<'_> {
    /// The packet id of a QoS 2 publish, where it must be kept with the message.
    fn received(&self, publish: &Publish) -> Option<(SessionKey, PacketId)> {
        let packet_id = publish.packet_id.filter(|_| publish.qos == QoS::ExactlyOnce)?;
        self.subscriber.is_durable().then(|| (self.owner.key(), packet_id))
    }
}

/// Where the last message of a connection went, that it was allowed to, and while what that was decided from stays the same:
/// the next one mostly goes there too. Belongs to one principal.
pub(crate) struct LastTarget {
    topic: Bytes,
    format: Format,
    target: Target,
    /// Of the directory.
    version: u64,
}

/// Whether what an address leads to depends on the caller, its credential and the directory, and on nothing else.
fn is_said_by_directory(address: &Address) -> bool {
    match address {
        Address::User(_) | Address::UserHandle(_) | Address::GroupHandle(_) => true,
        Address::Conversation(id) => id.kind() == ConversationKind::Group,
    }
}

/// Longest method name, bytes; longer ones are no method.
const METHOD_BYTES_MAX: usize = 64;

/// Parses and checks a publish.
///
/// # Errors
/// [`ApiError`], to be answered with its MQTT reason and code.
pub(crate) fn route(
    context: &Context,
    sender: &Sender<'_>,
    topic: Option<&TopicName>,
    publish: Publish,
    last: &mut Option<Box<LastTarget>>,
) -> Result<Routed, ApiError> {
    // The session hands out publishes with their topic name only.
    let topic = topic.ok_or_else(|| ApiError::Malformed("no topic".into()))?;
    // Asked before anything is looked up: what changes meanwhile is not kept as if it were new.
    let version = context.directory.version();
    if let Some(last) = last
        && last.topic == topic.as_bytes()
        && version == Some(last.version)
    {
        return message(sender, last.target, last.format, publish).map(Routed::Send);
    }
    let up = parse_up(topic.as_str())?;
    if up != Up::Free && sender.principal.kind == AccountKind::Anonymous {
        return Err(ApiError::TopicNotAllowed("this listener is for free topics only"));
    }
    let resolver = Resolver::new(&*context.ledger, &*context.directory, sender.principal);
    match up {
        Up::Message(address, format) => {
            let target = resolver.address(&address, Purpose::Write)?;
            if is_said_by_directory(&address)
                && let Some(version) = version
            {
                // A copy: the name is a slice of the read buffer.
                let topic = Bytes::copy_from_slice(topic.as_bytes());
                *last = Some(Box::new(LastTarget { topic, format, target, version }));
            }
            message(sender, target, format, publish).map(Routed::Send)
        }
        Up::Read(address, format) => {
            let seq = parse_read(format, publish.payload)?;
            let Target { conversation, .. } = resolver.address(&address, Purpose::MarkRead)?;
            Ok(Routed::Read { conversation, seq })
        }
        Up::Typing(address, format) => {
            let typing = parse_typing(format, publish.payload)?;
            Ok(Routed::Typing { target: resolver.address(&address, Purpose::Write)?, typing })
        }
        Up::Rpc(method) => rpc(method, publish).map(Routed::Rpc),
        Up::Free => free(context, sender, topic, &publish),
    }
}

/// Whether somebody may publish to a free topic now.
fn may_publish(context: &Context, sender: &Sender<'_>, topic: &TopicName) -> bool {
    match sender.principal.kind {
        AccountKind::Anonymous => sender.subscriber.open,
        AccountKind::Admin => false,
        AccountKind::Person | AccountKind::Service => {
            let access = context.topics.access();
            access
                .is_some_and(|access| sender.subscriber.may(&**access, TopicAction::Publish, topic.as_str()))
        }
    }
}

/// Whether a session may hold a subscription to a filter of free topics: whether it may have some topic that matches.
pub(crate) fn may_filter(context: &Context, subscriber: &Subscriber, filter: &TopicFilter) -> bool {
    match subscriber.subject().kind {
        AccountKind::Anonymous => subscriber.open,
        AccountKind::Admin => is_own(filter.shared().map_or(filter.as_str(), |(_, inner)| inner)),
        AccountKind::Person | AccountKind::Service => {
            let inner = filter.shared().and_then(|(_, inner)| TopicFilter::try_from(inner).ok());
            let filter = inner.as_ref().unwrap_or(filter);
            let access = context.topics.access();
            access.is_some_and(|access| access.allows_filter(&subscriber.rights(&**access), filter))
        }
    }
}

/// Whether a topic is none of the messenger's.
pub(crate) fn is_free(topic: &TopicName) -> bool {
    matches!(parse_up(topic.as_str()), Ok(Up::Free) | Err(TopicError::Reserved))
}

/// Whether a topic, or all that a filter matches, is what the broker says of itself.
fn is_own(topic: &str) -> bool {
    topic == "$SYS" || topic.starts_with("$SYS/")
}

/// A message of a free topic.
fn free(
    context: &Context,
    sender: &Sender<'_>,
    topic: &TopicName,
    publish: &Publish,
) -> Result<Routed, ApiError> {
    let levels_max = context.config.topics.levels_max;
    if topic.levels().count() > levels_max {
        return Err(ApiError::TopicTooDeep { levels_max });
    }
    if !may_publish(context, sender, topic) {
        return Err(ApiError::TopicNotAllowed("the access rules do not allow you to publish to this topic"));
    }
    let bytes_max = context.config.limits.message_bytes_max;
    if content_bytes(publish) > bytes_max {
        return Err(ApiError::MessageTooLarge { bytes_max: bytes_max as u64 });
    }
    let publisher = Bytes::copy_from_slice(&sender.owner.key().bytes());
    let record = FreeRecord::of(publish, topic, publisher, now_ms());
    let message = FreeMessage::new(record).map(|message| Arc::new(message.counted(context.hub.inflight())));
    // Its topic is a topic name: it has been one when it was read.
    let message = message.ok_or_else(|| ApiError::Malformed("no topic".into()))?;
    if publish.qos == QoS::AtMostOnce && !publish.retain {
        return Ok(Routed::Live(message));
    }
    Ok(Routed::Free(Box::new(FreePublish { message, received: sender.received(publish) })))
}

/// What somebody wrote into a publish, bytes.
fn content_bytes(publish: &Publish) -> usize {
    let properties = &publish.properties;
    let texts = [&properties.content_type, &properties.response_topic, &properties.correlation_data];
    let texts: usize = texts.into_iter().flatten().map(Bytes::len).sum();
    let user: usize = properties.user_properties.iter().map(|(name, value)| name.len() + value.len()).sum();
    publish.payload.len() + texts + user
}

fn message(
    sender: &Sender<'_>,
    target: Target,
    format: Format,
    publish: Publish,
) -> Result<Box<SendIntent>, ApiError> {
    let received = sender.received(&publish);
    let mut outgoing = parse_send(format, publish.payload)?;
    if outgoing.id.is_none() {
        outgoing.id = id_property(&publish.properties.user_properties)?;
    }
    let retry = match publish.packet_id {
        Some(packet_id) if publish.qos == QoS::AtLeastOnce && outgoing.id.is_none() => Some(ImplicitRetry {
            device: sender.owner.device,
            packet_id: packet_id.get(),
            dup: publish.dup,
            session_ms: sender.session_ms,
        }),
        _ => None,
    };
    Ok(Box::new(SendIntent {
        received,
        sender: sender.principal.user,
        device: Some(sender.owner.device),
        conversation: target.conversation,
        peer: target.peer,
        id: outgoing.id.map(String::into_bytes),
        retry,
        content: outgoing.content,
    }))
}

/// In the text format the id travels as the MQTT 5 user property `id`.
fn id_property(properties: &[(Bytes, Bytes)]) -> Result<Option<String>, ApiError> {
    let Some((_, id)) = properties.iter().find(|(name, _)| &name[..] == b"id") else { return Ok(None) };
    if id.is_empty() || id.len() > parlance_schema::message::MESSAGE_ID_BYTES_MAX {
        return Err(ApiError::Payload(parlance_schema::PayloadError::IdTooLong));
    }
    // User properties are UTF-8: the codec has checked it.
    Ok(Some(String::from_utf8_lossy(id).into_owned()))
}

fn rpc(method: &str, publish: Publish) -> Result<RpcCall, ApiError> {
    if method.len() > METHOD_BYTES_MAX {
        return Err(ApiError::UnknownMethod(method.chars().take(METHOD_BYTES_MAX).collect()));
    }
    let reply_topic = match publish.properties.response_topic {
        Some(topic) => {
            let topic = String::from_utf8_lossy(&topic).into_owned();
            if crate::subscriptions::is_reply_topic(&topic).is_none() {
                return Err(ApiError::Malformed(
                    "the response topic must be one of yours: me/{text|json|pb}/reply/{anything}".into(),
                ));
            }
            topic
        }
        None => mine(Format::Json, Channel::Reply, &[method]),
    };
    Ok(RpcCall {
        method: method.to_owned(),
        body: publish.payload,
        reply_topic,
        correlation: publish.properties.correlation_data,
    })
}
