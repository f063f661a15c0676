//! What clients say, and how it is answered.

use bytes::Bytes;
use parlance_engine::{Millis, Output, PublishOutcome, Session, Ticket, WillFate};
use parlance_mqtt::{
    Ack, Disconnect, Packet, QoS, ReasonCode, RetainHandling, Subscribe, SubscribeFilter, TopicFilter,
    Unsubscribe, Version,
};

use crate::support::*;

fn ticket_of(session: &mut TestSession) -> Ticket {
    match session.poll_output() {
        Some(Output::Publish { ticket, .. }) => ticket,
        other => panic!("a publish was expected, not {other:?}"),
    }
}

fn acks(session: &mut TestSession) -> Vec<Ack> {
    round(session)
        .into_iter()
        .filter_map(|output| match output {
            Output::Send(Packet::PubAck(ack)) => Some(ack),
            _ => None,
        })
        .collect()
}

/// What closes the session, with which reason.
fn close_reason(mut session: TestSession, packet: Packet) -> Option<Option<ReasonCode>> {
    session.handle_packet(packet, NOW);
    round(&mut session).into_iter().find_map(|output| match output {
        Output::Close { reason, will, .. } => {
            assert_eq!(will, WillFate::Publish, "a violation is no goodbye (MQTT-3.14.4-3)");
            Some(reason)
        }
        _ => None,
    })
}

#[test]
fn mqtt_4_6_0_2_pubacks_keep_the_order_of_the_publishes() {
    let mut session = session();
    let tickets: Vec<_> = [7, 5, 6]
        .into_iter()
        .map(|packet_id| {
            session.handle_packet(publish(packet_id), NOW);
            ticket_of(&mut session)
        })
        .collect();
    session.publish_done(tickets[2], PublishOutcome::success());
    session.publish_done(tickets[1], PublishOutcome::with(ReasonCode::NotAuthorized));
    assert!(acks(&mut session).is_empty());
    session.publish_done(tickets[0], PublishOutcome::success());
    let sent: Vec<_> = acks(&mut session).into_iter().map(|ack| (ack.packet_id.get(), ack.reason)).collect();
    assert_eq!(sent, [(7, ReasonCode::Success), (5, ReasonCode::NotAuthorized), (6, ReasonCode::Success)]);
}

#[test]
fn an_outcome_counts_once() {
    let mut session = session();
    session.handle_packet(publish(1), NOW);
    let ticket = ticket_of(&mut session);
    session.publish_done(ticket, PublishOutcome::success());
    session.publish_done(ticket, PublishOutcome::success());
    assert_eq!(acks(&mut session).len(), 1);
    session.publish_done(ticket, PublishOutcome::success());
    assert!(acks(&mut session).is_empty());
}

#[test]
fn qos_0_needs_no_answer() {
    let mut session = session();
    session.handle_packet(publish(0), NOW);
    let ticket = ticket_of(&mut session);
    assert!(!ticket.needs_answer());
    session.publish_done(ticket, PublishOutcome::success());
    assert!(round(&mut session).is_empty());
}

#[test]
fn mqtt_4_3_2_5_an_id_is_new_again_after_its_puback() {
    let mut session = session();
    for _ in 0..2 {
        session.handle_packet(publish(1), NOW);
        let ticket = ticket_of(&mut session);
        session.publish_done(ticket, PublishOutcome::success());
        assert_eq!(acks(&mut session).len(), 1);
    }
}

#[test]
fn a_repeated_publish_waits_for_its_first_copy() {
    let mut session = session();
    session.handle_packet(publish(1), NOW);
    let ticket = ticket_of(&mut session);
    session.handle_packet(publish_with(1, |it| it.dup = true), NOW);
    assert!(round(&mut session).is_empty());
    assert_eq!(session.counters().repeated_publishes, 1);
    session.publish_done(ticket, PublishOutcome::success());
    assert_eq!(acks(&mut session).len(), 1);
}

#[test]
fn mqtt_2_2_1_3_an_id_in_use_is_a_violation() {
    let mut session = session();
    session.handle_packet(publish(1), NOW);
    assert_eq!(close_reason(session, publish(1)), Some(Some(ReasonCode::ProtocolError)));
}

#[test]
fn mqtt_3_3_4_9_more_than_receive_maximum_closes_with_0x93() {
    let mut session = session();
    for packet_id in 1..=3 {
        session.handle_packet(publish(packet_id), NOW);
        assert!(session.accepts_input());
    }
    assert_eq!(close_reason(session, publish(4)), Some(Some(ReasonCode::ReceiveMaximumExceeded)));
}

