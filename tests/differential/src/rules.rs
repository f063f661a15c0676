//! What is known to differ, and why: the clause of the specification, and who is right.

use std::collections::BTreeSet;
use std::fmt;

use parlance_mqtt::{RetainHandling, Version, matches};

use crate::brokers::Peer;
use crate::compare::Difference;
use crate::malformed::Malformed;
use crate::script::{Script, Step, Subscription};
use crate::trace::{Delivered, Event, Stream};

/// Who does what the clause asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Parlance; the other breaks the clause.
    Parlance,
    /// Both: the clause leaves it open.
    Both,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parlance => "Parlance",
            Self::Both => "both",
        })
    }
}

/// A class of differences that is understood.
pub struct Rule {
    /// Its name.
    pub id: &'static str,
    /// The broker that does it otherwise.
    pub peer: Peer,
    /// Clause of MQTT 5.0, unless 3.1.1 is named.
    pub clause: &'static str,
    /// Who is right.
    pub right: Right,
    /// What differs.
    pub what: &'static str,
    /// Whether a difference is of this class.
    applies: fn(&Difference<'_>) -> bool,
}

/// The table. The first rule that applies counts.
pub const RULES: &[Rule] = &[
    Rule {
        id: "no-matching-subscribers",
        peer: Peer::Mosquitto,
        clause: "3.5.2.1",
        right: Right::Both,
        what: "PUBREC says 0x10 where nobody subscribes; mosquitto says so in PUBACK only",
        applies: |it| it.stream == Stream::Answers && same(it, |event| without_no_matching(event.clone())),
    },
    Rule {
        id: "unknown-pubrel",
        peer: Peer::Mosquitto,
        clause: "3.7.2.1",
        right: Right::Both,
        what: "PUBREL for a packet id that is not known: Parlance says 0x92, mosquitto 0x00",
        applies: |it| {
            it.stream == Stream::Answers
                && same(it, |event| without_no_matching(without_not_found(event.clone())))
        },
    },
    Rule {
        id: "tolerated",
        peer: Peer::Mosquitto,
        clause: "4.13.1",
        right: Right::Parlance,
        what: "a malformed packet does not end the connection",
        applies: |it| it.theirs.contains(&Event::Tolerated) && it.ours.contains(&Event::Closed),
    },
    Rule {
        id: "reason-of-the-end",
        peer: Peer::Mosquitto,
        clause: "4.13.1-1",
        right: Right::Both,
        what: "a DISCONNECT before the end is optional, and more than one reason code fits",
        applies: |it| {
            it.stream == Stream::End
                && same(it, |event| match event {
                    Event::Disconnect(_) => None,
                    other => Some(other.clone()),
                })
        },
    },
    Rule {
        id: "second-connect",
        peer: Peer::Mosquitto,
        clause: "3.1.0-2",
        right: Right::Parlance,
        what: "after a second CONNECT the session is gone, and its will is not published",
        applies: second_connect,
    },
    Rule {
        id: "copies-of-overlapping",
        peer: Peer::Mosquitto,
        clause: "3.3.4-2",
        right: Right::Both,
        what: "a message that several subscriptions match comes once for each of them; Parlance sends one with all identifiers",
        applies: copies,
    },
    Rule {
        id: "qos-of-overlapping",
        peer: Peer::Mosquitto,
        clause: "3.1.1: 3.3.5-1",
        right: Right::Parlance,
        what: "a message that several subscriptions match has the QoS of one of them, not the greatest",
        applies: qos_of_overlapping,
    },
    Rule {
        id: "options-of-a-second-subscribe",
        peer: Peer::Mosquitto,
        clause: "3.8.4-3",
        right: Right::Parlance,
        what: "No Local and Retain As Published of a subscription that is made again stay as they were",
        applies: options_changed,
    },
    Rule {
        id: "retained-for-shared",
        peer: Peer::Mosquitto,
        clause: "4.8.2",
        right: Right::Parlance,
        what: "a shared subscription gets retained messages when it is made",
        applies: |it| more_retained(it, |it| it.shared),
    },
    Rule {
        id: "no-local-retained",
        peer: Peer::Mosquitto,
        clause: "3.8.3-3",
        right: Right::Parlance,
        what: "a retained message comes back to the client that published it, No Local or not",
        applies: |it| more_retained(it, |it| it.no_local),
    },
    Rule {
        id: "rumqttd-no-matching-subscribers",
        peer: Peer::Rumqttd,
        clause: "3.4.2.1",
        right: Right::Both,
        what: "PUBACK and PUBREC say 0x10 where nobody subscribes; rumqttd never does",
        applies: |it| it.stream == Stream::Answers && same(it, |event| without_no_matching(event.clone())),
    },
    Rule {
        id: "rumqttd-no-unsuback",
        peer: Peer::Rumqttd,
        clause: "3.10.4-4",
        right: Right::Parlance,
        what: "UNSUBSCRIBE from what was not subscribed to is not answered",
        applies: |it| {
            let answered = |event: &Event| !matches!(event, Event::UnsubAck(_));
            it.stream == Stream::Answers
                && same(it, |event| answered(event).then(|| without_no_matching(event.clone())).flatten())
        },
    },
    Rule {
        id: "rumqttd-qos-of-publish",
        peer: Peer::Rumqttd,
        clause: "3.8.4-8",
        right: Right::Parlance,
        what: "a message comes with the QoS of its publish, though the subscription granted less",
        applies: |it| same(it, |event| with(event, |it| it.qos = 0)),
    },
    Rule {
        id: "rumqttd-retain-as-published",
        peer: Peer::Rumqttd,
        clause: "3.3.1-13",
        right: Right::Parlance,
        what: "RETAIN is cleared though the subscription asks for it as published, or kept though it does not",
        applies: |it| same(it, |event| with(event, |it| (it.qos, it.retain) = (0, false))),
    },
    Rule {
        id: "rumqttd-copies",
        peer: Peer::Rumqttd,
        clause: "3.3.4-2",
        right: Right::Both,
        what: "a message that several subscriptions match comes once for each of them",
        applies: |it| overlapping(it) && payloads(it.ours) == payloads(it.theirs),
    },
    Rule {
        id: "rumqttd-no-local",
        peer: Peer::Rumqttd,
        clause: "3.8.3-3",
        right: Right::Parlance,
        what: "No Local is not obeyed",
        applies: |it| more_than_ours(it, |it| it.no_local),
    },
    Rule {
        id: "rumqttd-retain-handling",
        peer: Peer::Rumqttd,
        clause: "3.3.1-10, 3.3.1-11",
        right: Right::Parlance,
        what: "Retain Handling is not obeyed",
        applies: |it| more_than_ours(it, |it| it.handling != RetainHandling::Send),
    },
    Rule {
        id: "rumqttd-empty-deletes",
        peer: Peer::Rumqttd,
        clause: "3.3.1-8",
        right: Right::Parlance,
        what: "an empty payload deletes the retained message though RETAIN is not set",
        applies: |it| {
            let own = matching(it).iter().any(|it| it.no_local);
            emptied(it) && (own || payloads(it.theirs).is_subset(&payloads(it.ours)))
        },
    },
    Rule {
        id: "rumqttd-second-subscribe",
        peer: Peer::Rumqttd,
        clause: "3.8.4-3",
        right: Right::Parlance,
        what: "a subscription that is made again keeps options and identifier, and gets no retained messages",
        applies: made_again,
    },
];

/// The rule that explains a difference.
pub fn explain(difference: &Difference<'_>) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.peer == difference.peer && (rule.applies)(difference))
}

/// Whether both sides are the same after a change of each event.
fn same(it: &Difference<'_>, change: impl Fn(&Event) -> Option<Event>) -> bool {
    it.ours.iter().filter_map(&change).eq(it.theirs.iter().filter_map(&change))
}

fn without_no_matching(event: Event) -> Option<Event> {
    Some(match event {
        Event::PubAck(0x10) => Event::PubAck(0),
        Event::PubRec(0x10) => Event::PubRec(0),
        other => other,
    })
}

/// A message with something of it changed.
fn with(event: &Event, change: impl Fn(&mut Delivered)) -> Option<Event> {
    let mut event = event.clone();
    if let Event::Publish(it) = &mut event {
        change(it);
    }
    Some(event)
}

/// Which messages came at all.
fn payloads<'a>(events: &'a [Event]) -> BTreeSet<&'a str> {
    let payload = |event: &'a Event| match event {
        Event::Publish(it) => Some(it.payload.as_str()),
        _ => None,
    };
    events.iter().filter_map(payload).collect()
}

