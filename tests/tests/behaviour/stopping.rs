//! SIGTERM: what was acknowledged is there afterwards, and everybody is told.

use crate::listening;
use parlance_tests::{Closed, Delivery, Device, Engine, Message, Server, mqtt::ReasonCode};
use std::collections::BTreeMap;

/// Messages under way when the signal comes.
const BURST: usize = 200;

#[tokio::test]
async fn sigterm_loses_nothing_that_was_acknowledged() {
    for engine in Engine::ALL {
        let mut server = Server::start(Server::options().engine(engine)).await;
        let (alice, bob) = (server.user("alice").await, server.user("bob").await);
        let device = Device::new("phone");
        let mut phone = listening(&device, &server, &bob).await;
        let mut writer = Device::new("writer").connect(&server, &alice).await;
        for number in 0..BURST {
            writer
                .send(&Message::new("user/@bob/text", format!("message {number}")))
                .await
                .expect("it is sent");
        }
        // Packet ids count from 1, as the messages do from 0.
        let mut acked = BTreeMap::new();
        let first = writer.next_ack().await.expect("connected");
        acked.insert(first.seq(), first.packet_id().get() - 1);
        server.signal_terminate();
        let told = loop {
            match writer.next_ack().await {
                Ok(ack) => drop(acked.insert(ack.seq(), ack.packet_id().get() - 1)),
                Err(closed) => break closed,
            }
        };
        assert_eq!(told.reason(), Some(ReasonCode::ServerShuttingDown));
        assert_eq!(phone.closed().await.reason(), Some(ReasonCode::ServerShuttingDown));
        server.restart().await;

        let history = server.history(&bob.token, "@alice").await;
        for (seq, number) in acked {
            let message = &history[seq as usize - 1];
            assert_eq!(
                (&message["seq"], &message["text"]),
                (&seq.into(), &format!("message {number}").into())
            );
        }
        // The phone acknowledged nothing: all of it comes, in order.
        let mut phone = device.connect(&server, &bob).await;
        assert!(phone.session_present());
        let seqs: Vec<u64> = phone.next_many(history.len()).await.iter().map(Delivery::seq).collect();
        assert_eq!(seqs, (1..=history.len() as u64).collect::<Vec<_>>());
    }
}

/// MQTT-3.14.2.2.5: who knows another server says so.
#[tokio::test]
async fn a_server_that_stops_names_another_one() {
    let mut server =
        Server::start(Server::options().set("LISTEN__SERVER_REFERENCE", "broker-2.example.org:8883")).await;
    let alice = server.user("alice").await;
    let mut phone = Device::new("phone").connect(&server, &alice).await;
    server.signal_terminate();
    let Closed::Told(told) = phone.closed().await else { panic!("it is told") };
    assert_eq!(told.reason, ReasonCode::UseAnotherServer);
    assert_eq!(told.server_reference.as_deref(), Some(&b"broker-2.example.org:8883"[..]));
    server.terminate().await;
}
