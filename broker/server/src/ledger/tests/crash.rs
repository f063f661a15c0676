//! After any prefix of the journal, what is read from it is what the decider knew at that moment: nothing that was
//! answered is lost, nothing is there twice, nothing belongs to nothing. And a batch that fails leaves no trace.

use super::rig::*;
use crate::{
    config::Topics as Settings,
    ledger::{
        Command,
        free::Free,
        load::{Loaded, load},
        reading::delivery,
        view::OpenView,
    },
    topics::{Subscriber, Topics},
};
use parlance_mqtt::{PacketId, QoS};
use parlance_plugin_api::{
    ledger::View,
    record::{self, QueueRecord, SessionKey, parse_queue_key},
    store::{Direction, Position, Scan, Table},
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

const SESSIONS: u8 = 3;

#[derive(Debug, Clone)]
enum Act {
    Publish { topic: u8, exact: bool, retain: bool, large: bool },
    Empty { topic: u8 },
    Subscribe { who: u8, filter: u8 },
    Unsubscribe { who: u8, filter: u8 },
    Acknowledge { who: u8, of: u64 },
    Release { who: u8, of: u64 },
    Leave { who: u8 },
}

const TOPICS: [&str; 3] = ["a", "b", "a/b"];
const FILTERS: [&str; 4] = ["a", "#", "a/+", "$share/g/b"];

fn act() -> impl Strategy<Value = Act> {
    let (who, topic, filter) = (0..SESSIONS, 0u8..3, 0u8..4);
    let publish = (topic.clone(), any::<bool>(), any::<bool>(), any::<bool>());
    prop_oneof![
        6 => publish.prop_map(|(topic, exact, retain, large)| Act::Publish { topic, exact, retain, large }),
        1 => topic.prop_map(|topic| Act::Empty { topic }),
        3 => (who.clone(), filter.clone()).prop_map(|(who, filter)| Act::Subscribe { who, filter }),
        1 => (who.clone(), filter).prop_map(|(who, filter)| Act::Unsubscribe { who, filter }),
        2 => (who.clone(), 0u64..8).prop_map(|(who, of)| Act::Acknowledge { who, of }),
        2 => (who.clone(), 0u64..8).prop_map(|(who, of)| Act::Release { who, of }),
        1 => who.prop_map(|who| Act::Leave { who }),
    ]
}

type Row = (u64, u32, Option<[u8; 16]>, bool, bool, bool);

/// Everything that the decider knows of free topics.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    queues: BTreeMap<SessionKey, (Vec<Row>, u64)>,
    retained: BTreeMap<String, String>,
    filters: BTreeMap<SessionKey, BTreeSet<String>>,
    totals: (u64, u64, usize),
}

fn seen(free: &Free, topics: &Topics) -> Seen {
    let mut seen = Seen {
        queues: BTreeMap::new(),
        retained: BTreeMap::new(),
        filters: BTreeMap::new(),
        totals: (free.queues.messages(), free.queues.bytes(), free.retained_bytes),
    };
    for number in 0..SESSIONS {
        let key = session(number);
        if let Some(queue) = free.queues.get(key) {
            let row = |entry: &crate::ledger::queues::Entry| {
                let body = entry.body.map(|body| free.queues.body(body).0);
                (entry.number, entry.bytes, body, entry.exact, entry.released, entry.shared)
            };
            seen.queues.insert(key, (queue.entries().map(row).collect(), queue.reserved()));
        }
        let filters = topics.find(key).map(|who| who.filters()).unwrap_or_default();
        let filters: BTreeSet<_> = filters.iter().map(|filter| filter.as_str().to_owned()).collect();
        if !filters.is_empty() {
            seen.filters.insert(key, filters);
        }
    }
    free.retained.matching(&filter("#"), &mut |message| {
        let payload = String::from_utf8_lossy(message.payload()).into_owned();
        seen.retained.insert(message.topic.as_str().to_owned(), payload);
        true
    });
    seen
}

