//! CONNECT: terms and refusals.

use bytes::Bytes;
use parlance_engine::{HandshakeLimits, Plan, connack, negotiate};
use parlance_mqtt::{Connect, PublishProperties, QoS, ReasonCode, TopicName, Version, Will};

pub(crate) fn connect(version: Version) -> Connect {
    Connect {
        version,
        clean_start: true,
        keep_alive_s: 60,
        client_id: Bytes::from_static(b"phone"),
        will: None,
        username: None,
        password: None,
        session_expiry_s: None,
        receive_maximum: None,
        maximum_packet_size: None,
        topic_alias_maximum: None,
        request_response_information: None,
        request_problem_information: None,
        authentication_method: None,
        authentication_data: None,
        user_properties: Vec::new(),
    }
}

fn limits() -> HandshakeLimits {
    HandshakeLimits {
        client_id_bytes_max: 64,
        keep_alive_s_max: 300,
        session_expiry_s_max: 1_000,
        receive_maximum: 50,
        maximum_packet_size: 100_000,
        inflight_messages_max: 20,
        topic_alias_maximum: 16,
        authentication_methods: &["token"],
    }
}

fn plan(connect: &Connect) -> Plan {
    negotiate(connect, &limits(), || Bytes::from_static(b"made-up")).unwrap()
}

fn refusal(connect: &Connect) -> ReasonCode {
    let refused = negotiate(connect, &limits(), || Bytes::from_static(b"made-up")).unwrap_err();
    assert!(!refused.session_present, "MQTT-3.2.2-6");
    refused.reason
}

#[test]
fn mqtt_3_1_3_6_an_empty_identifier_gets_one_assigned() {
    for version in [Version::V3, Version::V5] {
        let plan = plan(&Connect { client_id: Bytes::new(), ..connect(version) });
        assert!(plan.assigned);
        assert_eq!(plan.client_id, "made-up");
        let told = (version == Version::V5).then(|| Bytes::from_static(b"made-up"));
        assert_eq!(plan.connack.assigned_client_id, told, "MQTT-3.2.2-16");
    }
    let own = plan(&connect(Version::V5));
    assert!(!own.assigned);
    assert_eq!((own.client_id, own.connack.assigned_client_id), (Bytes::from_static(b"phone"), None));
}

#[test]
fn mqtt_3_1_3_8_an_empty_identifier_and_a_lasting_session_are_refused_in_3_1_1() {
    let empty = |version| Connect { client_id: Bytes::new(), clean_start: false, ..connect(version) };
    assert_eq!(refusal(&empty(Version::V3)), ReasonCode::ClientIdentifierNotValid);
    assert!(plan(&empty(Version::V5)).assigned);
}

#[test]
fn identifiers_that_cannot_be_shown_are_refused() {
    for client_id in [&b"line\nbreak"[..], b"nul\0", b"\xff\xfe", &[b'x'; 65]] {
        for version in [Version::V3, Version::V5] {
            let refused = Connect { client_id: Bytes::copy_from_slice(client_id), ..connect(version) };
            assert_eq!(refusal(&refused), ReasonCode::ClientIdentifierNotValid);
        }
    }
    let longest = Connect { client_id: Bytes::from(vec![b'x'; 64]), ..connect(Version::V5) };
    assert_eq!(plan(&longest).client_id.len(), 64);
}

#[test]
fn mqtt_4_12_0_1_unknown_authentication_methods_are_refused() {
    let by = |version, method| Connect {
        authentication_method: Some(Bytes::from_static(method)),
        ..connect(version)
    };
    assert_eq!(refusal(&by(Version::V5, b"SCRAM")), ReasonCode::BadAuthenticationMethod);
    assert_eq!(refusal(&by(Version::V5, b"")), ReasonCode::BadAuthenticationMethod);
    let agreed = plan(&by(Version::V5, b"token")).session.authentication_method;
    assert_eq!(agreed, Some(Bytes::from_static(b"token")));
    assert_eq!(plan(&by(Version::V5, b"token")).connack.authentication_method, agreed, "MQTT-4.12.0-5");
    assert_eq!(plan(&connect(Version::V5)).connack.authentication_method, None, "MQTT-4.12.0-6");
    assert_eq!(plan(&connect(Version::V5)).session.authentication_method, None);
}

