//! What was said before one came, and after one was gone.

use super::world::{Who, World, send};
use parlance_tests::{
    Broker, Device, User,
    mqtt::{QoS, Version},
};
use serde_json::{Value, json};

fn seqs(messages: &Value) -> Vec<u64> {
    messages.as_array().expect("a list").iter().filter_map(|message| message["seq"].as_u64()).collect()
}

/// Every page that one can ask for, over HTTP and over MQTT.
async fn every_page(broker: &Broker, user: &User, conversation: &str) -> Vec<u64> {
    let mut seen = Vec::new();
    let mut client = Device::new("reader").connect(broker, user).await;
    client.subscribe("me/json/reply/#").await;
    for request in [
        json!({"conversation": conversation, "limit": 200}),
        json!({"conversation": conversation, "after": 0, "limit": 200}),
        json!({"conversation": conversation, "before": u64::MAX, "limit": 200}),
        json!({"conversation": conversation, "before": 3}),
        json!({"conversation": conversation, "after": 0, "before": 3}),
        json!({"conversation": conversation, "after": u64::MAX}),
    ] {
        let page = broker.call(&user.token, "messages", request.clone()).await;
        client.publish("rpc/messages", request.to_string()).await;
        assert_eq!(client.next().await.json(), page, "{request}: the same over MQTT");
        seen.extend(seqs(&page["messages"]));
    }
    seen
}

#[tokio::test]
async fn who_joins_sees_nothing_of_before() {
    let world = World::new().await;
    let (broker, alice) = (&world.server, &world.alice);
    for number in 0..5 {
        send(broker, alice, &world.group, &format!("before {number}")).await;
    }
    let eve = broker.user("eve").await;
    let mut devices = Vec::new();
    for version in [Version::V3, Version::V5] {
        let mut device = Device::new(format!("{version:?}")).version(version).connect(broker, &eve).await;
        device.subscribe("me/json/inbox/#").await;
        devices.push(device);
    }
    broker.call(&alice.token, "addMembers", json!({"group": world.group, "users": ["@eve"]})).await;
    let joined = broker.conversation(&eve.token, &world.group).await.expect("a member")["joinedSeq"].as_u64();
    let joined = joined.expect("a seq");
    send(broker, alice, &world.group, "after").await;
    let mut late = Device::new("late").connect(broker, &eve).await;
    late.subscribe("me/json/inbox/#").await;
    for device in devices.iter_mut().chain([&mut late]) {
        assert_eq!(device.next().await.json()["seq"], joined, "the first that comes is the own addition");
        assert_eq!(device.next().await.json()["text"], "after");
    }
    let seen = every_page(broker, &eve, &world.group).await;
    assert!(!seen.is_empty() && seen.iter().all(|seq| *seq >= joined), "{seen:?}, joined at {joined}");
}

/// Away, removed, added again: what was said in between stays unseen, however far behind the device is.
#[tokio::test]
async fn who_comes_back_sees_nothing_of_between() {
    let world = World::new().await;
    let (broker, alice, removed) = (&world.server, &world.alice, world.user(Who::Removed));
    let add = json!({"group": world.group, "users": ["@removed"]});
    let remove = json!({"group": world.group, "user": "@removed"});
    broker.call(&alice.token, "addMembers", add.clone()).await;
    let mut phone = Device::new("phone").connect(broker, removed).await;
    phone.subscribe("me/json/inbox/#").await;
    phone.next().await;
    phone.disconnect().await;
    send(broker, alice, &world.group, "missed, while a member").await;
    broker.call(&alice.token, "removeMember", remove).await;
    for number in 0..5 {
        send(broker, alice, &world.group, &format!("between {number}")).await;
    }
    broker.call(&alice.token, "addMembers", add).await;
    let joined =
        broker.conversation(&removed.token, &world.group).await.expect("a member")["joinedSeq"].clone();
    send(broker, alice, &world.group, "after").await;
    let mut phone = Device::new("phone").connect(broker, removed).await;
    assert!(phone.session_present());
    assert_eq!(phone.next().await.json()["seq"], joined);
    assert_eq!(phone.next().await.json()["text"], "after");
    let joined = joined.as_u64().expect("a seq");
    let seen = every_page(broker, removed, &world.group).await;
    assert!(seen.iter().all(|seq| *seq >= joined), "{seen:?}, joined at {joined}");
}

/// A retry of one's own message is answered with its seq even after a removal; anything else is refused, and the ids of
/// others mean nothing.
#[tokio::test]
async fn message_ids_tell_a_stranger_nothing() {
    let mut world = World::new().await;
    let group = world.group.clone();
    let of_alice = json!({"to": group, "text": "once", "id": "a-1"});
    world.server.call(&world.alice.token, "sendMessage", of_alice.clone()).await;
    world.settle().await;
    for who in [Who::Mallory, Who::Removed] {
        let token = &world.user(who).token;
        let problem = world.server.try_call(token, "sendMessage", of_alice.clone()).await;
        assert_eq!(problem.expect_err("refused").code, "not_a_member");
    }
    world.unchanged("a message id of Alice").await;
    // A message that is refused does not begin a conversation either, which would show Alice's presence.
    let mallory = world.user(Who::Mallory).clone();
    for (to, code) in [("@mallory", None), ("@alice", Some("id_reused"))] {
        let request = json!({"to": to, "text": "x", "id": "m-1"});
        let answer = world.server.try_call(&mallory.token, "sendMessage", request).await;
        assert_eq!(answer.err().map(|problem| problem.code).as_deref(), code);
    }
    let mut client = Device::new("watcher").connect(&world.server, &mallory).await;
    assert!(client.try_subscribe("user/@alice/presence", QoS::AtLeastOnce).await.is_error());
    world.unchanged("a message to Alice with the id of another").await;
}
