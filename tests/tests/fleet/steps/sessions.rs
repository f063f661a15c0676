//! Sessions that outlive their connection, and the server.

use crate::stage::Stage;
use parlance_mqtt::QoS;
use serde_json::json;
use std::collections::BTreeMap;

/// A session is there after a DISCONNECT, with its subscriptions; and gone after a clean start.
pub(super) async fn session(stage: Stage<'_>) {
    let topic = stage.topic("news");
    let (mut client, mut peer) = (stage.client("a").await, stage.peer("b").await);
    client.connect_to_session().await;
    client.subscribe(&topic, QoS::AtLeastOnce).await;
    client.disconnect().await;
    client.connect_to_session().await;
    assert!(client.session_present().await, "the session is there");
    peer.say(&topic, QoS::AtLeastOnce, "still subscribed").await;
    assert_eq!(client.text().await, "still subscribed");
    client.disconnect().await;

    let mut other = stage.client("clean").await;
    other.connect(json!({})).await;
    other.subscribe(&topic, QoS::AtLeastOnce).await;
    assert!(!other.session_present().await, "nobody was here before");
    other.disconnect().await;
}

pub(super) async fn cut(stage: Stage<'_>) {
    let topic = stage.topic("news");
    let (mut client, mut peer) = (stage.client("a").await, stage.peer("b").await);
    client.connect_to_session().await;
    client.subscribe(&topic, QoS::AtLeastOnce).await;
    client.cut().await;
    peer.say(&topic, QoS::AtLeastOnce, "while it was away").await;
    client.connect_to_session().await;
    assert!(client.session_present().await, "the session is there");
    assert_eq!(client.text().await, "while it was away");
    client.disconnect().await;
}

/// The server is killed while the client is away with messages in its queue.
pub(super) async fn restart(stage: Stage<'_>) {
    let topic = stage.topic("news");
    let (mut client, mut peer) = (stage.client("a").await, stage.peer("b").await);
    client.connect_to_session().await;
    client.subscribe(&topic, QoS::ExactlyOnce).await;
    client.cut().await;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        peer.say(&topic, qos, &format!("before, QoS {}", qos as u8)).await;
    }
    stage.broker.kill().await;
    stage.broker.ensure_running().await;
    client.connect_to_session().await;
    assert!(client.session_present().await, "the session is there");
    let mut peer = stage.peer("c").await;
    peer.say(&topic, QoS::ExactlyOnce, "after").await;
    for expected in ["before, QoS 1", "before, QoS 2", "after"] {
        assert_eq!(client.text().await, expected);
    }
    client.disconnect().await;
}

/// Many messages wait for a client that said goodbye, and come in their order, each with its QoS. The order is that of
/// each QoS: a client may hand over a message of QoS 2 when it is released.
pub(super) async fn offline(stage: Stage<'_>) {
    let topic = stage.topic("queue");
    let (mut client, mut peer) = (stage.client("a").await, stage.peer("b").await);
    client.connect_to_session().await;
    client.subscribe(&topic, QoS::ExactlyOnce).await;
    client.disconnect().await;
    let qos_of = |number: u8| QoS::try_from(number % 2 + 1).expect("1 or 2");
    for number in 0..30 {
        peer.say(&topic, qos_of(number), &number.to_string()).await;
    }
    client.connect_to_session().await;
    assert!(client.session_present().await, "the session is there");
    let mut came = BTreeMap::new();
    for _ in 0..30 {
        let message = client.message().await;
        let payload: u8 = message["payload"].as_str().and_then(|text| text.parse().ok()).expect("a number");
        came.entry(message["qos"].as_u64()).or_insert_with(Vec::new).push(payload);
    }
    for qos in [1, 2] {
        let sent: Vec<u8> = (0..30).filter(|number| qos_of(*number) as u64 == qos).collect();
        assert_eq!(came[&Some(qos)], sent, "QoS {qos}");
    }
    client.disconnect().await;
}
