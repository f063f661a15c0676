//! The packets that devices send, and what they make of those that come.

use super::memory::{Habits, Leg, Memory, Under};
use crate::{
    checks::{Delivery, Draft, Line},
    people::handle,
};
use bytes::Bytes;
use parlance_mqtt::{
    Ack, Connect, Packet, PacketId, Publish, PublishProperties, QoS, RetainHandling, Subscribe,
    SubscribeFilter, TopicFilter, TopicName, Unsubscribe, UserProperties, Version,
};
use parlance_plugin_api::{ConversationId, UserId};
use parlance_schema::{Format, pb};
use prost::Message as _;

/// A CONNECT as a device's habits have it.
pub(super) fn connect(memory: &Memory, clean: bool) -> Packet {
    let Habits { version, expiry_s, receive_maximum, keep_alive_s, .. } = memory.habits;
    let v5 = version == Version::V5;
    Packet::Connect(Box::new(Connect {
        version,
        clean_start: clean || (!v5 && expiry_s == 0),
        keep_alive_s,
        client_id: memory.name.client_id().into(),
        will: None,
        username: Some(handle(memory.name.user).as_str().to_owned().into()),
        password: Some(Bytes::from_static(b"said to be right")),
        session_expiry_s: v5.then_some(expiry_s),
        receive_maximum: receive_maximum.filter(|_| v5),
        maximum_packet_size: None,
        topic_alias_maximum: None,
        request_response_information: None,
        request_problem_information: None,
        authentication_method: None,
        authentication_data: None,
        user_properties: Vec::new(),
    }))
}

/// Inbox first.
fn filters(habits: &Habits) -> Vec<String> {
    let format = habits.format;
    let mut filters = vec![format!("me/{format}/inbox/#"), "me/json/reply/#".to_owned()];
    if habits.receipts {
        filters.push("me/pb/receipts/#".to_owned());
    }
    filters
}

fn filter(text: String) -> TopicFilter {
    TopicFilter::new(text).expect("a device's filters are filters")
}

/// Subscribes to everything that a device wants.
pub(super) fn subscribe(habits: &Habits, packet_id: PacketId) -> Packet {
    let asked = |(text, qos)| SubscribeFilter {
        filter: filter(text),
        qos,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    };
    let own = filters(habits).into_iter().map(|text| (text, QoS::AtLeastOnce));
    let free = habits.free.map(|qos| ("app/+".to_owned(), qos));
    Packet::Subscribe(Subscribe {
        packet_id,
        filters: own.chain(free).map(asked).collect(),
        subscription_id: None,
        user_properties: Vec::new(),
    })
}

/// Ends the subscription to messages.
pub(super) fn unsubscribe(habits: &Habits, packet_id: PacketId) -> Packet {
    let inbox = filters(habits).into_iter().take(1).map(filter).collect();
    Packet::Unsubscribe(Unsubscribe { packet_id, filters: inbox, user_properties: Vec::new() })
}

/// The packet that something under way waits for the answer of.
pub(super) fn publish(habits: &Habits, packet_id: PacketId, under: &Under, dup: bool) -> Packet {
    let (topic, payload, properties) = match under {
        Under::Message(_, Leg::Released) => return Packet::PubRel(Ack::success(packet_id)),
        Under::Message(draft, _) => message(habits, draft),
        Under::Read(conversation, seq) => {
            (format!("group/{conversation}/read"), seq.to_string().into(), PublishProperties::default())
        }
        Under::Call(number) => {
            let correlation_data = Some(Bytes::copy_from_slice(&number.to_be_bytes()));
            let properties = PublishProperties { correlation_data, ..PublishProperties::default() };
            ("rpc/conversations".to_owned(), Bytes::from_static(b"{}"), properties)
        }
    };
    Packet::Publish(Publish {
        dup,
        qos: if matches!(under, Under::Message(_, Leg::Exactly)) {
            QoS::ExactlyOnce
        } else {
            QoS::AtLeastOnce
        },
        retain: false,
        topic: Some(TopicName::new(topic).expect("a device's topics are topics")),
        packet_id: Some(packet_id),
        properties,
        payload,
    })
}

fn message(habits: &Habits, draft: &Draft) -> (String, Bytes, PublishProperties) {
    let mut properties = PublishProperties::default();
    if draft.free {
        return (draft.topic.clone(), draft.text.clone().into(), properties);
    }
    let (id, text) = (draft.id.clone().unwrap_or_default(), draft.text.clone());
    let payload: Bytes = match habits.format {
        Format::Text => {
            if let Some(id) = &draft.id {
                properties.user_properties.push((Bytes::from_static(b"id"), id.clone().into()));
            }
            text.into()
        }
        Format::Json if id.is_empty() => format!(r#"{{"text":"{text}"}}"#).into(),
        Format::Json => format!(r#"{{"id":"{id}","text":"{text}"}}"#).into(),
        Format::Pb => pb::Send { id, text, data: None }.encode_to_vec().into(),
    };
    (format!("{}/{}", draft.topic, habits.format), payload, properties)
}

/// What came down.
#[derive(Debug)]
pub enum Heard {
    /// A message.
    Message(Delivery),
    /// A receipt.
    Receipt(pb::Receipt),
    /// The answer to a call, with the call's number.
    Answer(u64, Bytes),
    /// A free message.
    Free(String),
    /// Nothing that a device looks at.
    Other,
}

/// A user property.
pub(super) fn property<'a>(properties: &'a UserProperties, name: &str) -> Option<&'a str> {
    let found = properties.iter().find(|(known, _)| known == name.as_bytes());
    found.and_then(|(_, value)| std::str::from_utf8(value).ok())
}

/// Where an acknowledgement, or a delivery in MQTT 5, says that its message is.
pub(super) fn place(properties: &UserProperties) -> Option<(ConversationId, u64)> {
    let conversation = property(properties, "conversation")?.parse().ok()?;
    Some((conversation, property(properties, "seq")?.parse().ok()?))
}

/// Understands a publish that came down. `None`: it makes no sense.
pub(super) fn understand(publish: &Publish) -> Option<Heard> {
    let topic = publish.topic.as_ref()?.as_str();
    if topic.starts_with("app/") {
        return String::from_utf8(publish.payload.to_vec()).ok().map(Heard::Free);
    }
    let mut levels = topic.split('/').skip(1);
    let format = Format::from_level(levels.next()?)?;
    match (levels.next()?, format) {
        ("inbox", Format::Text) => {
            let (conversation, seq) = place(&publish.properties.user_properties)?;
            Some(Heard::Message(Delivery { conversation, seq, line: None }))
        }
        ("inbox", Format::Json) => delivery(serde_json::from_slice(&publish.payload).ok()?),
        ("inbox", Format::Pb) => delivery(pb::Message::decode(publish.payload.clone()).ok()?),
        ("receipts", Format::Pb) => pb::Receipt::decode(publish.payload.clone()).ok().map(Heard::Receipt),
        ("reply", _) => {
            let number = publish.properties.correlation_data.as_ref()?;
            let number = u64::from_be_bytes(number[..].try_into().ok()?);
            Some(Heard::Answer(number, publish.payload.clone()))
        }
        _ => Some(Heard::Other),
    }
}

fn delivery(message: pb::Message) -> Option<Heard> {
    let sender: UserId = message.sender.parse().ok()?;
    let line = match &message.change {
        Some(change) => Line::change(sender, &change.action, change.user.parse().ok()?),
        None => Line { sender, id: message.id, text: message.text },
    };
    let conversation = message.conversation.parse().ok()?;
    Some(Heard::Message(Delivery { conversation, seq: message.seq, line: Some(line) }))
}
