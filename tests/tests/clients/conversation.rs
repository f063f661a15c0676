//! One conversation, four clients: each sees every message once, in the same order.

use crate::members::Member;
use parlance_tests::{PATIENCE, Server, eventually};
use serde_json::{Value, json};

/// Messages that each of the four publishes.
const EACH: usize = 25;

#[tokio::test]
async fn four_clients_hold_one_conversation() {
    let server = Server::start(Server::options()).await;
    let users = server.users(&["anna", "ben", "cora", "dan"]).await;
    let [anna, ben, cora, dan] = &users[..] else { panic!("four were asked for") };
    let group = server.group(anna, "four", &[ben, cora, dan]).await;
    let mut members = [
        Member::paho(&server, anna).await,
        Member::mqtt_js(&server, ben).await,
        Member::mosquitto(&server, cora, &format!("group/{group}/json")).await,
        Member::rumqttc(&server, dan).await,
    ];
    for number in 0..EACH {
        for (member, user) in members.iter_mut().zip(&users) {
            let (id, text) = (format!("{}-{number}", user.handle), format!("{} {number}", user.handle));
            member.publish(&format!("group/{group}/json"), json!({"id": id, "text": text})).await;
        }
    }

    let history = eventually(PATIENCE, "every message is in history", async || {
        let history = server.history(&anna.token, &group).await;
        let said = history.iter().filter(|message| message["text"].is_string()).count();
        (said == EACH * users.len()).then_some(history)
    })
    .await;
    let seqs: Vec<Option<u64>> = history.iter().map(|message| message["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=history.len() as u64).map(Some).collect::<Vec<_>>());

    for (mut member, user) in members.into_iter().zip(&users) {
        // The device that sent a message does not get it back.
        let own = |message: &Value| message["senderHandle"] == *user.handle && message["text"].is_string();
        let echoed = member.hears_its_user();
        let expected: Vec<&Value> = history.iter().filter(|message| echoed || !own(message)).collect();
        let mut seen = Vec::new();
        while seen.len() < expected.len() {
            seen.push(member.next().await);
        }
        assert_eq!(seen.iter().collect::<Vec<_>>(), expected, "what @{} saw", user.handle);
        let more = member.finish().await;
        assert!(more.is_empty(), "@{} saw more than there is: {more:?}", user.handle);
    }
}
