//! What a seed makes of a run: who is there, what they are like, how good their network is, and what will go wrong.

use crate::{
    chaos::Kind,
    checks::{DeviceName, Draft},
    device::Habits,
    machine::Tempo,
    people::{group_id, user_id},
    random::Random,
    wire::Pace,
};
use parlance_mqtt::{QoS, Version};
use parlance_plugin_api::ConversationId;
use parlance_schema::Format;
use parlance_server::config::{Config, Limits, Store, Topics};
use std::{collections::BTreeSet, ops::Range};

/// A week: longer than any run, with every jump of its clock.
const WEEK_S: u32 = 7 * 86_400;

/// A device before it begins.
#[derive(Debug)]
pub struct Device {
    /// Which.
    pub name: DeviceName,
    /// What it is like.
    pub habits: Habits,
    /// What it will send.
    pub drafts: Vec<Draft>,
}

/// See the module.
#[derive(Debug)]
pub struct Scenario {
    /// How many users.
    pub users: usize,
    /// Their devices.
    pub devices: Vec<Device>,
    /// The first members of each group; the first of each owns it.
    pub groups: Vec<BTreeSet<usize>>,
    /// The server's configuration.
    pub config: Config,
    /// How fast its threads are.
    pub tempo: Tempo,
    /// What the network is like.
    pub pace: Pace,
    /// What goes wrong.
    pub kinds: Vec<Kind>,
    /// From one of those to the next, milliseconds.
    pub every_ms: Range<u64>,
    /// For how long.
    pub lasts_ms: u64,
}

impl Scenario {
    /// Nothing goes wrong by itself, and nobody is there yet: two users, and a group of both.
    pub fn quiet() -> Self {
        let topics = Topics { sys_interval_s: 0, ..Topics::default() };
        let store = Store { journal_segment_bytes: 65_536, min_free_bytes: 1 << 20, ..Store::default() };
        Self {
            users: 2,
            devices: Vec::new(),
            groups: vec![BTreeSet::from([0, 1])],
            config: Config { data_dir: "/parlance".into(), topics, store, ..Config::default() },
            tempo: Tempo { decider_ms: 0..1, applier_ms: 10..40 },
            pace: Pace { latency_ms: 1..3, capacity_bytes: 65_536, grain_bytes: 1400 },
            kinds: Vec::new(),
            every_ms: 0..1,
            lasts_ms: 0,
        }
    }

    /// The scenario of a seed.
    pub fn new(random: &mut Random) -> Self {
        let users = 2 + random.index(3);
        let groups = groups(users, random);
        let kinds = kinds(random);
        // What 3.1.1 cannot be told, it cannot check: there a refused publish is acknowledged.
        let v3 = !kinds.iter().any(|kind| kind.refuses());
        let latency_ms = random.pick(&[1..5, 1..5, 5..80, 1..400, 1..2000]).clone();
        let pace = Pace {
            latency_ms,
            capacity_bytes: *random.pick(&[200, 1_000, 16_000, 65_536]),
            grain_bytes: *random.pick(&[5, 40, 536, 1400, 1400, 1400]),
        };
        // Large messages fill segments of the journal, and windows. Where little is on its way for long, they would be all
        // that is seen.
        let slow = pace.capacity_bytes < 16_000 || pace.latency_ms.end > 100;
        let (large_per_mille, large_bytes) = if slow { (50, 300) } else { (*random.pick(&[50, 500]), 8_000) };
        let free_per_mille = *random.pick(&[0, 0, 200, 600]);
        let texts = Texts { large_per_mille, large_bytes, free_per_mille };
        let mut devices = Vec::new();
        for user in 0..users {
            for number in 0..=usize::from(random.chance(400)) {
                let name = DeviceName { user, number };
                let habits = habits(v3, pace.latency_ms.end, random);
                let drafts = drafts(name, &habits, users, &groups, texts, random);
                devices.push(Device { name, habits, drafts });
            }
        }
        let tempo = Tempo {
            decider_ms: random.pick(&[0..1, 0..3, 0..20, 0..200]).clone(),
            applier_ms: random.pick(&[10..40, 50..250]).clone(),
        };
        let most = *random.pick(&[400, 1_500, 5_000]);
        let (every_ms, lasts_ms) = (20..most, random.within(5_000..25_000));
        Self { users, devices, groups, config: config(random), tempo, pace, kinds, every_ms, lasts_ms }
    }
}

/// What is written.
#[derive(Clone, Copy)]
struct Texts {
    /// How often in a thousand it is large.
    large_per_mille: u32,
    /// Size of what is large, bytes.
    large_bytes: usize,
    /// How often in a thousand it goes to a free topic.
    free_per_mille: u32,
}

