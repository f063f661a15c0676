//! QoS 2 from one connection to the next, and over the loss of memory.

use parlance_engine::{Channels, Output, Parked, PublishOutcome, Recovered, Session, SessionConfig};
use parlance_mqtt::{QoS, ReasonCode, Version};

use crate::support::*;

fn resume(parked: Parked<Numbers>) -> TestSession {
    let mut session = Session::resume(parked, config(Version::V5), NOW);
    session.set_channel_qos(0, QoS::ExactlyOnce);
    session
}

fn row(seq: u64, qos: QoS, released: bool) -> Recovered<u32> {
    Recovered { conversation: 1, seq, channel: u8::from(qos == QoS::AtLeastOnce), qos, released }
}

const EXACT: QoS = QoS::ExactlyOnce;

#[test]
fn mqtt_4_4_0_1_each_step_goes_on_where_it_was() {
    let mut old = exact_session(config(Version::V5));
    for seq in 1..=4 {
        announce(&mut old, 1, seq);
    }
    round(&mut old);
    say(&mut old, [pubrec(32_770), pubrec(32_769)]);
    round(&mut old);
    old.released(id(32_770));
    assert_eq!(story(&mut old), ["PUBREL 32770"]);
    // Now: 1 waits for the storage, 2 for PUBCOMP, 3 and 4 for PUBREC.
    let parked = old.park();
    assert_eq!(parked.in_flight(), 4);
    let mut session = resume(parked);
    session.track(1, 0, 4);
    assert_eq!(story(&mut session), ["Restore([(1, 3), (1, 4)])"], "only what is published again");
    session.restored(vec![Some(1003), Some(1004)]);
    assert_eq!(
        story(&mut session),
        ["1003 QoS 2 id 32771 again", "1004 QoS 2 id 32772 again", "PUBREL 32770", "Release(1/1 32769)"],
        "PUBLISH in the order of sending, PUBREL in the order of PUBREC"
    );
    session.released(id(32_769));
    assert_eq!(story(&mut session), ["PUBREL 32769"]);
    say(&mut session, [pubcomp(32_769), pubcomp(32_770)]);
    assert_eq!(story(&mut session), ["Delivered(1/2)"]);
}

/// The client may hold the id from the connection before, and would take the next message with it for this one. Found by
/// the fuzz target `session`.
#[test]
fn what_is_too_large_the_second_time_is_released() {
    let mut old = exact_session(config(Version::V5));
    announce(&mut old, 1, 1);
    round(&mut old);
    let mut session = resume(old.park());
    session.track(1, 0, 1);
    round(&mut session);
    session.restored(vec![Some(1001)]);
    let Some(Output::Deliver { packet_id, dup: true, .. }) = session.poll_output() else {
        panic!("not delivered again")
    };
    session.undeliverable(packet_id);
    assert_eq!(story(&mut session), ["PUBREL 32769 0x92", "Delivered(1/1)"]);
    assert_eq!(session.in_flight(), 1, "the id is taken until the client let it go");
    say(&mut session, [pubcomp(32_769)]);
    assert_eq!((session.in_flight(), session.counters().unknown_acks), (0, 0));
}

#[test]
fn mqtt_4_6_0_1_redelivery_keeps_the_order_over_both_ranges() {
    let mut old: TestSession = Session::new(SessionConfig { send_window: 8, ..config(Version::V5) }, NOW);
    old.set_channel_qos(0, EXACT);
    old.track(1, 0, 0);
    for seq in 1..=3 {
        old.announce(1, seq, message(1, seq), Channels::one(0).with(1));
    }
    old.note("note", EXACT);
    let first = story(&mut old);
    assert_eq!(first.len(), 7, "{first:?}");
    let mut session: TestSession =
        Session::resume(old.park(), SessionConfig { send_window: 8, ..config(Version::V5) }, NOW);
    round(&mut session);
    session.restored([1, 1, 2, 2, 3, 3].map(|seq| Some(message(1, seq))).to_vec());
    let again: Vec<_> = first.iter().map(|line| format!("{line} again")).collect();
    assert_eq!(story(&mut session), again);
}

