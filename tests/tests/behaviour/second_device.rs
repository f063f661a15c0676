//! A second device of a person: what the first one acknowledged while the second was away is still owed to it.

use parlance_tests::{Client, Device, Server, User};
use serde_json::Value;

/// A device with a session that receives.
async fn device(server: &Server, user: &User, name: &str) -> Client {
    let mut client = Device::new(name).connect(server, user).await;
    if !client.session_present() {
        client.subscribe("me/json/inbox/#").await;
    }
    client
}

/// Who writes to bob, and hears how far he is.
async fn sender(server: &Server, user: &User) -> Client {
    let mut sender = Device::new("sender").connect(server, user).await;
    sender.subscribe("me/json/receipts/#").await;
    sender
}

/// Sends a message that bob's phone takes; ends when it is known to be delivered.
async fn delivered(sender: &mut Client, phone: &mut Client, text: &str, seq: u64) {
    sender.publish("user/@bob/text", text.to_owned()).await;
    assert_eq!(phone.next().await.seq(), seq);
    loop {
        let receipt: Value = serde_json::from_str(sender.next().await.text()).expect("JSON");
        if receipt["delivered"].to_string().trim_matches('"') == seq.to_string() {
            return;
        }
    }
}

#[tokio::test]
async fn gets_a_conversation_that_began_while_it_was_away() {
    let server = Server::start(Server::options()).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let mut phone = device(&server, &bob, "phone").await;
    device(&server, &bob, "laptop").await.disconnect().await;
    let mut sender = sender(&server, &alice).await;
    delivered(&mut sender, &mut phone, "hello", 1).await;
    let mut laptop = device(&server, &bob, "laptop").await;
    assert!(laptop.session_present());
    assert_eq!(laptop.next().await.seq(), 1);
}

#[tokio::test]
async fn that_was_up_to_date_and_had_received_nothing_itself_gets_what_came_while_it_was_away() {
    let server = Server::start(Server::options()).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let mut phone = device(&server, &bob, "phone").await;
    let mut sender = sender(&server, &alice).await;
    delivered(&mut sender, &mut phone, "one", 1).await;
    let mut laptop = device(&server, &bob, "laptop").await;
    // Its inbox is open when the answer to this comes.
    laptop.ping().await;
    laptop.disconnect().await;
    delivered(&mut sender, &mut phone, "two", 2).await;
    let mut laptop = device(&server, &bob, "laptop").await;
    assert!(laptop.session_present());
    // The first one was acknowledged before this device had ever been here.
    assert_eq!(laptop.next().await.seq(), 2);
}
