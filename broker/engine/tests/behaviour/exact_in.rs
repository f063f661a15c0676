//! QoS 2 from the client (MQTT-4.3.3).

use parlance_engine::{Output, PublishOutcome, Session, SessionConfig, Ticket};
use parlance_mqtt::{ReasonCode, Version};

use crate::support::*;

fn with(version: Version) -> TestSession {
    Session::new(config(version), NOW)
}

/// Publishes, and returns the tickets of what is new.
fn tickets(session: &mut TestSession, packet_ids: impl IntoIterator<Item = u16>) -> Vec<Ticket> {
    say(session, packet_ids.into_iter().map(|packet_id| publish2(packet_id, false)));
    round(session)
        .into_iter()
        .filter_map(|output| match output {
            Output::Publish { ticket, .. } => Some(ticket),
            _ => None,
        })
        .collect()
}

/// Publishes one and accepts it.
fn accepted(session: &mut TestSession, packet_id: u16) {
    let new = tickets(session, [packet_id]);
    assert_eq!(new.len(), 1, "{packet_id} is new");
    session.publish_done(new[0], PublishOutcome::success());
    assert_eq!(story(session), [format!("PUBREC {packet_id}")]);
}

#[test]
fn mqtt_4_3_3_8_to_12_the_four_packets() {
    for version in [Version::V3, Version::V5] {
        let mut session = with(version);
        for _ in 0..2 {
            accepted(&mut session, 1);
            say(&mut session, [pubrel(1)]);
            assert_eq!(story(&mut session), ["Complete(1)"], "the storage first");
            session.completed(id(1));
            assert_eq!(story(&mut session), ["PUBCOMP 1"]);
        }
    }
}

#[test]
fn a_session_that_ends_with_its_connection_waits_for_no_storage() {
    let mut session: TestSession = Session::new(SessionConfig { durable: false, ..config(Version::V5) }, NOW);
    accepted(&mut session, 1);
    say(&mut session, [pubrel(1)]);
    assert_eq!(story(&mut session), ["PUBCOMP 1"]);
    accepted(&mut session, 1);
}

#[test]
fn mqtt_4_6_0_3_pubrecs_keep_the_order_of_the_publishes() {
    let mut session = with(Version::V5);
    let tickets = tickets(&mut session, [7, 5, 6]);
    session.publish_done(tickets[2], PublishOutcome::success());
    session.publish_done(tickets[1], PublishOutcome::with(ReasonCode::NoMatchingSubscribers));
    assert!(story(&mut session).is_empty());
    session.publish_done(tickets[0], PublishOutcome::success());
    assert_eq!(story(&mut session), ["PUBREC 7", "PUBREC 5 0x10", "PUBREC 6"]);
}

#[test]
fn mqtt_4_3_3_10_a_publish_comes_once_until_its_pubrel() {
    for version in [Version::V3, Version::V5] {
        let mut session = with(version);
        let ticket = tickets(&mut session, [1])[0];
        // Undecided: one PUBREC answers all.
        say(&mut session, [publish2(1, true), publish2(1, false)]);
        assert!(story(&mut session).is_empty());
        session.publish_done(ticket, PublishOutcome::success());
        assert_eq!(story(&mut session), ["PUBREC 1"]);
        // Decided: each is answered.
        say(&mut session, [publish2(1, true), publish2(1, false)]);
        assert_eq!(story(&mut session), ["PUBREC 1", "PUBREC 1"]);
        assert_eq!(session.counters().repeated_publishes, 4);
        say(&mut session, [pubrel(1)]);
        session.completed(id(1));
        assert_eq!(story(&mut session), ["Complete(1)", "PUBCOMP 1"]);
        accepted(&mut session, 1);
    }
}

#[test]
fn mqtt_4_6_0_3_a_repeated_pubrec_waits_for_its_turn() {
    let mut session = with(Version::V5);
    accepted(&mut session, 1);
    let ticket = tickets(&mut session, [2])[0];
    say(&mut session, [publish2(1, true), publish2(1, true)]);
    assert!(story(&mut session).is_empty());
    session.publish_done(ticket, PublishOutcome::success());
    assert_eq!(story(&mut session), ["PUBREC 2", "PUBREC 1"]);
}

#[test]
fn mqtt_4_3_3_9_a_refused_publish_frees_its_id() {
    let mut session = with(Version::V5);
    let ticket = tickets(&mut session, [1])[0];
    session.publish_done(ticket, PublishOutcome::with(ReasonCode::NotAuthorized));
    assert_eq!(story(&mut session), ["PUBREC 1 0x87"]);
    accepted(&mut session, 1);
}

/// 3.1.1 has no refusal: on the wire the publish was accepted, and takes its course.
#[test]
fn a_refused_publish_of_3_1_1_takes_its_course() {
    let mut session = with(Version::V3);
    let ticket = tickets(&mut session, [1])[0];
    session.publish_done(ticket, PublishOutcome::with(ReasonCode::NotAuthorized));
    assert_eq!(story(&mut session), ["PUBREC 1"]);
    say(&mut session, [publish2(1, true), pubrel(1)]);
    session.completed(id(1));
    assert_eq!(story(&mut session), ["PUBREC 1", "Complete(1)", "PUBCOMP 1"]);
}

#[test]
fn mqtt_4_3_3_11_a_pubrel_of_nothing_comes_to_its_end() {
    for (version, answer) in [(Version::V5, "PUBCOMP 9 0x92"), (Version::V3, "PUBCOMP 9")] {
        let mut session = with(version);
        say(&mut session, [pubrel(9)]);
        assert_eq!(story(&mut session), [answer]);
    }
}

