//! One run: from an empty disk, through everything that goes wrong, to an end at which nothing is missing.

use crate::{
    chaos,
    checks::{Book, DeviceName, missing},
    device::{Memory, live},
    disk::{Crash, SimDisk},
    faults::{Faults, Mutation, Power},
    machine::{Machine, Parts},
    people::{People, World, group_id, user_id},
    random::Random,
    scenario::Scenario,
    stage::{Stage, Status},
    store::SimStore,
    tell,
    trace::{Keep, Trace},
};
use parlance_plugin_api::{
    ledger::{Decision, Ledger, LedgerError, Transaction},
    record::{ConversationRecord, LogRecord, Role, conversation_key},
    store::Table,
};
use parlance_server::{
    config::Config,
    simulation::{Clock, Server, set_clock},
};
use prost::Message as _;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// What the wall clock shows at the beginning: a day in 2027.
const BEGINNING_MS: u64 = 1_800_000_000_000;
/// How long everybody may take to come to an end, once everything works.
const END_MAX: Duration = Duration::from_secs(400);
/// How often a start is tried again.
const STARTS_MAX: u32 = 200;

/// How a run is made.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// What of its trace is kept.
    pub keep: Keep,
    /// What is wrong on purpose.
    pub mutation: Option<Mutation>,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// The hash of its trace.
    pub hash: u64,
    /// What does not hold; nothing when all is well.
    pub violations: Vec<String>,
    /// What was kept of the trace.
    pub lines: Vec<String>,
    /// How much happened.
    pub counts: Counts,
}

/// How much happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events of the trace.
    pub events: u64,
    /// Messages that came to devices.
    pub deliveries: u64,
    /// Messages that were acknowledged to their senders.
    pub acknowledgements: u64,
    /// Deaths of the server.
    pub crashes: u64,
    /// Operations of disk and store that were made to fail.
    pub injected: u64,
    /// Simulated time, milliseconds.
    pub virtual_ms: u64,
}

impl Counts {
    /// Both together.
    pub fn add(&mut self, other: Self) {
        self.events += other.events;
        self.deliveries += other.deliveries;
        self.acknowledgements += other.acknowledgements;
        self.crashes += other.crashes;
        self.injected += other.injected;
        self.virtual_ms += other.virtual_ms;
    }
}

/// Runs a seed on this thread.
pub fn run(seed: u64, options: Options) -> Outcome {
    in_time(act(seed, options))
}

/// Runs something in simulated time.
fn in_time<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without threads and sockets needs nothing");
    let outcome = runtime.block_on(async {
        set_clock(Some(Clock { at: Instant::now(), unix_ms: BEGINNING_MS }));
        what.await
    });
    set_clock(None);
    outcome
}

/// A server on a stage where nothing goes wrong by itself, for tests that know what they want to go wrong. What must hold
/// is looked at when the test is over, and after a power cut.
pub fn quiet<T>(configure: impl FnOnce(&mut Config), test: impl AsyncFnOnce(Arc<Stage>) -> T) -> T {
    in_time(async {
        let random = Random::new(0);
        let trace = Arc::new(Trace::new(Keep::Tail));
        let book = Arc::new(Book::new(trace.clone(), Vec::new()));
        let mut scenario = Scenario::quiet();
        configure(&mut scenario.config);
        let stage = Arc::new(stage(&scenario, &random, &trace, &book, None));
        assert!(begin(&stage).await, "{:?}", book.violations());
        let supervisor = tokio::spawn(supervise(stage.clone(), random.fork(5)));
        let outcome = test(stage.clone()).await;
        supervisor.abort();
        stage.machine.faults().heal();
        stage.machine.crash(Crash::Power);
        restart(&stage, &mut random.fork(7)).await;
        assert!(stage.audit().is_some(), "the store cannot be read");
        assert!(book.violations().is_empty(), "{:#?}", book.violations());
        outcome
    })
}

