//! The soak: mixed load with people coming and going, and whether memory, descriptors, threads and disk settle.
//!
//! People chat in pairs and groups on durable sessions and come and go; devices publish retained and other free messages,
//! displays look at them, an archive with a durable session collects them; programs log in, renew and log out; histories
//! are read. Every delivery is checked for its order.
//!
//! A short run here shows that the soak works. `cargo xtask soak --minutes 30` is the soak: it writes `soak.json` and
//! `soak.svg` into `docs/reliability` and fails where something does not settle (`settle.rs` has the rules).

mod chart;
mod chat;
mod order;
mod others;
mod report;
mod sample;
mod settle;

use crate::rng::{Rng, seed};
use parlance_tests::{Broker, Server, User};
use sample::{Sample, Sampler};
use std::{
    env, fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

/// The short form, seconds.
const SHORT_S: u64 = 20;
/// A sample is taken this often; in a short run oftener.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
const SAMPLES_MIN: u32 = 20;

/// People who chat. Each writes to the next, and to its group.
const PEOPLE: usize = 40;
const GROUP: usize = 10;
/// Programs with a password.
const PROGRAMS: usize = 5;
/// Devices that publish free messages, and displays that look at them.
const DEVICES: usize = 8;
const DISPLAYS: usize = 4;

/// What was done, for the report.
#[derive(Default)]
struct Totals {
    acknowledged: AtomicU64,
    delivered: AtomicU64,
    connections: AtomicU64,
    logins: AtomicU64,
    pages: AtomicU64,
    free_published: AtomicU64,
    free_delivered: AtomicU64,
    changes: AtomicU64,
}

/// What everybody who takes part has.
#[derive(Clone)]
struct Stage {
    broker: Broker,
    /// The listener that is open to all.
    open: std::net::SocketAddr,
    totals: Arc<Totals>,
    over: watch::Receiver<bool>,
}

impl Stage {
    fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Rests, or less if it is over meanwhile.
    async fn rest(&self, time: Duration) {
        let mut over = self.over.clone();
        // The sender lives as long as the soak.
        let _ = tokio::time::timeout(time, over.wait_for(|over| *over)).await;
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// Everybody begins.
async fn begin(stage: &Stage, rng: &mut Rng) -> (JoinSet<()>, Vec<User>) {
    let broker = &stage.broker;
    let people = broker.many_users("s", PEOPLE).await;
    let guest = broker.user("guest").await;
    let mut tasks = JoinSet::new();
    for (number, members) in people.chunks(GROUP).enumerate() {
        let rest: Vec<&User> = members[1..].iter().collect();
        let group = broker.group(&members[0], &format!("group{number}"), &rest).await;
        for (index, user) in members.iter().enumerate() {
            let targets = vec![
                format!("group/{group}/text"),
                format!("user/{}/text", members[(index + 1) % GROUP].at()),
            ];
            tasks.spawn(chat::person(stage.clone(), user.clone(), targets, rng.split()));
            let conversations = vec![group.clone(), members[(index + 1) % GROUP].at()];
            if index % 5 == 0 {
                tasks.spawn(others::reader(stage.clone(), user.clone(), conversations, rng.split()));
            }
        }
        tasks.spawn(others::host(stage.clone(), members[0].clone(), group, guest.clone(), rng.split()));
    }
    for number in 0..PROGRAMS {
        let user = broker.register(&format!("program{number}")).await;
        tasks.spawn(others::program(stage.clone(), user, rng.split()));
    }
    for number in 0..DEVICES {
        tasks.spawn(others::device(stage.clone(), number, rng.split()));
    }
    for number in 0..DISPLAYS {
        tasks.spawn(others::display(stage.clone(), number, rng.split()));
    }
    tasks.spawn(others::archive(stage.clone(), rng.split()));
    (tasks, people)
}

/// Samples until the time is over.
async fn watch_it(server: &Server, totals: &Totals, lasts: Duration, tasks: &mut JoinSet<()>) -> Vec<Sample> {
    let mut sampler = Sampler::begin(server);
    let every = SAMPLE_EVERY.min(lasts / SAMPLES_MIN);
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = Instant::now() + lasts;
    let mut samples = Vec::new();
    while Instant::now() < end {
        tokio::select! {
            _ = ticks.tick() => samples.push(sampler.take(totals.acknowledged.load(Relaxed)).await),
            Some(ended) = tasks.join_next() => panic!("nobody ends before it is over: {ended:?}"),
        }
    }
    samples
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak() {
    let asked = env::var("PARLANCE_SOAK_S").ok().and_then(|seconds| seconds.parse().ok());
    let lasts = Duration::from_secs(asked.unwrap_or(SHORT_S));
    let into = env::var_os("PARLANCE_SOAK_INTO");
    let seed = seed(0x5EED_0009);
    println!("soak: {lasts:?}, seed {seed} (PARLANCE_SEED)");
    let mut rng = Rng::new(seed);
    let server = Server::start(Server::options().open()).await;
    let over = watch::Sender::new(false);
    let totals = Arc::new(Totals::default());
    let stage = Stage {
        broker: (*server).clone(),
        open: server.open(),
        totals: totals.clone(),
        over: over.subscribe(),
    };
    let (mut tasks, people) = begin(&stage, &mut rng).await;
    let samples = watch_it(&server, &totals, lasts, &mut tasks).await;
    over.send_replace(true);
    tasks.join_all().await;
    let report = report::Report::new(seed, lasts, &totals, samples);
    println!("{report}");
    everything_is_there(&server, &people, &totals).await;
    if let Some(folder) = into {
        write(Path::new(&folder), &report);
        assert!(report.is_settled(), "it does not settle: {report}");
    }
}

fn write(folder: &Path, report: &report::Report) {
    fs::create_dir_all(folder).expect("a folder for the report");
    let json = serde_json::to_string_pretty(report).expect("a report is JSON");
    fs::write(folder.join("soak.json"), json + "\n").expect("the report can be written");
    fs::write(folder.join("soak.svg"), chart::draw(report)).expect("the chart can be written");
}

/// The histories hold at least what was acknowledged, and are dense.
async fn everything_is_there(server: &Server, people: &[User], totals: &Totals) {
    let mut messages = 0;
    for (number, members) in people.chunks(GROUP).enumerate() {
        messages += stored(server, &members[0], &format!("@group{number}")).await;
        for (index, user) in members.iter().enumerate() {
            messages += stored(server, user, &members[(index + 1) % GROUP].at()).await;
        }
    }
    let acknowledged = totals.acknowledged.load(Relaxed);
    println!("soak: {acknowledged} acknowledged, {messages} stored");
    assert!(messages >= acknowledged, "{acknowledged} acknowledged, {messages} stored");
}

/// How many messages a conversation has; its entries are dense.
async fn stored(server: &Server, user: &User, name: &str) -> u64 {
    let entries = server.history(&user.token, name).await;
    for (index, entry) in entries.iter().enumerate() {
        assert_eq!(entry["seq"], index as u64 + 1, "{name}");
    }
    entries.iter().filter(|entry| entry["text"].is_string()).count() as u64
}
