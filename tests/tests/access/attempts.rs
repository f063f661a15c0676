//! The tables, tried in every way in.

use super::{
    rows::{CALLS, FORGERIES, PUBLISHES, RESPONSES, SUBSCRIPTIONS},
    way::{WAYS, Way},
    world::{ALL, Who, World},
};
use bytes::Bytes;
use parlance_schema::{Format, pb};
use parlance_tests::{
    Client, Message,
    mqtt::{QoS, ReasonCode, Version},
};
use prost::Message as _;
use serde_json::Value;

/// Somebody's connections, one for each way in, that hear errors and replies.
struct Attacker {
    who: Who,
    connections: Vec<(Way, Client)>,
}

impl Attacker {
    /// Everybody who tries, connected.
    async fn all(world: &World) -> Vec<Self> {
        let mut all = Vec::new();
        for who in ALL {
            let mut connections = Vec::new();
            for (number, way) in WAYS.into_iter().enumerate() {
                let device = way.device(&format!("{who:?}-{number}"));
                let mut client = device.connect(&world.server, world.user(who)).await;
                client.subscribe("me/json/events/#").await;
                client.subscribe("me/json/reply/#").await;
                connections.push((way, client));
            }
            all.push(Self { who, connections });
        }
        all
    }
}

fn of(attackers: &mut [Attacker], who: Who) -> &mut [(Way, Client)] {
    let found = attackers.iter_mut().find(|attacker| attacker.who == who);
    &mut found.expect("everybody is there").connections
}

/// The reason code that goes with a code, from the table of topics.md.
fn reason(code: &str) -> ReasonCode {
    match code {
        "not_a_member" | "not_authorized" => ReasonCode::NotAuthorized,
        "bad_topic" | "unknown_recipient" => ReasonCode::TopicNameInvalid,
        "bad_payload" | "bad_request" => ReasonCode::PayloadFormatInvalid,
        other => panic!("{other} has no line here"),
    }
}

/// A row in each format, if it names the format.
fn in_each_format(row: &str) -> Vec<String> {
    if !row.contains("{format}") {
        return vec![row.to_owned()];
    }
    Format::ALL.into_iter().map(|format| row.replace("{format}", format.as_str())).collect()
}

