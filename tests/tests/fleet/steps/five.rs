//! What MQTT 5 adds.

use crate::{
    peer::{message, text},
    proxy::From,
    stage::Stage,
};
use bytes::Bytes;
use parlance_mqtt::{Packet, PublishProperties, QoS};
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};

/// A short Message Expiry Interval and the time after which it is over for certain.
const SHORT_S: u32 = 1;
const LONG_S: u32 = 1_000;
const OVER: Duration = Duration::from_millis(2_100);
/// What the smallest clients have.
const SMALL_PACKET_BYTES: u32 = 256;

fn carried() -> PublishProperties {
    let bytes = Bytes::from_static;
    PublishProperties {
        payload_is_utf8: Some(true),
        response_topic: Some(bytes(b"app/elsewhere")),
        correlation_data: Some(bytes(b"question 7")),
        content_type: Some(bytes(b"text/plain")),
        user_properties: vec![(bytes(b"one"), bytes(b"1")), (bytes(b"two"), bytes(b"2"))],
        ..PublishProperties::default()
    }
}

/// What a publisher attaches arrives, both ways.
pub(super) async fn properties(stage: Stage<'_>) {
    let (up, down) = (stage.topic("up"), stage.topic("down"));
    let (mut client, mut peer) = (stage.client("a").await, stage.peer("b").await);
    peer.subscribe(&up, QoS::AtLeastOnce).await;
    client.connect(json!({})).await;
    client.subscribe(&down, QoS::AtLeastOnce).await;
    let told = json!({
        "payload": "carries", "utf8": true, "responseTopic": "app/elsewhere", "correlation": "question 7",
        "contentType": "text/plain", "user": {"one": "1", "two": "2"},
    });
    client.publish_with(&up, QoS::AtLeastOnce, told.clone()).await;
    assert_eq!(peer.message().await.properties, carried());

    let mut publish = message(&down, "carries");
    publish.properties = carried();
    peer.publish(publish).await;
    let came = client.message().await;
    for (name, value) in told.as_object().expect("an object") {
        assert_eq!(&came[name], value, "{name} of {came}");
    }
    client.disconnect().await;
}

/// What has expired does not come any more, and what has not says how long it still has.
pub(super) async fn expiry(stage: Stage<'_>) {
    let (up, down) = (stage.topic("up"), stage.topic("down"));
    let (mut client, mut peer) = (stage.client("a").await, stage.peer("b").await);
    peer.subscribe(&up, QoS::AtLeastOnce).await;
    client.connect_to_session().await;
    client.publish_with(&up, QoS::AtLeastOnce, json!({"payload": "soon over", "expiry": LONG_S})).await;
    let came = peer.message().await.properties.message_expiry_s;
    assert!(came.is_some_and(|left| left <= LONG_S && left > LONG_S - 60), "{came:?}");

    client.subscribe(&down, QoS::AtLeastOnce).await;
    client.disconnect().await;
    for (seconds, payload) in [(SHORT_S, "over"), (LONG_S, "not over")] {
        let mut publish = message(&down, payload);
        publish.properties.message_expiry_s = Some(seconds);
        peer.publish(publish).await;
    }
    // Time itself is what is tested: one message must be over, the other has waited.
    tokio::time::sleep(OVER).await;
    client.connect_to_session().await;
    let came = client.message().await;
    let left = came["expiry"].as_u64().unwrap_or_else(|| panic!("no expiry: {came}"));
    assert_eq!(came["payload"], "not over", "{came}");
    assert!(left < u64::from(LONG_S) - 1 && left > u64::from(LONG_S) - 60, "{left} seconds left");
    client.disconnect().await;
}

pub(super) async fn subscription_id(stage: Stage<'_>) {
    let topic = stage.topic("numbered");
    let (mut client, mut peer) = (stage.client("a").await, stage.peer("b").await);
    client.connect(json!({})).await;
    client.subscribe_with(&topic, QoS::AtLeastOnce, json!({"subscriptionId": 7})).await;
    peer.say(&topic, QoS::AtLeastOnce, "numbered").await;
    let came = client.message().await;
    assert_eq!(came["subscriptionIds"], json!([7]), "{came}");
    client.disconnect().await;
}

