//! Each transport carries a conversation, small messages and large ones, both ways.

use parlance_tests::{Device, Server, Via, mqtt::Version};

#[tokio::test]
async fn a_conversation_over_each_transport() {
    let server = Server::start(Server::options().quic()).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let mut desk = Device::new("desk").connect(&server, &bob).await;
    desk.subscribe("me/text/inbox/#").await;
    let large = "x".repeat(200_000);
    for via in Via::ALL {
        for version in [Version::V3, Version::V5] {
            let mut phone = Device::new("phone").version(version).via(via).connect(&server, &alice).await;
            phone.subscribe("me/text/inbox/@bob/#").await;
            for text in ["hello", &large] {
                phone.publish("user/@bob/text", text.to_owned()).await;
                assert_eq!(desk.next().await.text(), text, "{via:?}");
                desk.publish("user/@alice/text", text.to_owned()).await;
                assert_eq!(phone.next().await.text(), text, "{via:?}");
            }
            phone.disconnect().await;
        }
    }
}

#[tokio::test]
async fn many_messages_keep_their_order_over_each_transport() {
    const MESSAGES: usize = 300;
    let server = Server::start(Server::options().quic()).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let mut sender = Device::new("sender").connect(&server, &alice).await;
    let mut readers = Vec::new();
    for via in Via::ALL {
        let mut reader = Device::new(format!("{via:?}")).via(via).connect(&server, &bob).await;
        reader.subscribe("me/text/inbox/#").await;
        readers.push(reader);
    }
    for number in 0..MESSAGES {
        sender.publish("user/@bob/text", number.to_string()).await;
    }
    for reader in &mut readers {
        for number in 0..MESSAGES {
            assert_eq!(reader.next().await.text(), number.to_string());
        }
    }
}

#[tokio::test]
async fn a_server_that_stops_says_goodbye_over_each_transport() {
    let mut server = Server::start(Server::options().quic()).await;
    let alice = server.user("alice").await;
    let mut clients = Vec::new();
    for via in Via::ALL {
        clients.push(Device::new(format!("{via:?}")).via(via).connect(&server, &alice).await);
    }
    server.signal_terminate();
    for (mut client, via) in clients.into_iter().zip(Via::ALL) {
        let reason = client.closed().await.reason();
        assert_eq!(reason, Some(parlance_tests::mqtt::ReasonCode::ServerShuttingDown), "{via:?}");
    }
    server.terminate().await;
}
