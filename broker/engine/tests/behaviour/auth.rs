//! Re-authentication (5, MQTT-4.12.1).

use bytes::Bytes;
use parlance_engine::{Output, Session, SessionConfig};
use parlance_mqtt::{Auth, Packet, ReasonCode, Version};

use crate::support::*;

fn agreed(method: Option<&'static str>) -> TestSession {
    let authentication_method = method.map(|it| Bytes::from_static(it.as_bytes()));
    Session::new(SessionConfig { authentication_method, ..config(Version::V5) }, NOW)
}

fn auth(reason: ReasonCode, method: Option<&'static str>) -> Packet {
    Packet::Auth(Auth {
        reason,
        method: method.map(|it| Bytes::from_static(it.as_bytes())),
        data: Some(Bytes::from_static(b"new token")),
        reason_string: None,
        user_properties: Vec::new(),
    })
}

const AGAIN: ReasonCode = ReasonCode::ReAuthenticate;

#[test]
fn mqtt_4_12_1_a_client_authenticates_anew() {
    let mut session = agreed(Some("token"));
    for _ in 0..2 {
        session.handle_packet(auth(AGAIN, Some("token")), NOW);
        let asked = session.poll_output();
        assert!(
            matches!(&asked, Some(Output::Authenticate(auth)) if auth.data.as_deref() == Some(b"new token")),
            "{asked:?}"
        );
        session.authenticated(Ok(Some(Bytes::from_static(b"welcome"))));
        let Some(Output::Send(Packet::Auth(answer))) = session.poll_output() else { panic!("no AUTH") };
        assert_eq!(answer.reason, ReasonCode::Success);
        assert_eq!(answer.method.as_deref(), Some(&b"token"[..]));
        assert_eq!(answer.data.as_deref(), Some(&b"welcome"[..]));
        // An answer to no question.
        session.authenticated(Ok(None));
        assert!(words(&mut session).is_empty());
    }
}

#[test]
fn mqtt_4_12_1_2_a_failure_ends_the_connection() {
    let mut session = agreed(Some("token"));
    session.handle_packet(auth(AGAIN, Some("token")), NOW);
    round(&mut session);
    session.authenticated(Err((ReasonCode::NotAuthorized, None)));
    assert_eq!(words(&mut session), ["Close(Some(NotAuthorized) will Publish expiry 3600 s)"]);
}

#[test]
fn what_auth_may_not_be() {
    let cases = [
        ("MQTT-4.12.0-7: no method was agreed on", None, auth(AGAIN, Some("token"))),
        ("no method, none agreed on", None, auth(AGAIN, None)),
        ("MQTT-4.12.1-1: another method", Some("token"), auth(AGAIN, Some("SCRAM"))),
        ("MQTT-4.12.0-5: no method", Some("token"), auth(AGAIN, None)),
        ("nothing to continue", Some("token"), auth(ReasonCode::ContinueAuthentication, Some("token"))),
        ("MQTT-3.15.2.1: the server's word", Some("token"), auth(ReasonCode::Success, Some("token"))),
    ];
    for (name, method, packet) in cases {
        let mut session = agreed(method);
        session.handle_packet(packet, NOW);
        assert_eq!(session.close_reason(), Some(ReasonCode::ProtocolError), "{name}");
    }
    let mut session = agreed(Some("token"));
    say(&mut session, [auth(AGAIN, Some("token")), auth(AGAIN, Some("token"))]);
    assert_eq!(session.close_reason(), Some(ReasonCode::ProtocolError), "one at a time");
}

#[test]
fn mqtt_3_1_2_24_an_answer_that_the_client_cannot_take_is_not_sent() {
    let config = SessionConfig {
        authentication_method: Some(Bytes::from_static(b"token")),
        client_packet_max: Some(30),
        ..config(Version::V5)
    };
    let mut session: TestSession = Session::new(config, NOW);
    session.handle_packet(auth(AGAIN, Some("token")), NOW);
    round(&mut session);
    session.authenticated(Ok(Some(Bytes::from(vec![b'x'; 30]))));
    assert_eq!(words(&mut session), ["Close(Some(PacketTooLarge) will Publish expiry 3600 s)"]);
}
