//! Publishers that write without waiting: 3.1.1 is slowed down, MQTT 5 is held to its Receive Maximum.

use crate::{
    memory::{Memory, mib},
    publisher::{Publisher, head_of, text},
    wire::{Login, Wire, publish},
    within,
};
use parlance_tests::{
    Server,
    mqtt::{Packet, PacketId, QoS, ReasonCode},
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// `limits.receive_maximum`.
const RECEIVE_MAXIMUM: u16 = 16;
/// `limits.ledger_queue_max`.
const LEDGER_QUEUE_MAX: usize = 16;

async fn small_server() -> Server {
    let options = Server::options()
        .set("LIMITS__RECEIVE_MAXIMUM", RECEIVE_MAXIMUM)
        .set("LIMITS__LEDGER_QUEUE_MAX", LEDGER_QUEUE_MAX);
    Server::start(options).await
}

fn packet_id(number: usize) -> PacketId {
    u16::try_from(number + 1).ok().and_then(PacketId::new).expect("fewer than 65,535")
}

/// Writes messages 0 to `count` without reading a PUBACK, while another task reads them.
async fn pipeline(server: &Server, login: &Login, topic: &'static str, count: usize, bytes: usize) {
    let Wire { mut reader, mut writer, .. } = Wire::connect(server, login).await;
    let writing = tokio::spawn(async move {
        for message in 0..count {
            writer.push(&publish(packet_id(message), topic, text(&message.to_string(), bytes)));
            if message % 64 == 63 || message + 1 == count {
                assert!(writer.flush().await, "a 3.1.1 client is not closed for writing fast");
            }
        }
        writer
    });
    for message in 0..count {
        let packet = reader.next().await;
        let Some(Packet::PubAck(ack)) = packet else { panic!("PUBACK {message}, but {packet:?}") };
        assert_eq!(ack.packet_id, packet_id(message), "PUBACKs come in the order of the publishes");
    }
    writing.await.expect("it wrote everything");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_3_1_1_client_that_never_waits_is_slowed_down_and_loses_nothing() {
    const MESSAGES: usize = 5_000;
    /// Together they are more than the ledger's queue takes.
    const PUBLISHERS: usize = 4;
    let server = Arc::new(small_server().await);
    let (writers, bob) = (server.many_users("writer", PUBLISHERS).await, server.user("bob").await);
    let mut phone = Wire::connect(&server, &Login::new("phone", &bob)).await;
    phone.subscribe(QoS::AtLeastOnce).await;
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for writer in &writers {
        let (server, login) = (server.clone(), Login::new("pen", writer).v3());
        tasks.spawn(async move { pipeline(&server, &login, "user/@bob/text", MESSAGES, 100).await });
    }
    within("everything is acknowledged", tasks.join_all()).await;
    let waits = server.metric("parlance_ledger_queue_full_total").await;
    println!(
        "pipelining: {} publishes of {PUBLISHERS} clients in {:.1?}, {waits} waits for the ledger",
        PUBLISHERS * MESSAGES,
        began.elapsed()
    );
    assert!(waits > 0.0, "the ledger's queue was never full: this test shows nothing");
    let mut next: HashMap<String, u64> = HashMap::new();
    phone
        .take(PUBLISHERS * MESSAGES, |delivery| {
            let last = next.entry(delivery.topic().to_owned()).or_default();
            assert_eq!(delivery.seq(), *last + 1);
            assert_eq!(head_of(delivery.text()), last.to_string());
            *last += 1;
        })
        .await;
    assert!(next.len() == PUBLISHERS && next.values().all(|last| *last == MESSAGES as u64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_mqtt_5_client_is_closed_beyond_its_receive_maximum_and_never_within_it() {
    const MESSAGES: usize = 5_000;
    /// So many at once that no server answers the first of them before it has read one too many.
    const TOO_MANY: usize = 1_000;
    let server = small_server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let mut good = Wire::connect(&server, &Login::new("good", &alice)).await;
    assert_eq!(good.receive_maximum, RECEIVE_MAXIMUM);
    let messages =
        |count: usize| (0..count).map(|number| ("user/@bob/text".to_owned(), text(&number.to_string(), 100)));
    let mut publisher = Publisher::new();
    publisher.publish_all(&mut good, messages(MESSAGES)).await;
    assert_eq!(publisher.acknowledged, (1..=MESSAGES as u64).collect::<Vec<_>>());

    let mut bad = Wire::connect(&server, &Login::new("bad", &alice)).await;
    bad.receive_maximum = u16::MAX;
    let mut publisher = Publisher::new();
    publisher.publish(&mut bad, messages(TOO_MANY)).await;
    match publisher.ended {
        Some(Some(Packet::Disconnect(disconnect))) => {
            assert_eq!(disconnect.reason, ReasonCode::ReceiveMaximumExceeded, "{disconnect:?}");
        }
        other => panic!("no DISCONNECT but {other:?}"),
    }
    assert!(bad.reader.next().await.is_none(), "the connection is closed");
    // The other connection of the same user goes on, and what was acknowledged on this one is there.
    Publisher::new().publish_all(&mut good, messages(1)).await;
    let history = server.history(&bob.token, "@alice").await;
    for (number, seq) in publisher.acknowledged.iter().enumerate() {
        let text = history[*seq as usize - 1]["text"].as_str().expect("a text");
        assert_eq!(head_of(text), number.to_string(), "at {seq}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_take_its_answers_is_not_heard() {
    /// More than all the buffers on the way hold.
    const PINGS_MAX: usize = 64 << 20;
    const PINGS: usize = 8_192;
    /// By how much memory may grow while a client asks and does not listen, bytes.
    const GROWTH_BYTES_MAX: u64 = 16 << 20;
    /// When so long nothing more can be written, the server has stopped reading.
    const STUCK: Duration = Duration::from_secs(2);
    let server = Server::start(Server::options().set("LIMITS__WRITE_TIMEOUT_MS", 600_000)).await;
    let alice = server.user("alice").await;
    let Wire { mut reader, mut writer, .. } =
        Wire::connect(&server, &Login::new("phone", &alice).receive_buffer(4 << 10)).await;
    let before = Memory::of(server.pid());
    let mut asked = 0;
    loop {
        assert!(asked < PINGS_MAX, "the server goes on reading");
        (0..PINGS).for_each(|_| writer.push(&Packet::PingReq));
        asked += PINGS;
        match tokio::time::timeout(STUCK, writer.write()).await {
            Ok(written) => assert!(written, "the connection is open"),
            Err(_) => break,
        }
    }
    let after = Memory::of(server.pid());
    println!("pipelining: stuck after {asked} pings; memory {before} before, {after} after");
    let growth = after.growth_since(before);
    assert!(growth < GROWTH_BYTES_MAX, "memory grew by {:.0} MiB", mib(growth));
    // When it listens, it is heard again, and gets every answer.
    let writing = tokio::spawn(async move {
        assert!(writer.flush().await);
        writer
    });
    for answered in 0..asked {
        let packet = reader.next().await;
        assert!(matches!(packet, Some(Packet::PingResp)), "{answered} of {asked}: {packet:?}");
    }
    writing.await.expect("everything was written");
}
