//! Shared subscriptions: who gets a message, and what becomes of it when that one goes.

use super::rig::*;
use crate::{
    config::{QueueFull, ShareStrategy, Topics as Settings},
    ledger::{Command, SendRefusal},
    topics::Subscriber,
};
use parlance_mqtt::QoS;
use std::sync::Arc;

const ONCE: QoS = QoS::AtLeastOnce;

fn members(rig: &mut Rig, numbers: std::ops::Range<u8>) -> Vec<Arc<Subscriber>> {
    let members: Vec<_> = numbers.map(|number| rig.durable(number)).collect();
    for who in &members {
        rig.subscribe(who, &["$share/g/a"]);
    }
    members
}

#[test]
fn the_members_get_messages_in_turn_and_those_that_are_here_first() {
    let mut rig = Rig::new(Settings::default());
    let who = members(&mut rig, 1..4);
    let _peers = [connect(&who[0]), connect(&who[1])];
    rig.batch((0..4).map(|n| publish(&message("a", &n.to_string(), ONCE, false))));
    let owed: Vec<_> = who.iter().map(|who| who.queue().messages).collect();
    assert_eq!(owed, [2, 2, 0]);
}

#[test]
fn without_anybody_here_a_durable_member_is_owed_it() {
    let mut rig = Rig::new(Settings::default());
    let who = members(&mut rig, 1..3);
    rig.batch((0..4).map(|n| publish(&message("a", &n.to_string(), ONCE, false))));
    let owed: u64 = who.iter().map(|who| who.queue().messages).sum();
    assert_eq!(owed, 4);
}

#[test]
fn one_publisher_s_go_to_one_member_where_that_is_wanted() {
    let settings = Settings { shared_strategy: ShareStrategy::Sticky, ..Settings::default() };
    let mut rig = Rig::new(settings);
    let who = members(&mut rig, 1..5);
    let _peers: Vec<_> = who.iter().map(connect).collect();
    rig.batch((0..8).map(|n| publish(&message("a", &n.to_string(), ONCE, false))));
    let mut owed: Vec<_> = who.iter().map(|who| who.queue().messages).collect();
    owed.sort_unstable();
    assert_eq!(owed, [0, 0, 0, 8]);
}

#[test]
fn what_a_member_did_not_acknowledge_goes_to_another_when_it_leaves() {
    let mut rig = Rig::new(Settings::default());
    let who = members(&mut rig, 1..3);
    let peer = connect(&who[0]);
    rig.run(publish(&message("a", "acknowledged", ONCE, false)));
    rig.run(publish(&message("a", "unacknowledged", ONCE, false)));
    rig.run(publish(&message("a", "maybe sent", QoS::ExactlyOnce, false)));
    who[0].set_sent(3);
    rig.run(publish(&message("a", "not sent", QoS::ExactlyOnce, false)));
    rig.acknowledge(&who[0], 1);
    let other = connect(&who[1]);
    who[0].detach(&peer);
    rig.run(Command::Leave { subscriber: who[0].clone(), whole: false, done: None });
    rig.work();
    assert_eq!(rig.owed(&who[0]), [(3, "maybe sent".into())], "QoS 2 is this client's to complete");
    assert_eq!(rig.owed(&who[1]), [(1, "unacknowledged".into()), (2, "not sent".into())]);
    assert_eq!(arrived(&other).queued.len(), 2);
}

#[test]
fn what_a_member_was_told_live_and_did_not_take_goes_to_another() {
    let mut rig = Rig::new(Settings::default());
    let away = members(&mut rig, 1..2);
    let gone = rig.enter(session(9), false);
    rig.subscribe(&gone, &["$share/g/a"]);
    let peer = connect(&gone);
    rig.batch((0..3).map(|n| publish(&message("a", &n.to_string(), ONCE, false))));
    let left: Vec<_> = peer.take_live().into();
    assert_eq!(left.len(), 3, "who is here gets it");
    gone.detach(&peer);
    rig.run(Command::Redeliver { from: gone.key, deliveries: left });
    let owed: Vec<_> = rig.owed(&away[0]).into_iter().map(|(_, text)| text).collect();
    assert_eq!(owed, ["0", "1", "2"]);
}

#[test]
fn with_nobody_else_here_it_waits_for_the_member_and_goes_to_one_that_is_away_when_the_session_ends() {
    let mut rig = Rig::new(Settings::default());
    let who = members(&mut rig, 1..3);
    let peer = connect(&who[0]);
    rig.run(publish(&message("a", "x", ONCE, false)));
    who[0].detach(&peer);
    rig.run(Command::Leave { subscriber: who[0].clone(), whole: false, done: None });
    rig.work();
    assert_eq!((who[0].queue().messages, who[1].queue().messages), (1, 0));
    rig.run(Command::Leave { subscriber: who[0].clone(), whole: true, done: None });
    rig.work();
    assert_eq!(rig.owed(&who[1]), [(1, "x".into())]);
    assert_eq!(who[0].queue(), crate::topics::QueueState::default());
}

#[test]
fn who_unsubscribes_hands_over_what_came_from_that_subscription_only() {
    let mut rig = Rig::new(Settings::default());
    let who = members(&mut rig, 1..3);
    rig.subscribe(&who[0], &["b"]);
    let _peers = [connect(&who[0])];
    rig.run(publish(&message("a", "shared", ONCE, false)));
    rig.run(publish(&message("b", "own", ONCE, false)));
    let _other = connect(&who[1]);
    rig.unsubscribe(&who[0], &["$share/g/a"]);
    rig.work();
    assert_eq!(rig.owed(&who[0]), [(2, "own".into())]);
    assert_eq!(rig.owed(&who[1]), [(1, "shared".into())]);
}

#[test]
fn thousands_are_handed_over_in_slices_and_a_slice_that_fails_is_done_again() {
    let mut rig = Rig::new(Settings::default());
    let who = members(&mut rig, 1..3);
    let peer = connect(&who[0]);
    let body = "x".repeat(600);
    rig.batch((0..1000).map(|n| publish(&message("a", &format!("{n}{body}"), ONCE, false))));
    assert_eq!(who[0].queue().messages, 1000);
    who[0].detach(&peer);
    let _other = connect(&who[1]);
    rig.run(Command::Leave { subscriber: who[0].clone(), whole: true, done: None });
    rig.decider.work();
    rig.fail([]);
    assert_eq!(who[0].queue().messages, 1000);
    rig.work();
    assert_eq!((who[0].queue().messages, who[1].queue().messages), (0, 1000));
    let owed = rig.owed(&who[1]);
    assert!(owed.iter().enumerate().all(|(n, (_, text))| *text == format!("{n}{body}")), "in their order");
}

#[test]
fn where_publishers_are_refused_a_member_with_room_is_looked_for_first() {
    let settings = Settings { queue_messages_max: 1, queue_full: QueueFull::Refuse, ..Settings::default() };
    let mut rig = Rig::new(settings);
    let who = members(&mut rig, 1..3);
    let _here = connect(&who[0]);
    for text in ["1", "2"] {
        assert!(rig.outcome(&message("a", text, ONCE, false)).is_ok());
    }
    assert_eq!((who[0].queue().messages, who[1].queue().messages), (1, 1));
    assert_eq!(rig.outcome(&message("a", "3", ONCE, false)), Err(SendRefusal::QueueFull));
}
