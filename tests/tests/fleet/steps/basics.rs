//! What both protocol versions have.

use crate::{
    client::{fnv1a, letters},
    peer::{message, text},
    proxy::From,
    stage::Stage,
};
use parlance_mqtt::{PacketType, Publish, QoS};
use serde_json::json;

/// Below the default limit of a message.
const LARGE_BYTES: usize = 200_000;
/// The shortest that all the libraries accept, seconds.
const SHORT_KEEP_ALIVE_S: u64 = 5;

/// A message each way, several in order, and the handshakes in full.
pub(super) async fn qos(stage: Stage<'_>, qos: QoS) {
    let (up, down) = (stage.topic("up"), stage.topic("down"));
    let (mut client, mut peer) = (stage.client("a").await, stage.peer("b").await);
    peer.subscribe(&up, qos).await;
    client.connect(json!({})).await;
    client.subscribe(&down, qos).await;

    client.publish(&up, qos, "from the client").await;
    let came = peer.message().await;
    assert_eq!((text(&came), came.qos, came.retain, came.dup), ("from the client", qos, false, false));

    let mark = client.proxy().mark();
    for number in 0..5 {
        peer.say(&down, qos, &number.to_string()).await;
    }
    for number in 0..5 {
        let came = client.message().await;
        let expected = (json!(down), json!(number.to_string()), json!(qos as u8), json!(false));
        let came =
            (came["topic"].clone(), came["payload"].clone(), came["qos"].clone(), came["retain"].clone());
        assert_eq!(came, expected);
    }
    let last = match qos {
        QoS::AtMostOnce => None,
        QoS::AtLeastOnce => Some(PacketType::PubAck),
        QoS::ExactlyOnce => Some(PacketType::PubComp),
    };
    if let Some(kind) = last {
        let count = |seen: &[crate::proxy::Seen]| {
            let is_it = |seen: &&crate::proxy::Seen| {
                seen.from == From::Client && seen.packet.packet_type() == kind && seen.passed
            };
            (seen[mark..].iter().filter(is_it).count() == 5).then_some(())
        };
        client.proxy().wait("the client acknowledges all", count).await;
    }
    client.disconnect().await;
}

/// Set, received, cleared.
pub(super) async fn retained(stage: Stage<'_>) {
    let topic = stage.topic("kept");
    let mut client = stage.client("a").await;
    client.connect(json!({})).await;
    client.publish_with(&topic, QoS::AtLeastOnce, json!({"payload": "kept", "retain": true})).await;

    let mut peer = stage.peer("b").await;
    peer.subscribe(&topic, QoS::AtLeastOnce).await;
    let came = peer.message().await;
    assert_eq!((text(&came), came.retain), ("kept", true));

    client.subscribe(&topic, QoS::AtLeastOnce).await;
    let came = client.message().await;
    assert_eq!((&came["payload"], &came["retain"]), (&json!("kept"), &json!(true)), "{came}");

    client.publish_with(&topic, QoS::AtLeastOnce, json!({"payload": "", "retain": true})).await;
    let came = peer.message().await;
    assert_eq!(
        (text(&came), came.retain),
        ("", false),
        "to a subscription that exists it is no retained one"
    );
    // Whoever subscribes now gets nothing before what is published then.
    let mut late = stage.peer("late").await;
    late.subscribe(&topic, QoS::AtLeastOnce).await;
    peer.say(&topic, QoS::AtLeastOnce, "new").await;
    let came = late.message().await;
    assert_eq!((text(&came), came.retain), ("new", false));
    for expected in ["", "new"] {
        let came = client.message().await;
        assert_eq!((&came["payload"], &came["retain"]), (&json!(expected), &json!(false)), "{came}");
    }
    client.disconnect().await;
}

pub(super) async fn will(stage: Stage<'_>) {
    let topic = stage.topic("will");
    let (mut client, mut peer) = (stage.client("a").await, stage.peer("b").await);
    peer.subscribe(&topic, QoS::AtLeastOnce).await;
    client.connect(json!({"will": {"topic": topic, "payload": "gone", "qos": 1, "retain": true}})).await;
    client.cut().await;
    let came = peer.message().await;
    assert_eq!((text(&came), came.qos, came.retain), ("gone", QoS::AtLeastOnce, false));
    let mut late = stage.peer("late").await;
    late.subscribe(&topic, QoS::AtLeastOnce).await;
    let came = late.message().await;
    assert_eq!((text(&came), came.retain), ("gone", true), "a retained will is kept");
}