#[test]
fn a_3_1_1_client_is_held_back_instead() {
    let mut session: TestSession = Session::new(config(Version::V3), NOW);
    let mut tickets = Vec::new();
    for packet_id in 1..=3 {
        assert!(session.accepts_input());
        session.handle_packet(publish(packet_id), NOW);
        tickets.push(ticket_of(&mut session));
    }
    assert!(!session.accepts_input());
    // Its silence meanwhile is ours.
    session.handle_timeout(NOW + 100_000);
    session.publish_done(tickets[0], PublishOutcome::success());
    assert!(session.accepts_input());
    session.handle_timeout(NOW + 180_000);
    assert!(!session.is_closed());
    session.handle_timeout(NOW + 300_000);
    assert_eq!(session.close_reason(), Some(ReasonCode::KeepAliveTimeout));
}

#[test]
fn outcomes_carry_what_the_client_can_take() {
    let outcome = || PublishOutcome {
        reason: ReasonCode::Success,
        reason_string: Some(Bytes::from_static(b"stored, and more words about it")),
        user_properties: vec![(Bytes::from_static(b"seq"), Bytes::from_static(b"42"))],
    };
    let answer = |config| {
        let mut session: TestSession = Session::new(config, NOW);
        session.handle_packet(publish(1), NOW);
        let ticket = ticket_of(&mut session);
        session.publish_done(ticket, outcome());
        let ack = acks(&mut session).remove(0);
        (ack.reason_string.is_some(), ack.user_properties.len())
    };
    assert_eq!(answer(config(Version::V5)), (true, 1));
    assert_eq!(answer(config(Version::V3)), (false, 0));
    // MQTT-3.1.2-29
    assert_eq!(
        answer(parlance_engine::SessionConfig { problem_information: false, ..config(Version::V5) }),
        (false, 0)
    );
    // MQTT-3.4.2-2, MQTT-3.4.2-3
    for (max, expected) in [(1_000, (true, 1)), (30, (false, 1)), (14, (false, 0))] {
        let config = parlance_engine::SessionConfig { client_packet_max: Some(max), ..config(Version::V5) };
        assert_eq!(answer(config), expected, "{max} bytes");
    }
}

#[test]
fn what_a_publish_may_not_have() {
    let cases: [(&str, Packet, ReasonCode); 4] = [
        (
            "MQTT-3.3.4-6: subscription identifier",
            publish_with(1, |it| it.properties.subscription_ids = vec![1]),
            ReasonCode::ProtocolError,
        ),
        ("MQTT-3.3.4: no topic", publish_with(1, |it| it.topic = None), ReasonCode::ProtocolError),
        (
            "MQTT-2.2.1-3: QoS 2 without packet id",
            publish_with(0, |it| it.qos = QoS::ExactlyOnce),
            ReasonCode::ProtocolError,
        ),
        (
            "MQTT-2.2.1-2: QoS 0 with packet id",
            publish_with(1, |it| it.qos = QoS::AtMostOnce),
            ReasonCode::ProtocolError,
        ),
    ];
    for (name, packet, reason) in cases {
        assert_eq!(close_reason(session(), packet), Some(Some(reason)), "{name}");
    }
}

#[test]
fn mqtt_3_3_1_5_the_retain_flag_is_handed_on() {
    for version in [Version::V3, Version::V5] {
        let mut session: TestSession = Session::new(config(version), NOW);
        session.handle_packet(publish_with(1, |it| it.retain = true), NOW);
        assert!(matches!(session.poll_output(), Some(Output::Publish { publish, .. }) if publish.retain));
    }
}

#[test]
fn a_3_1_1_client_is_closed_without_disconnect() {
    let session: TestSession = Session::new(config(Version::V3), NOW);
    assert_eq!(close_reason(session, Packet::PingResp), Some(None));
}

/// MQTT-3.3.2.3.2: the receiver may check it, and answers 0x99.
#[test]
fn a_payload_that_is_not_what_it_says_is_refused() {
    let text = |packet_id, qos, payload: &'static [u8], said| {
        publish_with(packet_id, |it| {
            it.qos = qos;
            it.payload = Bytes::from_static(payload);
            it.properties.payload_is_utf8 = said;
        })
    };
    let mut session = session();
    session.handle_packet(text(0, QoS::AtMostOnce, b"\xff", Some(true)), NOW);
    session.handle_packet(text(1, QoS::AtLeastOnce, b"\xff", Some(true)), NOW);
    session.handle_packet(text(2, QoS::ExactlyOnce, b"\xff", Some(true)), NOW);
    let answers: Vec<_> = round(&mut session)
        .into_iter()
        .map(|output| match output {
            Output::Send(Packet::PubAck(ack)) => (1, ack.packet_id.get(), ack.reason),
            Output::Send(Packet::PubRec(ack)) => (2, ack.packet_id.get(), ack.reason),
            other => panic!("an answer was expected, not {other:?}"),
        })
        .collect();
    let invalid = ReasonCode::PayloadFormatInvalid;
    assert_eq!(answers, [(1, 1, invalid), (2, 2, invalid)]);
    assert_eq!(session.counters().invalid_payloads, 3);
    for (payload, said) in [(&b"\xff"[..], Some(false)), (b"\xff", None), ("ö".as_bytes(), Some(true))] {
        session.handle_packet(text(1, QoS::AtLeastOnce, payload, said), NOW);
        let ticket = ticket_of(&mut session);
        session.publish_done(ticket, PublishOutcome::success());
        round(&mut session);
    }
}

