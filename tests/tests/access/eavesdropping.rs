//! Subscriptions that are granted bring nothing of others.

use super::{
    rows::OWN,
    way::WAYS,
    world::{Who, World, send},
};
use parlance_schema::Format;
use parlance_tests::{Client, Delivery, Device, PATIENCE, User, eventually, mqtt::QoS};
use serde_json::json;
use std::time::Duration;

const END: &str = "the end of this test";

/// A device for each way in and format, subscribed to all that is granted.
async fn listeners(world: &World, user: &User) -> Vec<(String, Client)> {
    let mut listeners = Vec::new();
    for (number, way) in WAYS.into_iter().enumerate() {
        for format in Format::ALL {
            let name = format!("listener-{number}-{format}");
            let mut client = way.device(&name).connect(&world.server, user).await;
            for filter in OWN {
                client.subscribe(&world.fill(filter).replace("{format}", format.as_str())).await;
            }
            listeners.push((format!("{way:?} {format}"), client));
        }
    }
    listeners
}

/// Everything that Alice and Bob do where the listeners do not belong.
async fn traffic(world: &World) {
    let mut phone = Device::new("phone").connect(&world.server, &world.bob).await;
    for (topic, payload) in [
        ("group/@secrets/text", "the next secret"),
        ("group/@secrets/typing", "1"),
        ("group/@secrets/read", "2"),
        ("user/@alice/json", r#"{"text": "between us"}"#),
        ("user/@alice/typing", "1"),
        ("user/@alice/read", "1"),
    ] {
        let ack = phone.publish(topic, payload).await;
        assert!(!ack.reason().is_error(), "{topic}: {}", ack.reason());
    }
    let group = json!({"group": "@secrets", "users": ["@clock"]});
    world.server.call(&world.alice.token, "addMembers", group).await;
    phone.disconnect().await;
}

/// What comes, up to a message with this text in whichever format.
async fn until(client: &mut Client, text: &str) -> Vec<Delivery> {
    let mut heard = Vec::new();
    loop {
        let delivery = client.next().await;
        let found = delivery.0.payload.windows(text.len()).any(|part| part == text.as_bytes());
        heard.push(delivery);
        if found {
            return heard;
        }
    }
}

/// What comes until the last message: of all that only `expected` conversations.
async fn only(listeners: Vec<(String, Client)>, expected: &[&str]) {
    for (name, mut client) in listeners {
        let mut heard = until(&mut client, END).await;
        // What waited beside it has been written when the second answer comes.
        client.ping().await;
        client.ping().await;
        while let Some(delivery) = client.next_within(Duration::ZERO).await {
            heard.push(delivery);
        }
        for delivery in heard {
            let conversation = delivery.topic().split('/').nth(3).unwrap_or_default();
            assert!(
                expected.contains(&conversation),
                "{name}: {} {:?}",
                delivery.topic(),
                delivery.0.payload
            );
        }
    }
}

#[tokio::test]
async fn a_stranger_hears_nothing_on_its_own_channels() {
    let world = World::new().await;
    let mallory = world.user(Who::Mallory);
    let listeners = listeners(&world, mallory).await;
    traffic(&world).await;
    send(&world.server, mallory, "@mallory", END).await;
    only(listeners, &["@mallory"]).await;
}

#[tokio::test]
async fn the_operator_hears_nothing() {
    let world = World::new().await;
    let listeners = listeners(&world, world.user(Who::Operator)).await;
    traffic(&world).await;
    for (name, mut client) in listeners {
        client.ping().await;
        client.ping().await;
        assert_eq!(client.next_within(Duration::ZERO).await, None, "{name}");
    }
}

/// A key that reaches one conversation of its account gets nothing of the others, and does not count as having got it.
#[tokio::test]
async fn a_narrow_key_hears_its_conversation_only() {
    let world = World::new().await;
    let listeners = listeners(&world, world.user(Who::Narrow)).await;
    traffic(&world).await;
    send(&world.server, &world.alice, &world.bots, END).await;
    only(listeners, &["@bots"]).await;
    let members =
        world.server.call(&world.alice.token, "members", json!({"conversation": world.group})).await;
    let bot =
        members["members"].as_array().and_then(|all| all.iter().find(|member| member["handle"] == "bot"));
    assert_eq!(bot.expect("a member")["delivered"], 0, "nobody has got the secrets for the bot");
}

/// From the moment of its removal a member gets nothing more, on connections that were there before as well.
#[tokio::test]
async fn a_removed_member_hears_nothing_more() {
    let world = World::new().await;
    let eve = world.server.user("eve").await;
    world
        .server
        .call(&world.alice.token, "addMembers", json!({"group": "@secrets", "users": ["@eve"]}))
        .await;
    let mut listeners = listeners(&world, &eve).await;
    send(&world.server, &world.alice, "@secrets", "still for eve").await;
    for (name, client) in &mut listeners {
        let heard = until(client, "still for eve").await;
        assert!(heard.iter().any(|delivery| delivery.topic().contains("/inbox/@secrets/")), "{name}");
    }
    // All have acknowledged, so that no receipt of the time before is still under way.
    let group = world.group.clone();
    eventually(PATIENCE, "eve has got both", async || {
        let of_eve = world.server.conversation(&eve.token, &group).await.expect("a member");
        (of_eve["delivered"] == of_eve["head"]).then_some(())
    })
    .await;
    world.server.call(&world.alice.token, "removeMember", json!({"group": "@secrets", "user": "@eve"})).await;
    // The news of the removal itself is the last thing of that group, after what was told before.
    for (_, client) in &mut listeners {
        while !client.next().await.topic().ends_with("/events/removed") {}
    }
    traffic(&world).await;
    send(&world.server, &eve, "@eve", END).await;
    only(listeners, &["@eve"]).await;
}

/// Not even what was under way: messages that wait for a slow device are not sent once its user was removed.
#[tokio::test]
async fn what_waits_for_a_removed_member_is_not_sent() {
    let world = World::new().await;
    let eve = world.server.user("eve").await;
    let mut slow = Device::new("slow").receive_maximum(1).connect(&world.server, &eve).await.manual_acks();
    slow.subscribe("me/json/inbox/#").await;
    world
        .server
        .call(&world.alice.token, "addMembers", json!({"group": "@secrets", "users": ["@eve"]}))
        .await;
    for number in 0..5 {
        send(&world.server, &world.alice, "@secrets", &format!("secret {number}")).await;
    }
    let first = slow.next().await;
    world.server.call(&world.alice.token, "removeMember", json!({"group": "@secrets", "user": "@eve"})).await;
    send(&world.server, &eve, "@eve", END).await;
    slow.ack(&first).await;
    assert_eq!(slow.next().await.json()["text"], END, "nothing of the group comes behind the first");
}

#[tokio::test]
async fn presence_is_for_those_who_talk() {
    let world = World::new().await;
    let mallory = world.user(Who::Mallory);
    let mut client = Device::new("watcher").connect(&world.server, mallory).await;
    let refused = client.try_subscribe("user/@alice/presence", QoS::AtLeastOnce).await;
    assert!(refused.is_error());
    let mut bob = Device::new("watcher").connect(&world.server, &world.bob).await;
    bob.subscribe("user/@alice/presence").await;
    assert_eq!(bob.next().await.text(), "online");
}
