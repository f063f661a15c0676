//! The outgoing window: packet ids, Receive Maximum, acknowledgements.

use parlance_engine::{Channels, Output, Session, SessionConfig};
use parlance_mqtt::{Ack, Packet, QoS, ReasonCode, Version};

use crate::support::*;

fn with_window(send_window: u16) -> TestSession {
    let mut session = Session::new(SessionConfig { send_window, ..config(Version::V5) }, NOW);
    session.track(1, 0, 0);
    session
}

#[test]
fn mqtt_3_3_4_7_no_more_than_receive_maximum_in_flight() {
    let mut session = with_window(2);
    for seq in 1..=4 {
        announce(&mut session, 1, seq);
    }
    assert_eq!(deliveries(&mut session), [(1001, 1, false), (1002, 2, false)]);
    assert_eq!(session.in_flight(), 2);
    ack(&mut session, [1]);
    assert_eq!(deliveries(&mut session), [(1003, 3, false)]);
    ack(&mut session, [2, 3]);
    assert_eq!(deliveries(&mut session), [(1004, 4, false)]);
}

#[test]
fn control_packets_are_never_held_back() {
    let mut session = with_window(1);
    announce(&mut session, 1, 1);
    announce(&mut session, 1, 2);
    round(&mut session);
    session.handle_packet(Packet::PingReq, NOW);
    assert_eq!(words(&mut session), ["Send(PingResp)"]);
}

#[test]
fn the_cursor_moves_over_what_is_acknowledged_without_a_hole() {
    let mut session = with_window(4);
    for seq in 1..=4 {
        announce(&mut session, 1, seq);
    }
    round(&mut session);
    ack(&mut session, [2, 4]);
    assert!(words(&mut session).is_empty());
    ack(&mut session, [1]);
    assert_eq!(words(&mut session), ["Delivered(1/2)"]);
    ack(&mut session, [3]);
    assert_eq!(words(&mut session), ["Delivered(1/4)"]);
}

#[test]
fn a_cursor_is_told_once_in_a_round() {
    let mut session = with_window(4);
    for seq in 1..=3 {
        announce(&mut session, 1, seq);
    }
    round(&mut session);
    ack(&mut session, [1, 2, 3]);
    assert_eq!(words(&mut session), ["Delivered(1/3)"]);
}

#[test]
fn a_negative_puback_is_an_acknowledgement() {
    let mut session = with_window(1);
    announce(&mut session, 1, 1);
    round(&mut session);
    let refused = Ack { reason: ReasonCode::QuotaExceeded, ..Ack::success(id(1)) };
    session.handle_packet(Packet::PubAck(refused), NOW);
    assert_eq!(words(&mut session), ["Delivered(1/1)"]);
}

#[test]
fn acknowledgements_of_nothing_are_counted() {
    let mut session = with_window(2);
    announce(&mut session, 1, 1);
    round(&mut session);
    ack(&mut session, [9, 1, 1]);
    assert_eq!(words(&mut session), ["Delivered(1/1)"]);
    assert_eq!(session.counters().unknown_acks, 2);
}

#[test]
fn mqtt_2_2_1_4_an_id_in_flight_is_not_given_again() {
    let mut session = with_window(3);
    let mut seq = 0;
    let mut next = |session: &mut TestSession| {
        seq += 1;
        announce(session, 1, seq);
        deliveries(session).first().map(|&(_, packet_id, _)| packet_id)
    };
    assert_eq!(next(&mut session), Some(1));
    // 1 stays open while the others go; a client that does so is not served without end (here: 6 ids).
    let mut given = Vec::new();
    for _ in 0..10 {
        let Some(packet_id) = next(&mut session) else { break };
        given.push(packet_id);
        ack(&mut session, [packet_id]);
    }
    assert_eq!(given, [2, 3, 4, 5, 6]);
    ack(&mut session, [1]);
    assert_eq!(deliveries(&mut session), [(1007, 7, false)]);
}

