//! Retained messages: kept, told, deleted, expired, over restarts.

use crate::{
    QUIET, VERSIONS,
    free::{device, filter, lab, subscribed},
};
use parlance_tests::{
    Message, PATIENCE, eventually,
    mqtt::{QoS, ReasonCode, RetainHandling, SubscribeFilter},
};

#[tokio::test]
async fn the_newest_is_told_to_who_subscribes() {
    let server = lab().await;
    for version in VERSIONS {
        let name = |what: &str| format!("{what}-{version:?}");
        let topic = name("app/a");
        let mut live = subscribed(&device(&server, &name("live")).version(version), &topic).await;
        let mut writer = device(&server, &name("writer")).version(version).connect_open().await;
        for text in ["old", "new"] {
            writer.publish_message(&Message::new(&topic, text).retain()).await;
            let delivery = live.next().await;
            // MQTT-3.3.1-12: it is told live, not because it was retained.
            assert_eq!((delivery.text(), delivery.0.retain), (text, false));
        }
        writer.send(&Message::new(&topic, "newest").retain().qos0()).await.expect("it is sent");
        live.next().await;
        let mut late = device(&server, &name("late")).version(version).connect_open().await;
        assert_eq!(late.try_subscribe(&topic, QoS::ExactlyOnce).await, ReasonCode::GrantedQoS2);
        let delivery = late.next().await;
        assert_eq!((delivery.text(), delivery.0.retain, delivery.0.qos), ("newest", true, QoS::AtMostOnce));
        // An empty one deletes it, and is told live.
        writer.publish_message(&Message::new(&topic, "").retain()).await;
        assert_eq!(late.next().await.text(), "");
        let mut later = subscribed(&device(&server, &name("later")).version(version), &topic).await;
        assert_eq!(later.next_within(QUIET).await, None);
    }
}

#[tokio::test]
async fn retain_handling_and_retain_as_published() {
    let server = lab().await;
    let mut writer = device(&server, "writer").connect_open().await;
    writer.publish_message(&Message::new("app/a", "kept").retain().qos2()).await;
    let mut reader = device(&server, "reader").connect_open().await;
    let with = |retain_handling| SubscribeFilter { retain_handling, ..filter("app/#", QoS::ExactlyOnce) };
    for (handling, told) in
        [(RetainHandling::DoNotSend, false), (RetainHandling::SendIfNew, false), (RetainHandling::Send, true)]
    {
        assert_eq!(reader.subscribe_with(with(handling), None).await, ReasonCode::GrantedQoS2);
        let got = reader.next_within(QUIET).await;
        assert_eq!(got.is_some(), told, "{handling:?}");
    }
    reader.unsubscribe("app/#").await;
    reader.subscribe_with(with(RetainHandling::SendIfNew), Some(5)).await;
    let delivery = reader.next().await;
    assert_eq!((delivery.text(), &delivery.0.properties.subscription_ids[..]), ("kept", &[5][..]));
    let published = SubscribeFilter { retain_as_published: true, ..with(RetainHandling::DoNotSend) };
    reader.subscribe_with(published, None).await;
    writer.publish_message(&Message::new("app/b", "flag").retain()).await;
    writer.publish_message(&Message::new("app/b", "no flag")).await;
    let flags: Vec<bool> = reader.next_many(2).await.iter().map(|delivery| delivery.0.retain).collect();
    assert_eq!(flags, [true, false]);
}

#[tokio::test]
async fn they_outlive_the_server_and_not_their_time() {
    let mut server = lab().await;
    let mut writer = device(&server, "writer").connect_open().await;
    writer.publish_message(&Message::new("app/a", "for ever").retain()).await;
    writer.publish_message(&Message::new("app/b", "an hour").retain().expiry_s(3_600)).await;
    writer.publish_message(&Message::new("app/c", "a second").retain().expiry_s(1)).await;
    writer.publish_message(&Message::new("app/d", "deleted").retain()).await;
    writer.publish_message(&Message::new("app/d", "").retain()).await;
    server.kill();
    server.restart().await;
    let server = &server;
    eventually(PATIENCE, "the second is over", async || {
        let mut reader = device(server, "reader").clean().connect_open().await;
        reader.try_subscribe("app/#", QoS::AtLeastOnce).await;
        let mut got = Vec::new();
        while let Some(delivery) = reader.next_within(QUIET).await {
            let left = delivery.0.properties.message_expiry_s;
            assert!(delivery.text() != "an hour" || left.is_some_and(|left| (3_000..=3_600).contains(&left)));
            got.push(delivery.text().to_owned());
        }
        got.sort();
        reader.disconnect().await;
        (got == ["an hour", "for ever"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn no_more_than_the_limit_are_kept() {
    let options = parlance_tests::Server::options().open().set("TOPICS__RETAINED_MESSAGES_MAX", 2);
    let server = parlance_tests::Server::start(options).await;
    let mut writer = device(&server, "writer").connect_open().await;
    for topic in ["app/a", "app/b", "app/a"] {
        let acked = writer.publish_message(&Message::new(topic, "x").retain()).await;
        assert!(!acked.reason().is_error(), "{topic}: {}", acked.reason());
    }
    let acked = writer.publish_message(&Message::new("app/c", "x").retain()).await;
    assert_eq!((acked.reason(), acked.code()), (ReasonCode::QuotaExceeded, Some("retained_full")));
    writer.publish_message(&Message::new("app/a", "").retain()).await;
    assert!(!writer.publish_message(&Message::new("app/c", "x").retain()).await.reason().is_error());
}
