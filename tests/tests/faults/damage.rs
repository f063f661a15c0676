//! Damaged files: what is damaged is named and keeps its place, everything else is served.

use crate::{book::History, segment::Segment, started::started, world::read_on};
use parlance_tests::{Broker, Client, Device, Engine, Server, User};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

const MESSAGES: u64 = 40;
const DAMAGED: u64 = 17;
/// Messages of 200 kB fill the engine's memory, which is then written out as a file of sorted blocks.
const LARGE_MESSAGES: u64 = 160;
const LARGE_BYTES: usize = 200_000;

/// A server on which alice has written to carol, whose tablet is away since before that. It is not running any more.
async fn written_and_killed() -> (Server, User, User) {
    let mut server = Server::start(Server::options()).await;
    let (alice, carol) = (server.user("alice").await, server.user("carol").await);
    let mut tablet = Device::new("tablet").connect(&server, &carol).await;
    tablet.subscribe("me/json/inbox/#").await;
    tablet.disconnect().await;
    let mut laptop = Device::new("laptop").connect(&server, &alice).await;
    for number in 1..=MESSAGES {
        assert_eq!(laptop.publish("user/@carol/text", text(number)).await.seq(), number);
    }
    server.kill();
    (server, alice, carol)
}

fn text(number: u64) -> String {
    format!("message {number}")
}

/// Takes the store away: it is made again from the journal, and with it what the test has put there.
fn forget_the_store(data_dir: &Path) {
    fs::remove_dir_all(data_dir.join("store").join(Engine::Fjall.as_str())).expect("the store's files");
}

async fn history(broker: &Broker, carol: &User) -> History {
    let mut history = History::default();
    read_on(broker, carol, "@alice", &mut history).await;
    assert!(history.problems().is_empty(), "{:?}", history.problems());
    history
}

fn assert_all_but(history: &History, damaged: &[u64]) {
    assert_eq!(history.unreadable, damaged);
    for number in (1..=MESSAGES).filter(|number| !damaged.contains(number)) {
        assert_eq!(history.by_text.get(&text(number)), Some(&number), "{:?}", history.by_text);
    }
}

/// All that `verify` finds.
async fn verify(broker: &Broker) -> (u64, Vec<Value>) {
    let (mut records, mut damage, mut request) = (0, Vec::new(), json!({}));
    loop {
        let stretch = broker.admin("verifyStore", request).await;
        records += stretch["records"].as_u64().expect("a number");
        damage.extend(stretch["damage"].as_array().expect("a list").iter().cloned());
        match stretch.get("next").filter(|next| !next.is_null()) {
            Some(next) => request = json!({"cursor": next}),
            None => return (records, damage),
        }
    }
}

/// The tablet comes back: everything in order, the damaged ones in their places.
async fn tablet_sees_all_but(broker: &Broker, carol: &User, damaged: &[u64]) -> Client {
    let mut tablet = Device::new("tablet").connect(broker, carol).await;
    assert!(tablet.session_present());
    for number in 1..=MESSAGES {
        let message = tablet.next().await.json();
        assert_eq!(message["seq"], number);
        match damaged.contains(&number) {
            true => assert_eq!(message["kind"], "unreadable", "{message}"),
            false => assert_eq!(message["text"], text(number), "{message}"),
        }
    }
    tablet
}

#[tokio::test]
async fn a_damaged_record_is_named_and_keeps_its_place() {
    let (mut server, alice, carol) = written_and_killed().await;
    let key = Segment::newest(server.data_dir()).damage_record(DAMAGED);
    let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    forget_the_store(server.data_dir());
    server.restart().await;
    assert_all_but(&history(&server, &carol).await, &[DAMAGED]);
    let mut tablet = tablet_sees_all_but(&server, &carol, &[DAMAGED]).await;
    let (records, damage) = verify(&server).await;
    assert!(records > MESSAGES);
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert_eq!((damage[0]["table"].as_str(), damage[0]["key"].as_str()), (Some("log"), Some(&*key)));
    assert!(server.log().contains(&key), "the operator's log names it");
    assert_eq!(laptop_again(&server, &alice).await, MESSAGES + 1);
    assert_eq!(tablet.next().await.seq(), MESSAGES + 1);
    println!("damaged record: {} of {records} records named, the others served", damage.len());
}

