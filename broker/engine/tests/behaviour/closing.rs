//! How a session ends.

use bytes::Bytes;
use parlance_engine::{Output, Session, SessionConfig};
use parlance_mqtt::{Disconnect, Packet, ReasonCode, Version};

use crate::support::*;

fn disconnect(reason: ReasonCode, session_expiry_s: Option<u32>) -> Packet {
    Packet::Disconnect(Disconnect { session_expiry_s, ..Disconnect::with(reason) })
}

#[test]
fn mqtt_3_14_4_3_a_normal_goodbye_takes_the_will_back() {
    let mut session = session();
    session.handle_packet(disconnect(ReasonCode::Success, None), NOW);
    assert_eq!(words(&mut session), ["Close(None will Discard expiry 3600 s)"]);
}

#[test]
fn a_goodbye_with_will_publishes_it() {
    let mut session = session();
    session.handle_packet(disconnect(ReasonCode::DisconnectWithWill, None), NOW);
    assert_eq!(words(&mut session), ["Close(None will Publish expiry 3600 s)"]);
}

#[test]
fn a_goodbye_changes_the_session_expiry_within_the_limit() {
    for (asked_s, kept_s) in [(0, 0), (60, 60), (u32::MAX, 7_200)] {
        let mut session = session();
        session.handle_packet(disconnect(ReasonCode::Success, Some(asked_s)), NOW);
        assert_eq!(words(&mut session), [format!("Close(None will Discard expiry {kept_s} s)")]);
        assert_eq!(session.session_expiry_s(), kept_s);
    }
}

#[test]
fn mqtt_3_14_2_2_an_expiry_of_zero_cannot_be_raised() {
    let config = SessionConfig { session_expiry_s: 0, ..config(Version::V5) };
    let mut session: TestSession = Session::new(config, NOW);
    session.handle_packet(disconnect(ReasonCode::Success, Some(60)), NOW);
    assert_eq!(words(&mut session), ["Close(Some(ProtocolError) will Publish expiry 0 s)"]);
}

#[test]
fn mqtt_3_1_2_22_silence_of_one_and_a_half_intervals_ends_it() {
    let mut session = session();
    assert_eq!(session.next_timeout(), Some(NOW + 90_000));
    session.handle_packet(Packet::PingReq, NOW + 10_000);
    assert_eq!(session.next_timeout(), Some(NOW + 100_000));
    session.handle_timeout(NOW + 99_999);
    assert!(!session.is_closed());
    session.handle_timeout(NOW + 100_000);
    assert_eq!(
        words(&mut session),
        ["Send(PingResp)", "Close(Some(KeepAliveTimeout) will Publish expiry 3600 s)"]
    );
}

#[test]
fn mqtt_3_1_2_10_a_keep_alive_of_zero_is_off() {
    let config = SessionConfig { keep_alive_ms: 0, ..config(Version::V5) };
    let session: TestSession = Session::new(config, NOW);
    assert_eq!(session.next_timeout(), None);
}

#[test]
fn mqtt_3_1_4_3_the_server_says_why_it_ends() {
    let mut session = session();
    session.close(ReasonCode::SessionTakenOver, None);
    session.close(ReasonCode::ServerShuttingDown, None);
    assert_eq!(words(&mut session), ["Close(Some(SessionTakenOver) will Publish expiry 3600 s)"]);
}

#[test]
fn a_3_1_1_client_is_told_nothing_but_the_server_knows() {
    let mut session: TestSession = Session::new(config(Version::V3), NOW);
    session.close(ReasonCode::SessionTakenOver, None);
    assert_eq!(words(&mut session), ["Close(None will Publish expiry 3600 s)"]);
    assert_eq!(session.close_reason(), Some(ReasonCode::SessionTakenOver));
}

#[test]
fn cursors_that_moved_are_told_before_the_end() {
    let mut session = session();
    session.track(1, 0, 0);
    announce(&mut session, 1, 1);
    round(&mut session);
    ack(&mut session, [1]);
    announce(&mut session, 1, 2);
    session.close(ReasonCode::ServerShuttingDown, None);
    assert_eq!(
        words(&mut session),
        ["Delivered(1/1)", "Close(Some(ServerShuttingDown) will Publish expiry 3600 s)"]
    );
}

#[test]
fn a_server_reference_is_the_servers_word() {
    let mut session = session();
    let packet = Disconnect {
        server_reference: Some(Bytes::from_static(b"elsewhere")),
        ..Disconnect::with(ReasonCode::Success)
    };
    session.handle_packet(Packet::Disconnect(packet), NOW);
    assert_eq!(session.close_reason(), Some(ReasonCode::ProtocolError));
}

#[test]
fn mqtt_3_14_2_3_the_reason_string_fits_the_client() {
    for (max, told) in [(20, false), (40, true)] {
        let config = SessionConfig {
            client_packet_max: Some(max),
            // MQTT-3.1.2-29 lets a DISCONNECT explain itself all the same.
            problem_information: false,
            ..config(Version::V5)
        };
        let mut session: TestSession = Session::new(config, NOW);
        session.close(ReasonCode::ServerShuttingDown, Some(Bytes::from_static(b"back in a minute")));
        let Some(Output::Close { reason_string, .. }) = session.poll_output() else { panic!("no end") };
        assert_eq!(reason_string.is_some(), told, "{max} bytes");
    }
}
