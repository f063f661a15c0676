//! A full disk: refused with its name, reads go on, accepts again when there is space, and nothing acknowledged is lost.

use crate::{
    book::Book,
    started::started,
    volume::{Volume, skipped},
    writer::{Writer, is_ready, nothing_lost},
};
use parlance_tests::{Client, Device, Engine, Options, Server, eventually};
use reqwest::Method;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::{
    task::block_in_place,
    time::{sleep, timeout},
};

const VOLUME_BYTES: u64 = 256 << 20;
/// The server's reserve in the first test.
const RESERVE_BYTES: u64 = 32 << 20;
/// How fast the server has to notice that the disk is full, or is not any more.
const NOTICED_WITHIN: Duration = Duration::from_secs(5);
/// A refused publisher tries the next message after this.
const AGAIN: Duration = Duration::from_millis(5);
/// Stored before the disk is full.
const STORED_BEFORE: usize = 300;

fn options(engine: Engine, volume: &Volume, min_free_bytes: u64) -> Options {
    Server::options()
        .engine(engine)
        .data_dir(volume.path().join("data"))
        .set("STORE__JOURNAL_SEGMENT_BYTES", 1 << 20)
        .set("STORE__RUN_BYTES_MAX", 512 << 10)
        .set("STORE__MIN_FREE_BYTES", min_free_bytes)
}

/// A file that takes the space away.
struct Ballast(PathBuf);

impl Ballast {
    /// Leaves so many bytes free.
    fn leave(volume: &Volume, bytes: u64) -> Self {
        let path = volume.path().join("ballast");
        let file = File::create(&path).expect("a file");
        fallocate(&file, FallocateFlags::empty(), 0, free(&volume.path()) - bytes).expect("space");
        file.sync_all().expect("a sync");
        Self(path)
    }

    fn remove(self) {
        fs::remove_file(&self.0).expect("the ballast was there");
    }
}

fn free(path: &Path) -> u64 {
    let space = statvfs(path).expect("a file system");
    space.f_bavail * space.f_frsize
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_serves_reads() {
    if skipped("full disk") {
        return;
    }
    let volume = block_in_place(|| Volume::new(VOLUME_BYTES));
    let server = Server::start(options(Engine::Fjall, &volume, RESERVE_BYTES)).await;
    let (alice, carol) = (server.user("alice").await, server.user("carol").await);
    let book = Book::default();
    // Carol's phone takes a few messages and then only when it is told to; her tablet is away from the beginning.
    let mut phone = Device::new("phone").receive_maximum(8).connect(&server, &carol).await.manual_acks();
    phone.subscribe("me/json/inbox/#").await;
    let mut tablet = Device::new("tablet").connect(&server, &carol).await;
    tablet.subscribe("me/json/inbox/#").await;
    tablet.disconnect().await;
    let mut old = Device::new("old").v3().connect(&server, &alice).await;
    old.subscribe("me/json/events/#").await;
    let mut writer = Writer::new(&server, alice.clone(), "laptop", 200).await;
    for _ in 0..STORED_BEFORE {
        writer.write(&book).await.expect("there is space");
    }

    let ballast = Ballast::leave(&volume, RESERVE_BYTES - (2 << 20));
    let full = Instant::now();
    let refused =
        eventually(NOTICED_WITHIN, "messages are refused", async || writer.write(&book).await.err());
    assert_eq!(refused.await, "disk_full");
    let noticed = full.elapsed();
    eventually(NOTICED_WITHIN, "not ready", async || (!is_ready(&server).await).then_some(())).await;

    // 3.1.1: acknowledged, and an event that says why.
    old.publish("user/@carol/text", "refused").await;
    let event: Value = old.next().await.json();
    assert_eq!((&event["event"], &event["code"]), (&json!("error"), &json!("disk_full")), "{event}");
    // HTTP.
    let request = json!({"to": "@carol", "text": "refused"});
    let answer =
        server.request(Method::POST, "/sendMessage").bearer_auth(&alice.token).json(&request).send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 507);
    let problem: Value = answer.json().await.expect("a problem document");
    assert_eq!(problem["code"], "disk_full", "{problem}");

    // Reads go on: history, the rest for the phone, everything for the tablet that comes back now.
    let stored = nothing_lost(&server, &carol, &book).await;
    receive(&mut phone, stored).await;
    let mut tablet = Device::new("tablet").connect(&server, &carol).await.manual_acks();
    assert!(tablet.session_present());
    tablet.subscribe("me/json/inbox/#").await;
    receive(&mut tablet, stored).await;
    assert_eq!(writer.write(&book).await, Err("disk_full".to_owned()), "still");

    ballast.remove();
    let freed = Instant::now();
    eventually(NOTICED_WITHIN, "messages are taken again", async || writer.write(&book).await.ok()).await;
    let accepted = freed.elapsed();
    eventually(NOTICED_WITHIN, "ready", async || is_ready(&server).await.then_some(())).await;
    let head = nothing_lost(&server, &carol, &book).await;
    receive(&mut phone, head - stored).await;
    println!(
        "full disk: refused after {noticed:.0?}, accepted {accepted:.0?} after there was space, {:?}",
        book.counts()
    );
}

