//! QoS 2 half done: the connection is cut, or the server killed, at an exact packet of the handshake; the client comes
//! back to its session, completes, and the message is there exactly once.

use crate::{broker::Broker, client::Client, peer::text, proxy::From, stage::Stage};
use parlance_mqtt::{Packet, PacketType, QoS};
use serde_json::json;

/// How far the handshake came: the packet after this one is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// PUBLISH arrived, its PUBREC did not.
    Publish,
    /// PUBREC arrived, PUBREL did not.
    Received,
    /// PUBREL arrived, PUBCOMP did not.
    Released,
}

impl Begun {
    /// The packet that is held back, where `publisher` publishes.
    fn held(self, publisher: From) -> (From, PacketType) {
        let receiver = if publisher == From::Client { From::Server } else { From::Client };
        match self {
            Self::Publish => (receiver, PacketType::PubRec),
            Self::Received => (publisher, PacketType::PubRel),
            Self::Released => (receiver, PacketType::PubComp),
        }
    }
}

/// What happens then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Cut,
    Killed,
}

/// Ends the connection, and the server if need be; brings both back, to the same session.
async fn end(broker: &mut Broker, client: &mut Client, end: End) {
    client.proxy().held().await;
    if end == End::Killed {
        broker.kill().await;
    }
    client.cut().await;
    broker.ensure_running().await;
    client.connect_to_session().await;
    assert!(client.session_present().await, "the session is there");
}

/// The client publishes. Whoever listens is away until all is done, and then finds the message once.
pub(super) async fn publisher(stage: Stage<'_>, begun: Begun, how: End) {
    let topic = stage.topic("up");
    let mut peer = stage.peer_with("b", false).await;
    peer.subscribe(&topic, QoS::ExactlyOnce).await;
    peer.disconnect().await;
    let mut client = stage.client("a").await;
    client.connect_to_session().await;
    // The packet id of what follows differs from any that is counted from one.
    client.publish(&topic, QoS::ExactlyOnce, "before").await;

    let (from, kind) = begun.held(From::Client);
    client.proxy().hold(from, kind);
    client.begin_publish(&topic, QoS::ExactlyOnce, json!({"payload": "half done"})).await;
    client.proxy().held().await;
    let mark = client.proxy().mark();
    end(stage.broker, &mut client, how).await;

    client.proxy().passed(mark, From::Server, PacketType::PubComp).await;
    let again = client.proxy().seen(mark);
    let republished = again.iter().any(|seen| matches!(&seen.packet, Packet::Publish(again) if again.dup));
    if begun != Begun::Publish {
        assert!(!republished, "after PUBREC nothing is published again (MQTT-4.3.3)");
    }
    client.settled().await;
    client.publish(&topic, QoS::ExactlyOnce, "after").await;
    client.disconnect().await;

    let mut peer = stage.peer_with("b", false).await;
    assert!(peer.session_present(), "the session of the peer is there");
    for expected in ["before", "half done", "after"] {
        assert_eq!(text(&peer.message().await), expected);
    }
}

/// The client receives: the message is handed over once, before or after.
pub(super) async fn receiver(stage: Stage<'_>, begun: Begun, how: End) {
    let topic = stage.topic("down");
    let mut client = stage.client("a").await;
    client.connect_to_session().await;
    client.subscribe(&topic, QoS::ExactlyOnce).await;
    let mut peer = stage.peer("b").await;
    peer.say(&topic, QoS::ExactlyOnce, "before").await;
    assert_eq!(client.text().await, "before");
    client.proxy().passed(0, From::Client, PacketType::PubComp).await;

    let (from, kind) = begun.held(From::Server);
    client.proxy().hold(from, kind);
    peer.say(&topic, QoS::ExactlyOnce, "half done").await;
    client.proxy().held().await;
    let mark = client.proxy().mark();
    end(stage.broker, &mut client, how).await;

    client.proxy().passed(mark, From::Client, PacketType::PubComp).await;
    let again = client.proxy().seen(mark);
    let mut again = again.iter().filter_map(|seen| match &seen.packet {
        Packet::Publish(publish) => Some(publish),
        _ => None,
    });
    let republished = again.next().is_some_and(|publish| {
        assert!(publish.dup, "it may have been received: {publish:?} (MQTT-3.3.1-1)");
        true
    });
    assert_eq!(
        republished,
        begun == Begun::Publish,
        "a PUBREC that arrived is the end of PUBLISH (MQTT-4.3.3)"
    );
    let mut peer = stage.peer("c").await;
    peer.say(&topic, QoS::ExactlyOnce, "after").await;
    for expected in ["half done", "after"] {
        assert_eq!(client.text().await, expected);
    }
    client.disconnect().await;
}