/// 0x92 would be no error (MQTT-3.7.2.1), but client libraries tell it as one.
#[test]
fn a_pubrel_whose_pubcomp_was_lost_is_complete() {
    let mut old = with(Version::V5);
    accepted(&mut old, 1);
    say(&mut old, [pubrel(1)]);
    old.completed(id(1));
    assert_eq!(story(&mut old), ["Complete(1)", "PUBCOMP 1"]);
    let mut session: TestSession = Session::resume(old.park(), config(Version::V5), NOW);
    say(&mut session, [pubrel(1)]);
    assert_eq!(story(&mut session), ["PUBCOMP 1"]);
}

#[test]
fn a_pubrel_that_comes_again() {
    let mut session = with(Version::V5);
    accepted(&mut session, 1);
    say(&mut session, [pubrel(1), pubrel(1)]);
    assert_eq!(story(&mut session), ["Complete(1)"], "asked once");
    session.completed(id(1));
    session.completed(id(1));
    assert_eq!(story(&mut session), ["PUBCOMP 1"], "answered once");
    say(&mut session, [pubrel(1)]);
    assert_eq!(story(&mut session), ["PUBCOMP 1 0x92"]);
}

#[test]
fn a_pubrel_before_its_pubrec_waits_for_it() {
    let mut session = with(Version::V5);
    let tickets = tickets(&mut session, [1, 2]);
    say(&mut session, [pubrel(1), pubrel(2)]);
    assert!(story(&mut session).is_empty());
    session.publish_done(tickets[0], PublishOutcome::success());
    assert_eq!(story(&mut session), ["PUBREC 1", "Complete(1)"]);
    session.publish_done(tickets[1], PublishOutcome::with(ReasonCode::NotAuthorized));
    assert_eq!(story(&mut session), ["PUBREC 2 0x87", "PUBCOMP 2 0x92"]);
}

#[test]
fn mqtt_2_2_1_3_an_id_in_use_is_a_violation() {
    let undecided = |session: &mut TestSession| _ = tickets(session, [1]);
    let kept = |session: &mut TestSession| accepted(session, 1);
    let completing = |session: &mut TestSession| {
        accepted(session, 1);
        say(session, [pubrel(1)]);
    };
    let qos_1 = |session: &mut TestSession| say(session, [publish(1)]);
    type Begin<'a> = &'a dyn Fn(&mut TestSession);
    let cases: [(&str, Begin<'_>, parlance_mqtt::Packet); 6] = [
        ("QoS 1 after undecided QoS 2", &undecided, publish(1)),
        ("QoS 1 with DUP after undecided QoS 2", &undecided, publish_with(1, |it| it.dup = true)),
        ("QoS 1 after QoS 2", &kept, publish(1)),
        ("MQTT-4.3.3-6: PUBLISH after PUBREL", &completing, publish2(1, true)),
        ("QoS 2 after undecided QoS 1", &qos_1, publish2(1, false)),
        ("QoS 2 with DUP after undecided QoS 1", &qos_1, publish2(1, true)),
    ];
    for (name, begin, packet) in cases {
        let mut session = with(Version::V5);
        begin(&mut session);
        say(&mut session, [packet]);
        assert_eq!(session.close_reason(), Some(ReasonCode::ProtocolError), "{name}");
    }
}

#[test]
fn mqtt_3_3_4_9_receive_maximum_counts_until_pubcomp() {
    let mut session = with(Version::V5);
    accepted(&mut session, 1);
    accepted(&mut session, 2);
    say(&mut session, [publish(3)]);
    round(&mut session);
    // A repeat takes no place.
    say(&mut session, [publish2(1, true), pubrel(2)]);
    assert!(!session.is_closed());
    say(&mut session, [publish2(4, false)]);
    assert_eq!(session.close_reason(), Some(ReasonCode::ReceiveMaximumExceeded));
}

#[test]
fn mqtt_4_9_0_2_pubcomp_and_negative_pubrec_give_a_place_back() {
    let mut session = with(Version::V5);
    for round_of in 0..5 {
        accepted(&mut session, 1);
        accepted(&mut session, 2);
        let ticket = tickets(&mut session, [3])[0];
        session.publish_done(ticket, PublishOutcome::with(ReasonCode::QuotaExceeded));
        say(&mut session, [pubrel(1), pubrel(2)]);
        round(&mut session);
        session.completed(id(1));
        session.completed(id(2));
        round(&mut session);
        assert!(!session.is_closed(), "round {round_of}");
    }
}

/// What waits for the client must not keep its PUBREL from being read.
#[test]
fn a_3_1_1_client_is_held_back_only_by_what_the_server_owes() {
    let mut session = with(Version::V3);
    for packet_id in 1..=10 {
        assert!(session.accepts_input());
        accepted(&mut session, packet_id);
    }
    for packet_id in 1..=3 {
        assert!(session.accepts_input());
        say(&mut session, [pubrel(packet_id)]);
    }
    assert!(!session.accepts_input(), "three wait for the storage");
    session.completed(id(2));
    assert!(session.accepts_input());
}

#[test]
fn answers_of_the_server_to_no_question_are_ignored() {
    let mut session = with(Version::V5);
    accepted(&mut session, 1);
    session.completed(id(1));
    session.completed(id(2));
    assert!(story(&mut session).is_empty());
    say(&mut session, [publish2(1, true)]);
    assert_eq!(story(&mut session), ["PUBREC 1"], "it is not released");
}
