//! QoS 2 to the client (MQTT-4.3.3).

use parlance_engine::{Channels, NoteFate, Output, Session, SessionConfig};
use parlance_mqtt::{Ack, Packet, QoS, ReasonCode, Version};

use crate::support::*;

/// The packet id of a QoS 2 message.
fn fixed(seq: u64) -> u16 {
    32_768 + (seq % 32_768) as u16
}

fn exact(version: Version) -> TestSession {
    exact_session(config(version))
}

fn refusal(packet: Packet) -> Packet {
    match packet {
        Packet::PubRec(ack) => Packet::PubRec(Ack { reason: ReasonCode::QuotaExceeded, ..ack }),
        other => other,
    }
}

#[test]
fn mqtt_4_3_3_1_to_6_the_four_packets() {
    for version in [Version::V3, Version::V5] {
        let mut session = exact(version);
        announce(&mut session, 1, 1);
        assert_eq!(story(&mut session), ["1001 QoS 2 id 32769"]);
        say(&mut session, [pubrec(32_769)]);
        assert_eq!(story(&mut session), ["Release(1/1 32769)"], "the storage first");
        session.released(id(32_769));
        assert_eq!(story(&mut session), ["PUBREL 32769"]);
        say(&mut session, [pubcomp(32_769)]);
        assert_eq!(story(&mut session), ["Delivered(1/1)"]);
        assert_eq!(session.in_flight(), 0);
        assert_eq!(session.counters().unknown_acks, 0);
    }
}

#[test]
fn a_session_that_ends_with_its_connection_waits_for_no_storage() {
    let mut session = exact_session(SessionConfig { durable: false, ..config(Version::V5) });
    announce(&mut session, 1, 1);
    round(&mut session);
    say(&mut session, [pubrec(fixed(1))]);
    assert_eq!(story(&mut session), ["PUBREL 32769"]);
}

#[test]
fn notes_take_ids_in_turn_and_wait_for_no_storage() {
    let mut session = session();
    session.note("a", QoS::AtLeastOnce);
    assert_eq!(session.note("b", QoS::ExactlyOnce), NoteFate::Queued);
    assert_eq!(story(&mut session), ["a QoS 1 id 1", "b QoS 2 id 2"]);
    say(&mut session, [pubrec(2)]);
    assert_eq!(story(&mut session), ["PUBREL 2"]);
    say(&mut session, [pubcomp(2), puback(1)]);
    assert!(story(&mut session).is_empty());
    assert_eq!((session.in_flight(), session.counters().unknown_acks), (0, 0));
}

#[test]
fn mqtt_4_9_0_2_a_place_in_the_window_is_free_after_pubcomp() {
    let mut session = exact_session(SessionConfig { send_window: 1, ..config(Version::V5) });
    announce(&mut session, 1, 1);
    announce(&mut session, 1, 2);
    assert_eq!(story(&mut session), ["1001 QoS 2 id 32769"]);
    say(&mut session, [pubrec(fixed(1))]);
    session.released(id(fixed(1)));
    assert_eq!(story(&mut session), ["Release(1/1 32769)", "PUBREL 32769"]);
    say(&mut session, [pubcomp(fixed(1))]);
    assert_eq!(story(&mut session), ["1002 QoS 2 id 32770", "Delivered(1/1)"]);
}

#[test]
fn mqtt_4_9_0_2_both_ranges_share_the_window() {
    let mut session = exact_session(SessionConfig { send_window: 3, ..config(Version::V5) });
    session.announce(1, 1, 1001, Channels::one(0).with(1));
    session.announce(1, 2, 1002, Channels::one(0).with(1));
    assert_eq!(story(&mut session), ["1001 QoS 2 id 32769", "1001 QoS 1 id 1", "1002 QoS 2 id 32770"]);
    assert_eq!(session.in_flight(), 3);
    say(&mut session, [puback(1)]);
    assert_eq!(story(&mut session), ["1002 QoS 1 id 2"]);
}

