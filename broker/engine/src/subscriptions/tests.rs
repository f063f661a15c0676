use super::*;
use parlance_mqtt::matches;
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

const PLAIN: SubscriptionOptions =
    SubscriptionOptions { qos: QoS::AtMostOnce, no_local: false, retain_as_published: false, id: 0 };

fn filter(text: &str) -> TopicFilter {
    TopicFilter::try_from(text).unwrap()
}

fn name(text: &str) -> TopicName {
    TopicName::try_from(text).unwrap()
}

fn found(subscriptions: &Subscriptions<u32>, topic: &str) -> Found<u32> {
    let mut found = Found::default();
    subscriptions.matching(&name(topic), None, &mut found);
    found
}

fn who(subscriptions: &Subscriptions<u32>, topic: &str) -> BTreeSet<u32> {
    found(subscriptions, topic).direct.iter().map(|found| found.who).collect()
}

fn share_of(members: u32) -> SharedMatch<u32> {
    let mut subscriptions = Subscriptions::new();
    for member in 0..members {
        subscriptions.insert(&filter("$share/group/a/#"), member, PLAIN);
    }
    subscriptions.share("group/a/#").unwrap()
}

/// MQTT-4.7.2-1.
#[test]
fn wildcards_do_not_match_system_topics() {
    let mut subscriptions = Subscriptions::new();
    for (who, text) in ["#", "+/x", "$SYS/#", "$SYS/+", "$share/g/+/x", "$share/g/$SYS/x"].iter().enumerate()
    {
        subscriptions.insert(&filter(text), u32::try_from(who).unwrap(), PLAIN);
    }
    assert_eq!(who(&subscriptions, "$SYS/x"), BTreeSet::from([2, 3]));
    assert_eq!(who(&subscriptions, "$SYS"), BTreeSet::from([2]));
    assert_eq!(who(&subscriptions, "a/x"), BTreeSet::from([0, 1]));
    let shares = |topic| found(&subscriptions, topic).shared.into_iter().map(|found| found.share.to_string());
    assert_eq!(shares("$SYS/x").collect::<Vec<_>>(), ["g/$SYS/x"]);
    assert_eq!(shares("a/x").collect::<Vec<_>>(), ["g/+/x"]);
}

/// MQTT-3.3.4-2, MQTT-3.3.4-4.
#[test]
fn overlapping_subscriptions_are_one_match() {
    let mut subscriptions = Subscriptions::new();
    let texts = ["a/b", "a/+", "a/#", "#", "+/b"];
    for (n, text) in texts.iter().enumerate() {
        let qos = if n == 2 { QoS::ExactlyOnce } else { QoS::AtMostOnce };
        let options = SubscriptionOptions { qos, id: u32::try_from(n).unwrap() + 1, ..PLAIN };
        subscriptions.insert(&filter(text), 7, options);
    }
    let mut found = found(&subscriptions, "a/b");
    assert_eq!(found.direct.len(), 1);
    let only = found.direct.remove(0);
    assert_eq!((only.who, only.qos, only.retain_as_published), (7, QoS::ExactlyOnce, false));
    let mut ids = only.ids.to_vec();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3, 4, 5]);
}