/// What sessions are owed, as a test knows it who only hears the answers: payloads in their order, by number.
type Owed = BTreeMap<u8, BTreeMap<u64, String>>;

fn rows(view: &OpenView) -> Owed {
    let mut owed = Owed::new();
    let scan =
        Scan { table: Table::Queue, from: &[], to: &[], direction: Direction::Forward, limit: 1_000_000 };
    for (key, value) in view.scan(scan).unwrap() {
        let (session, number) = parse_queue_key(&key).unwrap();
        if number == 0 {
            continue;
        }
        let row: QueueRecord = record::decode(value).unwrap();
        let text = match row.released {
            true => "-".to_owned(),
            false => {
                let delivery = delivery(view, row).unwrap().expect("its body is there");
                String::from_utf8_lossy(delivery.message.payload()).into_owned()
            }
        };
        let before = owed.entry(session.user.0[0]).or_default().insert(number, text);
        assert_eq!(before, None);
    }
    owed
}

struct Story {
    rig: Rig,
    who: Vec<Arc<Subscriber>>,
    peers: Vec<Arc<crate::peer::Peer>>,
    published: u32,
    owed: Owed,
}

impl Story {
    fn new() -> Self {
        let mut rig = Rig::new(Settings::default());
        let who: Vec<_> = (0..SESSIONS).map(|number| rig.durable(number)).collect();
        let peers = who.iter().map(connect).collect();
        Self { rig, who, peers, published: 0, owed: Owed::new() }
    }

    fn subscribed(&self, who: u8, filter: &str) -> bool {
        self.who[usize::from(who)].filters().iter().any(|known| known.as_str() == filter)
    }

