//! Messages that wait for devices that are away: stored without memory in proportion, delivered in order, once.

use crate::{
    DEADLINE,
    memory::{Memory, mib},
    publisher::{Publisher, head_of, text},
    wire::{Login, Wire},
    within,
};
use parlance_tests::{Delivery, Server, User, mqtt::QoS};
use std::{collections::HashMap, ops::Range, sync::Arc, time::Instant};
use tokio::task::JoinSet;

const DEVICES: usize = 200;
const PUBLISHERS: usize = 20;
/// Each device hears from every `STRIDE`th publisher.
const STRIDE: usize = 4;
/// Messages of a conversation: one publisher and one device.
const MESSAGES: usize = 100;
const MESSAGES_EACH: usize = PUBLISHERS / STRIDE * MESSAGES;
const MESSAGE_BYTES: usize = 4_096;
/// What is stored before memory is measured the first time: a quarter, about 100 MB.
const FIRST: usize = MESSAGES / 4;

/// `store.run_bytes_max`: memory before the store is at most eight times this.
const RUN_BYTES_MAX: u64 = 1 << 20;
/// `store.cache_bytes`.
const CACHE_BYTES: u64 = 4 << 20;
/// By how much memory may grow while the other three quarters, about 300 MB, are stored, bytes.
const STORING_GROWTH_BYTES_MAX: u64 = 128 << 20;
/// By how much memory may grow while everything, about 400 MB, is delivered to all at once, bytes.
const DRAINING_GROWTH_BYTES_MAX: u64 = 128 << 20;

struct Scene {
    server: Server,
    publishers: Vec<User>,
    people: Vec<User>,
}

impl Scene {
    async fn new() -> Arc<Self> {
        let options = Server::options()
            .set("STORE__RUN_BYTES_MAX", RUN_BYTES_MAX)
            .set("STORE__CACHE_BYTES", CACHE_BYTES);
        let server = Server::start(options).await;
        let publishers = server.many_users("publisher", PUBLISHERS).await;
        let people = server.many_users("person", DEVICES).await;
        Arc::new(Self { server, publishers, people })
    }

    /// Does something for each person at once.
    async fn each_person<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        what: impl Fn(Arc<Self>, usize) -> F,
    ) {
        let mut tasks = JoinSet::new();
        (0..DEVICES).for_each(|person| _ = tasks.spawn(what(self.clone(), person)));
        tasks.join_all().await;
    }

    fn login(&self, person: usize) -> Login {
        Login::new("phone", &self.people[person])
    }

    fn memory(&self) -> Memory {
        Memory::of(self.server.pid())
    }

    /// Every publisher writes the messages of `range` to each of its people.
    async fn publish(self: &Arc<Self>, range: Range<usize>) {
        let mut tasks = JoinSet::new();
        for publisher in 0..PUBLISHERS {
            let (scene, range) = (self.clone(), range.clone());
            tasks.spawn(async move {
                let mut wire =
                    Wire::connect(&scene.server, &Login::new("pen", &scene.publishers[publisher])).await;
                let mut texts = Vec::new();
                for message in range.clone() {
                    for person in (0..DEVICES).filter(|person| person % STRIDE == publisher % STRIDE) {
                        texts.push((
                            format!("user/@person{person}/text"),
                            format!("{publisher}/{person}/{message}"),
                        ));
                    }
                }
                // Each seq is the number of the message, from 1.
                let expected: Vec<u64> =
                    range.flat_map(|message| [message as u64 + 1; DEVICES / STRIDE]).collect();
                let texts = texts.into_iter().map(|(topic, head)| (topic, text(&head, MESSAGE_BYTES)));
                let mut publishing = Publisher::new();
                publishing.publish_all(&mut wire, texts).await;
                assert_eq!(publishing.acknowledged, expected, "publisher {publisher}");
                wire.goodbye().await;
            });
        }
        within("publishing", tasks.join_all()).await;
    }
}

