//! What a client of free topics may count on beside QoS: properties, aliases, identifiers, No Local, limits, `$SYS`.

use crate::{
    QUIET, VERSIONS,
    free::{device, filter, lab, payloads, subscribed},
};
use parlance_tests::{
    Closed, Device, Message, PATIENCE, Server, eventually,
    mqtt::{QoS, ReasonCode, SubscribeFilter, Version},
};

#[tokio::test]
async fn properties_are_carried_through() {
    let server = lab().await;
    let mut reader = subscribed(&device(&server, "reader"), "app/#").await;
    let mut old = subscribed(&device(&server, "old").v3(), "app/#").await;
    let mut writer = device(&server, "writer").connect_open().await;
    let message =
        Message::new("app/a", "ask").answer_to("app/answers/1", "c-7").property("a", "1").with(|publish| {
            publish.properties.payload_is_utf8 = Some(true);
            publish.properties.content_type = Some("text/x".into());
            publish.properties.user_properties.push(("a".into(), "2".into()));
        });
    for message in [message.clone(), message.clone().qos2(), message.qos0()] {
        writer.send(&message).await.expect("it is sent");
        let got = reader.next().await.0.properties;
        assert_eq!(got.response_topic.as_deref(), Some(&b"app/answers/1"[..]));
        assert_eq!(got.correlation_data.as_deref(), Some(&b"c-7"[..]));
        assert_eq!((got.payload_is_utf8, got.content_type.as_deref()), (Some(true), Some(&b"text/x"[..])));
        assert_eq!(got.user_properties, [("a".into(), "1".into()), ("a".into(), "2".into())]);
        assert_eq!(old.next().await.text(), "ask");
    }
}

#[tokio::test]
async fn topic_aliases_in_both_directions() {
    let server = lab().await;
    let mut reader = device(&server, "reader").topic_alias_maximum(2).connect_open().await;
    reader.subscribe("app/#").await;
    let mut writer = device(&server, "writer").connect_open().await;
    assert_eq!(writer.connack().properties.topic_alias_maximum, Some(64));
    writer.publish_message(&Message::new("app/a", "one").topic_alias(5)).await;
    writer
        .publish_message(&Message::new("app/x", "two").topic_alias(5).with(|publish| publish.topic = None))
        .await;
    let got = reader.next_many(2).await;
    assert!(got.iter().all(|delivery| delivery.topic() == "app/a"));
    assert!(got[1].0.properties.topic_alias.is_some(), "the client takes aliases");
    for topic in ["app/b", "app/c", "app/d", "app/b"] {
        writer.publish(topic, "x").await;
        assert_eq!(reader.next().await.topic(), topic);
    }
    // MQTT-3.3.2-9
    let mut over = device(&server, "over").connect_open().await;
    over.send(&Message::new("app/a", "x").topic_alias(65)).await.expect("it is sent");
    assert_eq!(over.closed().await.reason(), Some(ReasonCode::TopicAliasInvalid));
}

#[tokio::test]
async fn overlapping_subscriptions_are_one_delivery_with_all_identifiers() {
    let server = lab().await;
    let mut reader = device(&server, "reader").connect_open().await;
    reader.subscribe_with(filter("app/#", QoS::AtMostOnce), Some(1)).await;
    reader.subscribe_with(filter("app/+", QoS::AtLeastOnce), Some(2)).await;
    reader.subscribe_with(filter("other", QoS::AtLeastOnce), Some(3)).await;
    let mut writer = device(&server, "writer").connect_open().await;
    writer.publish_message(&Message::new("app/a", "x").qos2()).await;
    let delivery = reader.next().await;
    let mut ids = delivery.0.properties.subscription_ids.clone();
    ids.sort_unstable();
    assert_eq!((delivery.0.qos, &ids[..]), (QoS::AtLeastOnce, &[1, 2][..]));
    assert_eq!(reader.next_within(QUIET).await, None);
}

#[tokio::test]
async fn no_local_keeps_a_clients_own_messages_from_it() {
    let server = lab().await;
    let mut client = device(&server, "client").connect_open().await;
    let local = SubscribeFilter { no_local: true, ..filter("app/#", QoS::AtLeastOnce) };
    assert_eq!(client.subscribe_with(local, None).await, ReasonCode::GrantedQoS1);
    client.publish("app/a", "mine").await;
    client.publish_qos0("app/a", "mine").await;
    let mut other = device(&server, "other").connect_open().await;
    other.publish("app/a", "another's").await;
    assert_eq!(payloads(&mut client, 1).await, ["another's"]);
    assert_eq!(client.next_within(QUIET).await, None);
}

