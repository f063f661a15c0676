//! I/O errors of a whole disk: it dies, it hangs, its folders cannot be changed, a file of it is none.
//!
//! Errors of single calls, each at its place, are made by the store that the simulation tests use; here the kernel makes
//! them.

use crate::{
    book::Book,
    started::started,
    volume::{Immutable, Volume, skipped},
    writer::{Writer, is_ready, nothing_lost},
};
use parlance_tests::{Device, Options, Server, eventually};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    task::block_in_place,
    time::{Instant, sleep},
};

const VOLUME_BYTES: u64 = 768 << 20;
/// Stored before anything happens.
const STORED_BEFORE: usize = 300;
/// How fast the server has to notice what happened, or that it is over.
const NOTICED_WITHIN: Duration = Duration::from_secs(15);
/// How long it is written to a disk that is dead.
const DEAD_FOR: Duration = Duration::from_secs(5);
/// How long a disk hangs.
const HANGS_FOR: Duration = Duration::from_secs(5);
/// A refused publisher tries the next message after this.
const AGAIN: Duration = Duration::from_millis(5);

fn options(volume: &Volume) -> Options {
    Server::options()
        .data_dir(volume.path().join("data"))
        .set("STORE__JOURNAL_SEGMENT_BYTES", 1 << 20)
        .set("STORE__RUN_BYTES_MAX", 512 << 10)
        .set("STORE__MIN_FREE_BYTES", 0)
}

/// **Expected** of a disk on which every read and write fails: what was not acknowledged is refused with a code, `/ready`
/// says no, connections and the process live. When the disk is back and the server started anew, everything that was
/// acknowledged is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_disk_refuses_and_loses_nothing() {
    if skipped("dead disk") {
        return;
    }
    let mut volume = block_in_place(|| Volume::new(VOLUME_BYTES));
    let mut server = Server::start(options(&volume)).await;
    let (alice, carol) = (server.user("alice").await, server.user("carol").await);
    let book = Book::default();
    let mut writer = Writer::new(&server, alice.clone(), "laptop", 2_000).await;
    let mut idle = Device::new("idle").connect(&server, &carol).await;
    for _ in 0..STORED_BEFORE {
        writer.write(&book).await.expect("all is well");
    }
    block_in_place(|| volume.die());
    let (mut refused, mut taken) = (BTreeMap::<String, u64>::new(), 0);
    let until = Instant::now() + DEAD_FOR;
    while Instant::now() < until {
        match writer.write(&book).await {
            // The server said that it is on disk: it has to be there.
            Ok(()) => taken += 1,
            Err(code) => *refused.entry(code).or_default() += 1,
        }
        sleep(AGAIN).await;
    }
    assert!(!refused.is_empty(), "a dead disk takes everything");
    assert!(!is_ready(&server).await);
    idle.ping().await;
    server.kill();
    block_in_place(|| volume.revive());
    let server = Server::start(options(&volume)).await;
    let head = nothing_lost(&server, &carol, &book).await;
    let again =
        Device::new("tablet").connect(&server, &alice).await.publish("user/@carol/text", "again").await;
    assert!(again.seq() > head);
    println!("dead disk: {refused:?} refused, {taken} taken meanwhile, {head} stored, {:?}", book.counts());
}

/// **Expected** of a disk that hangs (a frozen file system): nothing is acknowledged while it does, and nothing is refused;
/// who only listens or asks is served, other connections are not held up. Afterwards everything is acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_disk_is_waited_for() {
    if skipped("hanging disk") {
        return;
    }
    let volume = block_in_place(|| Volume::new(VOLUME_BYTES));
    let server = Server::start(options(&volume)).await;
    let (alice, carol) = (server.user("alice").await, server.user("carol").await);
    let mut idle = Device::new("idle").connect(&server, &carol).await;
    let mut writer = Writer::new(&server, alice, "laptop", 200).await;
    let book = std::sync::Arc::new(Book::default());
    for _ in 0..STORED_BEFORE {
        writer.write(&book).await.expect("all is well");
    }
    let frozen = block_in_place(|| volume.freeze());
    let writing = tokio::spawn({
        let book = book.clone();
        async move {
            for _ in 0..50 {
                writer.write(&book).await.expect("a disk that hangs does not refuse");
            }
        }
    });
    let hangs = Instant::now();
    let acked = book.counts().acked;
    let (mut pings, mut longest) = (0, Duration::ZERO);
    while hangs.elapsed() < HANGS_FOR {
        let begun = Instant::now();
        idle.ping().await;
        assert_eq!(server.history(&carol.token, "@alice").await.len(), STORED_BEFORE, "reads go on");
        (pings, longest) = (pings + 1, longest.max(begun.elapsed()));
        sleep(Duration::from_millis(50)).await;
    }
    let meanwhile = book.counts().acked - acked;
    block_in_place(|| drop(frozen));
    let over = Instant::now();
    writing.await.expect("everything is acknowledged");
    let caught_up = over.elapsed();
    nothing_lost(&server, &carol, &book).await;
    assert_eq!(meanwhile, 0, "acknowledged, although nothing could be written");
    println!(
        "hanging disk: for {HANGS_FOR:?} nothing acknowledged, {pings} pings and histories answered (longest \
         {longest:.0?}), everything acknowledged {caught_up:.0?} afterwards"
    );
}

