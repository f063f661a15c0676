//! What clients got, with what may differ left out.

use std::collections::BTreeMap;

use parlance_mqtt::{Packet, QoS, ReasonCode, Version};

/// Something that a client got.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// CONNACK: session present, code of the version.
    ConnAck(bool, u8),
    /// SUBACK: its codes.
    SubAck(Vec<u8>),
    /// UNSUBACK: its codes (5).
    UnsubAck(Vec<u8>),
    /// PUBACK: reason.
    PubAck(u8),
    /// PUBREC: reason.
    PubRec(u8),
    /// PUBCOMP: reason.
    PubComp(u8),
    /// A message.
    Publish(Delivered),
    /// DISCONNECT: reason.
    Disconnect(u8),
    /// The broker closed.
    Closed,
    /// The client broke a rule, and the broker went on: then the client closed.
    Tolerated,
}

/// A message as a client got it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivered {
    /// As text; each payload of a script is another.
    pub payload: String,
    /// Of the delivery.
    pub qos: u8,
    /// RETAIN.
    pub retain: bool,
    /// DUP.
    pub dup: bool,
    /// Subscription Identifiers, sorted.
    pub ids: Vec<u32>,
    /// The other properties, as text.
    pub properties: String,
}

/// Events whose order says something: within one there is an order, between two there is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// CONNACK.
    Begin,
    /// Answers to what the client asked for.
    Answers,
    /// Messages of one topic.
    Topic(String),
    /// How it ended.
    End,
}

/// All that came on one connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connection {
    /// By stream.
    pub streams: BTreeMap<Stream, Vec<Event>>,
}

/// What all clients of a script got: by client, and for each by connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// Which client, its how manieth connection.
    pub connections: BTreeMap<(usize, usize), Connection>,
}

impl Trace {
    pub(crate) fn add(&mut self, at: (usize, usize), stream: Stream, event: Event) {
        self.connections.entry(at).or_default().streams.entry(stream).or_default().push(event);
    }
}

/// The event of a packet; `None` where nothing is compared (PINGRESP; PUBREL, which follows from PUBREC).
pub(crate) fn event(packet: &Packet, version: Version, prefix: &str) -> Option<(Stream, Event)> {
    let code = |reason: &ReasonCode| reason.code();
    let codes = |reasons: &[ReasonCode]| reasons.iter().map(|reason| reason.code()).collect();
    Some(match packet {
        Packet::ConnAck(ack) => {
            let code = match version {
                Version::V3 => ack.reason.v3_connack(),
                Version::V5 => ack.reason.code(),
            };
            (Stream::Begin, Event::ConnAck(ack.session_present, code))
        }
        Packet::SubAck(ack) => (Stream::Answers, Event::SubAck(codes(&ack.codes))),
        Packet::UnsubAck(ack) => (Stream::Answers, Event::UnsubAck(codes(&ack.codes))),
        Packet::PubAck(ack) => (Stream::Answers, Event::PubAck(code(&ack.reason))),
        Packet::PubRec(ack) => (Stream::Answers, Event::PubRec(code(&ack.reason))),
        Packet::PubComp(ack) => (Stream::Answers, Event::PubComp(code(&ack.reason))),
        Packet::Disconnect(end) => (Stream::End, Event::Disconnect(code(&end.reason))),
        Packet::Publish(publish) => {
            let topic = publish.topic.as_ref().map_or("", |topic| topic.as_str());
            let topic = topic.strip_prefix(prefix).unwrap_or(topic).to_owned();
            let mut ids = publish.properties.subscription_ids.clone();
            ids.sort_unstable();
            let mut rest = publish.properties.clone();
            (rest.subscription_ids, rest.topic_alias) = (Vec::new(), None);
            let properties = if rest == parlance_mqtt::PublishProperties::default() {
                String::new()
            } else {
                format!("{rest:?}")
            };
            let delivered = Delivered {
                payload: String::from_utf8_lossy(&publish.payload).into_owned(),
                qos: publish.qos as u8,
                retain: publish.retain,
                dup: publish.dup,
                ids,
                properties,
            };
            debug_assert!(publish.qos <= QoS::ExactlyOnce);
            (Stream::Topic(topic), Event::Publish(delivered))
        }
        _ => return None,
    })
}