#[test]
fn mqtt_4_4_0_2_a_negative_pubrec_settles() {
    let mut session = exact_session(SessionConfig { send_window: 1, ..config(Version::V5) });
    announce(&mut session, 1, 1);
    announce(&mut session, 1, 2);
    round(&mut session);
    say(&mut session, [refusal(pubrec(fixed(1)))]);
    assert_eq!(story(&mut session), ["1002 QoS 2 id 32770", "Delivered(1/1)"], "no PUBREL (MQTT-4.3.3-4)");
}

#[test]
fn a_pubrec_that_changes_its_mind_settles_too() {
    let mut session = exact(Version::V5);
    announce(&mut session, 1, 1);
    announce(&mut session, 1, 2);
    round(&mut session);
    say(&mut session, [pubrec(fixed(1)), pubrec(fixed(2)), refusal(pubrec(fixed(1)))]);
    session.released(id(fixed(1)));
    session.released(id(fixed(2)));
    let told = story(&mut session);
    assert_eq!(told, ["Release(1/1 32769)", "Release(1/2 32770)", "PUBREL 32770", "Delivered(1/1)"]);
}

#[test]
fn mqtt_4_6_0_4_pubrels_keep_the_order_of_the_pubrecs() {
    let mut session = exact(Version::V5);
    session.note("note", QoS::ExactlyOnce);
    for seq in 1..=3 {
        announce(&mut session, 1, seq);
    }
    round(&mut session);
    say(&mut session, [pubrec(fixed(3)), pubrec(fixed(1)), pubrec(1), pubrec(fixed(2))]);
    round(&mut session);
    session.released(id(fixed(2)));
    session.released(id(fixed(1)));
    assert!(story(&mut session).is_empty());
    session.released(id(fixed(3)));
    assert_eq!(story(&mut session), ["PUBREL 32771", "PUBREL 32769", "PUBREL 1", "PUBREL 32770"]);
}

#[test]
fn a_pubrec_that_comes_again() {
    let mut session = exact(Version::V5);
    announce(&mut session, 1, 1);
    round(&mut session);
    say(&mut session, [pubrec(fixed(1)), pubrec(fixed(1))]);
    assert_eq!(story(&mut session), ["Release(1/1 32769)"], "asked once");
    session.released(id(fixed(1)));
    session.released(id(fixed(1)));
    assert_eq!(story(&mut session), ["PUBREL 32769"], "answered once");
    // MQTT-4.3.3-4: each PUBREC.
    say(&mut session, [pubrec(fixed(1))]);
    assert_eq!(story(&mut session), ["PUBREL 32769"]);
    assert_eq!(session.in_flight(), 1);
}

#[test]
fn answers_to_nothing() {
    for (version, pubrel) in [(Version::V5, "PUBREL 7 0x92"), (Version::V3, "PUBREL 7")] {
        let mut session = exact(version);
        say(&mut session, [pubrec(7), pubcomp(8), puback(9), refusal(pubrec(10))]);
        assert_eq!(story(&mut session), [pubrel], "MQTT-3.6.2.1");
        assert_eq!(session.counters().unknown_acks, 4);
    }
}

#[test]
fn answers_of_the_wrong_qos_are_violations() {
    let cases: [(&str, u8, &[Packet]); 5] = [
        ("MQTT-4.3.3-8: PUBACK for QoS 2", 0, &[puback(32_769)]),
        ("MQTT-4.3.2-4: PUBREC for QoS 1", 1, &[pubrec(1)]),
        ("PUBCOMP for QoS 1", 1, &[pubcomp(1)]),
        ("PUBCOMP before PUBREC", 0, &[pubcomp(32_769)]),
        ("PUBCOMP before PUBREL", 0, &[pubrec(32_769), pubcomp(32_769)]),
    ];
    for (name, channel, packets) in cases {
        let mut session = exact(Version::V5);
        session.announce(1, 1, 1001, Channels::one(channel));
        round(&mut session);
        say(&mut session, packets.iter().cloned());
        assert_eq!(session.close_reason(), Some(ReasonCode::ProtocolError), "{name}");
    }
}

