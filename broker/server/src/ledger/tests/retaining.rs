//! Retained messages.

use super::rig::*;
use crate::{
    config::Topics as Settings,
    ledger::{Command, SendRefusal},
};
use parlance_mqtt::{QoS, RetainHandling};
use parlance_plugin_api::store::Table;
use std::{sync::Arc, time::Duration};

const ONCE: QoS = QoS::AtLeastOnce;

fn keep(rig: &mut Rig, topic: &str, payload: &str) {
    rig.run(publish(&message(topic, payload, ONCE, true)));
}

#[test]
fn the_latest_of_a_topic_is_kept_until_an_empty_one_deletes_it() {
    let mut rig = Rig::new(Settings::default());
    keep(&mut rig, "a/1", "old");
    keep(&mut rig, "a/1", "new");
    keep(&mut rig, "a/2", "other");
    let mut rig = rig.restarted();
    let who = rig.enter(session(1), false);
    let peer = connect(&who);
    rig.subscribe(&who, &["a/#"]);
    let got = arrived(&peer);
    assert_eq!(live(&got), ["new", "other"]);
    assert!(got.live.iter().all(|it| it.retain && it.qos == ONCE));
    assert_eq!(got.settled.len(), 1);
    keep(&mut rig, "a/1", "");
    arrived(&peer);
    rig.subscribe(&who, &["a/#"]);
    assert_eq!(live(&arrived(&peer)), ["other"]);
    assert_eq!((rig.rows(Table::Retained), rig.topics.counts().retained_messages), (1, 1));
    let mut rig = rig.restarted();
    keep(&mut rig, "a/2", "");
    assert_eq!((rig.rows(Table::Retained), rig.topics.counts().retained_bytes), (0, 0));
}

#[test]
fn a_durable_session_gets_them_through_its_queue() {
    let mut rig = Rig::new(Settings::default());
    keep(&mut rig, "a", "x");
    rig.run(publish(&message("b", "qos 0", QoS::AtMostOnce, true)));
    let who = rig.durable(1);
    let peer = connect(&who);
    rig.subscribe(&who, &["#"]);
    let got = arrived(&peer);
    let queued: Vec<_> = got.queued.iter().map(|(number, it)| (*number, it.retain)).collect();
    assert_eq!((queued, live(&got)), (vec![(1, true)], vec!["qos 0".to_owned()]));
    assert_eq!(rig.owed(&who), [(1, "x".into())]);
}

#[test]
fn they_come_when_the_client_asked_for_them() {
    let mut rig = Rig::new(Settings::default());
    keep(&mut rig, "a", "x");
    let who = rig.enter(session(1), false);
    let peer = connect(&who);
    let mut ask = |handling| {
        let mut subscribing = Rig::subscribing(&who, &[], &[]);
        subscribing.begin.push((filter("a"), EXACTLY, handling));
        rig.run(Command::Subscribe(Box::new(subscribing)));
        arrived(&peer).live.len()
    };
    assert_eq!(ask(RetainHandling::DoNotSend), 0);
    assert_eq!(ask(RetainHandling::SendIfNew), 0);
    assert_eq!(ask(RetainHandling::Send), 1);
    rig.unsubscribe(&who, &["a"]);
    let mut subscribing = Rig::subscribing(&who, &[], &[]);
    subscribing.begin.push((filter("a"), EXACTLY, RetainHandling::SendIfNew));
    subscribing.begin.push((filter("$share/g/a"), EXACTLY, RetainHandling::Send));
    rig.run(Command::Subscribe(Box::new(subscribing)));
    assert_eq!(arrived(&peer).live.len(), 1, "none for the shared subscription");
}

