//! The subscription trie and the retained tree, step by step beside lists that are searched from end to end.
//!
//! Each step is a few bytes: what is done, by whom, and a topic or filter spelled level by level out of few names, so
//! that paths meet, grow wide enough to change their form, and go away again.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use parlance_engine::{Availability, Found, Retained, ShareStrategy, SubscriptionOptions, Subscriptions};
use parlance_mqtt::{QoS, TopicFilter, TopicName};

use super::reference;

/// Steps taken of one input.
const STEPS_MAX: usize = 256;
/// Levels of a topic or filter.
const LEVELS_MAX: u8 = 5;
/// Subscribers: more than the lists of the trie keep without an index.
const SUBSCRIBERS: u8 = 24;
/// Names of levels beside the special ones: more than a node keeps without a map.
const NAMES: u8 = 40;

#[derive(Arbitrary)]
enum Step {
    Subscribe { who: u8, filter: Spelled, options: Options },
    Unsubscribe { who: u8, filter: Spelled },
    Publish { who: u8, topic: Spelled, sticky: bool, away: u32 },
    Retain { topic: Spelled, value: u8 },
    Clear { topic: Spelled },
    List { filter: Spelled, behind: Option<Spelled>, stop_after: u8 },
}

#[derive(Arbitrary)]
struct Options {
    qos: u8,
    no_local: bool,
    retain_as_published: bool,
    id: u8,
}

/// A text made of levels.
struct Spelled(String);

impl<'a> Arbitrary<'a> for Spelled {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let choice: u8 = input.arbitrary()?;
        let mut levels = Vec::new();
        if choice & 0x80 != 0 {
            levels.push("$share".to_owned());
        }
        for _ in 0..=choice % LEVELS_MAX {
            levels.push(match input.arbitrary::<u8>()? {
                byte if byte >= 224 => "#".to_owned(),
                byte if byte >= 192 => "+".to_owned(),
                byte => match byte % (NAMES + 3) {
                    0 => String::new(),
                    1 => "$SYS".to_owned(),
                    2 => "é".to_owned(),
                    name => name.to_string(),
                },
            });
        }
        Ok(Self(levels.join("/")))
    }
}

/// Takes the steps of an input.
pub(super) fn check(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let mut world = World::default();
    for _ in 0..STEPS_MAX {
        let Ok(step) = Step::arbitrary(&mut input) else { break };
        world.take(step);
        if input.is_empty() {
            break;
        }
    }
    world.end();
}

#[derive(Default)]
struct World {
    trie: Subscriptions<u8>,
    found: Found<u8>,
    /// By filter and subscriber.
    subscriptions: BTreeMap<(String, u8), SubscriptionOptions>,
    tree: Retained<(String, u8)>,
    /// By the levels of the topic, which is the order of a listing.
    retained: BTreeMap<Vec<String>, u8>,
}

impl World {
    fn take(&mut self, step: Step) {
        match step {
            Step::Subscribe { who, filter, options } => {
                let Ok(filter) = TopicFilter::new(filter.0) else { return };
                self.subscribe(who % SUBSCRIBERS, &filter, &options);
            }
            Step::Unsubscribe { who, filter } => {
                let Ok(filter) = TopicFilter::new(filter.0) else { return };
                self.unsubscribe(who % SUBSCRIBERS, &filter);
            }
            Step::Publish { who, topic, sticky, away } => {
                let Ok(topic) = TopicName::new(topic.0) else { return };
                self.publish(who % SUBSCRIBERS, &topic, sticky, away);
            }
            Step::Retain { topic, value } => {
                let Ok(topic) = TopicName::new(topic.0) else { return };
                let before = self.retained.insert(levels(&topic), value);
                let replaced = self.tree.insert(&topic, (topic.to_string(), value));
                assert_eq!(replaced.map(|(_, value)| value), before, "retained at {topic:?}");
            }
            Step::Clear { topic } => {
                let before = self.retained.remove(&levels(&topic.0));
                let removed = self.tree.remove(&topic.0);
                assert_eq!(removed.map(|(_, value)| value), before, "removed at {:?}", topic.0);
                assert_eq!(self.tree.get(&topic.0), None);
            }
            Step::List { filter, behind, stop_after } => {
                let Ok(filter) = TopicFilter::new(filter.0) else { return };
                self.list(&filter, behind.map(|behind| behind.0).as_deref(), usize::from(stop_after));
            }
        }
        assert_eq!(self.trie.len(), self.subscriptions.len(), "subscriptions are counted");
        assert_eq!(self.tree.len(), self.retained.len(), "retained messages are counted");
    }

