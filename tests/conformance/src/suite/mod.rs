//! The tests. A file for each theme; the table at its head says what each test proves.

mod alias;
mod authentication;
mod connect;
mod data;
mod errors;
mod expiry;
mod flow;
mod identity;
mod keep_alive;
mod limits;
mod matching;
mod order;
mod publish;
mod qos;
mod redelivery;
mod retain;
mod session;
mod shared;
mod subscribe;
mod unsubscribe;
mod websocket;
mod will;

use crate::Test;

/// All tests of the suite.
pub fn tests() -> impl Iterator<Item = &'static Test> {
    [
        data::TESTS,
        connect::TESTS,
        identity::TESTS,
        session::TESTS,
        will::TESTS,
        keep_alive::TESTS,
        limits::TESTS,
        publish::TESTS,
        retain::TESTS,
        alias::TESTS,
        expiry::TESTS,
        qos::TESTS,
        redelivery::TESTS,
        flow::TESTS,
        order::TESTS,
        subscribe::TESTS,
        unsubscribe::TESTS,
        matching::TESTS,
        shared::TESTS,
        authentication::TESTS,
        errors::TESTS,
        websocket::TESTS,
    ]
    .into_iter()
    .flatten()
}

/// What nearly every test needs.
mod prelude {
    pub(super) use crate::{
        Client, Outcome,
        client::{message, retained, seen, subscription, topic_name},
        context::{Context, will},
        outcome::{ensure, unsupported, violation},
        registry::tests,
        wire,
    };
    pub(super) use bytes::Bytes;
    pub(super) use parlance_mqtt::{
        Ack, Connect, Disconnect, Packet, PacketId, Publish, PublishProperties, QoS,
        QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce},
        ReasonCode, SubscribeFilter, Version,
    };
    pub(super) use std::{collections::BTreeSet, time::Duration};

    /// What the specification calls a Malformed Packet.
    pub(super) const MALFORMED: &[ReasonCode] = &[ReasonCode::MalformedPacket];
    /// What the specification calls a Protocol Error.
    pub(super) const PROTOCOL_ERROR: &[ReasonCode] = &[ReasonCode::ProtocolError];

    /// All three.
    pub(super) const EVERY_QOS: [QoS; 3] = [AtMostOnce, AtLeastOnce, ExactlyOnce];

    /// A packet id that the test chooses.
    pub(super) fn id(id: u16) -> PacketId {
        PacketId::new(id).expect("the suite's packet ids are not 0")
    }

    /// The payloads, as text.
    pub(super) fn payloads(messages: &[Publish]) -> Vec<String> {
        messages.iter().map(|message| crate::client::text(&message.payload)).collect()
    }
}
