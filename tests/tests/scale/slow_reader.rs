//! Who stops reading costs the server little and the others nothing, and gets everything when it reads on.

use crate::{
    DEADLINE,
    memory::{Memory, mib},
    publisher::{Publisher, text},
    wire::{Login, Wire},
    within,
};
use parlance_tests::{Delivery, Server, User, eventually, mqtt::QoS};
use std::{sync::Arc, time::Instant};
use tokio::task::JoinSet;

/// Kernel memory for what a slow reader has not read, bytes.
const SLOW_BUFFER_BYTES: u32 = 4 << 10;
/// How often in a row a number must be the same to be at rest.
const AT_REST: usize = 10;

/// Waits until the server hands out no more messages: those who read have everything, those who do not are stuck.
/// Answers how many were handed out since it began.
async fn handed_out(server: &Server) -> u64 {
    let (mut last, mut same) = (0, 0);
    eventually(DEADLINE, "the server comes to rest", async || {
        let now = server.metric("parlance_messages_delivered_total").await as u64;
        same = if now == last { same + 1 } else { 0 };
        last = now;
        (same >= AT_REST).then_some(now)
    })
    .await
}

/// Takes the messages from `first` to `last`, each once and in order.
async fn take_in_order(wire: &mut Wire, first: u64, last: u64) {
    let mut next = first;
    let count = usize::try_from(last + 1 - first).expect("not so many");
    wire.take(count, |delivery: &Delivery| {
        assert_eq!(delivery.seq(), next);
        assert!(!delivery.dup(), "{next} came again");
        next += 1;
    })
    .await;
}

async fn publish_to_group(server: &Server, writer: &User, group: &str, messages: usize, bytes: usize) {
    let mut pen = Wire::connect(server, &Login::new("pen", writer)).await;
    let topic = format!("group/{group}/text");
    let all = (0..messages).map(|message| (topic.clone(), text(&message.to_string(), bytes)));
    Publisher::new().publish_all(&mut pen, all).await;
}

mod live {
    use super::*;

    const FAST: usize = 4;
    const MESSAGES: usize = 6_000;
    const MESSAGE_BYTES: usize = 32_768;
    /// `store.run_bytes_max`: memory before the store is at most eight times this.
    const RUN_BYTES_MAX: u64 = 1 << 20;
    /// By how much memory may grow while about 200 MB pass the ones who do not read, bytes.
    const GROWTH_BYTES_MAX: u64 = 64 << 20;

    /// Publishes a round of messages while the fast ones read all of it.
    async fn round(
        server: &Arc<Server>,
        writer: &User,
        group: &str,
        fast: Vec<Wire>,
        first: u64,
    ) -> Vec<Wire> {
        let last = first + MESSAGES as u64 - 1;
        let mut reading = JoinSet::new();
        for (reader, mut wire) in fast.into_iter().enumerate() {
            reading.spawn(async move {
                take_in_order(&mut wire, first, last).await;
                (reader, wire)
            });
        }
        publish_to_group(server, writer, group, MESSAGES, MESSAGE_BYTES).await;
        let mut readers = within("the fast ones read everything", reading.join_all()).await;
        readers.sort_by_key(|(reader, _)| *reader);
        readers.into_iter().map(|(_, wire)| wire).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn stops_nobody_and_catches_up_from_the_log() {
        // So many in flight that the socket is what stops a slow reader, not the window.
        let options = Server::options()
            .set("STORE__RUN_BYTES_MAX", RUN_BYTES_MAX)
            .set("LIMITS__INFLIGHT_MESSAGES_MAX", 65_535)
            // Nobody is closed for being slow: that is another test's.
            .set("LIMITS__WRITE_TIMEOUT_MS", 600_000);
        let server = Arc::new(Server::start(options).await);
        let users = server.many_users("reader", FAST + 3).await;
        let writer = server.user("writer").await;
        let group = server.group(&writer, "talk", &users.iter().collect::<Vec<_>>()).await;
        let (fast_users, slow_users) = users.split_at(FAST);
        let slow_login =
            |slow: usize| Login::new("slow", &slow_users[slow]).receive_buffer(SLOW_BUFFER_BYTES);
        let mut all = Vec::new();
        for user in fast_users {
            all.push((Login::new("phone", user), QoS::AtLeastOnce));
        }
        for (reader, qos) in [QoS::AtLeastOnce, QoS::AtMostOnce, QoS::AtLeastOnce].into_iter().enumerate() {
            all.push((slow_login(reader), qos));
        }
        let mut wires = Vec::new();
        for (login, qos) in all {
            let mut wire = Wire::connect(&server, &login).await;
            wire.subscribe(qos).await;
            take_in_order(&mut wire, 1, 1).await; // the entry that made the group
            wires.push(wire);
        }
        // Everybody reads at first; caches and buffers fill before memory is measured.
        let mut fast = round(&server, &writer, &group, wires, 2).await;
        let slow = fast.split_off(FAST);
        let handed_before = handed_out(&server).await;
        let before = Memory::of(server.pid());
        let began = Instant::now();
        let first = MESSAGES as u64 + 2;
        let fast = round(&server, &writer, &group, fast, first).await;
        let (passed_in, after) = (began.elapsed(), Memory::of(server.pid()));
        let to_slow = handed_out(&server).await - handed_before - (FAST * MESSAGES) as u64;
        println!(
            "slow reader: {MESSAGES} messages ({:.0} MiB) reached {FAST} readers in {passed_in:.1?}, {to_slow} of them \
             went to the sockets of 3 who do not read; memory {before} before, {after} after",
            mib((MESSAGES * MESSAGE_BYTES) as u64)
        );
        let growth = after.growth_since(before);
        assert!(growth < GROWTH_BYTES_MAX, "memory grew by {:.0} MiB", mib(growth));
        assert!(to_slow < MESSAGES as u64, "the slow ones are not slow enough for this test");

        let (last, mut readers) = (first + MESSAGES as u64 - 1, slow.into_iter().enumerate());
        let began = Instant::now();
        for (reader, mut wire) in readers.by_ref().take(2) {
            take_in_order(&mut wire, first, last).await;
            println!(
                "slow reader: number {reader} caught up on {last} messages after {:.1?}",
                began.elapsed()
            );
        }
        // The third one gives the stuck connection up and comes again: it must not wait for the old one's bytes.
        let (reader, stuck) = readers.next().expect("three");
        let began = Instant::now();
        let mut again = Wire::connect(&server, &slow_login(reader)).await;
        println!("slow reader: took its stuck session over in {:.1?}", began.elapsed());
        let mut next = None;
        while next != Some(last + 1) {
            again
                .take(1, |delivery| {
                    // What was on its way to the stuck connection may come again, in the same order.
                    let expected = next.unwrap_or(delivery.seq());
                    assert_eq!(delivery.seq(), expected);
                    assert!(expected >= first);
                    next = Some(expected + 1);
                })
                .await;
        }
        drop((stuck, fast));
    }
}

mod returning {
    use super::*;