    fn subscribe(&mut self, who: u8, filter: &TopicFilter, options: &Options) {
        let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(options.qos % 3)];
        let options = SubscriptionOptions {
            qos,
            // MQTT-3.8.3-4: a protocol error before it comes here.
            no_local: options.no_local && filter.shared().is_none(),
            retain_as_published: options.retain_as_published,
            id: u32::from(options.id),
        };
        let before = self.subscriptions.insert((filter.to_string(), who), options);
        assert_eq!(self.trie.insert(filter, who, options), before, "{who} subscribes to {filter:?}");
    }

    fn unsubscribe(&mut self, who: u8, filter: &TopicFilter) {
        let before = self.subscriptions.remove(&(filter.to_string(), who));
        assert_eq!(self.trie.remove(filter, &who), before, "{who} leaves {filter:?}");
    }

    fn publish(&mut self, who: u8, topic: &TopicName, sticky: bool, away: u32) {
        let name = reference::Name::new(topic);
        let mut direct: BTreeMap<u8, (QoS, bool, Vec<u32>)> = BTreeMap::new();
        let mut shared: BTreeMap<&str, BTreeMap<u8, SubscriptionOptions>> = BTreeMap::new();
        for ((filter, subscriber), options) in &self.subscriptions {
            let share =
                filter.strip_prefix("$share/").and_then(|share| share.split_once('/').map(|it| (share, it)));
            if !name.matches(share.map_or(filter, |(_, (_, inner))| inner)) {
                continue;
            }
            if let Some((share, _)) = share {
                shared.entry(share).or_default().insert(*subscriber, *options);
            } else if !(options.no_local && *subscriber == who) {
                let found = direct.entry(*subscriber).or_insert((QoS::AtMostOnce, false, Vec::new()));
                found.0 = found.0.max(options.qos);
                found.1 |= options.retain_as_published;
                found.2.extend((options.id != 0).then_some(options.id));
            }
        }
        direct.values_mut().for_each(|(_, _, ids)| ids.sort_unstable());
        self.trie.matching(topic, Some(&who), &mut self.found);
        let found = self.found.direct.iter().map(|found| {
            let mut ids = found.ids.to_vec();
            ids.sort_unstable();
            (found.who, (found.qos, found.retain_as_published, ids))
        });
        assert_eq!(self.found.direct.len(), direct.len(), "each subscriber of {topic:?} once");
        assert_eq!(found.collect::<BTreeMap<_, _>>(), direct, "subscribers of {topic:?}");
        assert_eq!(self.found.shared.len(), shared.len(), "each share of {topic:?} once");
        for found in &self.found.shared {
            let members = shared.get(&*found.share).expect("the share matches");
            check_choice(found, members, sticky, away);
            let again = self.trie.share(&found.share).expect("it has members");
            check_choice(&again, members, sticky, away);
        }
    }

    fn list(&self, filter: &TopicFilter, behind: Option<&str>, stop_after: usize) {
        let inner = filter.shared().map_or(filter.as_str(), |(_, inner)| inner);
        let behind_levels = behind.map(levels);
        let expected = self.retained.iter().filter(|(topic, _)| {
            let name = topic.join("/");
            behind_levels.as_ref().is_none_or(|behind| *topic > behind)
                && reference::Name::new(&name).matches(inner)
        });
        let expected: Vec<_> =
            expected.map(|(topic, value)| (topic.join("/"), *value)).take(stop_after + 1).collect();
        let mut listed = Vec::new();
        let mut visit = |message: &(String, u8)| {
            listed.push(message.clone());
            listed.len() <= stop_after
        };
        match behind {
            Some(behind) => self.tree.matching_behind(filter, behind, &mut visit),
            None => self.tree.matching(filter, &mut visit),
        }
        assert_eq!(listed, expected, "{filter:?} behind {behind:?}");
    }

    /// What was put in can be taken out, and then there is nothing.
    fn end(mut self) {
        for ((filter, who), options) in std::mem::take(&mut self.subscriptions) {
            let filter = TopicFilter::new(filter).expect("it was a filter");
            assert_eq!(self.trie.remove(&filter, &who), Some(options));
        }
        for (topic, value) in std::mem::take(&mut self.retained) {
            let topic = topic.join("/");
            assert_eq!(self.tree.remove(&topic), Some((topic, value)));
        }
        assert!(self.trie.is_empty() && self.tree.is_empty());
        let everything = TopicName::new("1/2/3").expect("a name");
        self.trie.matching(&everything, None, &mut self.found);
        assert!(self.found.direct.is_empty() && self.found.shared.is_empty());
    }
}

fn levels(topic: &str) -> Vec<String> {
    topic.split('/').map(str::to_owned).collect()
}

/// Whoever is chosen is a member and can take the message; nobody is chosen only if nobody can.
fn check_choice(
    found: &parlance_engine::SharedMatch<u8>,
    members: &BTreeMap<u8, SubscriptionOptions>,
    sticky: bool,
    away: u32,
) {
    // Two bits of `away` for each of the first 16, the others online.
    let available = |who: &u8| match away.checked_shr(2 * u32::from(*who)).unwrap_or(0) & 3 {
        1 => Availability::Offline,
        2 => Availability::Unavailable,
        _ => Availability::Online,
    };
    let strategy = if sticky { ShareStrategy::Sticky } else { ShareStrategy::Fair };
    let chosen = found.choose(strategy, u64::from(away), available);
    let best = [Availability::Online, Availability::Offline]
        .into_iter()
        .find(|wanted| members.keys().any(|who| available(who) == *wanted));
    assert_eq!(chosen.map(|(who, _)| available(&who)), best, "{:?} of {members:?}", found.share);
    if let Some((who, options)) = chosen {
        assert_eq!(members.get(&who), Some(&options));
        if sticky {
            assert_eq!(found.choose(strategy, u64::from(away), available), chosen, "it stays");
        }
    }
}