#[tokio::test]
async fn a_damaged_stretch_of_the_journal_is_reported_and_the_rest_is_replayed() {
    let (mut server, alice, carol) = written_and_killed().await;
    let lost = Segment::newest(server.data_dir()).damage_frame(DAMAGED);
    forget_the_store(server.data_dir());
    server.restart().await;
    assert!(server.log().contains("damaged"), "{}", server.log());
    assert_all_but(&history(&server, &carol).await, &lost);
    tablet_sees_all_but(&server, &carol, &lost).await;
    assert_eq!(laptop_again(&server, &alice).await, MESSAGES + 1);
    println!("damaged journal: seqs {lost:?} lost and reported, the others served");
}

/// What the engine cannot read at all it does not open, and the program says so instead of beginning anew.
#[tokio::test]
async fn a_store_that_does_not_open_says_why() {
    let (mut server, _, carol) = written_and_killed().await;
    server.restart().await;
    server.terminate().await;
    let file = server.data_dir().join("store/fjall/0.jnl");
    let bytes = fs::read(&file).expect("the engine's own log");
    let mut damaged = bytes.clone();
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("something in it");
    damaged[used / 2] ^= 1;
    fs::write(&file, damaged).expect("the engine's own log");
    let options = Server::options().data_dir(server.data_dir());
    match started(options.clone()).await {
        // It read around it.
        Ok(again) => assert_all_but(&history(&again, &carol).await, &[]),
        Err(why) => {
            let said: Vec<&str> =
                why.lines().skip_while(|line| !line.starts_with("error: ")).take(2).collect();
            assert!(said.len() == 2 && said[1].contains("because: "), "{why}");
            println!("damaged log of the engine: {}", said.join(" / "));
        }
    }
    fs::write(&file, bytes).expect("the engine's own log");
    let mended = Server::start(options).await;
    assert_all_but(&history(&mended, &carol).await, &[]);
}

#[tokio::test]
async fn a_damaged_block_of_the_store_does_not_stop_the_rest() {
    let mut server = Server::start(Server::options()).await;
    let (alice, carol) = (server.user("alice").await, server.user("carol").await);
    let mut laptop = Device::new("laptop").connect(&server, &alice).await;
    for number in 1..=LARGE_MESSAGES {
        let text = format!("{number} {}", "x".repeat(LARGE_BYTES));
        assert_eq!(laptop.publish("user/@carol/text", text).await.seq(), number);
    }
    server.terminate().await;
    let file = largest_table(&server.data_dir().join("store/fjall"));
    let mut bytes = fs::read(&file).expect("a table");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).expect("a table");
    server.restart().await;
    let history = history(&server, &carol).await;
    assert_eq!(history.unreadable.len(), 1, "one message fills a block: {:?}", history.unreadable);
    assert_eq!(history.by_text.len() as u64, LARGE_MESSAGES - 1);
    let (records, damage) = verify(&server).await;
    assert_eq!(damage.len(), 1, "{damage:?}");
    let key = damage[0]["key"].as_str().expect("a key");
    assert!(key.ends_with(&format!("{:016x}", history.unreadable[0])), "{key}");
    let again = laptop_again(&server, &alice).await;
    assert_eq!(again, LARGE_MESSAGES + 1);
    println!("damaged block: seq {} of {records} records named, the others served", history.unreadable[0]);
}

async fn laptop_again(broker: &Broker, alice: &User) -> u64 {
    let mut laptop = Device::new("laptop").connect(broker, alice).await;
    laptop.publish("user/@carol/text", "and on").await.seq()
}

/// The largest file of sorted blocks.
fn largest_table(folder: &Path) -> PathBuf {
    let (mut folders, mut tables) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|extension| extension == "jnl") => {}
                false => tables.push((path.metadata().expect("a file").len(), path)),
            }
        }
    }
    tables.into_iter().max().expect("a table").1
}