#[test]
fn wills_of_any_qos_and_retained_ones_are_accepted() {
    let will = |version, qos, retain, payload_is_utf8| Connect {
        will: Some(Will {
            topic: TopicName::new(&b"app/gone"[..]).unwrap(),
            payload: Bytes::from_static(b"\xff"),
            qos,
            retain,
            delay_s: None,
            properties: PublishProperties { payload_is_utf8, ..PublishProperties::default() },
        }),
        ..connect(version)
    };
    for version in [Version::V3, Version::V5] {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            plan(&will(version, qos, true, None));
        }
    }
    plan(&will(Version::V5, QoS::AtMostOnce, false, Some(false)));
    let not_text = will(Version::V5, QoS::AtMostOnce, false, Some(true));
    assert_eq!(refusal(&not_text), ReasonCode::PayloadFormatInvalid, "MQTT-3.1.3.2.3");
}

#[test]
fn topic_aliases_are_agreed_on() {
    let terms = |version, topic_alias_maximum| {
        let session = plan(&Connect { topic_alias_maximum, ..connect(version) }).session;
        (session.topic_alias_maximum, session.client_topic_alias_maximum)
    };
    assert_eq!(terms(Version::V5, None), (16, 0), "MQTT-3.1.2-27");
    assert_eq!(terms(Version::V5, Some(9)), (16, 9), "MQTT-3.1.2-26");
    assert_eq!(terms(Version::V3, None), (0, 0));
}

#[test]
fn a_session_that_outlives_its_connection_is_durable() {
    let durable = |connect: Connect| plan(&connect).session.durable;
    let v5 = |session_expiry_s| Connect { session_expiry_s, ..connect(Version::V5) };
    assert!(!durable(v5(None)));
    assert!(!durable(v5(Some(0))));
    assert!(durable(v5(Some(1))));
    assert!(!durable(connect(Version::V3)));
    assert!(durable(Connect { clean_start: false, ..connect(Version::V3) }));
}

#[test]
fn session_expiry_is_the_smaller_one() {
    let expiry =
        |connect: Connect| (plan(&connect).session.session_expiry_s, plan(&connect).connack.session_expiry_s);
    let v5 = |session_expiry_s| Connect { session_expiry_s, ..connect(Version::V5) };
    assert_eq!(expiry(v5(None)), (0, None));
    assert_eq!(expiry(v5(Some(900))), (900, None));
    assert_eq!(expiry(v5(Some(u32::MAX))), (1_000, Some(1_000)));
    assert_eq!(expiry(connect(Version::V3)), (0, None));
    assert_eq!(expiry(Connect { clean_start: false, ..connect(Version::V3) }), (1_000, None));
}

#[test]
fn mqtt_3_2_2_21_the_server_sets_the_keep_alive() {
    let keep_alive = |version, keep_alive_s| {
        let plan = plan(&Connect { keep_alive_s, ..connect(version) });
        (plan.session.keep_alive_ms, plan.connack.server_keep_alive_s)
    };
    assert_eq!(keep_alive(Version::V5, 60), (60_000, None));
    assert_eq!(keep_alive(Version::V5, 0), (300_000, Some(300)));
    assert_eq!(keep_alive(Version::V5, 301), (300_000, Some(300)));
    // 3.1.1 has no way to be told.
    assert_eq!(keep_alive(Version::V3, 0), (0, None));
    assert_eq!(keep_alive(Version::V3, 400), (400_000, None));
    let as_asked = HandshakeLimits { keep_alive_s_max: 0, ..limits() };
    let off = Connect { keep_alive_s: 0, ..connect(Version::V5) };
    assert_eq!(negotiate(&off, &as_asked, Bytes::new).unwrap().session.keep_alive_ms, 0);
}

#[test]
fn mqtt_3_3_4_7_the_window_is_the_smaller_receive_maximum() {
    let window =
        |version, receive_maximum| plan(&Connect { receive_maximum, ..connect(version) }).session.send_window;
    assert_eq!(window(Version::V5, None), 20);
    assert_eq!(window(Version::V5, Some(5)), 5);
    assert_eq!(window(Version::V5, Some(u16::MAX)), 20);
    assert_eq!(window(Version::V3, None), 20);
}

#[test]
fn the_connack_says_what_there_is() {
    let plan = plan(&connect(Version::V5));
    let answer = connack(&plan, true);
    assert!(answer.session_present);
    assert_eq!(answer.reason, ReasonCode::Success);
    let told = &answer.properties;
    assert_eq!((told.maximum_qos, told.retain_available), (None, Some(true)), "MQTT-3.2.2-9: absent is 2");
    assert_eq!((told.shared_subscription_available, told.topic_alias_maximum), (Some(true), Some(16)));
    assert_eq!((told.receive_maximum, told.maximum_packet_size), (Some(50), Some(100_000)));
    assert_eq!(plan.session.receive_maximum, 50);
}