fn without_not_found(event: Event) -> Event {
    if event == Event::PubComp(0x92) { Event::PubComp(0) } else { event }
}

fn breaks_with_connect(script: &Script, client: usize) -> bool {
    let second =
        |(of, step): &(usize, Step)| *of == client && matches!(step, Step::Break(Malformed::SecondConnect));
    script.steps.iter().any(second)
}

fn second_connect(it: &Difference<'_>) -> bool {
    if breaks_with_connect(it.script, it.client) && it.connection > 1 {
        return true;
    }
    let is_will_of = |event: &Event| match event {
        Event::Publish(it) => it.payload.strip_prefix("will of ").and_then(|client| client.parse().ok()),
        _ => None,
    };
    let lost = |event: &Event| is_will_of(event).is_some_and(|client| breaks_with_connect(it.script, client));
    it.stream == Stream::Topic("/w".to_owned()) && same(it, |event| (!lost(event)).then(|| event.clone()))
}

/// What a client got of each message: once, with the greatest QoS of its copies and all their identifiers.
fn merged(events: &[Event]) -> Vec<Delivered> {
    let mut merged: Vec<Delivered> = Vec::new();
    for event in events {
        let Event::Publish(it) = event else { continue };
        match merged.iter_mut().find(|known| known.payload == it.payload) {
            Some(known) => {
                known.qos = known.qos.max(it.qos);
                known.ids.extend(&it.ids);
                known.ids.sort_unstable();
                known.dup &= it.dup;
                known.retain |= it.retain;
            }
            None => merged.push(it.clone()),
        }
    }
    merged
}