#[tokio::test]
async fn what_is_larger_than_a_client_takes_is_passed_over() {
    let server = lab().await;
    let mut small = device(&server, "small").packet_bytes_max(200).connect_open().await;
    small.try_subscribe("app/#", QoS::ExactlyOnce).await;
    let mut writer = device(&server, "writer").connect_open().await;
    for qos2 in [false, true] {
        for text in ["x".repeat(300), "fits".to_owned()] {
            let message = Message::new("app/a", text);
            writer.publish_message(&if qos2 { message.qos2() } else { message }).await;
        }
        assert_eq!(payloads(&mut small, 1).await, ["fits"]);
    }
    assert_eq!(small.next_within(QUIET).await, None);
}

#[tokio::test]
async fn unsubscribing_says_what_there_was() {
    let server = lab().await;
    let mut client = device(&server, "client").connect_open().await;
    client.subscribe("app/#").await;
    assert_eq!(client.unsubscribe("app/#").await, ReasonCode::Success);
    assert_eq!(client.unsubscribe("app/#").await, ReasonCode::NoSubscriptionExisted);
    assert_eq!(client.publish("app/a", "x").await.reason(), ReasonCode::NoMatchingSubscribers);
}

/// An open listener knows nobody, so nothing of the messenger is there: not to write, not to read, not to call.
#[tokio::test]
async fn an_open_listener_has_free_topics_only() {
    let server = lab().await;
    let alice = server.user("alice").await;
    let mut inbox = Device::new("phone").connect(&server, &alice).await;
    inbox.subscribe("me/json/inbox/#").await;
    for version in VERSIONS {
        for login in
            [Device::new("x").login(None, None), Device::new("x").login(Some("alice"), Some("wrong"))]
        {
            let mut client = login.version(version).at(server.open()).connect_open().await;
            for topic in
                ["user/@alice/text", "user/@alice/typing", "rpc/register", "rpc/me", "$SYS/broker/uptime"]
            {
                let acked = client.publish(topic, "{}").await;
                if version == Version::V5 {
                    assert_eq!(acked.reason(), ReasonCode::NotAuthorized, "{topic}");
                }
            }
            for filter in ["me/json/inbox/#", "user/@alice/presence", "me/json/events/#", "me/json/reply/#"] {
                assert!(client.try_subscribe(filter, QoS::AtLeastOnce).await.is_error(), "{filter}");
            }
            assert!(!client.try_subscribe("#", QoS::AtLeastOnce).await.is_error());
            client.disconnect().await;
        }
    }
    assert_eq!(inbox.next_within(QUIET).await, None);
    let devices = server.call(&alice.token, "devices", serde_json::json!({})).await;
    assert_eq!(devices["devices"].as_array().map(Vec::len), Some(1), "{devices}");
}

/// Deny by default: with a login and without a rule there are no free topics.
#[tokio::test]
async fn without_a_rule_a_login_allows_nothing() {
    let server = lab().await;
    let alice = server.user("alice").await;
    let mut lab_reader = subscribed(&device(&server, "lab"), "#").await;
    for version in VERSIONS {
        let mut client = Device::new("phone").version(version).connect(&server, &alice).await;
        let acked = client.publish("app/a", "x").await;
        if version == Version::V5 {
            assert_eq!((acked.reason(), acked.code()), (ReasonCode::NotAuthorized, Some("not_authorized")));
        }
        client.publish_qos0("app/a", "x").await;
        for filter in ["app/#", "#", "$share/g/app/#", "$SYS/#"] {
            assert!(client.try_subscribe(filter, QoS::AtLeastOnce).await.is_error(), "{filter}");
        }
        client.disconnect().await;
    }
    assert_eq!(lab_reader.next_within(QUIET).await, None);
}

