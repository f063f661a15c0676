//! Four people talk over a network that cuts, stalls, loses, narrows and delays: two with the Rust SDK, two with
//! paho-mqtt (MQTT 5 with message ids, MQTT 3.1.1 without any).
//!
//! **Expected**: nothing is lost, each message is stored once, in the order in which its sender said it; everybody gets
//! everything in the order of the conversation. The SDK hands out nothing twice; to paho-mqtt something may come again
//! on a later connection, as MQTT allows, and never on the same one.
//!
//! The seed decides the weather and what is said; when packets come is the machine's own.

mod diary;
mod framing;
mod network;
mod paho;
mod sdk;
mod weather;

use crate::{
    form::form,
    rng::{Rng, seed},
};
use diary::{Book, History, messages};
use network::Network;
use parlance_tests::{Server, User, eventually, mqtt::Version};
use serde_json::json;
use std::{collections::HashMap, env, ops::Range, time::Duration};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

/// Seconds of bad weather, unless `PARLANCE_FLAKY_S` says otherwise.
const BAD_S: u64 = 25;
const BAD_LONG_S: u64 = 600;
/// A participant says something after such a pause, milliseconds.
const PAUSE_MS: Range<u64> = 100..400;
/// How long it may take in fair weather until everybody has everything.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// A conversation: its id, and under which names its members write to it.
struct Conversation {
    id: String,
    /// Indices of the members, and the name as the SDK takes it.
    members: Vec<(usize, String)>,
}

/// A group of all, and three pairs: SDK with SDK, paho-mqtt with paho-mqtt, one with the other.
async fn conversations(server: &Server, users: &[User]) -> Vec<Conversation> {
    let everybody: Vec<&User> = users[1..].iter().collect();
    let group = server.group(&users[0], "all", &everybody).await;
    let members = (0..users.len()).map(|member| (member, format!("group/{group}"))).collect();
    let mut all = vec![Conversation { id: group, members }];
    for (one, other) in [(0, 1), (2, 3), (0, 2)] {
        let begin = json!({"to": users[other].at(), "text": "let us talk"});
        let begun = server.call(&users[one].token, "sendMessage", begin).await;
        let id = begun["conversation"].as_str().expect("an id").to_owned();
        let name = |user: usize| format!("user/{}", users[user].at());
        all.push(Conversation { id, members: vec![(one, name(other)), (other, name(one))] });
    }
    all
}

async fn histories(server: &Server, users: &[User], all: &[Conversation]) -> Vec<HashMap<String, History>> {
    let mut of_each = vec![HashMap::new(); users.len()];
    for conversation in all {
        let entries = server.history(&users[conversation.members[0].0].token, &conversation.id).await;
        let seqs: Vec<Option<u64>> = entries.iter().map(|entry| entry["seq"].as_u64()).collect();
        assert_eq!(seqs, (1..=entries.len() as u64).map(Some).collect::<Vec<_>>(), "dense");
        for (member, _) in &conversation.members {
            of_each[*member].insert(conversation.id.clone(), messages(&entries));
        }
    }
    of_each
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_over_a_flaky_network() {
    let asked = env::var("PARLANCE_FLAKY_S").ok().and_then(|seconds| seconds.parse().ok());
    let bad = Duration::from_secs(asked.unwrap_or(form(BAD_S, BAD_LONG_S)));
    let seed = seed(0x5EED_0005);
    println!("flaky network: {bad:?} of bad weather, seed {seed} (PARLANCE_SEED)");
    let mut rng = Rng::new(seed);
    let server = Server::start(Server::options()).await;
    let users = server.users(&["anna", "ben", "cora", "dan"]).await;
    let all = conversations(&server, &users).await;
    let network = Network::start(server.mqtt(), rng.split()).await;
    let (talking, listen) = (watch::Sender::new(true), network.address());
    let books: Vec<Book> =
        users.iter().enumerate().map(|(index, user)| Book::new(&user.handle, index < 2)).collect();
    let mut talkers = JoinSet::new();
    for (index, user) in users.iter().cloned().enumerate() {
        let (book, rng, talking) = (books[index].clone(), rng.split(), talking.subscribe());
        let mine = all.iter().filter_map(|conversation| {
            let (_, name) = conversation.members.iter().find(|(member, _)| *member == index)?;
            Some((conversation.id.clone(), name.clone()))
        });
        if index < 2 {
            let mine = mine.map(|(id, name)| (id, name.parse().expect("a target"))).collect();
            talkers.spawn(sdk::talk(listen, user, mine, book, talking, rng));
        } else {
            let version = if index == 2 { Version::V5 } else { Version::V3 };
            talkers.spawn(paho::talk(listen, user, mine.collect(), version, book, talking, rng));
        }
    }

    let begun = Instant::now();
    tokio::select! {
        () = sleep(bad) => {}
        ended = talkers.join_next() => panic!("nobody ends by themselves: {ended:?}"),
    }
    talking.send_replace(false);
    network.calm();
    let fair = Instant::now();
    eventually(SETTLED_WITHIN, "everything is acknowledged", async || {
        books.iter().all(|book| book.outstanding() == 0).then_some(())
    })
    .await;
    let histories = histories(&server, &users, &all).await;
    eventually(SETTLED_WITHIN, "everybody has heard the last", async || {
        books.iter().zip(&histories).all(|(book, histories)| book.is_complete(histories)).then_some(())
    })
    .await;
    println!("flaky network: settled after {:.1?} of fair weather; {}", fair.elapsed(), network.tally());
    for ((user, book), histories) in users.iter().zip(&books).zip(&histories) {
        println!("  {:<5}{}", user.handle, book.compare(histories));
    }
    let missing = network.tally().missing();
    assert!(missing.is_empty(), "weather that did not come: {missing:?}");
    println!("flaky network: {:.0?} in all, seed {seed}", begun.elapsed());
}
