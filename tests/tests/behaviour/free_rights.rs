//! Access rules: on publish, on subscribe, on delivery; live.

use crate::{QUIET, VERSIONS, free::payloads};
use parlance_tests::{
    Device, Message, Server,
    mqtt::{QoS, ReasonCode, Version},
};
use serde_json::{Value, json};

async fn rules(server: &Server, rules: Value) {
    server.admin("setAccessRules", json!({"rules": rules})).await;
}

fn rule(who: &str, action: &str, topic: &str) -> Value {
    json!({"who": who, "action": action, "topic": topic})
}

#[tokio::test]
async fn a_rule_allows_what_it_says_and_nothing_else() {
    let server = Server::start(Server::options()).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    rules(
        &server,
        json!([
            {"who": "*", "action": "both", "topic": "app/secret/#", "deny": true},
            rule("@alice", "publish", "app/%u/#"),
            rule("@bob", "subscribe", "app/#"),
        ]),
    )
    .await;
    for version in VERSIONS {
        let mut reader = Device::new("phone").version(version).connect(&server, &bob).await;
        reader.subscribe("app/#").await;
        assert!(reader.try_subscribe("other/#", QoS::AtLeastOnce).await.is_error());
        let mut writer = Device::new("phone").version(version).connect(&server, &alice).await;
        for (topic, allowed) in [("app/alice/x", true), ("app/bob/x", false), ("app/secret/x", false)] {
            let acked = writer.publish(topic, topic).await;
            if version == Version::V5 {
                let expected = if allowed { ReasonCode::Success } else { ReasonCode::NotAuthorized };
                assert_eq!(acked.reason(), expected, "{topic}");
            }
        }
        assert!(writer.try_subscribe("app/#", QoS::AtLeastOnce).await.is_error());
        assert_eq!(payloads(&mut reader, 1).await, ["app/alice/x"]);
        assert_eq!(reader.next_within(QUIET).await, None);
    }
}

/// A change is live at once: for who is connected, for what waits in queues, for what is retained.
#[tokio::test]
async fn a_right_that_was_taken_is_gone_at_once() {
    let server = Server::start(Server::options()).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let both = json!([rule("*", "both", "app/#")]);
    rules(&server, both.clone()).await;
    let away = Device::new("away");
    let mut leaving = away.connect(&server, &bob).await;
    leaving.subscribe("app/#").await;
    leaving.disconnect().await;
    let mut reader = Device::new("phone").connect(&server, &bob).await;
    reader.subscribe("app/#").await;
    let mut writer = Device::new("phone").connect(&server, &alice).await;
    writer.publish_message(&Message::new("app/a", "allowed").retain()).await;
    assert_eq!(payloads(&mut reader, 1).await, ["allowed"]);

    rules(&server, json!([rule("@alice", "both", "app/#")])).await;
    writer.publish("app/a", "not for bob").await;
    writer.publish_qos0("app/a", "not for bob").await;
    assert_eq!(reader.next_within(QUIET).await, None);
    assert_eq!(reader.publish("app/a", "x").await.reason(), ReasonCode::NotAuthorized);
    assert!(reader.try_subscribe("app/a", QoS::AtLeastOnce).await.is_error());
    let mut back = away.connect(&server, &bob).await;
    assert!(back.session_present());
    assert_eq!(back.next_within(QUIET).await, None, "what was queued before is not his any more");

    // The subscription stayed: with the right it delivers again.
    rules(&server, both).await;
    writer.publish("app/a", "again").await;
    assert_eq!(payloads(&mut reader, 1).await, ["again"]);
    assert_eq!(payloads(&mut back, 1).await, ["again"]);
}