async fn act(seed: u64, options: Options) -> Outcome {
    let random = Random::new(seed);
    let trace = Arc::new(Trace::new(options.keep));
    let scenario = Arc::new(Scenario::new(&mut random.fork(1)));
    let names = scenario.devices.iter().map(|device| device.name).collect();
    let book = Arc::new(Book::new(trace.clone(), names));
    tell!(trace, "seed {seed}: {} devices, {:?}", scenario.devices.len(), scenario.kinds);
    let stage = Arc::new(stage(&scenario, &random, &trace, &book, options.mutation));
    let mut crashes = 0;
    if begin(&stage).await {
        crashes = play(&stage, &scenario, &random).await;
    }
    let (deliveries, acknowledgements) = book.counts();
    Outcome {
        seed,
        hash: trace.hash(),
        violations: book.violations(),
        lines: trace.lines(),
        counts: Counts {
            events: trace.events(),
            deliveries,
            acknowledgements,
            crashes,
            injected: stage.machine.faults().injected(),
            virtual_ms: trace.now(),
        },
    }
}

fn stage(
    scenario: &Scenario,
    random: &Random,
    trace: &Arc<Trace>,
    book: &Arc<Book>,
    mutation: Option<Mutation>,
) -> Stage {
    let power = Arc::new(Power::default());
    let faults = Arc::new(Faults::new(random.fork(2)));
    let people = Arc::new(People::new(scenario.users, random.fork(3)));
    let disk = SimDisk::new(power.clone(), faults.clone(), trace.clone(), mutation);
    let store = SimStore::new(power.clone(), faults.clone(), trace.clone(), mutation);
    let parts = Parts {
        disk,
        world: World { store, people: people.clone() },
        power,
        faults,
        config: Arc::new(scenario.config.clone()),
        tempo: scenario.tempo.clone(),
        pace: scenario.pace.clone(),
    };
    let machine = Machine::new(parts, trace.clone(), book.clone(), random.fork(4));
    let groups = scenario.groups.clone();
    Stage::new(machine, book.clone(), trace.clone(), mutation, people, scenario.users, groups)
}

/// The first start, and the groups.
async fn begin(stage: &Stage) -> bool {
    let server = match stage.machine.start() {
        Ok(server) => server,
        Err(error) => {
            stage.book.violated(format_args!("the server does not start on an empty disk: {error}"));
            return false;
        }
    };
    for (number, members) in stage.groups.iter().enumerate() {
        if let Err(error) = make_group(&server, number, members.clone()).await {
            stage.book.violated(format_args!("a group cannot be made: {error}"));
            return false;
        }
    }
    true
}

/// A group as the groups plugin makes it, but for its id.
async fn make_group(server: &Server, number: usize, members: BTreeSet<usize>) -> Result<(), LedgerError> {
    let group = group_id(number);
    let job = move |tx: &mut dyn Transaction| {
        let record = ConversationRecord {
            name: format!("group {number}"),
            created_ms: tx.now(),
            members: members.len() as u32,
            ..ConversationRecord::default()
        };
        tx.put(Table::Conversations, &conversation_key(group), &record.encode_to_vec());
        for member in members {
            let role = if member == 0 { Role::Owner } else { Role::Member };
            if tx.add_member(group, user_id(member), role as u32).is_err() {
                return Decision::Abort;
            }
        }
        let owner = bytes::Bytes::copy_from_slice(&user_id(0).0);
        let change = parlance_plugin_api::record::ChangeRecord {
            action: "group_created".into(),
            user: owner.clone(),
            name: format!("group {number}"),
        };
        let entry =
            LogRecord { sender: owner, time_ms: tx.now(), change: Some(change), ..LogRecord::default() };
        match tx.append(group, entry) {
            Ok(_) => Decision::Commit,
            Err(_) => Decision::Abort,
        }
    };
    server.ledger().submit(Box::new(job)).await
}

