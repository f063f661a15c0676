//! Devices of one user, receipts, unread counts, membership, calls, presence.

use crate::{QUIET, VERSIONS, listening, pair, texts};
use parlance_tests::{Broker, Device, Message, PATIENCE, User, eventually, mqtt::ReasonCode};
use serde_json::{Value, json};

#[tokio::test]
async fn the_senders_other_devices_get_the_message() {
    let (server, alice, bob) = pair().await;
    let mut phone = listening(&Device::new("phone"), &server, &alice).await;
    let mut laptop = listening(&Device::new("laptop").v3(), &server, &alice).await;
    let mut of_bob = listening(&Device::new("phone"), &server, &bob).await;
    phone.publish("user/@bob/text", "from the phone").await;
    laptop.publish("user/@bob/text", "from the laptop").await;
    server.call(&alice.token, "sendMessage", json!({"to": "@bob", "text": "over HTTP"})).await;
    let delivery = laptop.next().await;
    assert_eq!((delivery.topic(), delivery.seq()), ("me/json/inbox/@bob/@alice", 1));
    assert_eq!(texts(&mut laptop, 1).await, ["over HTTP"]);
    assert_eq!(texts(&mut phone, 2).await, ["from the laptop", "over HTTP"]);
    assert_eq!(texts(&mut of_bob, 3).await, ["from the phone", "from the laptop", "over HTTP"]);
    assert_eq!(phone.next_within(QUIET).await, None);
}