#[test]
fn notes_keep_their_qos_and_their_step() {
    let mut old: TestSession = Session::new(SessionConfig { send_window: 2, ..config(Version::V5) }, NOW);
    for note in ["a", "b", "c"] {
        old.note(note, EXACT);
    }
    round(&mut old);
    say(&mut old, [pubrec(1)]);
    assert_eq!(story(&mut old), ["PUBREL 1"]);
    let mut session = resume(old.park());
    assert_eq!(story(&mut session), ["b QoS 2 id 2 again", "PUBREL 1", "c QoS 2 id 3"]);
}

#[test]
fn pubrels_do_not_wait_for_the_window() {
    let mut old = exact_session(config(Version::V5));
    for seq in 1..=4 {
        announce(&mut old, 1, seq);
    }
    round(&mut old);
    say(&mut old, (32_769..=32_772).map(pubrec));
    for packet_id in 32_769..=32_772 {
        old.released(id(packet_id));
    }
    round(&mut old);
    let narrow = SessionConfig { send_window: 1, ..config(Version::V5) };
    let mut session: TestSession = Session::resume(old.park(), narrow, NOW);
    assert_eq!(story(&mut session).len(), 4);
    session.note("new", QoS::AtLeastOnce);
    say(&mut session, (32_769..=32_771).map(pubcomp));
    assert!(!story(&mut session).iter().any(|line| line.starts_with("new")), "they take places all the same");
    say(&mut session, [pubcomp(32_772)]);
    assert!(story(&mut session).iter().any(|line| line.starts_with("new")));
}

#[test]
fn a_pubrec_before_redelivery_is_taken() {
    let mut old = exact_session(config(Version::V5));
    announce(&mut old, 1, 1);
    announce(&mut old, 1, 2);
    round(&mut old);
    let mut session = resume(old.park());
    round(&mut session);
    say(&mut session, [pubrec(32_769)]);
    session.restored(vec![Some(1001), Some(1002)]);
    assert_eq!(story(&mut session), ["Release(1/1 32769)", "1002 QoS 2 id 32770 again"]);
}

/// The client may hold the id of what is gone: it is told to let go, or the next message with the id would be
/// taken for this one.
#[test]
fn what_is_gone_is_released() {
    for untracked in [false, true] {
        let mut old = exact_session(config(Version::V5));
        announce(&mut old, 1, 1);
        announce(&mut old, 1, 2);
        round(&mut old);
        if untracked {
            old.untrack(1);
        }
        let mut session = resume(old.park());
        session.track(1, 0, 2);
        let mut told = story(&mut session);
        session.restored(vec![None, Some(1002)]);
        told.extend(story(&mut session));
        told.retain(|line| line.contains("id ") || line.starts_with("PUBREL"));
        let second = if untracked { "PUBREL 32770 0x92" } else { "1002 QoS 2 id 32770 again" };
        assert_eq!(told, ["PUBREL 32769 0x92", second]);
        assert_eq!(session.in_flight(), 2, "the ids are taken until the client let them go");
        say(&mut session, [pubcomp(32_769)]);
        assert_eq!((session.in_flight(), session.counters().unknown_acks), (1, 0));
    }
}

#[test]
fn mqtt_4_3_3_10_ids_of_the_client_outlive_the_connection() {
    let mut old: TestSession = session();
    say(&mut old, [publish2(1, false), publish2(2, false), publish2(3, false)]);
    let tickets: Vec<_> = round(&mut old)
        .into_iter()
        .filter_map(|output| match output {
            Output::Publish { ticket, .. } => Some(ticket),
            _ => None,
        })
        .collect();
    old.publish_done(tickets[0], PublishOutcome::success());
    old.publish_done(tickets[1], PublishOutcome::success());
    round(&mut old);
    say(&mut old, [pubrel(2)]);
    assert_eq!(story(&mut old), ["Complete(2)"]);
    // 1 is kept, 2 may or may not be forgotten by the storage, 3 was not decided.
    let parked = old.park();
    assert!(!parked.is_empty());
    let mut session = resume(parked);
    say(&mut session, [publish2(1, true), pubrel(2)]);
    assert_eq!(story(&mut session), ["PUBREC 1", "Complete(2)"]);
    session.completed(id(2));
    assert_eq!(story(&mut session), ["PUBCOMP 2"]);
    say(&mut session, [publish2(3, true)]);
    assert!(matches!(session.poll_output(), Some(Output::Publish { .. })), "the server decides about 3");
}

