//! Shared subscriptions: one member gets a message, and another one if the first does not take it.

use crate::{
    QUIET,
    free::{device, lab, subscribed},
};
use parlance_tests::{Client, Message, Server, mqtt::ReasonCode};
use std::collections::BTreeSet;

const SHARE: &str = "$share/workers/jobs/#";

async fn publish(client: &mut Client, from: usize, to: usize) {
    for number in from..to {
        let acked = client.publish("jobs/a", number.to_string()).await;
        assert_eq!(acked.reason(), ReasonCode::Success);
    }
}

/// What comes until nothing comes.
async fn drain(client: &mut Client) -> Vec<String> {
    let mut got = Vec::new();
    while let Some(delivery) = client.next_within(QUIET).await {
        got.push(delivery.text().to_owned());
    }
    got
}

#[tokio::test]
async fn each_message_goes_to_one_member_in_turn() {
    let server = lab().await;
    let mut first = subscribed(&device(&server, "first"), SHARE).await;
    let mut second = subscribed(&device(&server, "second"), SHARE).await;
    let mut other_share = subscribed(&device(&server, "third"), "$share/others/jobs/#").await;
    let mut alone = subscribed(&device(&server, "fourth"), "jobs/#").await;
    let mut writer = device(&server, "writer").connect_open().await;
    publish(&mut writer, 0, 20).await;
    let (one, two) = (drain(&mut first).await, drain(&mut second).await);
    assert_eq!((one.len(), two.len()), (10, 10));
    assert_eq!(one.iter().chain(&two).collect::<BTreeSet<_>>().len(), 20);
    assert_eq!(drain(&mut other_share).await.len(), 20);
    assert_eq!(drain(&mut alone).await.len(), 20);
    // Who unsubscribes gets no more.
    assert_eq!(first.unsubscribe(SHARE).await, ReasonCode::Success);
    publish(&mut writer, 20, 30).await;
    assert_eq!(drain(&mut second).await.len(), 10);
    assert_eq!(drain(&mut first).await.len(), 0);
}

#[tokio::test]
async fn a_sticky_share_keeps_a_publisher_with_one_member() {
    let options = Server::options().open().set("TOPICS__SHARED_STRATEGY", "sticky");
    let server = Server::start(options).await;
    let mut members = Vec::new();
    for name in ["a", "b", "c"] {
        members.push(subscribed(&device(&server, name), SHARE).await);
    }
    for writer in 0..4 {
        let mut writer = device(&server, &format!("writer{writer}")).connect_open().await;
        publish(&mut writer, 0, 12).await;
        let mut counts = Vec::new();
        for member in &mut members {
            counts.push(drain(member).await.len());
        }
        counts.sort_unstable();
        assert_eq!(counts, [0, 0, 12]);
    }
}

/// MQTT-4.8.2-5: what a member has not acknowledged when its session ends goes to another one.
#[tokio::test]
async fn what_a_member_leaves_goes_to_another_one() {
    let server = lab().await;
    let lazy = device(&server, "lazy");
    let mut first = subscribed(&lazy, SHARE).await.manual_acks();
    let mut writer = device(&server, "writer").connect_open().await;
    publish(&mut writer, 0, 4).await;
    let got = first.next_many(4).await;
    first.ack(&got[0]).await;
    first.ping().await;
    let mut second = subscribed(&device(&server, "second"), SHARE).await;
    first.vanish();
    let mut moved: Vec<String> =
        second.next_many(3).await.iter().map(|delivery| delivery.text().to_owned()).collect();
    moved.sort();
    assert_eq!(moved, ["1", "2", "3"]);
    let mut back = lazy.connect_open().await;
    assert_eq!(drain(&mut back).await, [""; 0], "what has gone to another one is not owed any more");
}

#[tokio::test]
async fn members_that_are_away_get_what_no_other_can_take() {
    let server = lab().await;
    let away = device(&server, "away");
    subscribed(&away, SHARE).await.disconnect().await;
    let mut writer = device(&server, "writer").connect_open().await;
    publish(&mut writer, 0, 3).await;
    let mut here = subscribed(&device(&server, "here"), SHARE).await;
    publish(&mut writer, 3, 6).await;
    assert_eq!(drain(&mut here).await.len(), 3);
    let mut back = away.connect_open().await;
    assert_eq!(drain(&mut back).await, ["0", "1", "2"]);
}

#[tokio::test]
async fn a_share_has_no_retained_messages_and_no_local_is_an_error() {
    let server = lab().await;
    let mut writer = device(&server, "writer").connect_open().await;
    writer.publish_message(&Message::new("jobs/a", "kept").retain()).await;
    let mut member = subscribed(&device(&server, "member"), SHARE).await;
    assert_eq!(member.next_within(QUIET).await, None);
    // SUBSCRIBE, packet id 1, no properties, the filter, QoS 1 with No Local (MQTT-3.8.3-4).
    let mut bytes = vec![0x82, 6 + SHARE.len() as u8, 0x00, 0x01, 0x00, 0x00, SHARE.len() as u8];
    bytes.extend_from_slice(SHARE.as_bytes());
    bytes.push(0x05);
    member.raw(&bytes).await.expect("it is sent");
    assert_eq!(member.closed().await.reason(), Some(ReasonCode::ProtocolError));
}