#[test]
fn many_overlapping_subscribers_are_each_one_match() {
    let mut subscriptions = Subscriptions::new();
    for (text, range) in [("a/b", 0..60), ("a/+", 30..90), ("#", 0..100)] {
        for who in range {
            subscriptions.insert(&filter(text), who, SubscriptionOptions { id: 1, ..PLAIN });
        }
    }
    let mut found = found(&subscriptions, "a/b");
    found.direct.sort_by_key(|found| found.who);
    let ids: Vec<_> = found.direct.iter().map(|found| found.ids.len()).collect();
    assert_eq!(found.direct.iter().map(|found| found.who).collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
    let wanted = [vec![2; 30], vec![3; 30], vec![2; 30], vec![1; 10]].concat();
    assert_eq!(ids, wanted);
}

/// MQTT-3.8.3-3: that of the others stays, and other subscriptions of the same session, too.
#[test]
fn no_local_does_not_match_its_publisher() {
    let mut subscriptions = Subscriptions::new();
    let no_local = SubscriptionOptions { no_local: true, qos: QoS::ExactlyOnce, ..PLAIN };
    subscriptions.insert(&filter("a"), 1, no_local);
    subscriptions.insert(&filter("a"), 2, no_local);
    let mut found = Found::default();
    subscriptions.matching(&name("a"), Some(&1), &mut found);
    assert_eq!(found.direct.iter().map(|found| found.who).collect::<Vec<_>>(), [2]);
    subscriptions.insert(&filter("+"), 1, PLAIN);
    subscriptions.matching(&name("a"), Some(&1), &mut found);
    found.direct.sort_by_key(|found| found.who);
    assert_eq!(
        found.direct.iter().map(|found| (found.who, found.qos)).collect::<Vec<_>>(),
        [(1, QoS::AtMostOnce), (2, QoS::ExactlyOnce)]
    );
}

#[test]
fn a_subscription_replaces_the_one_before() {
    let mut subscriptions = Subscriptions::new();
    for text in ["a/#", "$share/g/a/#"] {
        let other = SubscriptionOptions { id: 9, ..PLAIN };
        assert_eq!(subscriptions.insert(&filter(text), 1, PLAIN), None);
        assert_eq!(subscriptions.insert(&filter(text), 1, other), Some(PLAIN));
        assert_eq!(subscriptions.len(), 1);
        assert_eq!(subscriptions.remove(&filter(text), &2), None);
        assert_eq!(subscriptions.remove(&filter(text), &1), Some(other));
        assert_eq!(subscriptions.remove(&filter(text), &1), None);
        assert_eq!((subscriptions.len(), subscriptions.tree.count()), (0, 0));
    }
}

#[test]
fn thousands_of_levels_do_not_overflow_the_stack() {
    let (deep, wild) = (vec!["x"; 32_000].join("/"), vec!["+"; 32_000].join("/"));
    let mut subscriptions = Subscriptions::new();
    subscriptions.insert(&filter(&deep), 1, PLAIN);
    subscriptions.insert(&filter(&wild), 2, PLAIN);
    subscriptions.insert(&filter(&format!("{deep}/#")), 3, PLAIN);
    assert_eq!(who(&subscriptions, &deep), BTreeSet::from([1, 2, 3]));
    assert_eq!(who(&subscriptions, &format!("{deep}/x")), BTreeSet::from([3]));
    subscriptions.remove(&filter(&deep), &1);
    subscriptions.remove(&filter(&format!("{deep}/#")), &3);
    assert_eq!(subscriptions.tree.count(), 32_000);
}

#[test]
fn fair_takes_turns_among_those_online() {
    let share = share_of(4);
    let online = |who: &u32| if *who == 2 { Availability::Unavailable } else { Availability::Online };
    let mut turns = HashMap::new();
    for _ in 0..300 {
        *turns.entry(share.choose(ShareStrategy::Fair, 5, online).unwrap().0).or_insert(0) += 1;
    }
    assert_eq!(turns, HashMap::from([(0, 100), (1, 100), (3, 100)]));
}

#[test]
fn fair_goes_on_where_it_was_when_the_match_is_made_again() {
    let mut subscriptions = Subscriptions::new();
    for member in 0..3 {
        subscriptions.insert(&filter("$share/g/a"), member, PLAIN);
    }
    let mut chosen = BTreeSet::new();
    for _ in 0..3 {
        let found = found(&subscriptions, "a");
        chosen.extend(
            found.shared[0].choose(ShareStrategy::Fair, 0, |_| Availability::Online).map(|found| found.0),
        );
    }
    assert_eq!(chosen, BTreeSet::from([0, 1, 2]));
}

#[test]
fn those_with_a_queue_get_one_only_when_nobody_is_online() {
    let share = share_of(5);
    for strategy in [ShareStrategy::Fair, ShareStrategy::Sticky] {
        for publisher in 0..50 {
            let one = |who: &u32| match who {
                3 => Availability::Online,
                1 => Availability::Unavailable,
                _ => Availability::Offline,
            };
            assert_eq!(share.choose(strategy, publisher, one).unwrap().0, 3);
            let none = |who: &u32| if *who == 1 { Availability::Offline } else { Availability::Unavailable };
            assert_eq!(share.choose(strategy, publisher, none).unwrap().0, 1);
            assert_eq!(share.choose(strategy, publisher, |_| Availability::Unavailable), None);
        }
        let mut offline = BTreeSet::new();
        for publisher in 0..50 {
            offline.extend(share.choose(strategy, publisher, |_| Availability::Offline).map(|found| found.0));
        }
        assert_eq!(offline, BTreeSet::from([0, 1, 2, 3, 4]), "{strategy:?}");
    }
}

#[test]
fn sticky_moves_only_the_publishers_of_a_member_that_goes() {
    let share = share_of(10);
    let choose = |publisher: u64, gone: Option<u32>| {
        let available =
            |who: &u32| if Some(*who) == gone { Availability::Unavailable } else { Availability::Online };
        share.choose(ShareStrategy::Sticky, publisher, available).unwrap().0
    };
    let mut moved = 0;
    for publisher in 0..1000 {
        let before = choose(publisher, None);
        assert_eq!(choose(publisher, None), before);
        let after = choose(publisher, Some(4));
        assert_ne!(after, 4);
        assert!(after == before || before == 4);
        moved += u32::from(after != before);
    }
    // A tenth of a thousand, with eight standard deviations to either side.
    assert!((25..175).contains(&moved), "{moved}");
}

#[test]
fn a_match_keeps_the_members_of_its_time() {
    let mut subscriptions = Subscriptions::new();
    subscriptions.insert(&filter("$share/g/a"), 1, PLAIN);
    let found = found(&subscriptions, "a");
    subscriptions.remove(&filter("$share/g/a"), &1);
    let asked = Cell::new(0);
    let chosen = found.shared[0].choose(ShareStrategy::Fair, 0, |_| {
        asked.set(asked.get() + 1);
        Availability::Online
    });
    assert_eq!((chosen, asked.get()), (Some((1, PLAIN)), 1));
    assert!(subscriptions.share("g/a").is_none());
}

fn level() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "", "$SYS"])
}