/// What one person has got so far: in each conversation everything up to a message, in order.
#[derive(Default)]
struct Got(HashMap<String, u64>);

impl Got {
    fn check(&mut self, person: usize, delivery: &Delivery) {
        let head = head_of(delivery.text()).to_owned();
        let mut parts = head.split('/').map(|part| part.parse::<usize>().expect("a number"));
        let (publisher, to, message) = (parts.next(), parts.next(), parts.next());
        let publisher = publisher.expect("a publisher");
        assert_eq!(delivery.topic(), format!("me/text/inbox/@publisher{publisher}/@publisher{publisher}"));
        assert_eq!(to, Some(person), "{head} is for somebody else");
        let last = self.0.entry(delivery.topic().to_owned()).or_default();
        assert_eq!(delivery.seq(), *last + 1, "person {person}: {head} is not the next one");
        assert_eq!(message, Some(*last as usize), "person {person}: {head} is not at its seq");
        assert!(
            !delivery.dup(),
            "person {person}: {head} came as a repeat on a connection that did not break"
        );
        *last += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_many_devices_costs_no_memory_and_arrives_in_order_once() {
    let scene = Scene::new().await;
    scene
        .each_person(async |scene, person| {
            let mut wire = Wire::connect(&scene.server, &scene.login(person)).await;
            wire.subscribe(QoS::AtLeastOnce).await;
            wire.goodbye().await;
        })
        .await;
    let fresh = scene.memory();

    let began = Instant::now();
    scene.publish(0..FIRST).await;
    let first = scene.memory();
    scene.publish(FIRST..MESSAGES).await;
    let (stored_in, stored) = (began.elapsed(), scene.memory());
    let total = DEVICES * MESSAGES_EACH;
    let bytes = (total * MESSAGE_BYTES) as u64;
    println!(
        "offline: {total} messages of {MESSAGE_BYTES} bytes ({:.0} MiB) stored in {stored_in:.1?}; memory {fresh} empty, \
         {first} at a quarter, {stored} with all",
        mib(bytes)
    );
    let growth = stored.growth_since(first);
    assert!(growth < STORING_GROWTH_BYTES_MAX, "memory grew by {:.0} MiB while storing", mib(growth));

    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for person in 0..DEVICES {
        let scene = scene.clone();
        tasks.spawn(async move {
            let mut wire = Wire::connect(&scene.server, &scene.login(person)).await;
            assert!(wire.present, "the session is still there");
            let mut got = Got::default();
            wire.take(MESSAGES_EACH, |delivery| got.check(person, delivery)).await;
            assert!(got.0.values().all(|last| *last == MESSAGES as u64));
            (person, wire, got)
        });
    }
    let drained =
        tokio::time::timeout(DEADLINE, tasks.join_all()).await.expect("everything is delivered in time");
    let (drained_in, after) = (began.elapsed(), scene.memory());
    println!("offline: {total} messages delivered to {DEVICES} devices in {drained_in:.1?}; memory {after}");
    let growth = after.growth_since(stored);
    assert!(growth < DRAINING_GROWTH_BYTES_MAX, "memory grew by {:.0} MiB while delivering", mib(growth));

    // Nothing is left over, and nothing comes twice: the very next thing that comes is a message of now.
    scene.publish(MESSAGES..MESSAGES + 1).await;
    for (person, mut wire, mut got) in drained {
        wire.take(PUBLISHERS / STRIDE, |delivery| got.check(person, delivery)).await;
        assert!(got.0.values().all(|last| *last == MESSAGES as u64 + 1));
        wire.goodbye().await;
    }
    // And it stays so for who comes again.
    scene.publish(MESSAGES + 1..MESSAGES + 2).await;
    scene
        .each_person(async |scene, person| {
            let mut wire = Wire::connect(&scene.server, &scene.login(person)).await;
            wire.take(PUBLISHERS / STRIDE, |delivery| assert_eq!(delivery.seq(), MESSAGES as u64 + 2)).await;
            wire.goodbye().await;
        })
        .await;
}
