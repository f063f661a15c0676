//! A message that is sent again is stored once and is answered with its first seq.

use crate::{QUIET, VERSIONS, listening, pair, texts};
use parlance_tests::{Device, Message, mqtt::PacketId};
use serde_json::json;

fn packet_id(id: u16) -> PacketId {
    id.try_into().expect("not 0")
}

/// One id, whichever way each try takes; also after a crash.
#[tokio::test]
async fn an_id_is_recognised_on_every_way() {
    let (mut server, alice, bob) = pair().await;
    let mut phone = listening(&Device::new("phone"), &server, &bob).await;
    let mut writer = Device::new("writer").connect(&server, &alice).await;
    let body = r#"{"id": "m-1", "text": "once"}"#;
    let first = writer.publish("user/@bob/json", body).await;
    assert!(!first.repeated());
    let again = writer.publish("user/@bob/json", body).await;
    assert_eq!((again.seq(), again.repeated()), (first.seq(), true));
    assert_eq!(again.conversation(), first.conversation());
    let text = Message::new("user/@bob/text", "once").property("id", "m-1");
    let again = writer.publish_message(&text).await;
    assert_eq!((again.seq(), again.repeated()), (first.seq(), true));
    let request = json!({"to": "@bob", "id": "m-1", "text": "once"});
    let again = server.call(&alice.token, "sendMessage", request.clone()).await;
    assert_eq!((&again["seq"], &again["repeated"]), (&json!(first.seq()), &json!(true)));

    assert_eq!(texts(&mut phone, 1).await, ["once"]);
    assert_eq!(phone.next_within(QUIET).await, None);
    server.kill();
    server.restart().await;
    let again = server.call(&alice.token, "sendMessage", request).await;
    assert_eq!((&again["seq"], &again["repeated"]), (&json!(first.seq()), &json!(true)));
    assert_eq!(server.history(&bob.token, "@alice").await.len(), 1);
}

#[tokio::test]
async fn http_repeats_itself() {
    let (server, alice, _) = pair().await;
    let request = json!({"to": "@bob", "id": "h-1", "text": "hello"});
    let first = server.call(&alice.token, "sendMessage", request.clone()).await;
    assert_eq!((&first["seq"], &first["repeated"]), (&json!(1), &json!(false)));
    let again = server.call(&alice.token, "sendMessage", request).await;
    assert_eq!((&again["seq"], &again["repeated"]), (&json!(1), &json!(true)));
    assert_eq!(again["timeMs"], first["timeMs"]);
}

/// Without an id: MQTT's own retransmission on a resumed session, also over a crash of the broker.
#[tokio::test]
async fn dup_on_a_resumed_session_is_recognised() {
    for version in VERSIONS {
        for crash in [false, true] {
            let (mut server, alice, bob) = pair().await;
            let device = Device::new("writer").version(version);
            let mut writer = device.connect(&server, &alice).await;
            let message = Message::new("user/@bob/text", "once").packet_id(packet_id(7));
            writer.publish_message(&message).await;
            writer.vanish();
            if crash {
                server.kill();
                server.restart().await;
            }
            let mut writer = device.connect(&server, &alice).await;
            assert!(writer.session_present());
            writer.publish_message(&message.dup()).await;
            let history = server.history(&bob.token, "@alice").await;
            assert_eq!(history.len(), 1, "{version:?}, crash: {crash}");
        }
    }
}

/// DUP alone is no proof: another body, another packet id, or a session begun anew is another message.
#[tokio::test]
async fn what_only_looks_like_a_retransmission_is_a_message() {
    let (server, alice, bob) = pair().await;
    let device = Device::new("writer");
    let message =
        |text: &str, id: u16| Message::new("user/@bob/text", text.to_owned()).packet_id(packet_id(id));
    let mut writer = device.connect(&server, &alice).await;
    writer.publish_message(&message("one", 7)).await;
    let answers = [
        writer.publish_message(&message("one", 7)).await,
        writer.publish_message(&message("two", 7).dup()).await,
        writer.publish_message(&message("one", 8).dup()).await,
    ];
    assert!(answers.iter().all(|acked| !acked.repeated()), "{answers:?}");
    writer.disconnect().await;
    let mut writer = device.clean().connect(&server, &alice).await;
    assert!(!writer.publish_message(&message("one", 8).dup()).await.repeated());
    assert_eq!(server.history(&bob.token, "@alice").await.len(), 5);
}