fn topics() -> impl Strategy<Value = String> {
    let some = prop::collection::vec(level(), 1..5).prop_map(|levels| levels.join("/"));
    some.prop_filter("a topic is not empty", |topic| !topic.is_empty())
}

fn filters() -> impl Strategy<Value = String> {
    let levels = prop::collection::vec(prop_oneof![2 => level(), 1 => Just("+")], 0..5);
    let share = prop_oneof![3 => Just(""), 1 => Just("$share/g/"), 1 => Just("$share/h/")];
    let all = (levels, any::<bool>(), share).prop_map(|(mut levels, open, share)| {
        levels.extend(open.then_some("#"));
        (share, levels.join("/"))
    });
    all.prop_filter("a filter is not empty", |(_, inner)| !inner.is_empty())
        .prop_map(|(share, inner)| format!("{share}{inner}"))
}

fn options() -> impl Strategy<Value = SubscriptionOptions> {
    let qos = prop::sample::select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
    (qos, any::<bool>(), any::<bool>(), 0u32..4).prop_map(|(qos, no_local, retain_as_published, id)| {
        SubscriptionOptions { qos, no_local, retain_as_published, id }
    })
}

type Reference = BTreeMap<(String, u32), SubscriptionOptions>;

fn scan(reference: &Reference, topic: &str, publisher: Option<u32>) -> Vec<(u32, QoS, bool, Vec<u32>)> {
    let mut by_session = BTreeMap::new();
    for ((text, who), options) in reference {
        if text.starts_with("$share/") || !matches(text, topic) {
            continue;
        }
        if options.no_local && publisher == Some(*who) {
            continue;
        }
        let entry = by_session.entry(*who).or_insert((QoS::AtMostOnce, false, Vec::new()));
        entry.0 = entry.0.max(options.qos);
        entry.1 |= options.retain_as_published;
        entry.2.extend((options.id != 0).then_some(options.id));
        entry.2.sort_unstable();
    }
    by_session.into_iter().map(|(who, (qos, retain, ids))| (who, qos, retain, ids)).collect()
}

fn scan_shares(reference: &Reference, topic: &str) -> BTreeMap<String, BTreeMap<u32, SubscriptionOptions>> {
    let mut shares = BTreeMap::<_, BTreeMap<_, _>>::new();
    for ((text, who), options) in reference {
        let Some(share) = text.strip_prefix("$share/") else { continue };
        if matches(share.split_once('/').unwrap().1, topic) {
            shares.entry(share.to_owned()).or_default().insert(*who, *options);
        }
    }
    shares
}

fn members(share: &SharedMatch<u32>) -> BTreeMap<u32, SubscriptionOptions> {
    // Each can be chosen when it is the only one there.
    let all = (0..40).filter_map(|member| {
        let only = |who: &u32| if *who == member { Availability::Online } else { Availability::Unavailable };
        share.choose(ShareStrategy::Sticky, 1, only)
    });
    all.collect()
}

proptest! {
    #[test]
    fn finds_what_a_scan_finds(
        steps in prop::collection::vec((prop::bool::weighted(0.75), filters(), 0u32..40, options()), 0..150),
        asked in prop::collection::vec((topics(), prop::option::of(0u32..40)), 1..10),
    ) {
        let (mut subscriptions, mut reference) = (Subscriptions::new(), Reference::new());
        for (put, text, who, options) in steps {
            let key = (text.clone(), who);
            if put {
                prop_assert_eq!(subscriptions.insert(&filter(&text), who, options), reference.insert(key, options));
            } else {
                // Somebody who is there, if one is: else most removals would find nobody.
                let key = reference.keys().rfind(|(held, _)| *held == text).cloned().unwrap_or(key);
                prop_assert_eq!(subscriptions.remove(&filter(&text), &key.1), reference.remove(&key));
            }
            prop_assert_eq!(subscriptions.len(), reference.len());
        }
        let mut found = Found::default();
        for (topic, publisher) in asked {
            subscriptions.matching(&name(&topic), publisher.as_ref(), &mut found);
            let mut direct: Vec<_> = found.direct.iter().map(|found| {
                let mut ids = found.ids.to_vec();
                ids.sort_unstable();
                (found.who, found.qos, found.retain_as_published, ids)
            }).collect();
            direct.sort();
            prop_assert_eq!(direct, scan(&reference, &topic, publisher));
            let shares = found.shared.iter().map(|share| (share.share.to_string(), members(share)));
            prop_assert_eq!(shares.collect::<BTreeMap<_, _>>(), scan_shares(&reference, &topic));
        }
        for (text, who) in reference.into_keys() {
            prop_assert!(subscriptions.remove(&filter(&text), &who).is_some());
        }
        prop_assert_eq!((subscriptions.len(), subscriptions.tree.count()), (0, 0));
    }
}