#[test]
fn mqtt_3_8_3_4_no_local_on_a_shared_subscription_is_a_violation() {
    let subscribe = |filter: &'static [u8]| {
        Packet::Subscribe(Subscribe {
            packet_id: id(1),
            filters: vec![SubscribeFilter {
                filter: TopicFilter::new(filter).unwrap(),
                qos: QoS::ExactlyOnce,
                no_local: true,
                retain_as_published: false,
                retain_handling: RetainHandling::Send,
            }],
            subscription_id: None,
            user_properties: Vec::new(),
        })
    };
    assert_eq!(
        close_reason(session(), subscribe(b"$share/workers/app/#")),
        Some(Some(ReasonCode::ProtocolError))
    );
    assert_eq!(close_reason(session(), subscribe(b"app/#")), None);
}

#[test]
fn packets_that_only_servers_send_and_second_connects_are_violations() {
    let connect = crate::handshake::connect(Version::V5);
    let cases = [("MQTT-3.1.0-2", Packet::Connect(Box::new(connect))), ("PINGRESP", Packet::PingResp)];
    for (name, packet) in cases {
        assert_eq!(close_reason(session(), packet), Some(Some(ReasonCode::ProtocolError)), "{name}");
    }
}

#[test]
fn mqtt_3_12_4_1_pings_are_answered() {
    let mut session = session();
    session.handle_packet(Packet::PingReq, NOW);
    assert_eq!(words(&mut session), ["Send(PingResp)"]);
}

#[test]
fn subscriptions_are_handed_over_and_answered() {
    let mut session = session();
    let filter = TopicFilter::new(&b"me/text/inbox/#"[..]).unwrap();
    session.handle_packet(
        Packet::Subscribe(Subscribe {
            packet_id: id(3),
            filters: vec![SubscribeFilter {
                filter: filter.clone(),
                qos: QoS::AtLeastOnce,
                no_local: false,
                retain_as_published: false,
                retain_handling: RetainHandling::Send,
            }],
            subscription_id: None,
            user_properties: Vec::new(),
        }),
        NOW,
    );
    assert_eq!(words(&mut session), ["Subscribe(3)"]);
    session.subscribe_done(id(3), vec![ReasonCode::GrantedQoS1], None);
    let output = session.poll_output();
    let Some(Output::Send(Packet::SubAck(ack))) = output else {
        panic!("SUBACK was expected, not {output:?}")
    };
    assert_eq!((ack.packet_id, ack.codes), (id(3), vec![ReasonCode::GrantedQoS1]));

    let unsubscribe = Unsubscribe { packet_id: id(4), filters: vec![filter], user_properties: Vec::new() };
    session.handle_packet(Packet::Unsubscribe(unsubscribe), NOW);
    assert_eq!(words(&mut session), ["Unsubscribe(4)"]);
    session.unsubscribe_done(id(4), vec![ReasonCode::Success], None);
    assert!(matches!(session.poll_output(), Some(Output::Send(Packet::UnsubAck(_)))));
}

#[test]
fn subscriptions_under_way_are_bounded() {
    let mut session = session();
    let filter = TopicFilter::new(&b"me/text/inbox/#"[..]).unwrap();
    for packet_id in 1..=16 {
        assert!(session.accepts_input());
        let unsubscribe = Unsubscribe {
            packet_id: id(packet_id),
            filters: vec![filter.clone()],
            user_properties: Vec::new(),
        };
        session.handle_packet(Packet::Unsubscribe(unsubscribe), NOW);
    }
    assert!(!session.accepts_input());
    session.unsubscribe_done(id(1), vec![ReasonCode::Success], None);
    assert!(session.accepts_input());
}

#[test]
fn nothing_is_heard_after_the_end() {
    let mut session = session();
    session.handle_packet(Packet::Disconnect(Disconnect::with(ReasonCode::Success)), NOW);
    session.handle_packet(publish(1), NOW);
    session.handle_timeout(Millis(u64::MAX));
    assert_eq!(words(&mut session), ["Close(None will Discard expiry 3600 s)"]);
    assert!(words(&mut session).is_empty());
    assert_eq!(session.next_timeout(), None);
}