/// **Expected** while the folder of the journal, or of the store, cannot be changed (as when its file system has been
/// mounted read-only after an error): writes go on as long as the open files suffice, then they are refused; reads go on.
/// When the folder can be changed again, writes are taken again. Nothing acknowledged is lost.
async fn a_folder_that_cannot_be_changed(folder: &str, message_bytes: usize) {
    if skipped("immutable folder") {
        return;
    }
    let volume = block_in_place(|| Volume::new(VOLUME_BYTES));
    let mut server = Server::start(options(&volume)).await;
    let (alice, carol) = (server.user("alice").await, server.user("carol").await);
    let book = Book::default();
    let mut writer = Writer::new(&server, alice, "laptop", message_bytes).await;
    for _ in 0..50 {
        writer.write(&book).await.expect("all is well");
    }
    let immutable = block_in_place(|| Immutable::make(&volume.path().join("data").join(folder)));
    let (begun, mut taken) = (Instant::now(), 0);
    let code = loop {
        match writer.write(&book).await {
            Ok(()) => taken += 1,
            Err(code) => break code,
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{taken} messages needed no new file");
    };
    let refused_after = begun.elapsed();
    let head = nothing_lost(&server, &carol, &book).await;
    assert!(!is_ready(&server).await);
    block_in_place(|| drop(immutable));
    let over = Instant::now();
    eventually(NOTICED_WITHIN, "messages are taken again", async || writer.write(&book).await.ok()).await;
    let recovered = over.elapsed();
    eventually(NOTICED_WITHIN, "ready", async || is_ready(&server).await.then_some(())).await;
    nothing_lost(&server, &carol, &book).await;
    server.restart().await;
    nothing_lost(&server, &carol, &book).await;
    println!(
        "immutable {folder}: {taken} more taken, then refused ({code}) after {refused_after:.1?}; {head} served; taken \
         again {recovered:.0?} after it was over"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_folder_that_cannot_be_changed() {
    a_folder_that_cannot_be_changed("journal", 8_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_folder_that_cannot_be_changed() {
    // What the store does not take waits in memory: large, so that it is soon full.
    a_folder_that_cannot_be_changed("store/fjall", 100_000).await;
}

/// **Expected** of a segment that is no file, or no file that can be read: the server does not start, names it, and leaves
/// the rest as it is; when the file is back, everything is there.
#[tokio::test]
async fn a_segment_that_is_a_folder_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = Server::options().data_dir(folder.path().join("data"));
    let mut server = Server::start(options.clone()).await;
    let (alice, carol) = (server.user("alice").await, server.user("carol").await);
    let book = Book::default();
    let mut writer = Writer::new(&server, alice, "laptop", 200).await;
    for _ in 0..50 {
        writer.write(&book).await.expect("all is well");
    }
    server.kill();
    let segment = newest_segment(server.data_dir());
    let aside = folder.path().join("aside");
    fs::rename(&segment, &aside).expect("a segment");
    fs::create_dir(&segment).expect("a folder in its place");
    let why = started(options.clone()).await.expect_err("it does not start without a segment");
    let name = segment.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(why.contains("error: ") && why.contains(&name), "{why}");
    fs::remove_dir(&segment).expect("the folder");
    fs::rename(&aside, &segment).expect("the segment");
    let server = Server::start(options).await;
    let head = nothing_lost(&server, &carol, &book).await;
    let said: Vec<&str> = why.lines().skip_while(|line| !line.starts_with("error: ")).take(3).collect();
    println!("segment is a folder: {}; with the file back {head} served", said.join(" / "));
}

fn newest_segment(data_dir: &Path) -> PathBuf {
    let files = fs::read_dir(data_dir.join("journal")).expect("the journal");
    let paths = files.map(|file| file.expect("an entry").path());
    let segments = paths.filter(|path| path.extension().is_some_and(|extension| extension == "journal"));
    segments.max().expect("a segment")
}
