//! What is refused: MQTT 5 says it in the PUBACK, 3.1.1 in an error event, HTTP in a problem document. Nothing of it is stored.

use crate::{QUIET, pair};
use parlance_tests::{
    Broker, Client, Device, Message, PATIENCE, Server, User, eventually,
    mqtt::{QoS, ReasonCode, Version},
};
use serde_json::json;

/// A publish that is refused.
struct Case {
    topic: String,
    payload: Vec<u8>,
    code: &'static str,
    reason: ReasonCode,
}

fn case(topic: &str, payload: impl Into<Vec<u8>>, code: &'static str, reason: ReasonCode) -> Case {
    Case { topic: topic.to_owned(), payload: payload.into(), code, reason }
}

/// All of them, for alice. `closed` is a group that she is no member of; it has the handle `closed`.
fn cases(closed: &str) -> Vec<Case> {
    use ReasonCode::{NotAuthorized, PayloadFormatInvalid, QuotaExceeded, TopicNameInvalid};
    vec![
        case("app/lamp", "on", "not_authorized", NotAuthorized),
        case("$SYS/broker", "x", "not_authorized", NotAuthorized),
        case("user/@bob/xml", "x", "bad_topic", TopicNameInvalid),
        case("user/bob/text", "x", "bad_topic", TopicNameInvalid),
        case("user/@bob/presence", "online", "bad_topic", TopicNameInvalid),
        case("me/text/inbox/@bob/@bob", "x", "bad_topic", TopicNameInvalid),
        case("user/@bob/text", "", "bad_payload", PayloadFormatInvalid),
        case("user/@bob/text", [0xff, 0xfe], "bad_payload", PayloadFormatInvalid),
        case("user/@bob/json", "{", "bad_payload", PayloadFormatInvalid),
        case("user/@bob/json", r#"{"text": "x", "txet": "y"}"#, "bad_payload", PayloadFormatInvalid),
        case("user/@bob/pb", [0xff, 0xff], "bad_payload", PayloadFormatInvalid),
        case("user/@bob/read", "seven", "bad_payload", PayloadFormatInvalid),
        case("user/@nobody/text", "x", "unknown_recipient", TopicNameInvalid),
        case(&format!("group/{closed}/text"), "x", "not_a_member", NotAuthorized),
        case("group/@closed/text", "x", "not_a_member", NotAuthorized),
        case("group/@no.such.group/text", "x", "not_a_member", NotAuthorized),
        case(&format!("group/{closed}/read"), "1", "not_a_member", NotAuthorized),
        case(&format!("group/{closed}/typing"), "1", "not_a_member", NotAuthorized),
        case("user/@bob/text", vec![b'x'; 262_145], "message_too_large", QuotaExceeded),
    ]
}

async fn world() -> (Server, User, User, String) {
    let (server, alice, bob) = pair().await;
    let closed = server.group(&bob, "closed", &[]).await;
    (server, alice, bob, closed)
}

async fn nothing_was_stored(server: &Broker, alice: &User, bob: &User, closed: &str) {
    assert_eq!(server.history(&alice.token, "@bob").await, Vec::<serde_json::Value>::new());
    // Its creation is all that a group of one begins with.
    assert_eq!(server.history(&bob.token, closed).await.len(), 1);
}

#[tokio::test]
async fn mqtt_5_says_it_in_the_puback() {
    let (server, alice, bob, closed) = world().await;
    let mut device = Device::new("phone").connect(&server, &alice).await;
    for Case { topic, payload, code, reason } in cases(&closed) {
        let acked = device.publish(&topic, payload).await;
        assert_eq!((acked.code(), acked.reason()), (Some(code), reason), "{topic}");
        assert!(acked.0.reason_string.is_some_and(|words| !words.is_empty()), "{topic}");
    }
    nothing_was_stored(&server, &alice, &bob, &closed).await;
}

/// 3.1.1 has no other way, and a publish with QoS 0 has no acknowledgement.
#[tokio::test]
async fn others_are_told_by_an_error_event() {
    let (server, alice, bob, closed) = world().await;
    let mut three = watching(&Device::new("three").v3(), &server, &alice).await;
    for Case { topic, payload, code, .. } in cases(&closed) {
        three.publish(&topic, payload).await;
        assert_event(&mut three, code, &topic).await;
    }
    for device in [Device::new("zero-3").v3(), Device::new("zero-5")] {
        let mut zero = watching(&device, &server, &alice).await;
        for Case { topic, payload, code, .. } in cases(&closed) {
            zero.publish_qos0(&topic, payload).await;
            assert_event(&mut zero, code, &topic).await;
        }
    }
    nothing_was_stored(&server, &alice, &bob, &closed).await;
}

async fn watching(device: &Device, server: &Broker, user: &User) -> Client {
    let mut client = device.connect(server, user).await;
    client.subscribe("me/json/events/#").await;
    client
}

async fn assert_event(client: &mut Client, code: &str, topic: &str) {
    let event = client.next().await;
    assert_eq!(event.topic(), "me/json/events/error");
    let event = event.json();
    assert_eq!(event["code"], code, "{topic}: {event}");
    // What the ledger refuses is told without the topic; what the topic alone decides, with it.
    let told = event["topic"].as_str().unwrap_or_default();
    assert!(told == topic || told.is_empty(), "{topic}: {event}");
}

#[tokio::test]
async fn http_says_it_in_a_problem_document() {
    let (server, alice, bob, closed) = world().await;
    let large = "x".repeat(262_145);
    for (to, text, status, code) in [
        ("@bob", "", 400, "bad_payload"),
        ("@nobody", "x", 404, "unknown_recipient"),
        (closed.as_str(), "x", 403, "not_a_member"),
        ("@bob", large.as_str(), 413, "message_too_large"),
    ] {
        let problem = server.try_call(&alice.token, "sendMessage", json!({"to": to, "text": text})).await;
        let problem = problem.expect_err("it is refused");
        assert_eq!((problem.status, problem.code.as_str()), (status, code), "{to}");
        assert_eq!(problem.kind, format!("urn:parlance:error:{code}"));
    }
    for (token, status, code) in [("", 401, "not_authenticated"), ("forged", 401, "token_invalid")] {
        let problem = server.try_call(token, "sendMessage", json!({"to": "@bob", "text": "x"})).await;
        let problem = problem.expect_err("it is refused");
        assert_eq!((problem.status, problem.code.as_str()), (status, code));
    }
    nothing_was_stored(&server, &alice, &bob, &closed).await;
}

#[tokio::test]
async fn what_cannot_be_subscribed_to() {
    let (server, alice, _, _) = world().await;
    use ReasonCode::{NotAuthorized, SharedSubscriptionsNotSupported, TopicFilterInvalid};
    let filters = [
        ("#", NotAuthorized),
        ("+/+/+", NotAuthorized),
        ("$SYS/#", NotAuthorized),
        ("user/@bob/text", NotAuthorized),
        ("user/@bob/presence", NotAuthorized), // they have not talked
        ("me/text/inbox", NotAuthorized),
        ("me/#", TopicFilterInvalid),
        ("me/+/inbox/#", TopicFilterInvalid),
        ("user/+/presence", TopicFilterInvalid),
        ("$share/workers/me/text/inbox/#", SharedSubscriptionsNotSupported),
    ];
    let mut five = Device::new("five").connect(&server, &alice).await;
    let mut three = Device::new("three").v3().connect(&server, &alice).await;
    for (filter, reason) in filters {
        if filter.starts_with("$share") {
            // MQTT-3.8.3: a client that was told that there are none and asks for one is answered with 0x9E.
            assert_eq!(five.try_subscribe(filter, QoS::AtLeastOnce).await, reason);
            continue;
        }
        assert_eq!(five.try_subscribe(filter, QoS::AtLeastOnce).await, reason, "{filter}");
        assert_eq!(
            three.try_subscribe(filter, QoS::AtLeastOnce).await,
            ReasonCode::UnspecifiedError,
            "{filter}"
        );
    }
}

/// The same id with another body, or in another conversation.
#[tokio::test]
async fn an_id_names_one_message() {
    let (server, alice, bob) = pair().await;
    let carol = server.user("carol").await;
    let mut five = Device::new("five").connect(&server, &alice).await;
    five.publish("user/@bob/json", r#"{"id": "a", "text": "one"}"#).await;
    for (topic, text) in [("user/@bob/json", "two"), ("user/@carol/json", "one")] {
        let acked = five.publish(topic, json!({"id": "a", "text": text}).to_string()).await;
        assert_eq!(
            (acked.reason(), acked.code()),
            (ReasonCode::ImplementationSpecificError, Some("id_reused"))
        );
    }
    let mut three = watching(&Device::new("three").version(Version::V3), &server, &alice).await;
    three.publish("user/@bob/json", r#"{"id": "a", "text": "three"}"#).await;
    assert_eq!(three.next().await.json()["code"], "id_reused");
    let request = json!({"to": "@bob", "id": "a", "text": "four"});
    let problem = server.try_call(&alice.token, "sendMessage", request).await.expect_err("it is refused");
    assert_eq!((problem.status, problem.code.as_str()), (409, "id_reused"));

    // An id is its sender's: another sender has its own.
    let mut other = Device::new("other").connect(&server, &carol).await;
    assert_eq!(
        other.publish("user/@bob/json", r#"{"id": "a", "text": "mine"}"#).await.reason(),
        ReasonCode::Success
    );
    assert_eq!(server.history(&bob.token, "@alice").await.len(), 1);
}

/// A typing sign that is refused costs its sender an event and the others nothing.
#[tokio::test]
async fn a_stranger_cannot_type() {
    let (server, alice, bob) = pair().await;
    let mut phone = Device::new("phone").connect(&server, &bob).await;
    phone.subscribe("me/json/typing/#").await;
    let mut stranger = watching(&Device::new("stranger"), &server, &alice).await;
    let sign = Message::new("user/@bob/typing", "1").qos0();
    stranger.send(&sign).await.expect("it is sent");
    assert_event(&mut stranger, "not_a_member", "user/@bob/typing").await;
    assert_eq!(phone.next_within(QUIET).await, None);
    stranger.publish("user/@bob/text", "hello").await;
    eventually(PATIENCE, "they have talked: now she may", async || {
        stranger.send(&sign).await.expect("it is sent");
        phone.next_within(QUIET).await
    })
    .await;
}
