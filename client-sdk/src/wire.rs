//! What travels: subscriptions, and what arrives, taken apart.

use crate::{client::Sent, event::Event, pending::AckProperties};
use bytes::Bytes;
use parlance_schema::{
    Format,
    pb::{self},
    topic::{Channel, mine},
};
use prost::{DecodeError, Message};
use rumqttc::v5::mqttbytes::{
    QoS,
    v5::{Filter, Publish},
};
use uuid::Uuid;

/// What arrived.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// For the application.
    Event(Event),
    /// The answer to a request.
    Answer { correlation: Uuid, payload: Bytes },
    /// Neither.
    Unknown(Unknown),
}

/// Why something that arrived cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unknown {
    #[error("not a topic of this client")]
    Topic,
    #[error("an answer without the correlation data of a request")]
    Correlation,
    #[error(transparent)]
    Payload(#[from] DecodeError),
}

/// What a client subscribes to.
pub(crate) fn filters(receive: bool) -> Vec<Filter> {
    let filter = |format, channel, qos| Filter::new(mine(format, channel, &["#"]), qos);
    let mut filters = vec![filter(Format::Json, Channel::Reply, QoS::AtLeastOnce)];
    if receive {
        filters.push(filter(Format::Pb, Channel::Inbox, QoS::AtLeastOnce));
        filters.push(filter(Format::Pb, Channel::Receipts, QoS::AtLeastOnce));
        filters.push(filter(Format::Pb, Channel::Typing, QoS::AtMostOnce));
        filters.push(filter(Format::Pb, Channel::Events, QoS::AtLeastOnce));
    }
    filters
}

/// The topic on which the answer to a method comes.
pub(crate) fn reply_topic(method: &str) -> String {
    mine(Format::Json, Channel::Reply, &[method])
}

/// Takes apart what arrived for the account `handle`.
pub(crate) fn parse(publish: &Publish, handle: &str) -> Arrival {
    match try_parse(publish, handle) {
        Ok(arrival) => arrival,
        Err(unknown) => Arrival::Unknown(unknown),
    }
}

fn try_parse(publish: &Publish, handle: &str) -> Result<Arrival, Unknown> {
    let topic = std::str::from_utf8(&publish.topic).map_err(|_| Unknown::Topic)?;
    let mut levels = topic.split('/');
    let [me, format, channel] = std::array::from_fn(|_| levels.next().unwrap_or_default());
    let payload = publish.payload.clone();
    let event = match (me, format, channel) {
        ("me", "json", "reply") => {
            let correlation = publish.properties.as_ref().and_then(|p| p.correlation_data.as_deref());
            let correlation = correlation.and_then(|data| Uuid::from_slice(data).ok());
            return Ok(Arrival::Answer { correlation: correlation.ok_or(Unknown::Correlation)?, payload });
        }
        ("me", "pb", "inbox") => {
            let message = Box::new(pb::Message::decode(payload)?);
            let mine = message.sender_handle.eq_ignore_ascii_case(handle);
            Event::Message { message, mine }
        }
        ("me", "pb", "receipts") => Event::Receipt(pb::Receipt::decode(payload)?),
        ("me", "pb", "typing") => Event::Typing(pb::Typing::decode(payload)?),
        ("me", "pb", "events") => Event::Account(pb::Event::decode(payload)?),
        _ => return Err(Unknown::Topic),
    };
    Ok(Arrival::Event(event))
}

/// Where a message was put, from the user properties of its PUBACK.
pub(crate) fn position(properties: &AckProperties, id: String) -> Option<Sent> {
    let get = |key: &str| properties.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    Some(Sent {
        id,
        conversation: get("conversation")?.parse().ok()?,
        seq: get("seq")?.parse().ok()?,
        time_ms: get("time")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_schema::ConversationId;
    use rumqttc::v5::mqttbytes::v5::PublishProperties;

    fn publish(topic: &str, payload: impl Into<Bytes>) -> Publish {
        Publish::new(topic, QoS::AtLeastOnce, payload, None)
    }

    #[test]
    fn messages_know_whether_they_are_mine() {
        for (sender_handle, expected) in [("alice", true), ("bob", false), ("", false)] {
            let message = pb::Message { sender_handle: sender_handle.into(), seq: 3, ..Default::default() };
            match parse(&publish("me/pb/inbox/@bob/@bob", message.encode_to_vec()), "alice") {
                Arrival::Event(Event::Message { message, mine }) => {
                    assert_eq!((message.seq, mine), (3, expected))
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn an_answer_carries_the_correlation_of_its_request() {
        let correlation = Uuid::now_v7();
        let mut answer = publish("me/json/reply/me", "{}");
        assert!(matches!(parse(&answer, "alice"), Arrival::Unknown(Unknown::Correlation)));
        answer.properties = Some(PublishProperties {
            correlation_data: Some(Bytes::copy_from_slice(correlation.as_bytes())),
            ..Default::default()
        });
        assert!(
            matches!(parse(&answer, "alice"), Arrival::Answer { correlation: c, .. } if c == correlation)
        );
    }

    #[test]
    fn what_cannot_be_used_is_told_apart() {
        let bad = parse(&publish("me/pb/inbox/a/b", &b"\xff\xff"[..]), "alice");
        assert!(matches!(bad, Arrival::Unknown(Unknown::Payload(_))));
        for topic in ["", "me/pb", "me/text/inbox/a/b", "user/@bob/presence", "me/pb/elsewhere/a"] {
            assert!(
                matches!(parse(&publish(topic, ""), "alice"), Arrival::Unknown(Unknown::Topic)),
                "{topic}"
            );
        }
    }

    #[test]
    fn a_position_is_whole_or_none() {
        let conversation = ConversationId::fresh_group();
        let property = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let mut properties = vec![
            property("seq", "7"),
            property("time", "1700000000000"),
            property("conversation", &conversation.to_string()),
        ];
        let sent = Sent { id: "x".into(), conversation, seq: 7, time_ms: 1_700_000_000_000 };
        assert_eq!(position(&properties, "x".into()), Some(sent));
        properties.remove(0);
        assert_eq!(position(&properties, "x".into()), None);
    }
}
