//! A group of 1,000: a message is one append, as in a group of two, and reaches every device.

use crate::{
    DEADLINE,
    memory::Memory,
    publisher::text,
    wire::{Login, Wire, publish, seq_of},
    within,
};
use parlance_tests::{
    Server, User, eventually,
    mqtt::{Packet, PacketId, QoS},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use std::{sync::Arc, time::Instant};
use tokio::task::JoinSet;

const MEMBERS: usize = 1_000;
/// Members named in one call.
const BATCH: usize = 250;
const MESSAGE_BYTES: usize = 1_000;
/// Sockets of this process, and then some.
const DESCRIPTORS: u64 = 4_096;
/// By how much the bytes of one message may differ between a group of two and a group of 1,000: numbers of other lengths.
const DIFFERENCE_BYTES_MAX: u64 = 64;
/// What one message may cost beside its text, bytes: its record, its id, the head, the writer's own position, and seals.
const OVERHEAD_BYTES_MAX: u64 = 1_000;

/// Raises the soft limit of open files; the server raises its own.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(DESCRIPTORS, |maximum| maximum.min(DESCRIPTORS));
    assert!(wanted >= 2 * MEMBERS as u64, "at most {wanted} files may be open: raise it (ulimit -Hn)");
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).expect("up to the hard limit is allowed");
    }
}

/// What the server wrote so far.
#[derive(Debug, Clone, Copy)]
struct Written {
    journal_bytes: u64,
    messages: u64,
}

impl Written {
    async fn so_far(server: &Server) -> Self {
        Self {
            journal_bytes: server.metric("parlance_journal_bytes_total").await as u64,
            messages: server.metric("parlance_messages_stored_total").await as u64,
        }
    }

    async fn since(self, server: &Server) -> Self {
        let now = Self::so_far(server).await;
        Self { journal_bytes: now.journal_bytes - self.journal_bytes, messages: now.messages - self.messages }
    }
}

async fn make_group(server: &Server, owner: &User, handle: &str, members: &[User]) -> String {
    let mut batches = members.chunks(BATCH);
    let first: Vec<&User> = batches.next().unwrap_or_default().iter().collect();
    let group = server.group(owner, handle, &first).await;
    for batch in batches {
        let users: Vec<String> = batch.iter().map(User::at).collect();
        server.call(&owner.token, "addMembers", json!({"group": group, "users": users})).await;
    }
    group
}

/// Waits until every member's delivered position of the newest message is written down.
async fn all_delivered(server: &Server, owner: &User, group: &str, seq: u64) {
    eventually(DEADLINE, "everybody's position is written down", async || {
        let mut request = json!({"conversation": group, "limit": MEMBERS});
        loop {
            let page = server.call(&owner.token, "members", request).await;
            let members = page["members"].as_array().expect("a list");
            if members.iter().any(|member| member["delivered"].as_u64() < Some(seq)) {
                return None;
            }
            let Some(next) = page["next"].as_str() else { return Some(()) };
            request = json!({"conversation": group, "limit": MEMBERS, "after": next});
        }
    })
    .await;
}

/// Connects every user's phone, and takes what waits for it: the entries of the two groups.
async fn connect_all(server: &Arc<Server>, users: &[User], waiting: impl Fn(usize) -> usize) -> Vec<Wire> {
    let mut tasks = JoinSet::new();
    for (member, user) in users.iter().enumerate() {
        let (server, login, count) = (server.clone(), Login::new("phone", user), waiting(member));
        tasks.spawn(async move {
            let mut wire = Wire::connect(&server, &login).await;
            wire.subscribe(QoS::AtLeastOnce).await;
            wire.take(count, |_| {}).await;
            (member, wire)
        });
    }
    let mut wires = within("everybody is connected", tasks.join_all()).await;
    wires.sort_by_key(|(member, _)| *member);
    wires.into_iter().map(|(_, wire)| wire).collect()
}

