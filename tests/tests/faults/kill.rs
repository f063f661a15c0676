//! `kill -9` under load, again and again on the same data.

use crate::{
    book::History,
    rng::{Rng, seed},
    world::{World, lost, read_on},
};
use parlance_tests::{Engine, Server};
use std::{
    collections::HashMap,
    env,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Rounds, unless `PARLANCE_FAULT_ROUNDS` says otherwise.
const ROUNDS: u64 = 50;
/// Every so many rounds the server is killed once more while it starts.
const KILLED_AT_START_EVERY: u64 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_50_times_with_fjall() {
    killed_again_and_again(Engine::Fjall, seed(0x5EED_0001)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_50_times_with_sled() {
    killed_again_and_again(Engine::Sled, seed(0x5EED_0002)).await;
}

async fn killed_again_and_again(engine: Engine, seed: u64) {
    let rounds =
        env::var("PARLANCE_FAULT_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    let name = engine.as_str();
    println!("{name}: {rounds} rounds, seed {seed} (PARLANCE_SEED)");
    let mut rng = Rng::new(seed);
    // Small, so that segments are recycled and runs applied within the rounds.
    let options = Server::options()
        .engine(engine)
        .set("STORE__JOURNAL_SEGMENT_BYTES", 1 << 20)
        .set("STORE__RUN_BYTES_MAX", 512 << 10);
    let mut server = Server::start(options).await;
    let mut world = World::new(&server, rng.split()).await;
    let mut known: HashMap<String, History> = HashMap::new();
    let (begun, mut starts) = (Instant::now(), Duration::ZERO);
    for round in 1..=rounds {
        let working = world.work(&server);
        sleep(rng.millis(50..400)).await;
        working.ending();
        server.kill();
        world.back(working).await;
        let starting = Instant::now();
        if round % KILLED_AT_START_EVERY == 0 {
            kill_while_starting(&mut server, &mut rng).await;
        }
        server.restart().await;
        starts += starting.elapsed();
        check(&server, &mut world, &mut known, round).await;
    }
    let histories = world.settle(&server).await;
    world.compare(&histories);
    let elapsed = begun.elapsed();
    let stored: u64 = histories.values().map(|history| history.head).sum();
    let (received, again) = world.received();
    println!(
        "{name}: {rounds} rounds in {elapsed:.1?} ({:.2?} each, of it {:.2?} to be ready again), seed {seed}\n\
         {name}: {:?}, {stored} entries stored, {received} deliveries of which {again} once more after a break",
        elapsed / rounds as u32,
        starts / rounds as u32,
        world.book.counts(),
    );
}

async fn kill_while_starting(server: &mut Server, rng: &mut Rng) {
    tokio::select! {
        () = server.restart() => {}
        () = sleep(rng.millis(1..60)) => {}
    }
    server.kill();
}

/// Everything acknowledged so far is there, at its seq.
async fn check(server: &Server, world: &mut World, known: &mut HashMap<String, History>, round: u64) {
    for label in &world.conversations {
        read_on(server, &world.reader, label, known.entry(label.clone()).or_default()).await;
    }
    let lost = lost(&world.book.take_fresh(), known);
    assert!(
        lost.is_empty(),
        "round {round}: {} acknowledged messages are lost: {:#?}",
        lost.len(),
        &lost[..lost.len().min(5)]
    );
    for (label, history) in known {
        assert!(history.problems().is_empty(), "round {round}: {label} {:?}", history.problems());
        assert!(history.unreadable.is_empty(), "round {round}: {label}");
    }
    world.book.assert_sound();
}