#[test]
fn packet_ids_in_turn_wrap_in_the_middle_of_the_range() {
    let mut session = with_window(1);
    for seq in 1..=32_769_u64 {
        announce(&mut session, 1, seq);
        let expected = ((seq - 1) % 32_767 + 1) as u16;
        assert_eq!(deliveries(&mut session), [(message(1, seq), expected, false)]);
        ack(&mut session, [expected]);
    }
}

#[test]
fn a_message_for_two_channels_is_two_packets_and_one_step() {
    let mut session = with_window(4);
    session.announce(1, 1, 1001, Channels::one(0).with(2));
    assert_eq!(
        words(&mut session),
        [
            "Deliver(1/1 channel 0 AtLeastOnce Some(1) dup false)",
            "Deliver(1/1 channel 2 AtLeastOnce Some(2) dup false)"
        ]
    );
    ack(&mut session, [2]);
    assert!(words(&mut session).is_empty());
    ack(&mut session, [1]);
    assert_eq!(words(&mut session), ["Delivered(1/1)"]);
}

#[test]
fn qos_0_channels_need_no_window_and_no_acknowledgement() {
    let mut session = with_window(1);
    session.set_channel_qos(0, QoS::AtMostOnce);
    for seq in 1..=3 {
        announce(&mut session, 1, seq);
    }
    let words = words(&mut session);
    assert_eq!(words.len(), 4);
    assert_eq!(words[2], "Deliver(1/3 channel 0 AtMostOnce None dup false)");
    assert_eq!(words[3], "Delivered(1/3)");
    assert_eq!(session.in_flight(), 0);
}

#[test]
fn what_nobody_wants_is_passed_over() {
    let mut session = with_window(4);
    session.announce(1, 1, 1001, Channels::NONE);
    assert_eq!(words(&mut session), ["Delivered(1/1)"]);
    announce(&mut session, 1, 2);
    session.announce(1, 3, 1003, Channels::NONE);
    announce(&mut session, 1, 4);
    assert_eq!(deliveries(&mut session), [(1002, 1, false), (1004, 2, false)]);
    ack(&mut session, [1]);
    assert_eq!(words(&mut session), ["Delivered(1/3)"], "the cursor goes over the one nobody wanted");
}

#[test]
fn mqtt_3_1_2_25_what_is_too_large_counts_as_acknowledged() {
    let mut session = with_window(1);
    announce(&mut session, 1, 1);
    announce(&mut session, 1, 2);
    let output = session.poll_output();
    let Some(Output::Deliver { packet_id, .. }) = output else { panic!("not {output:?}") };
    session.undeliverable(packet_id);
    assert_eq!(
        words(&mut session),
        ["Deliver(1/2 channel 0 AtLeastOnce Some(2) dup false)", "Delivered(1/1)"]
    );
    assert_eq!(session.counters().undeliverable, 1);
}

#[test]
fn conversations_take_turns() {
    let mut session = with_window(4);
    session.track(2, 0, 0);
    for seq in 1..=3 {
        announce(&mut session, 1, seq);
    }
    announce(&mut session, 2, 1);
    let order: Vec<_> = deliveries(&mut session).into_iter().map(|(message, ..)| message).collect();
    assert_eq!(order, [1001, 2001, 1002, 1003]);
}

#[test]
fn rule_8_untracking_stops_delivery_at_once() {
    let mut session = with_window(2);
    for seq in 1..=4 {
        announce(&mut session, 1, seq);
    }
    assert_eq!(deliveries(&mut session).len(), 2);
    session.untrack(1);
    assert!(!session.is_tracked(1));
    ack(&mut session, [1]);
    assert!(words(&mut session).is_empty(), "no message, no cursor");
    assert_eq!(session.counters().unknown_acks, 0, "the ids were still in flight");
    // Until the client has settled it, id 2 counts.
    session.track(2, 0, 0);
    announce(&mut session, 2, 1);
    announce(&mut session, 2, 2);
    assert_eq!(deliveries(&mut session), [(2001, 3, false)]);
    ack(&mut session, [2]);
    assert_eq!(deliveries(&mut session), [(2002, 4, false)]);
}