    /// The command of an act, as the state is now.
    fn command(&mut self, act: &Act) -> Command {
        match *act {
            Act::Publish { topic, exact, retain, large } => {
                self.published += 1;
                let qos = if exact { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
                let filler = if large { "x".repeat(600) } else { String::new() };
                let text = format!("{}{filler}", self.published);
                publish(&message(TOPICS[usize::from(topic)], &text, qos, retain))
            }
            Act::Empty { topic } => publish(&message(TOPICS[usize::from(topic)], "", QoS::AtMostOnce, true)),
            Act::Subscribe { who, filter } => {
                let who = &self.who[usize::from(who)];
                let mut subscribing = Rig::subscribing(who, &[FILTERS[usize::from(filter)]], &[]);
                // Retained messages have a test of their own: here only what is published is counted.
                subscribing.begin[0].2 = parlance_mqtt::RetainHandling::DoNotSend;
                Command::Subscribe(Box::new(subscribing))
            }
            Act::Unsubscribe { who, filter } => {
                let who = &self.who[usize::from(who)];
                Command::Subscribe(Box::new(Rig::subscribing(who, &[], &[FILTERS[usize::from(filter)]])))
            }
            Act::Acknowledge { who, of } => {
                let who = &self.who[usize::from(who)];
                acknowledged(who.key, who.queue().done + of)
            }
            Act::Release { who, of } => {
                let (peer, who) = (self.peers[usize::from(who)].clone(), &self.who[usize::from(who)]);
                let number = who.queue().done + of;
                Command::Release { session: who.key, number, packet_id: PacketId::MIN, peer }
            }
            Act::Leave { who } => {
                let subscriber = self.who[usize::from(who)].clone();
                Command::Leave { subscriber, whole: true, done: None }
            }
        }
    }

    /// What must be true after an act that was answered. Shared subscriptions are left to the decider: one member got it.
    fn expect(&mut self, act: &Act, subscribed: &[bool]) {
        match *act {
            Act::Publish { topic, large, .. } => {
                let filler = if large { "x".repeat(600) } else { String::new() };
                let text = format!("{}{filler}", self.published);
                let matches = |filter: &str| parlance_mqtt::matches(filter, TOPICS[usize::from(topic)]);
                for who in 0..SESSIONS {
                    let direct = (0..3).any(|filter| {
                        subscribed[usize::from(who) * FILTERS.len() + filter] && matches(FILTERS[filter])
                    });
                    if direct {
                        let found = self.rig.owed(&self.who[usize::from(who)]);
                        let times = found.iter().filter(|(_, owed)| *owed == text).count();
                        let shared = matches("b") && subscribed[usize::from(who) * FILTERS.len() + 3];
                        assert!(times == 1 || (shared && times == 2), "{times} times {text:.10}");
                    }
                }
            }
            Act::Acknowledge { .. } | Act::Release { .. } | Act::Leave { .. } | Act::Empty { .. } => {}
            Act::Subscribe { who, filter } => {
                assert!(self.subscribed(who, FILTERS[usize::from(filter)]));
            }
            Act::Unsubscribe { who, filter } => {
                assert!(!self.subscribed(who, FILTERS[usize::from(filter)]));
            }
        }
    }

    fn subscriptions(&self) -> Vec<bool> {
        let all = (0..SESSIONS).flat_map(|who| FILTERS.iter().map(move |filter| (who, *filter)));
        all.map(|(who, filter)| self.subscribed(who, filter)).collect()
    }

    /// No entry goes but by what was done to it.
    fn check_owed(&mut self, act: &Act, handed_over: bool) {
        let now = rows(&self.rig.view);
        for (who, before) in std::mem::take(&mut self.owed) {
            let state = self.who[usize::from(who)].queue();
            for (number, text) in before {
                let kept = now.get(&who).and_then(|owed| owed.get(&number));
                let gone = number <= state.done
                    || handed_over
                    || matches!(act, Act::Leave { who: it } if *it == who);
                let released = matches!(act, Act::Release { .. }) && kept.is_some_and(|kept| kept == "-");
                assert!(gone || released || kept == Some(&text), "{who}: {number} is {kept:?}");
            }
        }
        self.owed = now;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_prefix_of_the_journal_is_what_was_known_then(
        acts in prop::collection::vec((act(), prop::bool::weighted(0.1)), 1..40),
    ) {
        let mut story = Story::new();
        let first = story.rig.decider.position();
        let mut known = vec![(first, seen(&story.rig.decider.free, &story.rig.topics))];
        for (act, fails) in acts {
            let subscribed = story.subscriptions();
            if fails {
                let published = story.published;
                let before = seen(&story.rig.decider.free, &story.rig.topics);
                let command = story.command(&act);
                story.rig.fail([command]);
                story.published = published;
                prop_assert_eq!(seen(&story.rig.decider.free, &story.rig.topics), before);
                continue;
            }
            let command = story.command(&act);
            story.rig.run(command);
            known.push((story.rig.decider.position(), seen(&story.rig.decider.free, &story.rig.topics)));
            let before_work = story.rig.decider.free.rest().is_some();
            while story.rig.decider.free.rest().is_some() {
                story.rig.decider.work();
                story.rig.decider.commit();
                known.push((story.rig.decider.position(), seen(&story.rig.decider.free, &story.rig.topics)));
            }
            story.expect(&act, &subscribed);
            story.check_owed(&act, before_work);
        }
        let Story { rig, who, .. } = story;
        drop(who);
        let Rig { folder, decider, .. } = rig;
        drop(decider);
        let entries = entries(folder.path());
        let view = view_over(Arc::default());
        let mut next = 0;
        for (position, writes) in entries {
            view.overlay.publish(writes, Position(position));
            if position < first {
                continue;
            }
            // The last that was known at this position; what wrote nothing changed nothing that is written.
            while known.get(next + 1).is_some_and(|(at, _)| *at <= position) {
                next += 1;
            }
            let topics = Arc::new(Topics::new(&Settings::default()));
            let Loaded { free, .. } = load(&view, topics.clone(), 0).unwrap();
            let (mut loaded, mut then) = (seen(&free, &topics), known[next].1.clone());
            // A session that left whole is still written down here: its filters are kept until its record goes.
            loaded.filters.clear();
            then.filters.clear();
            prop_assert_eq!(loaded, then);
            prop_assert!(free.later.is_empty(), "nothing belongs to nothing");
            rows(&view);
        }
    }
}
