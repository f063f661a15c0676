//! From one connection to the next: what was in flight goes first.

use parlance_engine::{Channels, Output, Parked, Session, SessionConfig};
use parlance_mqtt::{QoS, Version};

use crate::support::*;

/// A session with messages 1 to `sent` of conversation 1 in flight.
fn with_in_flight(sent: u64) -> TestSession {
    let mut session = session();
    session.track(1, 0, 0);
    for seq in 1..=sent {
        announce(&mut session, 1, seq);
    }
    round(&mut session);
    session
}

fn resume(parked: Parked<Numbers>) -> TestSession {
    Session::resume(parked, config(Version::V5), NOW)
}

#[test]
fn mqtt_4_4_0_1_what_was_in_flight_comes_again_in_order_with_dup_and_its_ids() {
    let mut old = with_in_flight(4);
    ack(&mut old, [2]);
    old.note("event", QoS::AtLeastOnce);
    round(&mut old);
    let mut session = resume(old.park());
    session.track(1, 0, 5);
    assert_eq!(words(&mut session), ["Restore([(1, 1), (1, 3), (1, 4)])", "ReadLog(1 after 4 limit 4)"]);
    session.page(1, 4, entries(1, 5..=5), 5);
    session.note("news", QoS::AtLeastOnce);
    assert!(words(&mut session).is_empty(), "nothing overtakes what is owed (MQTT-4.6.0-1)");
    session.restored(vec![Some(1001), Some(1003), Some(1004)]);
    assert_eq!(
        words(&mut session),
        [
            "Deliver(1/1 channel 0 AtLeastOnce Some(1) dup true)",
            "Deliver(1/3 channel 0 AtLeastOnce Some(3) dup true)",
            "Deliver(1/4 channel 0 AtLeastOnce Some(4) dup true)",
            "Note(AtLeastOnce Some(5) dup true)",
        ]
    );
    ack(&mut session, [1]);
    assert_eq!(words(&mut session), ["Note(AtLeastOnce Some(6) dup false)", "Delivered(1/2)"]);
    ack(&mut session, [3, 4]);
    let told = words(&mut session);
    assert_eq!(told, ["Deliver(1/5 channel 0 AtLeastOnce Some(7) dup false)", "Delivered(1/4)"]);
}

#[test]
fn redelivery_keeps_to_the_new_window() {
    let parked = with_in_flight(4).park();
    assert_eq!(parked.in_flight(), 4);
    let mut session: TestSession =
        Session::resume(parked, SessionConfig { send_window: 1, ..config(Version::V5) }, NOW);
    round(&mut session);
    session.restored((1..=4).map(|seq| Some(message(1, seq))).collect());
    for packet_id in 1..=4 {
        assert_eq!(deliveries(&mut session), [(message(1, u64::from(packet_id)), packet_id, true)]);
        ack(&mut session, [packet_id]);
    }
    assert!(deliveries(&mut session).is_empty());
    assert!(session.park().is_empty());
}

#[test]
fn what_is_gone_counts_as_acknowledged() {
    let mut session = resume(with_in_flight(3).park());
    session.track(1, 0, 3);
    round(&mut session);
    session.restored(vec![None, Some(1002)]);
    assert_eq!(
        words(&mut session),
        ["Deliver(1/2 channel 0 AtLeastOnce Some(2) dup true)", "Delivered(1/1)"]
    );
    ack(&mut session, [2]);
    assert_eq!(words(&mut session), ["Delivered(1/3)"]);
}

#[test]
fn acknowledgements_before_tracking_move_the_cursor_too() {
    let mut session = resume(with_in_flight(2).park());
    assert!(!session.is_tracked(1));
    assert!(!announce(&mut session, 1, 3));
    round(&mut session);
    session.restored(vec![Some(1001), Some(1002)]);
    assert_eq!(deliveries(&mut session).len(), 2);
    ack(&mut session, [1]);
    assert_eq!(words(&mut session), ["Delivered(1/1)"]);
    // The cursor that was written before the connection broke is behind what is known here.
    session.track(1, 0, 3);
    assert_eq!(words(&mut session), ["ReadLog(1 after 2 limit 4)"]);
    ack(&mut session, [2]);
    assert_eq!(words(&mut session), ["Delivered(1/2)"]);
    session.page(1, 2, entries(1, 3..=3), 3);
    assert_eq!(deliveries(&mut session), [(1003, 3, false)]);
}