/// So many deliveries, in order.
async fn receive(client: &mut Client, count: u64) {
    let mut last = None;
    for _ in 0..count {
        let delivery = client.next().await;
        let seq = delivery.seq();
        assert!(last.is_none_or(|last| seq == last + 1), "{seq} came after {last:?}");
        last = Some(seq);
        client.ack(&delivery).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_space_at_all_with_fjall() {
    if !skipped("no space at all with fjall") {
        no_space_at_all(Engine::Fjall).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_space_at_all_with_sled() {
    if !skipped("no space at all with sled") {
        no_space_at_all(Engine::Sled).await;
    }
}

/// No reserve: the disk itself refuses the journal and the store, in the middle of what they do.
async fn no_space_at_all(engine: Engine) {
    let name = engine.as_str();
    let volume = block_in_place(|| Volume::new(VOLUME_BYTES));
    let mut server = Server::start(options(engine, &volume, 0)).await;
    let (alice, carol) = (server.user("alice").await, server.user("carol").await);
    let book = Book::default();
    let mut writer = Writer::new(&server, alice.clone(), "laptop", 8_000).await;
    for _ in 0..50 {
        writer.write(&book).await.expect("there is space");
    }
    // Free space comes and goes; each time the disk is filled to its last block.
    let (mut refusals, mut accepted) = (0, 0);
    for left in [6 << 20, 3 << 20, 512 << 10] {
        let ballast = Ballast::leave(&volume, left);
        let until = Instant::now() + Duration::from_secs(4);
        let mut refused_here = 0;
        while Instant::now() < until {
            match writer.write(&book).await {
                Ok(()) => accepted += 1,
                Err(code) => {
                    assert_eq!(code, "disk_full", "{}", server.log());
                    refused_here += 1;
                    sleep(AGAIN).await;
                }
            }
        }
        assert!(refused_here > 0, "{left} bytes were enough for everything");
        refusals += refused_here;
        nothing_lost(&server, &carol, &book).await;
        ballast.remove();
        eventually(NOTICED_WITHIN * 2, "messages are taken again", async || writer.write(&book).await.ok())
            .await;
        eventually(NOTICED_WITHIN, "ready", async || is_ready(&server).await.then_some(())).await;
    }
    nothing_lost(&server, &carol, &book).await;

    // Killed while it is full; started while it is still full; started when there is space.
    let ballast = Ballast::leave(&volume, 1 << 20);
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        // Refused or not: the book knows.
        if writer.write(&book).await.is_err() {
            sleep(AGAIN).await;
        }
    }
    server.kill();
    let while_full = match timeout(NOTICED_WITHIN * 2, started(options(engine, &volume, 0))).await {
        Ok(Ok(server)) => {
            nothing_lost(&server, &carol, &book).await;
            "it starts and serves".to_owned()
        }
        Ok(Err(why)) => {
            assert!(why.contains("error: "), "it does not start and does not say why: {why}");
            why.lines().skip_while(|line| !line.contains("error: ")).take(3).collect::<Vec<_>>().join(" / ")
        }
        Err(_) => "it runs and is not ready".to_owned(),
    };
    ballast.remove();
    let server = Server::start(options(engine, &volume, 0)).await;
    let head = nothing_lost(&server, &carol, &book).await;
    println!(
        "{name}, no space: {accepted} accepted and {refusals} refused while it was short, {head} stored, {:?}; restarted while full: {while_full}",
        book.counts()
    );
}