    const READERS: usize = 40;
    const MESSAGES: usize = 120;
    const MESSAGE_BYTES: usize = 200_000;
    /// By how much memory may grow while 40 readers, of whom each has 24 MB to get, do not read, bytes.
    const GROWTH_BYTES_MAX: u64 = 160 << 20;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn with_large_messages_waiting_costs_a_bounded_amount() {
        let server = Arc::new(Server::start(Server::options().set("STORE__RUN_BYTES_MAX", 1 << 20)).await);
        let users = server.many_users("reader", READERS).await;
        let writer = server.user("writer").await;
        let group = server.group(&writer, "talk", &users.iter().collect::<Vec<_>>()).await;
        publish_to_group(&server, &writer, &group, MESSAGES, MESSAGE_BYTES).await;
        let before = Memory::of(server.pid());
        let mut stuck = Vec::new();
        for user in &users {
            let mut wire =
                Wire::connect(&server, &Login::new("slow", user).receive_buffer(SLOW_BUFFER_BYTES)).await;
            wire.subscribe(QoS::AtLeastOnce).await;
            stuck.push(wire);
        }
        handed_out(&server).await;
        let after = Memory::of(server.pid());
        println!(
            "returning: {READERS} who do not read, {:.0} MiB waiting for each; memory {before} before, {after} after",
            mib((MESSAGES * MESSAGE_BYTES) as u64)
        );
        let growth = after.growth_since(before);
        assert!(growth < GROWTH_BYTES_MAX, "memory grew by {:.0} MiB", mib(growth));
        let began = Instant::now();
        let mut reading = JoinSet::new();
        for mut wire in stuck {
            reading.spawn(async move { take_in_order(&mut wire, 1, MESSAGES as u64 + 1).await });
        }
        within("everybody catches up", reading.join_all()).await;
        println!("returning: everybody caught up in {:.1?}", began.elapsed());
    }
}

mod given_up {
    use super::*;
    use parlance_tests::mqtt::Packet;

    const MESSAGES: usize = 1_000;
    const MESSAGE_BYTES: usize = 32_768;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn after_a_while_it_is_closed_and_gets_the_rest_when_it_returns() {
        let options = Server::options()
            .set("LIMITS__WRITE_TIMEOUT_MS", 500)
            .set("LIMITS__INFLIGHT_MESSAGES_MAX", 65_535);
        let server = Server::start(options).await;
        let (reader, writer) = (server.user("reader").await, server.user("writer").await);
        let group = server.group(&writer, "talk", &[&reader]).await;
        let login = Login::new("slow", &reader).receive_buffer(SLOW_BUFFER_BYTES);
        let mut wire = Wire::connect(&server, &login).await;
        wire.subscribe(QoS::AtLeastOnce).await;
        publish_to_group(&server, &writer, &group, MESSAGES, MESSAGE_BYTES).await;
        eventually(DEADLINE, "the server gives up", async || {
            (server.metric("parlance_write_timeouts_total").await > 0.0).then_some(())
        })
        .await;
        // What was in the socket is still there; acknowledgements of it go nowhere.
        let (mut got, mut next) = (0, 1);
        while let Some(Packet::Publish(publish)) = wire.reader.next().await {
            assert_eq!(Delivery(publish).seq(), next);
            (got, next) = (got + 1, next + 1);
        }
        println!("given up: {got} of {MESSAGES} messages were on their way");
        assert!(got < MESSAGES, "the server gave up too late for this test");
        let mut again = Wire::connect(&server, &login).await;
        assert!(again.present);
        let mut next = 1;
        let all = MESSAGES + 1; // with the entry that made the group
        again
            .take(all, |delivery| {
                assert_eq!(delivery.seq(), next);
                next += 1;
            })
            .await;
    }
}
