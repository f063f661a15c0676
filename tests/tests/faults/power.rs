//! A power cut: the file system's image copied at one moment under load, the copy mounted and opened.
//!
//! The moment is made by stopping the server's threads (SIGSTOP), each where it is between two system calls, and
//! letting the copy stand only if nothing was written to the device meanwhile. What counts as acknowledged is noted
//! before.

use crate::{
    book::{Entry, History},
    process::signal,
    rng::{Rng, seed},
    started::started,
    volume::{Volume, skipped},
    world::{World, lost},
};
use parlance_tests::{Engine, Options, Server};
use rustix::process::Signal;
use std::{collections::HashMap, time::Instant};
use tokio::{task::block_in_place, time::sleep};

const ROUNDS: usize = 20;
const VOLUME_BYTES: u64 = 1 << 30;

/// What a server found on the copy.
enum Found {
    /// So many acknowledged messages are not there; the first few of them.
    Opened { lost: Vec<String>, problems: Vec<String> },
    /// It did not start, and said why.
    Refused(String),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cut_20_times_with_fjall() {
    if skipped("power cut with fjall") {
        return;
    }
    for (round, (acknowledged, found)) in
        cut_again_and_again(Engine::Fjall, seed(0x5EED_0003)).await.into_iter().enumerate()
    {
        match found {
            Found::Opened { lost, problems } => {
                assert!(
                    lost.is_empty(),
                    "round {round}: {} of {acknowledged} lost: {:#?}",
                    lost.len(),
                    &lost[..lost.len().min(5)]
                );
                assert!(problems.is_empty(), "round {round}: {problems:#?}");
            }
            Found::Refused(why) => panic!("round {round}: did not open: {why}"),
        }
    }
}

/// sled promises nothing here: what happened is reported. It opens, or says why not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cut_20_times_with_sled() {
    if skipped("power cut with sled") {
        return;
    }
    let (mut whole, mut lossy, mut refused) = (0, 0, 0);
    for (round, (acknowledged, found)) in
        cut_again_and_again(Engine::Sled, seed(0x5EED_0004)).await.into_iter().enumerate()
    {
        match found {
            Found::Opened { lost, problems } if lost.is_empty() && problems.is_empty() => whole += 1,
            Found::Opened { lost, problems } => {
                lossy += 1;
                println!("sled round {round}: {} of {acknowledged} lost, {problems:?}", lost.len());
            }
            Found::Refused(why) => {
                refused += 1;
                assert!(
                    why.contains("error: "),
                    "round {round}: it did not open and does not say why: {why}"
                );
                println!(
                    "sled round {round}: {}",
                    why.lines().rfind(|line| line.contains("error: ")).unwrap_or_default()
                );
            }
        }
    }
    println!("sled after {ROUNDS} power cuts: {whole} whole, {lossy} with losses, {refused} did not open");
}

fn options(engine: Engine) -> Options {
    Server::options()
        .engine(engine)
        .set("STORE__JOURNAL_SEGMENT_BYTES", 1 << 20)
        .set("STORE__RUN_BYTES_MAX", 512 << 10)
}

async fn cut_again_and_again(engine: Engine, seed: u64) -> Vec<(usize, Found)> {
    let name = engine.as_str();
    println!("{name}: {ROUNDS} power cuts, seed {seed} (PARLANCE_SEED)");
    let begun = Instant::now();
    let mut rng = Rng::new(seed);
    let volume = block_in_place(|| Volume::new(VOLUME_BYTES));
    let mut server = Server::start(options(engine).data_dir(volume.path().join("data"))).await;
    let mut world = World::new(&server, rng.split()).await;
    let working = world.work(&server);
    let mut outcomes = Vec::new();
    for _ in 0..ROUNDS {
        sleep(rng.millis(100..500)).await;
        let acknowledged = world.book.acknowledged();
        signal(&server, Signal::STOP);
        let cut = block_in_place(|| volume.cut());
        outcomes.push((acknowledged.len(), open(engine, cut, &world, &acknowledged).await));
        signal(&server, Signal::CONT);
    }
    working.ending();
    server.kill();
    world.back(working).await;
    world.book.assert_sound();
    let acknowledged: Vec<usize> = outcomes.iter().map(|(acknowledged, _)| *acknowledged).collect();
    println!(
        "{name}: {ROUNDS} power cuts in {:.1?}, seed {seed}, acknowledged before each: {acknowledged:?}",
        begun.elapsed()
    );
    outcomes
}

async fn open(engine: Engine, cut: Volume, world: &World, acknowledged: &HashMap<String, Entry>) -> Found {
    let options = options(engine).data_dir(cut.path().join("data"));
    let server = match started(options).await {
        Ok(server) => server,
        Err(why) => return Found::Refused(why),
    };
    let histories = world.histories(&server).await;
    drop(server);
    let wrong = |(label, history): (&String, &History)| {
        let unreadable = history.unreadable.iter().map(|seq| format!("{seq} is unreadable"));
        let problems: Vec<String> = history.problems().iter().cloned().chain(unreadable).collect();
        problems.into_iter().map(move |problem| format!("{label}: {problem}")).collect::<Vec<_>>()
    };
    Found::Opened {
        lost: lost(acknowledged, &histories),
        problems: histories.iter().flat_map(wrong).collect(),
    }
}