#[test]
fn answers_of_the_server_to_no_question_are_ignored() {
    let mut session = exact(Version::V5);
    announce(&mut session, 1, 1);
    round(&mut session);
    session.released(id(fixed(1)));
    session.released(id(5));
    assert!(story(&mut session).is_empty());
    session.close(ReasonCode::ServerShuttingDown, None);
    round(&mut session);
    session.released(id(fixed(1)));
    assert!(story(&mut session).is_empty());
}

#[test]
fn packet_ids_of_messages_follow_from_their_positions() {
    let mut session: TestSession = Session::new(config(Version::V5), NOW);
    session.set_channel_qos(0, QoS::ExactlyOnce);
    session.track(1, 32_766, 32_766);
    for seq in [32_767, 32_768, 32_769] {
        announce(&mut session, 1, seq);
    }
    let ids: Vec<_> = deliveries(&mut session).into_iter().map(|(_, packet_id, _)| packet_id).collect();
    assert_eq!(ids, [65_535, 32_768, 32_769]);
}

/// MQTT-2.2.1-4: an id is not given while another packet has it.
#[test]
fn mqtt_2_2_1_4_an_id_that_is_taken_is_waited_for() {
    let mut session = exact(Version::V5);
    // The same id for a second conversation, and far ahead in a third.
    for (conversation, seq) in [(1, 5), (2, 5), (3, 32_773)] {
        session.track(conversation, seq - 1, seq - 1);
        assert!(announce(&mut session, conversation, seq));
    }
    for (conversation, seq) in [(1, 5), (2, 5), (3, 32_773)] {
        assert_eq!(deliveries(&mut session), [(message(conversation, seq), 32_773, false)]);
        assert_eq!(session.in_flight(), 1);
        say(&mut session, [pubrec(32_773)]);
        session.released(id(32_773));
        round(&mut session);
        say(&mut session, [pubcomp(32_773)]);
    }
    assert_eq!(session.counters().unknown_acks, 0);
}

/// A client that leaves the oldest packet open is not served without end: what was sent stays within twice the
/// window of what is acknowledged, over both ranges.
#[test]
fn the_run_of_packets_is_bounded_over_both_ranges() {
    let mut session = exact_session(SessionConfig { send_window: 3, ..config(Version::V5) });
    session.announce(1, 1, 1001, Channels::one(1));
    assert_eq!(story(&mut session), ["1001 QoS 1 id 1"]);
    let mut sent = Vec::new();
    for seq in 2..=12 {
        announce(&mut session, 1, seq);
        for (_, packet_id, _) in deliveries(&mut session) {
            sent.push(packet_id);
            say(&mut session, [refusal(pubrec(packet_id))]);
        }
    }
    assert_eq!(sent, (2..=6).map(fixed).collect::<Vec<_>>());
    say(&mut session, [puback(1)]);
    assert_eq!(deliveries(&mut session).len(), 3);
}

#[test]
fn rule_8_untracking_lets_a_handshake_come_to_its_end() {
    let mut session = exact(Version::V5);
    for seq in 1..=3 {
        announce(&mut session, 1, seq);
    }
    round(&mut session);
    say(&mut session, [pubrec(fixed(1))]);
    round(&mut session);
    session.untrack(1);
    session.released(id(fixed(1)));
    say(&mut session, [pubrec(fixed(2))]);
    assert_eq!(story(&mut session), ["PUBREL 32769", "PUBREL 32770"], "nobody need store it any more");
    say(&mut session, [pubcomp(fixed(1)), pubcomp(fixed(2)), refusal(pubrec(fixed(3)))]);
    assert!(story(&mut session).is_empty(), "no cursor");
    assert_eq!((session.in_flight(), session.counters().unknown_acks), (0, 0));
}

#[test]
fn mqtt_3_1_2_25_what_is_too_large_is_settled() {
    let mut session = exact(Version::V5);
    announce(&mut session, 1, 1);
    let Some(Output::Deliver { packet_id, .. }) = session.poll_output() else { panic!("not delivered") };
    session.undeliverable(packet_id);
    assert_eq!(story(&mut session), ["Delivered(1/1)"]);
    assert_eq!(session.in_flight(), 0);
}