fn copies(it: &Difference<'_>) -> bool {
    let (ours, theirs) = (merged(it.ours), merged(it.theirs));
    // Copies with QoS 0 are not kept for who is away: what they would have had is missing then.
    let as_ours = |(ours, theirs): (&Delivered, &Delivered)| {
        let ids = theirs.ids.iter().all(|id| ours.ids.contains(id));
        let retain = theirs.retain || (ours.retain && theirs.ids.len() < ours.ids.len());
        ids && Delivered { ids: ours.ids.clone(), retain, ..theirs.clone() } == *ours
    };
    matches!(it.stream, Stream::Topic(_))
        && it.version == Version::V5
        && ours.len() == theirs.len()
        && ours.iter().zip(&theirs).all(as_ours)
}

/// Everything that the client ever subscribed to and that matches the topic of the stream.
fn matching<'a>(it: &'a Difference<'_>) -> Vec<&'a Subscription> {
    let Stream::Topic(topic) = &it.stream else { return Vec::new() };
    let topic = topic.strip_prefix('/').unwrap_or(topic);
    let of_client = it.script.steps.iter().filter(|(client, _)| *client == it.client);
    let subscriptions = of_client.filter_map(|(_, step)| match step {
        Step::Subscribe(subscriptions) => Some(subscriptions),
        _ => None,
    });
    subscriptions.flatten().filter(|it| matches(it.filter, topic)).collect()
}

/// Whether the client ever had two filters that match the topic.
fn overlapping(it: &Difference<'_>) -> bool {
    let matching = matching(it);
    matching.iter().any(|one| matching.iter().any(|other| one.filter != other.filter))
}

fn options_changed(it: &Difference<'_>) -> bool {
    let matching = matching(it);
    let changed = |one: &Subscription, other: &Subscription| {
        let options = |it: &Subscription| (it.no_local, it.retain_as_published);
        one.filter == other.filter && options(one) != options(other)
    };
    it.version == Version::V5 && matching.iter().any(|one| matching.iter().any(|other| changed(one, other)))
}

fn more_than_ours(it: &Difference<'_>, kind: impl Fn(&Subscription) -> bool) -> bool {
    it.version == Version::V5
        && matching(it).into_iter().any(kind)
        && payloads(it.ours).is_subset(&payloads(it.theirs))
}

/// Whether somebody published nothing, without RETAIN, to the topic of the stream.
fn emptied(it: &Difference<'_>) -> bool {
    let Stream::Topic(topic) = &it.stream else { return false };
    it.script.steps.iter().any(|(_, step)| match step {
        Step::Publish(publish) => {
            publish.empty && !publish.retain && topic.strip_prefix('/') == Some(publish.topic)
        }
        _ => false,
    })
}

/// Whether the client ever made a subscription again that matches the topic.
fn made_again(it: &Difference<'_>) -> bool {
    let matching = matching(it);
    let filters: BTreeSet<&str> = matching.iter().map(|it| it.filter).collect();
    filters.len() < matching.len()
}

/// Whether the other sends more retained messages, to a client that has a subscription of some kind, and is the same
/// otherwise.
fn more_retained(it: &Difference<'_>, kind: impl Fn(&Subscription) -> bool) -> bool {
    let retained = |event: &&Event| matches!(event, Event::Publish(it) if it.retain);
    let live =
        |events: &[Event]| -> Vec<Event> { events.iter().filter(|it| !retained(it)).cloned().collect() };
    let count = |events: &[Event]| events.iter().filter(retained).count();
    it.version == Version::V5
        && matching(it).into_iter().any(kind)
        && merged(&live(it.ours)) == merged(&live(it.theirs))
        && count(it.ours) < count(it.theirs)
}

fn qos_of_overlapping(it: &Difference<'_>) -> bool {
    let payloads = |events: &[Event]| -> Vec<String> {
        // What came again belongs to a QoS that the other did not have.
        let first = |event: &Event| match event {
            Event::Publish(it) if !it.dup => Some(it.payload.clone()),
            _ => None,
        };
        events.iter().filter_map(first).collect()
    };
    it.version == Version::V3 && overlapping(it) && payloads(it.ours) == payloads(it.theirs)
}