#[test]
fn their_number_and_size_are_bounded() {
    let settings = Settings { retained_messages_max: 1, retained_bytes_max: 1_000, ..Settings::default() };
    let mut rig = Rig::new(settings);
    keep(&mut rig, "a", "x");
    assert_eq!(rig.outcome(&message("b", "x", ONCE, true)), Err(SendRefusal::RetainedFull));
    assert_eq!(rig.outcome(&message("a", &"x".repeat(1_000), ONCE, true)), Err(SendRefusal::RetainedFull));
    assert!(rig.outcome(&message("a", "y", ONCE, true)).is_ok(), "one takes the place of the other");
    assert!(rig.outcome(&message("b", "", ONCE, true)).is_ok(), "deleting needs no room");
}

#[test]
fn expired_ones_are_not_sent_and_go() {
    let mut rig = Rig::new(Settings::default());
    let old = expiring("old", "x", Duration::ZERO);
    rig.run(publish(&old));
    keep(&mut rig, "new", "y");
    let who = rig.enter(session(1), false);
    let peer = connect(&who);
    rig.subscribe(&who, &["#"]);
    assert_eq!(live(&arrived(&peer)), ["y"]);
    let topics = vec![old.topic.clone(), message("new", "", ONCE, false).topic.clone()];
    rig.run(Command::ExpireRetained(topics));
    assert_eq!((rig.rows(Table::Retained), rig.topics.counts().retained_messages), (1, 1));
}

#[test]
fn thousands_come_in_slices_as_the_client_takes_them_and_none_is_lost() {
    let mut rig = Rig::new(Settings::default());
    let all: Vec<_> = (0..3000).map(|n| format!("t/{:02}/{n:04}", n % 50)).collect();
    rig.batch(all.iter().map(|topic| publish(&message(topic, topic, ONCE, true))));
    let mut wanted = all;
    wanted.sort();

    let who = rig.enter(session(1), false);
    let peer = connect_with(&who, 100);
    rig.subscribe(&who, &["t/#"]);
    let mut got = Vec::new();
    loop {
        let now = live(&arrived(&peer));
        if now.is_empty() {
            break;
        }
        got.extend(now);
        rig.work();
    }
    assert!(got == wanted, "{} came", got.len());
    assert_eq!(rig.topics.counts().live_dropped, 0);

    // Through a queue, whatever the outbox of the connection forgets: it reads on.
    let durable = rig.durable(2);
    let _peer = connect(&durable);
    rig.subscribe(&durable, &["t/#"]);
    let mut got = Vec::new();
    while let Some((last, _)) = rig.owed(&durable).pop() {
        got.extend(rig.owed(&durable).into_iter().map(|(_, text)| text));
        rig.acknowledge(&durable, last);
        rig.work();
    }
    assert!(got == wanted, "{} came", got.len());
}

#[test]
fn who_leaves_meanwhile_finds_them_in_its_queue_and_hears_of_those_that_found_no_room() {
    let settings = Settings { queue_messages_max: 1_000, ..Settings::default() };
    let mut rig = Rig::new(settings);
    rig.batch((0..3000).map(|n| publish(&message(&format!("t/{n:04}"), "x", ONCE, true))));
    let who = rig.durable(1);
    let peer = connect(&who);
    rig.subscribe(&who, &["t/+"]);
    rig.work();
    assert_eq!(who.queue().messages, 500, "half of the room is left to others");
    who.detach(&peer);
    rig.work();
    assert_eq!(who.queue().messages, 1_000);
    assert_eq!(who.take_dropped(), 2_000);
}

#[test]
fn a_slice_whose_batch_fails_is_sent_again() {
    let mut rig = Rig::new(Settings::default());
    rig.batch((0..600).map(|n| publish(&message(&format!("t/{n:04}"), "x", ONCE, true))));
    let who = rig.durable(1);
    let peer: Arc<_> = connect(&who);
    rig.subscribe(&who, &["t/+"]);
    assert_eq!(arrived(&peer).queued.len(), 256);
    rig.decider.work();
    rig.fail([]);
    assert_eq!(arrived(&peer).queued.len(), 0);
    rig.work();
    assert_eq!(arrived(&peer).queued.len(), 600 - 256);
    assert_eq!(who.queue().messages, 600);
}