#[test]
fn rule_8_who_was_removed_meanwhile_gets_nothing_again() {
    let mut session = resume(with_in_flight(2).park());
    round(&mut session);
    session.untrack(1);
    session.restored(vec![Some(1001), Some(1002)]);
    assert!(words(&mut session).is_empty());
    assert!(session.park().is_empty());
}

#[test]
fn a_message_of_two_channels_is_completed_after_the_break() {
    let mut old: TestSession = Session::new(SessionConfig { send_window: 1, ..config(Version::V5) }, NOW);
    old.track(1, 0, 0);
    let both = Channels::one(0).with(1);
    old.announce(1, 1, 1001, both);
    assert_eq!(words(&mut old), ["Deliver(1/1 channel 0 AtLeastOnce Some(1) dup false)"]);
    let mut session = resume(old.park());
    session.track(1, 0, 1);
    assert_eq!(words(&mut session), ["Restore([(1, 1)])", "ReadLog(1 after 0 limit 4)"]);
    session.page(1, 0, vec![parlance_engine::Entry { seq: 1, message: 1001, channels: both }], 1);
    session.restored(vec![Some(1001)]);
    assert_eq!(
        words(&mut session),
        [
            "Deliver(1/1 channel 0 AtLeastOnce Some(1) dup true)",
            "Deliver(1/1 channel 1 AtLeastOnce Some(2) dup false)"
        ]
    );
    ack(&mut session, [1, 2]);
    assert_eq!(words(&mut session), ["Delivered(1/1)"]);
}

#[test]
fn packet_ids_go_on() {
    let mut old = with_in_flight(3);
    ack(&mut old, 1..=3);
    round(&mut old);
    let parked = old.park();
    assert!(parked.is_empty());
    let mut session = resume(parked);
    session.track(1, 3, 3);
    announce(&mut session, 1, 4);
    assert_eq!(deliveries(&mut session), [(1004, 4, false)]);
}

#[test]
fn notes_survive_the_break() {
    let config = SessionConfig { send_window: 1, ..config(Version::V5) };
    let mut old: TestSession = Session::new(config, NOW);
    old.note("sent", QoS::AtLeastOnce);
    old.note("typing", QoS::AtMostOnce);
    old.note("waits", QoS::AtLeastOnce);
    old.note("typing", QoS::AtMostOnce);
    round(&mut old);
    let mut session = resume(old.park());
    let notes: Vec<_> = round(&mut session)
        .into_iter()
        .map(|output| match output {
            Output::Note { note, dup, packet_id, .. } => (note, dup, packet_id.unwrap().get()),
            other => panic!("a note was expected, not {other:?}"),
        })
        .collect();
    assert_eq!(notes, [("sent", true, 1), ("waits", false, 2)]);
}

#[test]
fn a_second_break_before_the_messages_were_read() {
    let mut session = resume(with_in_flight(2).park());
    assert_eq!(words(&mut session), ["Restore([(1, 1), (1, 2)])"]);
    let mut session = resume(session.park());
    assert_eq!(words(&mut session), ["Restore([(1, 1), (1, 2)])"]);
    session.restored(vec![Some(1001), Some(1002)]);
    assert_eq!(deliveries(&mut session), [(1001, 1, true), (1002, 2, true)]);
}

#[test]
fn an_acknowledgement_before_redelivery_is_taken() {
    let mut session = resume(with_in_flight(3).park());
    round(&mut session);
    ack(&mut session, [2]);
    session.restored(vec![Some(1001), Some(1002), Some(1003)]);
    assert_eq!(deliveries(&mut session), [(1001, 1, true), (1003, 3, true)]);
}

#[test]
fn ids_wrap_across_a_break() {
    let mut old = session();
    old.track(1, 0, 0);
    for seq in 1..=32_769_u64 {
        announce(&mut old, 1, seq);
        round(&mut old);
        if seq < 32_766 {
            ack(&mut old, [seq as u16]);
        }
    }
    let mut session = resume(old.park());
    session.track(1, 0, 32_770);
    let asked = words(&mut session);
    assert_eq!(asked[0], "Restore([(1, 32766), (1, 32767), (1, 32768), (1, 32769)])");
    session.restored(vec![Some(4), Some(5), Some(6), Some(7)]);
    assert_eq!(deliveries(&mut session), [(4, 32_766, true), (5, 32_767, true), (6, 1, true), (7, 2, true)]);
}
