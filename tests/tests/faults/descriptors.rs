//! No descriptor is left for connections.
//!
//! **Expected** of a server that was started with few: some are kept for the store. Who is one too many is told that the
//! server is busy (0x89), or waits; who is in goes on, reading and writing, whatever new files the store needs.
//!
//! **Expected** when they are taken away from a running server (its limit is lowered to what is open and a few more): who
//! comes waits in the kernel; who is in goes on; a write for which the store needs another file may be refused by its
//! code, and is not acknowledged and lost. In both cases: when there are descriptors again, everything works again, without
//! a restart.

use crate::{
    book::Book,
    process::{limit, open_files},
    writer::{Writer, nothing_lost},
};
use parlance_tests::{Client, Closed, Device, Options, Server, User, eventually, mqtt::ReasonCode};
use rustix::process::Resource;
use std::{collections::BTreeMap, time::Duration};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

/// Descriptors of a server that has few.
const FEW: u64 = 200;
/// Descriptors beyond those that are open.
const SPARE: u64 = 40;
/// Connections that wait for a descriptor: whoever lets go of one has to fear for it.
const AT_THE_DOOR: usize = 100;
/// Who is not let in within this waits.
const LET_IN_WITHIN: Duration = Duration::from_secs(5);
/// How long it is written while none is free.
const WRITTEN_FOR: Duration = Duration::from_secs(4);
/// How fast everything works again.
const RECOVERS_WITHIN: Duration = Duration::from_secs(10);
/// Large messages and small files, so that the store needs new files all the time.
const PADDING_BYTES: usize = 8_000;

fn options() -> Options {
    Server::options()
        .set("STORE__JOURNAL_SEGMENT_BYTES", 1 << 20)
        .set("STORE__RUN_BYTES_MAX", 512 << 10)
        .set("LIMITS__DEVICES_PER_USER_MAX", 500)
}

/// A crowd that wants every descriptor.
struct Crowd {
    inside: Vec<Client>,
    /// How the first that was not let in was told; `None`: it waits.
    told: Option<Closed>,
    at_the_door: Vec<TcpStream>,
}

impl Crowd {
    async fn comes(server: &Server, user: &User) -> Self {
        let (mut inside, mut at_the_door) = (Vec::new(), Vec::new());
        let told = loop {
            let device = Device::new(format!("d{}", inside.len())).clean().expiry_s(0);
            match timeout(LET_IN_WITHIN, device.try_connect(server, user)).await {
                Ok(Ok(client)) => inside.push(client),
                Ok(Err(closed)) => break Some(closed),
                Err(_) => break None,
            }
            assert!(inside.len() as u64 <= FEW, "more were let in than there are descriptors");
        };
        for _ in 0..AT_THE_DOOR {
            at_the_door.push(TcpStream::connect(server.mqtt()).await.expect("the kernel takes it"));
        }
        Self { inside, told, at_the_door }
    }
}

/// What became of writing while there was no descriptor.
struct Meanwhile {
    taken: u64,
    refused: BTreeMap<String, u64>,
    files: u64,
    let_in: usize,
    told: Option<Closed>,
    recovered: Duration,
}

/// Writes while the crowd is there, and sees it go; then everything that was acknowledged is there.
async fn crowded(server: &mut Server, take_away: impl FnOnce(&Server)) -> Meanwhile {
    let (alice, carol) = (server.user("alice").await, server.user("carol").await);
    let user = server.user("crowd").await;
    let mut phone = Device::new("phone").connect(server, &carol).await;
    phone.subscribe("me/text/inbox/#").await;
    let book = Book::default();
    let mut writer = Writer::new(server, alice, "laptop", PADDING_BYTES).await;
    for _ in 0..50 {
        writer.write(&book).await.expect("all is well");
    }
    take_away(server);
    let mut crowd = Crowd::comes(server, &user).await;
    let (mut taken, mut refused) = (0, BTreeMap::new());
    let until = Instant::now() + WRITTEN_FOR;
    while Instant::now() < until {
        match writer.write(&book).await {
            Ok(()) => taken += 1,
            Err(code) => *refused.entry(code).or_default() += 1,
        }
    }
    let files = open_files(server.pid());
    phone.ping().await;
    for client in &mut crowd.inside {
        client.ping().await;
    }
    let Crowd { inside, told, at_the_door } = crowd;
    let let_in = inside.len();
    drop((inside, at_the_door));
    let free = Instant::now();
    eventually(RECOVERS_WITHIN, "others are let in", async || {
        let next = Device::new("next");
        timeout(LET_IN_WITHIN, next.try_connect(server, &user)).await.ok()?.ok().map(drop)
    })
    .await;
    eventually(RECOVERS_WITHIN, "messages are taken", async || writer.write(&book).await.ok()).await;
    let recovered = free.elapsed();
    let head = nothing_lost(server, &carol, &book).await;
    for seq in 1..=head {
        assert_eq!(phone.next().await.seq(), seq, "on the connection of before");
    }
    server.restart().await;
    nothing_lost(server, &carol, &book).await;
    Meanwhile { taken, refused, files, let_in, told, recovered }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_few_descriptors_some_are_kept_for_the_store() {
    let mut server = Server::start(options().files_max(FEW)).await;
    let meanwhile = crowded(&mut server, |_| {}).await;
    let Meanwhile { taken, refused, files, let_in, told, recovered } = meanwhile;
    println!(
        "{FEW} descriptors: {let_in} of a crowd let in, {files} open; {taken} messages taken meanwhile, refused: \
         {refused:?}; others let in {recovered:.0?} after the crowd had gone"
    );
    let told = told.expect("who is one too many is told at once").reason();
    assert_eq!(told, Some(ReasonCode::ServerBusy));
    assert!(let_in > 50, "only {let_in} were let in");
    assert!(refused.is_empty() && taken > 0, "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_descriptors_who_is_in_goes_on() {
    let mut server = Server::start(options()).await;
    let take_away = |server: &Server| limit(server, Resource::Nofile, open_files(server.pid()) + SPARE);
    let meanwhile = crowded(&mut server, take_away).await;
    let Meanwhile { taken, refused, files, let_in, told, recovered } = meanwhile;
    println!(
        "descriptors taken away: {let_in} of a crowd let in, {files} open; {taken} messages taken meanwhile, refused: \
         {refused:?}; all well {recovered:.0?} after there were descriptors"
    );
    assert_eq!(told, None, "nobody can be told without a descriptor");
}