#[tokio::test]
async fn delivered_and_read_are_told() {
    for version in VERSIONS {
        let (server, alice, bob) = pair().await;
        let mut watcher = Device::new("watcher").version(version).connect(&server, &alice).await;
        watcher.subscribe("me/json/receipts/#").await;
        let mut phone = listening(&Device::new("phone").version(version), &server, &bob).await;
        watcher.publish("user/@bob/text", "one").await;
        watcher.publish("user/@bob/text", "two").await;
        assert_eq!(texts(&mut phone, 2).await, ["one", "two"]);
        // Gathered for a moment: how many receipts it takes is not said, but they never retreat.
        let mut position = (0, 0);
        let mut until = async |wanted: (u64, u64)| {
            while position != wanted {
                let receipt = watcher.next().await;
                assert_eq!(receipt.topic(), "me/json/receipts/@bob/@bob");
                let number = |name: &str| receipt.json()[name].as_u64().unwrap_or_default();
                let next = (number("delivered"), number("read"));
                assert!(next.0 >= position.0 && next.1 >= position.1, "{next:?} after {position:?}");
                position = next;
            }
        };
        until((2, 0)).await;
        phone.publish("user/@alice/read", "1").await;
        until((2, 1)).await;
        phone.publish("user/@alice/read/json", r#"{"seq": 2}"#).await;
        until((2, 2)).await;
        phone.publish("user/@alice/read", "1").await;
        let mine = server.conversation(&bob.token, "@alice").await.expect("they have talked");
        assert_eq!((&mine["read"], &mine["unread"]), (&json!(2), &json!(0)));
    }
}

/// Unread counts are computed: they equal what one counts in history, whatever happened before.
#[tokio::test]
async fn unread_equals_a_recount() {
    let (mut server, alice, bob) = pair().await;
    let group = server.group(&alice, "team", &[&bob]).await;
    let mut of_alice = Device::new("phone").connect(&server, &alice).await;
    let mut of_bob = Device::new("phone").connect(&server, &bob).await;
    let topic = format!("group/{group}/text");
    for round in 0..4u64 {
        for number in 0..=round {
            of_alice.publish(&topic, format!("{round} {number}")).await;
        }
        assert_recount(&server, &[&alice, &bob], &group).await;
        if round == 1 {
            // Who writes has read.
            of_bob.publish(&topic, "mine").await;
            assert_eq!(server.conversation(&bob.token, &group).await.expect("a member")["unread"], 0);
        }
        let read = server.conversation(&bob.token, &group).await.expect("a member")["read"].as_u64();
        let seq = read.unwrap_or_default() + round;
        server.call(&bob.token, "markRead", json!({"conversation": group, "seq": seq})).await;
        assert_recount(&server, &[&alice, &bob], &group).await;
    }
    server.restart().await;
    assert_recount(&server, &[&alice, &bob], &group).await;
}

async fn assert_recount(server: &Broker, members: &[&User], conversation: &str) {
    for member in members {
        let seen = server.conversation(&member.token, conversation).await.expect("a member");
        let read = seen["read"].as_u64().expect("a number");
        let history = server.history(&member.token, conversation).await;
        let counted = history.iter().filter(|message| message["seq"].as_u64() > Some(read)).count();
        assert_eq!(seen["unread"], counted, "@{}: {seen}", member.handle);
    }
}

/// From the moment of removal nothing more comes, not even what was under way.
#[tokio::test]
async fn who_is_removed_gets_nothing_more() {
    let (server, alice, bob) = pair().await;
    let group = server.group(&alice, "team", &[&bob]).await;
    let topic = format!("group/{group}/text");
    let device = Device::new("phone").receive_maximum(1);
    let mut phone = listening(&device, &server, &bob).await.manual_acks();
    phone.subscribe("me/json/events/#").await;
    let mut writer = Device::new("writer").connect(&server, &alice).await;
    writer.publish(&topic, "one").await;
    let first = phone.next().await;
    server.call(&alice.token, "removeMember", json!({"group": group, "user": "@bob"})).await;
    writer.publish(&topic, "secret").await;
    phone.ack(&first).await;
    // The event is the fence: it was made before the message behind it.
    let event = phone.next().await;
    assert_eq!(event.topic(), "me/json/events/removed");
    assert_eq!(event.json()["conversation"], *group);
    phone.ack(&event).await;
    assert_eq!(phone.next_within(QUIET).await, None);
    assert_eq!(phone.publish(&topic, "still here?").await.code(), Some("not_a_member"));
    let problem = server.try_call(&bob.token, "messages", json!({"conversation": group})).await;
    assert_eq!(problem.expect_err("no member any more").code, "not_a_member");
    phone.disconnect().await;
    let mut phone = device.connect(&server, &bob).await;
    assert_eq!(phone.next_within(QUIET).await, None);
}

/// Who is added sees the log from the entry that says so; who comes back has not seen what was between.
#[tokio::test]
async fn who_is_added_begins_at_its_seq() {
    let (server, alice, bob) = pair().await;
    let group = server.group(&alice, "team", &[]).await;
    let topic = format!("group/{group}/text");
    let mut writer = Device::new("writer").connect(&server, &alice).await;
    let mut phone = listening(&Device::new("phone"), &server, &bob).await;
    let add = || server.call(&alice.token, "addMembers", json!({"group": group, "users": ["@bob"]}));
    writer.publish(&topic, "before").await;
    add().await;
    let after = writer.publish(&topic, "after").await.seq();
    let entry = phone.next().await;
    assert_eq!((entry.json()["change"]["action"].as_str(), entry.seq()), (Some("member_added"), after - 1));
    assert_eq!(texts(&mut phone, 1).await, ["after"]);
    let seen = server.history(&bob.token, &group).await;
    assert_eq!(seqs(&seen), [after - 1, after]);
    let mine = server.conversation(&bob.token, &group).await.expect("a member");
    assert_eq!(mine["joinedSeq"], after - 1);

    server.call(&bob.token, "leaveGroup", json!({"group": group})).await;
    writer.publish(&topic, "between").await;
    add().await;
    let last = writer.publish(&topic, "again").await.seq();
    let entry = phone.next().await;
    assert_eq!((entry.json()["change"]["action"].as_str(), entry.seq()), (Some("member_added"), last - 1));
    assert_eq!(texts(&mut phone, 1).await, ["again"]);
    assert_eq!(seqs(&server.history(&bob.token, &group).await), [last - 1, last]);
}

fn seqs(messages: &[Value]) -> Vec<u64> {
    messages.iter().filter_map(|message| message["seq"].as_u64()).collect()
}

#[tokio::test]
async fn calls_are_answered_where_the_caller_wants_it() {
    let (server, alice, bob) = pair().await;
    server.call(&alice.token, "sendMessage", json!({"to": "@bob", "text": "hello"})).await;
    let ask = json!({"conversation": "@alice"}).to_string();

    let mut three = Device::new("three").v3().connect(&server, &bob).await;
    three.subscribe("me/json/reply/#").await;
    three.publish("rpc/messages", ask.clone()).await;
    let answer = three.next().await;
    assert_eq!(answer.topic(), "me/json/reply/messages");
    assert_eq!(answer.json()["messages"][0]["text"], "hello");

    let mut five = Device::new("five").connect(&server, &bob).await;
    let unheard = five.publish("rpc/messages", ask.clone()).await;
    assert_eq!(unheard.reason(), ReasonCode::NoMatchingSubscribers);
    five.subscribe("me/json/reply/mine/+").await;
    let call = Message::new("rpc/messages", ask.clone()).answer_to("me/json/reply/mine/1", "question 1");
    assert_eq!(five.publish_message(&call).await.reason(), ReasonCode::Success);
    let answer = five.next().await;
    assert_eq!(answer.topic(), "me/json/reply/mine/1");
    assert_eq!(answer.0.properties.correlation_data.as_deref(), Some(&b"question 1"[..]));
    assert_eq!(answer.json()["head"], 1);

    let call = Message::new("rpc/messages", "{").answer_to("me/json/reply/mine/2", "2");
    five.publish_message(&call).await;
    assert_eq!(five.next().await.json()["code"], "bad_request");
    let elsewhere = Message::new("rpc/messages", ask).answer_to("user/@alice/text", "3");
    assert!(five.publish_message(&elsewhere).await.reason().is_error());
    assert_eq!(server.history(&alice.token, "@bob").await.len(), 1);
}

#[tokio::test]
async fn presence_is_told_to_those_one_talks_with() {
    let (server, alice, bob) = pair().await;
    server.call(&alice.token, "sendMessage", json!({"to": "@bob", "text": "hello"})).await;
    let mut watcher = Device::new("watcher").connect(&server, &alice).await;
    watcher.subscribe("user/@bob/presence").await;
    watcher.subscribe("user/@bob/presence/json").await;
    // The present state comes at once; with the second subscription both are told again.
    let mut online = async |wanted: bool| {
        eventually(PATIENCE, "presence", async || {
            let presence = watcher.next().await;
            match presence.topic() {
                "user/@bob/presence" => None,
                _ => (presence.json()["online"].as_bool().unwrap_or_default() == wanted)
                    .then_some(presence.json()),
            }
        })
        .await
    };
    online(false).await;
    let phone = Device::new("phone").connect(&server, &bob).await;
    online(true).await;
    phone.vanish();
    let last = online(false).await;
    assert_eq!(last["userHandle"], "bob");
}

#[tokio::test]
async fn typing_is_told_to_live_devices_and_not_stored() {
    let (server, alice, bob) = pair().await;
    server.call(&alice.token, "sendMessage", json!({"to": "@bob", "text": "hello"})).await;
    let mut phone = Device::new("phone").connect(&server, &bob).await;
    phone.subscribe("me/text/typing/#").await;
    let mut writer = Device::new("writer").connect(&server, &alice).await;
    for (payload, told) in [("", "typing"), ("0", "stopped"), ("1", "typing")] {
        writer.publish_qos0("user/@bob/typing", payload).await;
        let sign = phone.next().await;
        assert_eq!((sign.topic(), sign.text()), ("me/text/typing/@alice/@alice", told));
        assert_eq!(sign.packet_id(), None);
    }
    assert_eq!(server.history(&alice.token, "@bob").await.len(), 1);
}