/// A payload that a topic would take if one might publish there.
fn payload(topic: &str) -> Bytes {
    let mut levels = topic.rsplit('/');
    let last = levels.next().unwrap_or_default();
    let (format, action) = match Format::from_level(last) {
        Some(format) => (format, levels.next().unwrap_or_default()),
        None => (Format::Text, last),
    };
    let (text, json, pb): (&str, &str, Vec<u8>) = match action {
        "read" => ("1", r#"{"seq": 1}"#, pb::Read { seq: 1 }.encode_to_vec()),
        "typing" => {
            ("1", r#"{"typing": true}"#, pb::Typing { typing: true, ..Default::default() }.encode_to_vec())
        }
        _ => {
            let send = pb::Send { text: "stolen".into(), ..pb::Send::default() };
            ("stolen", r#"{"text": "stolen"}"#, send.encode_to_vec())
        }
    };
    match format {
        Format::Text => text.to_owned().into(),
        Format::Json => json.to_owned().into(),
        Format::Pb => pb.into(),
    }
}

/// Publishes with QoS 1 and with QoS 0; both are refused with `code`.
async fn refused(client: &mut Client, way: Way, topic: &str, payload: Bytes, code: &str, attempt: &str) {
    let ack = client.publish(topic, payload.clone()).await;
    if way.version == Version::V5 {
        assert_eq!((ack.code(), ack.reason()), (Some(code), reason(code)), "{attempt}");
    } else {
        // 3.1.1 has no refusing PUBACK: an event says it.
        assert_eq!(next_error(client).await["code"], code, "{attempt}");
    }
    client.publish_qos0(topic, payload).await;
    assert_eq!(next_error(client).await["code"], code, "{attempt}, QoS 0");
}

async fn next_error(client: &mut Client) -> Value {
    let event = client.next().await;
    assert_eq!(event.topic(), "me/json/events/error");
    event.json()
}

#[tokio::test]
async fn nobody_publishes_where_it_does_not_belong() {
    let mut world = World::new().await;
    let mut attackers = Attacker::all(&world).await;
    for (who, topic, code) in PUBLISHES {
        for topic in in_each_format(topic) {
            let filled = world.fill(&topic);
            for (way, client) in of(&mut attackers, *who) {
                let attempt = format!("{who:?} publishes to {topic} over {way:?}");
                refused(client, *way, &filled, payload(&topic), code, &attempt).await;
            }
        }
        world.unchanged(&format!("{who:?} publishes to {topic}")).await;
    }
}

#[tokio::test]
async fn nobody_claims_to_be_somebody_else() {
    let mut world = World::new().await;
    let mut attackers = Attacker::all(&world).await;
    for (who, topic, claim) in FORGERIES {
        let claim = world.fill(claim);
        for (way, client) in of(&mut attackers, *who) {
            let attempt = format!("{who:?} publishes {claim:?} to {topic} over {way:?}");
            refused(client, *way, topic, claim.clone().into(), "bad_payload", &attempt).await;
        }
        world.unchanged(&format!("{who:?} publishes {claim:?}")).await;
    }
}

#[tokio::test]
async fn nobody_subscribes_where_it_does_not_belong() {
    let mut world = World::new().await;
    let mut attackers = Attacker::all(&world).await;
    for (who, filter) in SUBSCRIPTIONS {
        for filter in in_each_format(filter) {
            let filled = world.fill(&filter);
            for (way, client) in of(&mut attackers, *who) {
                for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                    let code = client.try_subscribe(&filled, qos).await;
                    let attempt = format!("{who:?} subscribes to {filter} over {way:?}: {code}");
                    let refusals: &[ReasonCode] = match way.version {
                        Version::V3 => &[ReasonCode::UnspecifiedError],
                        Version::V5 if filter.starts_with("$share") => {
                            &[ReasonCode::SharedSubscriptionsNotSupported, ReasonCode::NotAuthorized]
                        }
                        Version::V5 => &[ReasonCode::NotAuthorized, ReasonCode::TopicFilterInvalid],
                    };
                    assert!(refusals.contains(&code), "{attempt}");
                }
            }
        }
        world.unchanged(&format!("{who:?} subscribes to {filter}")).await;
    }
}

#[tokio::test]
async fn nobody_calls_what_it_may_not() {
    let mut world = World::new().await;
    let mut attackers = Attacker::all(&world).await;
    for (who, method, request, code) in CALLS {
        let request = world.fill(request);
        let attempt = format!("{who:?} calls {method} with {request}");
        let json: Value = serde_json::from_str(&request).expect("a row has JSON");
        let problem = world.server.try_call(&world.user(*who).token, method, json).await;
        let problem = problem.expect_err(&attempt);
        assert_eq!(problem.code, *code, "{attempt} over HTTP");
        for (way, client) in of(&mut attackers, *who) {
            let reply = call(client, method, &request).await;
            assert_eq!(reply["code"], *code, "{attempt} over {way:?}");
        }
        world.unchanged(&attempt).await;
    }
}

/// Calls over MQTT, with QoS 1.
async fn call(client: &mut Client, method: &str, request: &str) -> Value {
    let ack = client.publish(&format!("rpc/{method}"), request.to_owned()).await;
    assert!(!ack.reason().is_error(), "rpc/{method}: {}", ack.reason());
    let reply = client.next().await;
    assert_eq!(reply.topic(), format!("me/json/reply/{method}"));
    reply.json()
}

#[tokio::test]
async fn nobody_has_an_answer_sent_to_somebody_else() {
    let mut world = World::new().await;
    let mut attackers = Attacker::all(&world).await;
    for topic in RESPONSES {
        let filled = world.fill(topic);
        for (way, client) in of(&mut attackers, Who::Mallory) {
            if way.version == Version::V3 {
                continue; // has no Response Topic
            }
            let call = Message::new("rpc/me", "{}").answer_to(&filled, "mine");
            let ack = client.publish_message(&call).await;
            assert_eq!(ack.code(), Some("bad_request"), "{topic} over {way:?}");
        }
        world.unchanged(&format!("a call with the response topic {topic}")).await;
    }
}

/// Without a credential nothing can be called but what makes one.
#[tokio::test]
async fn nobody_calls_anything_without_a_credential() {
    let mut world = World::new().await;
    for (_, method, request, _) in CALLS {
        let request: Value = serde_json::from_str(&world.fill(request)).expect("a row has JSON");
        let problem = world.server.try_call("", method, request).await.expect_err(method);
        assert_eq!((&*problem.code, problem.status), ("not_authenticated", 401), "{method}");
    }
    world.unchanged("calls without a credential").await;
}