/// Publishes one message, and returns its seq and what was written until its PUBACK.
async fn publish_one(server: &Server, pen: &mut Wire, id: u16, group: &str) -> (u64, Written) {
    let before = Written::so_far(server).await;
    let packet_id = PacketId::new(id).expect("not 0");
    pen.writer.push(&publish(packet_id, &format!("group/{group}/text"), text(group, MESSAGE_BYTES)));
    pen.writer.flush().await;
    let Some(Packet::PubAck(ack)) = pen.reader.next().await else { panic!("no PUBACK") };
    (seq_of(ack), before.since(server).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_in_a_group_of_a_thousand_is_one_append_and_reaches_everybody() {
    raise_descriptors();
    let server = Arc::new(Server::start(Server::options()).await);
    let users = server.many_users("member", MEMBERS).await;
    let owner = &users[0];
    let began = Instant::now();
    let large = make_group(&server, owner, "large", &users[1..]).await;
    let small = make_group(&server, owner, "small", &users[1..2]).await;
    println!("group: {MEMBERS} members added in {:.1?}", began.elapsed());

    // Who was added with the group sees the entry that made it and those that added the others; who was added later
    // sees the log from its own entry on.
    let with_it = 1 + BATCH;
    let waiting = |member: usize| {
        let of_large = if member < with_it { 1 + MEMBERS - with_it } else { MEMBERS - member };
        of_large + usize::from(member < 2)
    };
    let began = Instant::now();
    let mut phones = connect_all(&server, &users, waiting).await;
    println!(
        "group: {MEMBERS} devices connected, with {} entries to catch up on, in {:.1?}; memory {}",
        (0..MEMBERS).map(waiting).sum::<usize>(),
        began.elapsed(),
        Memory::of(server.pid())
    );
    let entries = 1 + (MEMBERS - with_it) as u64;
    all_delivered(&server, owner, &large, entries).await;
    all_delivered(&server, owner, &small, 1).await;

    // Nobody acknowledges while the bytes are read: positions are gathered and written apart from messages.
    let mut pen = Wire::connect(&server, &Login::new("pen", owner)).await;
    let (small_seq, in_small) = publish_one(&server, &mut pen, 1, &small).await;
    let (large_seq, in_large) = publish_one(&server, &mut pen, 2, &large).await;
    assert_eq!((small_seq, large_seq), (2, entries + 1));
    println!(
        "group: journal bytes of one message of {MESSAGE_BYTES} bytes: {} for 2 members, {} for {MEMBERS}",
        in_small.journal_bytes, in_large.journal_bytes
    );
    assert_eq!((in_small.messages, in_large.messages), (1, 1), "each message is stored once");
    let difference = in_large.journal_bytes.abs_diff(in_small.journal_bytes);
    assert!(difference <= DIFFERENCE_BYTES_MAX, "{difference} bytes more for a large group");
    assert!(in_large.journal_bytes <= MESSAGE_BYTES as u64 + OVERHEAD_BYTES_MAX, "{in_large:?}");

    let before = Written::so_far(&server).await;
    let began = Instant::now();
    for (member, phone) in phones.iter_mut().enumerate() {
        if member < 2 {
            let delivery = phone.next().await;
            assert_eq!((delivery.topic(), delivery.seq()), ("me/text/inbox/@small/@member0", small_seq));
            phone.ack(&delivery);
        }
        let delivery = phone.next().await;
        assert_eq!((delivery.topic(), delivery.seq()), ("me/text/inbox/@large/@member0", large_seq));
        phone.ack(&delivery);
    }
    println!("group: read by {MEMBERS} devices in {:.1?}", began.elapsed());
    for phone in &mut phones {
        phone.writer.flush().await;
    }
    all_delivered(&server, owner, &large, large_seq).await;
    let positions = before.since(&server).await;
    println!("group: journal bytes of {MEMBERS} acknowledgements: {}", positions.journal_bytes);
    assert_eq!(positions.messages, 0, "no message was stored again");
}