#[test]
fn mqtt_4_3_3_10_whatever_dup_says() {
    let parked = Parked::recovered(vec![id(7)], Vec::new());
    let mut session = resume(parked);
    say(&mut session, [publish2(7, false)]);
    assert_eq!(story(&mut session), ["PUBREC 7"], "not forwarded");
    say(&mut session, [pubrel(7)]);
    assert_eq!(story(&mut session), ["Complete(7)"]);
    session.completed(id(7));
    assert_eq!(story(&mut session), ["PUBCOMP 7"]);
}

/// MQTT-4.9: Receive Maximum is counted anew on each connection.
#[test]
fn ids_of_earlier_connections_take_no_place() {
    let parked = Parked::recovered((1..=3).map(id).collect(), Vec::new());
    let mut session = resume(parked);
    say(&mut session, (4..=6).map(|packet_id| publish2(packet_id, false)));
    assert!(!session.is_closed());
    // Published again, it does.
    say(&mut session, [publish2(1, true)]);
    assert_eq!(session.close_reason(), Some(ReasonCode::ReceiveMaximumExceeded));
}

#[test]
fn a_qos_1_publish_may_have_the_id_of_a_forgotten_qos_2_one() {
    let parked = Parked::recovered(vec![id(7)], Vec::new());
    let mut session = resume(parked);
    say(&mut session, [publish(7)]);
    let Some(Output::Publish { ticket, .. }) = session.poll_output() else { panic!("it is new") };
    session.publish_done(ticket, PublishOutcome::success());
    assert_eq!(story(&mut session), ["PUBACK 7"]);
}

#[test]
fn what_was_stored_makes_a_session() {
    let packets =
        vec![row(4, EXACT, true), row(6, QoS::AtLeastOnce, false), row(7, EXACT, false), row(9, EXACT, true)];
    let parked: Parked<Numbers> = Parked::recovered(vec![id(3)], packets);
    assert!(!parked.is_empty());
    assert_eq!(parked.in_flight(), 4);
    let mut session = resume(parked);
    session.track(1, 3, 10);
    assert_eq!(story(&mut session), ["Restore([(1, 6), (1, 7)])", "ReadLog(1 after 9 limit 4)"]);
    session.restored(vec![Some(1006), Some(1007)]);
    assert_eq!(
        story(&mut session),
        ["PUBREL 32772", "1006 QoS 1 id 1 again", "1007 QoS 2 id 32775 again", "PUBREL 32777"]
    );
    say(&mut session, [pubcomp(32_772), puback(1), pubrec(32_775)]);
    assert_eq!(story(&mut session), ["Release(1/7 32775)", "Delivered(1/6)"]);
    // Packet ids in turn go on after those that were given.
    session.note("new", QoS::AtLeastOnce);
    assert_eq!(story(&mut session), ["new QoS 1 id 2"]);
}

#[test]
fn nothing_that_was_stored_is_an_empty_session() {
    assert!(Parked::<Numbers>::recovered(Vec::new(), Vec::new()).is_empty());
    assert!(!Parked::<Numbers>::recovered(vec![id(1)], Vec::new()).is_empty());
}

