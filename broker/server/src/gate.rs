//! What a publish means and whether it is allowed, from memory and without waiting.

use crate::{
    api::{
        ApiError,
        address::{Purpose, Resolver, Target},
    },
    context::Context,
    ledger::{ImplicitRetry, SendIntent},
    sessions::Owner,
};
use bytes::Bytes;
use parlance_mqtt::{Publish, QoS};
use parlance_plugin_api::{ConversationId, identity::Principal};
use parlance_schema::{
    Format,
    message::{parse_read, parse_send, parse_typing},
    topic::{Channel, Up, mine, parse_up},
};

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
    /// When its session began, Unix milliseconds.
    pub(crate) session_ms: u64,
}

/// Longest method name, bytes; longer ones are no method.
const METHOD_BYTES_MAX: usize = 64;

/// Parses and checks a publish.
///
/// # Errors
/// [`ApiError`], to be answered with its MQTT reason and code.
pub(crate) fn route(context: &Context, sender: &Sender<'_>, publish: Publish) -> Result<Routed, ApiError> {
    // The session hands out publishes with their topic name only.
    let topic = publish.topic.clone().ok_or_else(|| ApiError::Malformed("no topic".into()))?;
    let resolver = Resolver::new(&*context.ledger, &*context.directory, sender.principal);
    match parse_up(topic.as_str())? {
        Up::Message(address, format) => {
            let target = resolver.address(&address, Purpose::Write)?;
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
    }
}

fn message(
    sender: &Sender<'_>,
    target: Target,
    format: Format,
    publish: Publish,
) -> Result<Box<SendIntent>, ApiError> {
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
