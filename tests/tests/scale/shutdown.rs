//! SIGTERM while everybody writes: what was taken is acknowledged, clients are told, and nothing acknowledged is lost.

use crate::{
    DEADLINE,
    publisher::{Publisher, head_of, text},
    wire::{Login, Wire},
    within,
};
use parlance_tests::{
    Server, eventually,
    mqtt::{Packet, QoS, ReasonCode},
};
use std::{sync::Arc, time::Instant};
use tokio::task::JoinSet;

const PUBLISHERS: usize = 20;
/// Messages stored before the server is told to stop.
const BEFORE: f64 = 5_000.0;
const ROUNDS: usize = 3;

/// What a publisher knows of one connection: the seq of each of its messages that was acknowledged, in order.
struct Sent {
    publisher: usize,
    acknowledged: Vec<u64>,
}

async fn publish_until_stopped(server: Arc<Server>, login: Login, publisher: usize, round: usize) -> Sent {
    let mut wire = Wire::connect(&server, &login).await;
    let endless =
        (0..).map(|number: usize| ("user/@bob/text".to_owned(), text(&format!("{round}/{number}"), 200)));
    let mut publishing = Publisher::new();
    publishing.publish(&mut wire, endless).await;
    match publishing.ended {
        Some(Some(Packet::Disconnect(disconnect))) => {
            assert_eq!(disconnect.reason, ReasonCode::ServerShuttingDown, "{disconnect:?}");
        }
        other => panic!("publisher {publisher}: no DISCONNECT but {other:?}"),
    }
    Sent { publisher, acknowledged: publishing.acknowledged }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_acknowledges_what_it_took_and_tells_everybody() {
    let mut server = Arc::new(Server::start(Server::options()).await);
    let writers = server.many_users("writer", PUBLISHERS).await;
    let bob = server.user("bob").await;
    // What each conversation must hold, in order.
    let mut expected: Vec<Vec<String>> = vec![Vec::new(); PUBLISHERS];
    for round in 0..ROUNDS {
        let mut phone = Wire::connect(&server, &Login::new("phone", &bob)).await;
        phone.subscribe(QoS::AtMostOnce).await;
        let watching = tokio::spawn(async move {
            // All of it, so that the connection is closed when this ends.
            let mut phone = phone;
            loop {
                match phone.reader.next().await {
                    Some(Packet::Publish(_)) => {}
                    Some(Packet::Disconnect(disconnect)) => return disconnect.reason,
                    other => panic!("the reader: no DISCONNECT but {other:?}"),
                }
            }
        });
        let mut publishing = JoinSet::new();
        for (publisher, writer) in writers.iter().enumerate() {
            let login = Login::new("pen", writer);
            publishing.spawn(publish_until_stopped(server.clone(), login, publisher, round));
        }
        eventually(DEADLINE, "messages flow", async || {
            (server.metric("parlance_messages_stored_total").await >= BEFORE).then_some(())
        })
        .await;
        let began = Instant::now();
        server.signal_terminate();
        let sent = within("everybody is told", publishing.join_all()).await;
        assert_eq!(
            within("the reader is told", watching).await.expect("no panic"),
            ReasonCode::ServerShuttingDown
        );
        let stopping = Arc::get_mut(&mut server).expect("everybody else is done");
        stopping.terminate().await;
        let acknowledged: usize = sent.iter().map(|sent| sent.acknowledged.len()).sum();
        println!(
            "shutdown: {acknowledged} messages acknowledged, ended {:.1?} after SIGTERM",
            began.elapsed()
        );
        for Sent { publisher, acknowledged } in sent {
            for (number, seq) in acknowledged.into_iter().enumerate() {
                expected[publisher].push(format!("{round}/{number}"));
                assert_eq!(seq, expected[publisher].len() as u64, "publisher {publisher}: no seq is skipped");
            }
        }
        stopping.restart().await;
        for (publisher, expected) in expected.iter().enumerate() {
            let history = server.history(&bob.token, &format!("@writer{publisher}")).await;
            let texts: Vec<&str> =
                history.iter().map(|message| head_of(message["text"].as_str().expect("text"))).collect();
            // Exactly what was acknowledged: had the server taken more, it would have acknowledged it before it went.
            assert_eq!(texts, *expected, "publisher {publisher}");
        }
    }
}
