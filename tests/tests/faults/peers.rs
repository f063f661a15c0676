//! Broken peers: clients that say half a packet and die, a thousand times and again.
//!
//! **Expected**: who is not broken notices nothing; connections, descriptors and memory go back to what they were.

use crate::{
    form::form,
    process::{open_files, status},
    rng::{Rng, seed},
};
use bytes::BytesMut;
use parlance_tests::{
    Broker, Client, Device, Message, Server, User, eventually,
    mqtt::{Packet, Publish, QoS, TopicName, Version, encode},
};
use socket2::SockRef;
use std::{sync::Arc, time::Duration};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Semaphore, task::JoinSet};

/// Peers in a round.
const PEERS: usize = 1_000;
/// Of them at once.
const AT_ONCE: usize = 50;
/// The first rounds fill what is kept and used again.
const WARM_UP_ROUNDS: usize = 2;
/// Accounts that they use.
const USERS: usize = 20;
/// Descriptors that come and go for other reasons (files of the store).
const FILES_SLACK: u64 = 16;
/// Rounds of which the one with the least memory counts: what is kept for use comes and goes.
const LEAST_OF: usize = 3;
/// What each peer between the first and the last of these may leave, bytes: those that are let in write something.
const LEFT_BYTES_MAX: u64 = 3_000;
/// How long the server may take to let go of all of them.
const SETTLED_WITHIN: Duration = Duration::from_secs(20);

/// What a peer says before it dies.
#[derive(Debug, Clone, Copy)]
enum Half {
    /// Some bytes of its CONNECT.
    Connect,
    /// It is in, and begins a large publish.
    Publish,
    /// It is in, and begins a small packet after whole ones.
    Later,
}

/// How it dies.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// The socket is closed (FIN).
    Closed,
    /// The connection is reset (RST).
    Reset,
}

fn bytes(packet: &Packet) -> BytesMut {
    let mut out = BytesMut::new();
    encode(packet, Version::V5, &mut out).expect("a packet that can be encoded");
    out
}

fn publish(text: &str, id: u16) -> Packet {
    Packet::Publish(Publish {
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: Some(TopicName::new("user/@bob/text".to_owned()).expect("a topic name")),
        packet_id: id.try_into().ok(),
        properties: Default::default(),
        payload: text.to_owned().into(),
    })
}

/// One peer, from its connection to its death.
async fn break_off(broker: &Broker, user: &User, number: usize, mut rng: Rng) {
    let half = [Half::Connect, Half::Publish, Half::Later][rng.within(0..3) as usize];
    let death = [Death::Closed, Death::Reset][rng.within(0..2) as usize];
    let device = Device::new(format!("broken{number}")).clean().expiry_s(0);
    let connect = bytes(&Packet::Connect(Box::new(device.packet(user))));
    let mut said = connect.to_vec();
    match half {
        Half::Connect => said.truncate(rng.within(1..connect.len() as u64) as usize),
        Half::Publish => {
            let large = bytes(&publish(&"x".repeat(100_000), 1));
            said.extend(&large[..rng.within(1..large.len() as u64) as usize]);
        }
        Half::Later => {
            let small = bytes(&publish(&format!("whole {number}"), 1));
            said.extend(&small);
            said.extend(&small[..rng.within(1..small.len() as u64) as usize]);
        }
    }
    let mut socket = TcpStream::connect(broker.mqtt()).await.expect("the server lives");
    // The server may have had enough before everything is said.
    let _ = socket.write_all(&said).await;
    tokio::time::sleep(rng.millis(0..50)).await;
    if let Death::Reset = death {
        SockRef::from(&socket).set_linger(Some(Duration::ZERO)).expect("a socket");
    }
}

async fn round(server: &Server, users: &Arc<Vec<User>>, rng: &mut Rng) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut peers = JoinSet::new();
    for number in 0..PEERS {
        let (broker, users, rng) = ((**server).clone(), users.clone(), rng.split());
        let place = places.clone().acquire_owned().await.expect("never closed");
        peers.spawn(async move {
            break_off(&broker, &users[number % USERS], number, rng).await;
            drop(place);
        });
    }
    peers.join_all().await;
}

/// Two people who talk meanwhile, one message after the other.
async fn talk(mut laptop: Client, mut phone: Client, enough: tokio::sync::watch::Receiver<bool>) -> u64 {
    let mut said = 0;
    while !*enough.borrow() {
        said += 1;
        let text = format!("said {said}");
        laptop.publish_message(&Message::new("user/@dora/text", text.clone())).await.seq();
        assert_eq!(phone.next().await.text(), text);
    }
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_packets_a_thousand_times_leave_nothing_behind() {
    let (seed, rounds) = (seed(0x5EED_0007), form(6, 20));
    let mut rng = Rng::new(seed);
    // What is stored takes little memory, so that what is left is the peers'.
    let options = Server::options().set("STORE__RUN_BYTES_MAX", 512 << 10).set("STORE__CACHE_BYTES", 1 << 20);
    let server = Server::start(options).await;
    let users = Arc::new(server.many_users("broken", USERS).await);
    let people = server.users(&["bob", "carl", "dora"]).await;
    let laptop = Device::new("laptop").connect(&server, &people[1]).await;
    let mut phone = Device::new("phone").connect(&server, &people[2]).await;
    phone.subscribe("me/text/inbox/#").await;
    let enough = tokio::sync::watch::Sender::new(false);
    let talking = tokio::spawn(talk(laptop, phone, enough.subscribe()));
    let files = open_files(server.pid());
    let mut memory_kb = Vec::new();
    for number in 0..WARM_UP_ROUNDS + rounds {
        round(&server, &users, &mut rng).await;
        eventually(SETTLED_WITHIN, "all connections are let go of", async || {
            let few = open_files(server.pid()) <= files + FILES_SLACK;
            (few && server.metric("parlance_connections").await == 2.0).then_some(())
        })
        .await;
        if number >= WARM_UP_ROUNDS {
            memory_kb.push(status(server.pid(), "VmRSS"));
        }
    }
    eventually(SETTLED_WITHIN, "nothing is on its way", async || {
        (server.metric("parlance_handshakes").await == 0.0).then_some(())
    })
    .await;
    enough.send_replace(true);
    let said = talking.await.expect("who is not broken notices nothing");
    let least = |rounds: &[u64]| rounds.iter().copied().min().expect("some rounds");
    let (first, last) = (least(&memory_kb[..LEAST_OF]), least(&memory_kb[memory_kb.len() - LEAST_OF..]));
    let growth_kb = last.saturating_sub(first);
    println!(
        "broken peers: {} of them, seed {seed}; memory after each round {memory_kb:?} kB, {growth_kb} kB more; \
         {} files open, {files} before; {said} messages said meanwhile",
        (WARM_UP_ROUNDS + rounds) * PEERS,
        open_files(server.pid()),
    );
    let between = ((rounds - LEAST_OF) * PEERS) as u64;
    assert!(growth_kb * 1_024 <= between * LEFT_BYTES_MAX, "memory does not settle: {memory_kb:?}");
}