#[tokio::test]
async fn limits_are_told() {
    let options = Server::options()
        .open()
        .set("TOPICS__LEVELS_MAX", 4)
        .set("LIMITS__SUBSCRIPTIONS_PER_SESSION_MAX", 3)
        .set("TOPICS__SUBSCRIPTIONS_MAX", 5);
    let server = Server::start(options).await;
    let mut client = device(&server, "client").connect_open().await;
    assert_eq!(client.publish("a/b/c/d/e", "x").await.reason(), ReasonCode::TopicNameInvalid);
    assert_eq!(client.try_subscribe("a/b/c/d/#", QoS::AtMostOnce).await, ReasonCode::QuotaExceeded);
    for number in 0..3 {
        assert!(!client.try_subscribe(&format!("a/{number}"), QoS::AtMostOnce).await.is_error());
    }
    assert_eq!(client.try_subscribe("a/3", QoS::AtMostOnce).await, ReasonCode::QuotaExceeded);
    assert_eq!(
        client.try_subscribe("a/2", QoS::AtLeastOnce).await,
        ReasonCode::GrantedQoS1,
        "the same again"
    );
    let mut other = device(&server, "other").connect_open().await;
    for number in 0..2 {
        assert!(!other.try_subscribe(&format!("a/{number}"), QoS::AtMostOnce).await.is_error());
    }
    assert_eq!(other.try_subscribe("a/2", QoS::AtMostOnce).await, ReasonCode::QuotaExceeded);
    let large = "x".repeat(300_000);
    assert_eq!(client.publish("a/0", large).await.reason(), ReasonCode::QuotaExceeded);
}

#[tokio::test]
async fn the_broker_says_how_it_is() {
    let server = Server::start(Server::options().open().set("TOPICS__SYS_INTERVAL_S", 1)).await;
    let mut writer = device(&server, "writer").connect_open().await;
    writer.publish_message(&Message::new("app/a", "kept").retain()).await;
    eventually(PATIENCE, "it has counted", async || {
        let mut reader = device(&server, "reader").clean().connect_open().await;
        reader.subscribe("$SYS/#").await;
        let (mut retained, mut version) = (false, false);
        while let Some(delivery) = reader.next_within(QUIET).await {
            assert!(delivery.topic().starts_with("$SYS/broker/"));
            retained |= delivery.topic() == "$SYS/broker/retained messages/count" && delivery.text() == "1";
            version |= delivery.topic() == "$SYS/broker/version" && delivery.text().starts_with("Parlance ");
        }
        (retained && version).then_some(())
    })
    .await;
    // MQTT-4.7.2-1: not by a wildcard in the first place.
    let mut all = subscribed(&device(&server, "all").clean(), "#").await;
    assert_eq!(all.next().await.topic(), "app/a");
    assert_eq!(all.next_within(std::time::Duration::from_millis(1_500)).await, None);
    // The operator hears it too, and nothing else.
    let nobody = server.user("nobody").await;
    let operator = Device::new("console").login(None, Some(server.admin_token()));
    let mut operator = operator.connect(&server, &nobody).await;
    assert!(operator.try_subscribe("app/#", QoS::AtMostOnce).await.is_error());
    assert_eq!(operator.publish("app/a", "x").await.reason(), ReasonCode::NotAuthorized);
    operator.subscribe("$SYS/broker/uptime").await;
    assert!(operator.next().await.text().ends_with("seconds"));
}

#[tokio::test]
async fn a_connection_is_told_what_it_has() {
    let server = lab().await;
    let alice = server.user("alice").await;
    let asks =
        |device: Device| device.with_connect(|connect| connect.request_response_information = Some(true));
    let connack = asks(Device::new("phone")).connect(&server, &alice).await.connack().properties.clone();
    assert_eq!(connack.response_information.as_deref(), Some(&b"me/json/reply/"[..]));
    let connack = asks(device(&server, "lab")).connect_open().await.connack().properties.clone();
    assert_eq!(connack.response_information, None);
    assert_ne!(connack.maximum_qos, Some(1));
    assert_ne!(connack.retain_available, Some(false));
    assert_ne!(connack.shared_subscription_available, Some(false));
    let assigned = Device::new("").clean().expiry_s(0).at(server.open()).connect_open().await;
    assert!(assigned.connack().properties.assigned_client_id.is_some());
    // 3.1.1 without an identifier and without a clean session.
    let refused = Device::new("").v3().at(server.open()).try_connect_open().await.err();
    assert_eq!(
        refused.and_then(|closed: Closed| closed.reason()),
        Some(ReasonCode::ClientIdentifierNotValid)
    );
}