/// The stored cursor was behind by more than is recovered: the client may hold the ids of messages that are then read from
/// the log. They are redeliveries (MQTT-3.3.1-1), and what is given up of them is released, or the message that has the id
/// next would be taken for it (MQTT-4.3.3-10). Found by the fuzz target `session`.
#[test]
fn what_may_have_been_sent_is_not_new() {
    let packets = vec![row(1, QoS::AtLeastOnce, false)];
    let mut session = resume(Parked::recovered(Vec::new(), packets).maybe_sent(1, 4));
    session.track(1, 0, 5);
    round(&mut session);
    session.restored(vec![Some(1001)]);
    session.page(1, 1, entries(1, 2..=5), 5);
    assert_eq!(story(&mut session)[..2], ["1001 QoS 1 id 1 again", "1002 QoS 2 id 32770 again"]);
    session.undeliverable(Some(id(32_770)));
    assert_eq!(story(&mut session), ["PUBREL 32770 0x92"]);
    say(&mut session, [puback(1), pubcomp(32_770)]);
    assert_eq!((session.in_flight(), session.counters().unknown_acks), (2, 0));
    let told = story(&mut session);
    assert_eq!(told, ["1005 QoS 2 id 32773", "Delivered(1/2)"], "nothing is known of what came after");
}

#[test]
fn what_may_have_been_sent_is_known_on_the_next_connection() {
    let old =
        resume(Parked::recovered(Vec::new(), Vec::new()).maybe_sent(1, 2).maybe_sent(2, 9).maybe_sent(1, 1));
    let parked = old.park();
    assert!(!parked.is_empty(), "it must not be forgotten");
    let mut session = resume(parked);
    session.track(1, 0, 3);
    round(&mut session);
    session.page(1, 0, entries(1, 1..=2), 3);
    assert_eq!(story(&mut session)[..2], ["1001 QoS 2 id 32769 again", "1002 QoS 2 id 32770 again"]);
    for packet_id in [32_769, 32_770] {
        say(&mut session, [pubrec(packet_id)]);
        session.released(id(packet_id));
        say(&mut session, [pubcomp(packet_id)]);
    }
    round(&mut session);
    session.track(2, 9, 9);
    session.forget_idle();
    assert!(session.park().is_empty(), "there is no doubt left");
}

/// Of two entries with one packet id the second cannot have been sent, nor what comes after it.
#[test]
fn entries_with_one_id_are_not_recovered_twice() {
    let packets = vec![row(5, EXACT, false), row(32_773, EXACT, false), row(32_774, EXACT, false)];
    let parked: Parked<Numbers> = Parked::recovered(Vec::new(), packets);
    assert_eq!(parked.in_flight(), 1);
    let mut session = resume(parked);
    session.track(1, 4, 32_774);
    round(&mut session);
    session.restored(vec![Some(5)]);
    assert_eq!(story(&mut session), ["5 QoS 2 id 32773 again"]);
}

/// Of two released ones the client was done with the first.
#[test]
fn a_released_entry_whose_id_was_given_again_is_done() {
    let packets = vec![row(5, EXACT, true), row(32_773, EXACT, true), row(32_774, EXACT, false)];
    let mut session = resume(Parked::recovered(Vec::new(), packets));
    session.track(1, 4, 32_774);
    round(&mut session);
    session.restored(vec![Some(6)]);
    assert_eq!(story(&mut session), ["PUBREL 32773", "6 QoS 2 id 32774 again"]);
    say(&mut session, [pubcomp(32_773)]);
    assert_eq!(story(&mut session), ["Delivered(1/32773)"]);
}

/// What was acknowledged behind an open packet is not sent anew.
#[test]
fn what_the_client_has_does_not_come_again() {
    let mut old = exact_session(config(Version::V5));
    for seq in 1..=3 {
        announce(&mut old, 1, seq);
    }
    round(&mut old);
    for packet_id in [32_770, 32_771] {
        say(&mut old, [pubrec(packet_id)]);
        old.released(id(packet_id));
        round(&mut old);
        say(&mut old, [pubcomp(packet_id)]);
    }
    assert!(story(&mut old).is_empty());
    let mut session = resume(old.park());
    session.track(1, 0, 3);
    assert_eq!(story(&mut session), ["Restore([(1, 1)])"], "nothing is read");
    session.restored(vec![Some(1001)]);
    assert_eq!(story(&mut session), ["1001 QoS 2 id 32769 again"]);
    say(&mut session, [pubrec(32_769)]);
    session.released(id(32_769));
    say(&mut session, [pubcomp(32_769)]);
    assert_eq!(story(&mut session).last().unwrap(), "Delivered(1/3)");
}