pub(super) async fn no_will(stage: Stage<'_>) {
    let topic = stage.topic("will");
    let (mut client, mut peer) = (stage.client("a").await, stage.peer("b").await);
    peer.subscribe(&topic, QoS::AtLeastOnce).await;
    client.connect(json!({"will": {"topic": topic, "payload": "gone", "qos": 1, "retain": false}})).await;
    // The server has closed the connection when this returns: a will would be on its way.
    client.disconnect().await;
    peer.say(&topic, QoS::AtLeastOnce, "no will").await;
    assert_eq!(text(&peer.message().await), "no will");
}

pub(super) async fn unsubscribe(stage: Stage<'_>) {
    let (one, two) = (stage.topic("one"), stage.topic("two"));
    let (mut client, mut peer) = (stage.client("a").await, stage.peer("b").await);
    client.connect(json!({"clean": false, "expiry": 600})).await;
    client.subscribe(&one, QoS::AtLeastOnce).await;
    client.subscribe(&two, QoS::AtLeastOnce).await;
    peer.say(&one, QoS::AtLeastOnce, "first").await;
    assert_eq!(client.text().await, "first");
    client.unsubscribe(&one).await;
    peer.say(&one, QoS::AtLeastOnce, "nobody listens").await;
    peer.say(&two, QoS::AtLeastOnce, "second").await;
    assert_eq!(client.text().await, "second");
    client.disconnect().await;
}

pub(super) async fn large_sent(stage: Stage<'_>) {
    let topic = stage.topic("large");
    let (mut client, mut peer) = (stage.client("a").await, stage.peer("b").await);
    peer.subscribe(&topic, QoS::ExactlyOnce).await;
    client.connect(json!({})).await;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        client.publish_with(&topic, qos, json!({"bytes": LARGE_BYTES})).await;
        let came = peer.message().await;
        assert!(came.payload == letters(LARGE_BYTES), "{} other bytes", came.payload.len());
    }
    client.disconnect().await;
}

pub(super) async fn large_received(stage: Stage<'_>) {
    let topic = stage.topic("large");
    let (mut client, mut peer) = (stage.client("a").await, stage.peer("b").await);
    client.connect(json!({})).await;
    client.subscribe(&topic, QoS::ExactlyOnce).await;
    let payload = letters(LARGE_BYTES);
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        peer.publish(Publish { qos, ..message(&topic, payload.clone()) }).await;
        let came = client.message().await;
        assert_eq!((&came["bytes"], &came["hash"]), (&json!(LARGE_BYTES), &json!(fnv1a(&payload))));
    }
    client.disconnect().await;
}

/// An idle client pings, is answered, and is still there.
pub(super) async fn keep_alive(stage: Stage<'_>) {
    let topic = stage.topic("idle");
    let (mut client, mut peer) = (stage.client("a").await, stage.peer("b").await);
    client.connect(json!({"keepAlive": SHORT_KEEP_ALIVE_S})).await;
    client.subscribe(&topic, QoS::AtLeastOnce).await;
    let mark = client.proxy().mark();
    client.proxy().passed(mark, From::Client, PacketType::PingReq).await;
    client.proxy().passed(mark, From::Server, PacketType::PingResp).await;
    peer.say(&topic, QoS::AtLeastOnce, "awake").await;
    assert_eq!(client.text().await, "awake");
    client.disconnect().await;
}

/// The client asks, the peer answers.
pub(super) async fn request(stage: Stage<'_>) {
    let (topic, reply) = (stage.topic("question"), stage.topic("answer"));
    let (mut client, mut peer) = (stage.client("a").await, stage.peer("b").await);
    peer.subscribe(&topic, QoS::AtLeastOnce).await;
    client.connect(json!({})).await;
    let version = stage.version;
    let answering = async {
        let asked = peer.message().await;
        let mut answer = message(&reply, "an answer");
        if version == parlance_mqtt::Version::V5 {
            assert_eq!(asked.properties.response_topic.as_deref(), Some(reply.as_bytes()));
            answer.properties.correlation_data = asked.properties.correlation_data.clone();
        }
        peer.publish(answer).await;
        text(&asked).to_owned()
    };
    let (asked, answer) = tokio::join!(answering, client.request(&topic, &reply, "a question"));
    assert_eq!((asked.as_str(), &answer["payload"]), ("a question", &json!("an answer")), "{answer}");
    client.disconnect().await;
}