/// Devices and disasters, then the end. Answers how often the server died.
async fn play(stage: &Arc<Stage>, scenario: &Arc<Scenario>, random: &Random) -> u64 {
    let supervisor = tokio::spawn(supervise(stage.clone(), random.fork(5)));
    let mut statuses = Vec::new();
    for (number, device) in scenario.devices.iter().enumerate() {
        let status = Arc::new(Status::default());
        let random = random.fork(1000 + number as u64);
        let memory = Memory::new(device.name, device.habits.clone(), device.drafts.clone(), random);
        let life = tokio::spawn(live(stage.clone(), memory, status.clone()));
        watch(stage, "a device", life);
        statuses.push(status);
    }
    chaos::rage(stage.clone(), random.fork(6), scenario.clone()).await;
    stage.machine.faults().heal();
    stage.finish();
    tell!(stage.trace, "everything works again");
    let names: Vec<DeviceName> = scenario.devices.iter().map(|device| device.name).collect();
    come_to_rest(stage, &names, &statuses).await;
    supervisor.abort();
    let died = stage.machine.power().number();
    if stage.book.has_failed() {
        return died;
    }
    // What is known now outlives the machine, however it ends.
    stage.machine.crash(Crash::Power);
    restart(stage, &mut random.fork(7)).await;
    stage.audit();
    stage.machine.stop().await;
    restart(stage, &mut random.fork(8)).await;
    if stage.audit().is_none() {
        stage.book.violated(format_args!("the last audit could not be made"));
    }
    died
}

fn watch(stage: &Arc<Stage>, who: &'static str, task: tokio::task::JoinHandle<()>) {
    let stage = stage.clone();
    tokio::spawn(async move {
        if task.await.is_err_and(|error| error.is_panic()) {
            stage.book.violated(format_args!("{who} panicked"));
        }
    });
}

/// Waits until every device has everything.
async fn come_to_rest(stage: &Arc<Stage>, names: &[DeviceName], statuses: &[Arc<Status>]) {
    let until = Instant::now() + END_MAX;
    let mut lack = vec!["nobody looked".to_owned()];
    while Instant::now() < until {
        if stage.book.has_failed() {
            return;
        }
        sleep(Duration::from_millis(500)).await;
        let restless = names.iter().zip(statuses).filter(|(_, status)| !status.is_at_rest());
        lack = restless.map(|(name, _)| format!("{name} has not come to rest")).collect();
        if lack.is_empty() {
            match stage.audit() {
                Some(log) => lack = missing(&stage.book, &log, names),
                None => lack.push("there is no server".to_owned()),
            }
        }
        if lack.is_empty() {
            tell!(stage.trace, "everybody has everything");
            return;
        }
    }
    for what in lack {
        stage.book.violated(format_args!("after {END_MAX:?} without faults: {what}"));
    }
}

/// Starts the server again whenever it is dead.
async fn supervise(stage: Arc<Stage>, mut random: Random) {
    loop {
        stage.machine.power().is_cut().await;
        if stage.machine.lives() {
            continue;
        }
        stage.machine.crash(Crash::Power);
        let down = if stage.is_finishing() { 10..100 } else { 10..4_000 };
        sleep(random.millis(down)).await;
        restart(&stage, &mut random).await;
        stage.audit();
    }
}

/// Starts the server, if need be more than once.
async fn restart(stage: &Stage, random: &mut Random) {
    for _ in 0..STARTS_MAX {
        if stage.machine.server().is_some() || stage.book.has_failed() {
            return;
        }
        let before = (stage.machine.faults().injected(), stage.machine.power().number());
        match stage.machine.start() {
            Ok(_) => return tell!(stage.trace, "the server is up"),
            Err(error) => {
                tell!(stage.trace, "the server does not start: {error}");
                if before == (stage.machine.faults().injected(), stage.machine.power().number()) {
                    stage.book.violated(format_args!("the server does not start: {error}"));
                }
            }
        }
        sleep(random.millis(100..2_000)).await;
    }
    stage.book.violated(format_args!("the server did not start in {STARTS_MAX} attempts"));
}
