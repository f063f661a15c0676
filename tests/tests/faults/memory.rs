//! A limit of memory: of the control group where one can be made (cgroup v2), else of the process's data (`RLIMIT_DATA`).
//!
//! The allocator takes address space ahead of need, which `RLIMIT_DATA` counts: here it is told not to.

mod limit;

use crate::{
    process::status,
    rng::{Rng, seed},
    world::{World, lost},
};
use limit::Limit;
use parlance_tests::{Client, Closed, Device, Options, Server, eventually, mqtt::ReasonCode};
use std::time::Duration;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// What the server may have beyond what it has when it is idle, bytes.
const ROOM_BYTES: u64 = 384 << 20;
/// What its connections may hold of it, bytes.
const INFLIGHT_BYTES_MAX: u64 = 64 << 20;
/// Clients that want it to hold this much each: together more than there is room.
const GREEDY: usize = 200;
const GREEDY_BYTES: usize = 3_900_000;
const PACKET_BYTES_MAX: u64 = 4 << 20;
/// How often they try.
const WAVES: usize = 4;
/// Who is not closed within this goes by itself.
const CLOSED_WITHIN: Duration = Duration::from_secs(3);
/// How often the memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A message of those that behave, bytes.
const TEXT_BYTES: usize = 20_000;
const ENDED_WITHIN: Duration = Duration::from_secs(60);
/// The room that is not enough, bytes.
const TOO_LITTLE_BYTES: u64 = 12 << 20;

fn options() -> Options {
    // Neither reserves nor commits ahead.
    Server::options().env("MIMALLOC_ARENA_EAGER_COMMIT", 0).env("MIMALLOC_ARENA_RESERVE", 0)
}

/// A packet that never ends, of which the server holds what has come. Answers how that was taken, if it was closed soon.
async fn hold_much(mut client: Client) -> Option<ReasonCode> {
    // PUBLISH, and a length of 4,000,000 bytes.
    let begun = [&[0x30, 0x80, 0x92, 0xf4, 0x01][..], &vec![0; GREEDY_BYTES]].concat();
    let told = timeout(CLOSED_WITHIN, async {
        // It may be closed before all of it is sent, or not be read to its end.
        let _ = client.raw(&begun).await;
        client.closed().await.reason()
    });
    told.await.ok().flatten()
}

/// One message after the other; answers how many.
async fn talk(mut writer: Client, mut calm: Client, enough: watch::Receiver<bool>) -> u64 {
    let (mut said, text) = (0, "x".repeat(TEXT_BYTES));
    while !*enough.borrow() {
        said += 1;
        assert_eq!(writer.publish("user/@bob/text", format!("{said} {text}")).await.seq(), said);
        assert_eq!(calm.next().await.seq(), said);
    }
    said
}

/// **Expected** of clients that make the server hold much: it does not read on what it has no room for, those that hold
/// most are told (0x97) and closed, new ones are told to come back, and memory stays near `limits.inflight_bytes_max`.
/// Those that behave are served all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn within_its_memory_it_closes_those_that_hold_most() {
    let options = options()
        .set("LIMITS__INFLIGHT_BYTES_MAX", INFLIGHT_BYTES_MAX)
        .set("LIMITS__PACKET_BYTES_MAX", PACKET_BYTES_MAX)
        .set("STORE__CACHE_BYTES", 8 << 20)
        .set("STORE__RUN_BYTES_MAX", 1 << 20);
    let server = Server::start(options).await;
    let users = server.many_users("u", GREEDY).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let mut calm = Device::new("calm").connect(&server, &bob).await;
    calm.subscribe("me/text/inbox/#").await;
    let writer = Device::new("writer").connect(&server, &alice).await;
    let limit = Limit::beyond(&server, ROOM_BYTES);
    let before_kb = status(server.pid(), "VmRSS");

    let (enough, mut most_kb) = (watch::Sender::new(false), before_kb);
    let talking = tokio::spawn(talk(writer, calm, enough.subscribe()));
    let (mut told, mut refused) = (0, 0);
    for _ in 0..WAVES {
        // All of them are in before the first of them asks for much.
        let mut inside = Vec::new();
        for (number, user) in users.iter().enumerate() {
            let device = Device::new(format!("greedy{number}")).clean().expiry_s(0);
            match device.try_connect(&server, user).await {
                Ok(client) => inside.push(client),
                Err(Closed::Refused(connack)) => {
                    refused += u64::from(connack.reason == ReasonCode::ServerBusy);
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        let mut greedy: JoinSet<_> = inside.into_iter().map(hold_much).collect();
        while !greedy.is_empty() {
            most_kb = most_kb.max(status(server.pid(), "VmRSS"));
            if let Ok(Some(ended)) = timeout(LOOK_EVERY, greedy.join_next()).await {
                told += u64::from(ended.expect("no panic") == Some(ReasonCode::QuotaExceeded));
            }
        }
    }
    enough.send_replace(true);
    let said = talking.await.expect("who behaves is served");
    assert!(told > 0, "nobody was closed for the memory that it holds");
    eventually(ENDED_WITHIN, "new ones are let in", async || {
        Device::new("new").try_connect(&server, &users[0]).await.ok().map(drop)
    })
    .await;
    let history = server.history(&bob.token, "@alice").await;
    assert_eq!(history.len() as u64, said);
    println!(
        "memory limit ({limit}): {told} connections closed with 0x97, {refused} refused for now, {said} messages of who \
         behaves served; resident {} MiB before, {} MiB at most",
        before_kb >> 10,
        most_kb >> 10
    );
}

/// **Expected** where the limit is below what is needed: the process ends (killed by the kernel, or aborted by its allocator)
/// at any place whatever, and after its start everything that was acknowledged is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_for_memory_it_loses_nothing() {
    let seed = seed(0x5EED_0008);
    let mut rng = Rng::new(seed);
    let mut server = Server::start(options()).await;
    let mut world = World::new(&server, rng.split()).await;
    let working = world.work(&server);
    sleep(rng.millis(200..600)).await;
    working.ending();
    let limit = Limit::beyond(&server, TOO_LITTLE_BYTES);
    let pressed = Instant::now();
    eventually(ENDED_WITHIN, "the server ends for want of memory", async || {
        limit.has_ended(&server).then_some(())
    })
    .await;
    let lived = pressed.elapsed();
    server.kill();
    world.back(working).await;
    let kind = limit.to_string();
    drop(limit);
    server.restart().await;
    let acknowledged = world.book.acknowledged();
    let histories = world.histories(&server).await;
    let lost = lost(&acknowledged, &histories);
    assert!(
        lost.is_empty(),
        "{} of {} lost: {:#?}",
        lost.len(),
        acknowledged.len(),
        &lost[..lost.len().min(5)]
    );
    let histories = world.settle(&server).await;
    world.compare(&histories);
    println!(
        "killed for memory ({kind}): after {lived:.1?}, {} acknowledged before, nothing lost; {:?}, seed {seed}",
        acknowledged.len(),
        world.book.counts()
    );
}