/// Not everything goes wrong in every run: what each kind does alone is seen as well.
fn kinds(random: &mut Random) -> Vec<Kind> {
    let often = *random.pick(&[150, 400, 700]);
    Kind::ALL.into_iter().filter(|_| random.chance(often)).collect()
}

fn groups(users: usize, random: &mut Random) -> Vec<BTreeSet<usize>> {
    let count = random.index(3);
    let members = |random: &mut Random| {
        let others = (1..users).filter(|_| random.chance(700));
        others.chain([0]).collect::<BTreeSet<usize>>()
    };
    (0..count).map(|_| members(random)).collect()
}

fn habits(v3: bool, latency_ms: u64, random: &mut Random) -> Habits {
    let version = if v3 && random.chance(300) { Version::V3 } else { Version::V5 };
    let format = match version {
        // Without properties, text does not say which message it is.
        Version::V3 => *random.pick(&[Format::Json, Format::Pb]),
        Version::V5 => *random.pick(&[Format::Text, Format::Json, Format::Pb, Format::Pb]),
    };
    Habits {
        version,
        format,
        expiry_s: *random.pick(&[0, WEEK_S, WEEK_S, WEEK_S]),
        clean_per_mille: *random.pick(&[0, 0, 100, 500]),
        receive_maximum: *random.pick(&[None, Some(1), Some(2), Some(7)]),
        // Longer than a ping takes there and back, and the next one there.
        keep_alive_s: if latency_ms > 500 { 30 } else { *random.pick(&[5, 15, 60]) },
        idle_ms: random.pick(&[1..40, 10..300, 100..1500]).clone(),
        prompt_per_mille: *random.pick(&[1000, 1000, 500, 0]),
        id_per_mille: *random.pick(&[1000, 1000, 500]),
        free: *random.pick(&[None, None, Some(QoS::AtLeastOnce), Some(QoS::ExactlyOnce)]),
        exactly_per_mille: *random.pick(&[0, 0, 300, 1000]),
        leave_per_mille: *random.pick(&[0, 5, 30, 100]),
        receipts: random.chance(600),
        away_ms_max: *random.pick(&[2_000, 10_000]),
    }
}

fn drafts(
    device: DeviceName,
    habits: &Habits,
    users: usize,
    groups: &[BTreeSet<usize>],
    Texts { large_per_mille, large_bytes, free_per_mille }: Texts,
    random: &mut Random,
) -> Vec<Draft> {
    let count = 1 + random.index(14);
    let draft = |number: usize, random: &mut Random| {
        let group = random.index(groups.len().max(1));
        // Also where it may not write, if it is told so.
        let may = groups.get(group).is_some_and(|members| members.contains(&device.user));
        let writes = !groups.is_empty() && (may || habits.version == Version::V5);
        let mut free = false;
        let (mut topic, conversation): (String, ConversationId) = if writes && random.chance(500) {
            (format!("group/{}", group_id(group)), group_id(group))
        } else {
            let peer = random.index(users);
            (format!("user/@user{peer}"), ConversationId::direct(user_id(device.user), user_id(peer)))
        };
        if random.chance(free_per_mille) {
            topic = format!("app/{}", random.index(2));
            free = true;
        }
        let known = habits.format != Format::Text || habits.version == Version::V5;
        let id = (known && !free && random.chance(habits.id_per_mille)).then(|| format!("{device}-{number}"));
        let length =
            if random.chance(large_per_mille) { random.index(large_bytes) } else { random.index(40) };
        let text = format!("{device}-{number} #{}", "x".repeat(length));
        Draft { device, topic, conversation, id, text, free }
    };
    (0..count).map(|number| draft(number, random)).collect()
}

fn config(random: &mut Random) -> Config {
    let limits = Limits {
        parked_sessions_max: *random.pick(&[1, 4, 100]),
        outbox_messages_max: *random.pick(&[2, 16, 1024]),
        ready_messages_max: *random.pick(&[1, 8, 256]),
        page_messages_max: *random.pick(&[1, 3, 64]),
        reads_in_flight_max: *random.pick(&[1, 4]),
        inflight_messages_max: *random.pick(&[1, 8, 256]),
        receive_maximum: *random.pick(&[16, 256]),
        ledger_queue_max: *random.pick(&[2, 16, 1024]),
        conversations_cached_max: *random.pick(&[1, 3, 1024]),
        notes_max: *random.pick(&[4, 256]),
        ..Limits::default()
    };
    let store = Store {
        journal_segment_bytes: 65_536,
        run_bytes_max: *random.pick(&[2_000, 20_000, 200_000]),
        min_free_bytes: 1 << 20,
        ..Store::default()
    };
    let topics = Topics { sys_interval_s: 0, ..Topics::default() };
    Config { data_dir: "/parlance".into(), limits, store, topics, ..Config::default() }
}