/// The second message names its topic by the alias alone.
pub(super) async fn alias_sent(stage: Stage<'_>) {
    let topic = stage.topic("a-rather-long-name");
    let (mut client, mut peer) = (stage.client("a").await, stage.peer("b").await);
    peer.subscribe(&topic, QoS::AtLeastOnce).await;
    client.connect(json!({})).await;
    let mark = client.proxy().mark();
    client.publish_with(&topic, QoS::AtLeastOnce, json!({"payload": "by name", "alias": 1})).await;
    client.publish_with("", QoS::AtLeastOnce, json!({"payload": "by alias", "alias": 1})).await;
    for expected in ["by name", "by alias"] {
        let came = peer.message().await;
        assert_eq!((text(&came), came.topic.as_ref().map(|topic| topic.as_str())), (expected, Some(&*topic)));
    }
    let sent: Vec<bool> = client
        .proxy()
        .seen(mark)
        .iter()
        .filter_map(|seen| match &seen.packet {
            Packet::Publish(publish) if seen.from == From::Client => {
                assert_eq!(publish.properties.topic_alias, Some(1));
                Some(publish.topic.is_some())
            }
            _ => None,
        })
        .collect();
    assert_eq!(sent, [true, false], "the client sent its topic once");
    client.disconnect().await;
}

/// A client that takes aliases gets each message with its topic, whether the server uses them or not.
pub(super) async fn alias_received(stage: Stage<'_>) {
    let topics = ["one", "two"].map(|last| stage.topic(last));
    let (mut client, mut peer) = (stage.client("a").await, stage.peer("b").await);
    client.connect(json!({"aliases": 10})).await;
    client.subscribe(&stage.topic("#"), QoS::AtLeastOnce).await;
    let mark = client.proxy().mark();
    for number in 0..6 {
        peer.say(&topics[number % 2], QoS::AtLeastOnce, &number.to_string()).await;
    }
    for number in 0..6 {
        let came = client.message().await;
        let expected = (json!(topics[number % 2]), json!(number.to_string()));
        assert_eq!((came["topic"].clone(), came["payload"].clone()), expected);
    }
    let short = |seen: &&crate::proxy::Seen| {
        seen.from == From::Server
            && matches!(&seen.packet, Packet::Publish(publish) if publish.topic.is_none())
    };
    let count = client.proxy().seen(mark).iter().filter(short).count();
    println!("    {}: {count} of 6 messages came by their alias", stage.kind.name());
    client.disconnect().await;
}

/// Two members of a share get everything once between them.
pub(super) async fn shared(stage: Stage<'_>) {
    const MESSAGES: usize = 20;
    let topic = stage.topic("work");
    let filter = format!("$share/workers/{topic}");
    let mut members = [stage.client("a").await, stage.client("b").await];
    for member in &mut members {
        member.connect(json!({})).await;
        member.subscribe(&filter, QoS::AtLeastOnce).await;
    }
    let mut peer = stage.peer("c").await;
    for number in 0..MESSAGES {
        peer.say(&topic, QoS::AtLeastOnce, &number.to_string()).await;
    }
    let [one, two] = &mut members;
    let (mut came, mut shares) = (BTreeSet::new(), [0, 0]);
    while came.len() < MESSAGES {
        let (member, text) = tokio::select! {
            text = one.text() => (0, text),
            text = two.text() => (1, text),
        };
        shares[member] += 1;
        assert!(came.insert(text.clone()), "{text} came twice");
    }
    assert!(shares.iter().all(|share| *share > 0), "{shares:?}: one member got nothing");
    // Nothing more comes than what was asked for: what follows is the next message of each.
    for (member, name) in members.iter_mut().zip(["a", "b"]) {
        let own = stage.topic(name);
        member.subscribe(&own, QoS::AtLeastOnce).await;
        peer.say(&own, QoS::AtLeastOnce, name).await;
        assert_eq!(member.text().await, name);
        member.disconnect().await;
    }
}

/// What is larger than the client takes is left out; what follows comes.
pub(super) async fn maximum_packet(stage: Stage<'_>) {
    let topic = stage.topic("small");
    let (mut client, mut peer) = (stage.client("a").await, stage.peer("b").await);
    client.connect(json!({"maxPacket": SMALL_PACKET_BYTES})).await;
    client.subscribe(&topic, QoS::AtLeastOnce).await;
    let large = "x".repeat(SMALL_PACKET_BYTES as usize);
    for payload in ["first", &large, "second"] {
        peer.say(&topic, QoS::AtLeastOnce, payload).await;
    }
    for expected in ["first", "second"] {
        assert_eq!(client.text().await, expected);
    }
    client.disconnect().await;
}
