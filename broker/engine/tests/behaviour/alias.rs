//! Topic aliases (5), in each direction (MQTT-3.3.2.3.4).

use parlance_engine::{Output, Session, SessionConfig};
use parlance_mqtt::{Packet, ReasonCode, TopicName, Version};

use crate::support::*;

fn topic(name: &str) -> TopicName {
    TopicName::new(name.to_owned()).unwrap()
}

fn named(name: Option<&str>, alias: Option<u16>) -> Packet {
    publish_with(0, |it| (it.topic, it.properties.topic_alias) = (name.map(topic), alias))
}

/// The topic that a publish is handed on with.
fn heard(session: &mut TestSession, packet: Packet) -> String {
    session.handle_packet(packet, NOW);
    match session.poll_output() {
        Some(Output::Publish { publish, .. }) => {
            assert_eq!(publish.properties.topic_alias, None, "MQTT-3.3.2-7: it is not handed on");
            publish.topic.unwrap().as_str().to_owned()
        }
        other => panic!("a publish was expected, not {other:?}"),
    }
}

fn telling(client_max: u16) -> TestSession {
    let config = SessionConfig { client_topic_alias_maximum: client_max, ..config(Version::V5) };
    Session::new(config, NOW)
}

#[test]
fn mqtt_3_3_2_12_an_alias_stands_for_the_topic_it_was_set_to_last() {
    let mut session = session();
    assert_eq!(heard(&mut session, named(Some("app/a"), Some(1))), "app/a");
    assert_eq!(heard(&mut session, named(Some("app/b"), Some(4))), "app/b");
    assert_eq!(heard(&mut session, named(None, Some(1))), "app/a");
    assert_eq!(heard(&mut session, named(Some("app/c"), Some(1))), "app/c");
    assert_eq!(heard(&mut session, named(None, Some(1))), "app/c");
    assert_eq!(heard(&mut session, named(None, Some(4))), "app/b");
}

#[test]
fn aliases_that_are_violations() {
    let cases = [
        ("MQTT-3.3.2-8: 0", named(Some("app/a"), Some(0)), ReasonCode::TopicAliasInvalid),
        ("MQTT-3.3.2-9: above the maximum", named(Some("app/a"), Some(5)), ReasonCode::TopicAliasInvalid),
        ("above the maximum, no topic", named(None, Some(5)), ReasonCode::TopicAliasInvalid),
        ("MQTT-3.3.4: not set", named(None, Some(2)), ReasonCode::ProtocolError),
        ("MQTT-3.3.4: neither alias nor topic", named(None, None), ReasonCode::ProtocolError),
    ];
    for (name, packet, reason) in cases {
        let mut session = session();
        heard(&mut session, named(Some("app/a"), Some(1)));
        session.handle_packet(packet, NOW);
        assert_eq!(session.close_reason(), Some(reason), "{name}");
    }
    let mut session: TestSession =
        Session::new(SessionConfig { topic_alias_maximum: 0, ..config(Version::V5) }, NOW);
    session.handle_packet(named(Some("app/a"), Some(1)), NOW);
    assert_eq!(session.close_reason(), Some(ReasonCode::TopicAliasInvalid), "MQTT-3.3.2-9: a maximum of 0");
}

#[test]
fn mqtt_3_3_2_7_aliases_end_with_their_connection() {
    let mut old = telling(4);
    heard(&mut old, named(Some("app/a"), Some(1)));
    assert_eq!(old.alias(&topic("app/a")), Some((1, true)));
    let config = old.config().clone();
    let mut session: TestSession = Session::resume(old.park(), config, NOW);
    assert_eq!(session.alias(&topic("app/a")), Some((1, true)));
    session.handle_packet(named(None, Some(1)), NOW);
    assert_eq!(session.close_reason(), Some(ReasonCode::ProtocolError));
}

#[test]
fn a_topic_is_told_once_with_its_alias() {
    let mut session = telling(10);
    assert_eq!(session.alias(&topic("app/a")), Some((1, true)));
    assert_eq!(session.alias(&topic("app/a")), Some((1, false)));
    assert_eq!(session.alias(&topic("app/b")), Some((2, true)));
    assert_eq!(session.alias(&topic("app/a")), Some((1, false)));
    assert_eq!(session.alias(&topic("a/b")), None, "shorter than its alias");
}

#[test]
fn mqtt_3_1_2_26_and_27_the_client_sets_the_maximum() {
    let mut none = telling(0);
    assert_eq!(none.alias(&topic("app/a")), None);
    let mut session = telling(2);
    for name in ["app/a", "app/b", "app/c", "app/d", "app/a"] {
        let (alias, with_topic) = session.alias(&topic(name)).unwrap();
        assert!((1..=2).contains(&alias) && with_topic, "{name}");
    }
}

#[test]
fn the_alias_that_rested_longest_is_given_anew() {
    let mut session = telling(2);
    session.alias(&topic("app/a"));
    session.alias(&topic("app/b"));
    session.alias(&topic("app/a"));
    assert_eq!(session.alias(&topic("app/c")), Some((2, true)));
    assert_eq!(session.alias(&topic("app/a")), Some((1, false)));
    assert_eq!(session.alias(&topic("app/b")), Some((2, true)));
}

#[test]
fn aliases_are_bounded_whatever_the_client_allows() {
    let mut session = telling(u16::MAX);
    let greatest =
        (0..1_000).filter_map(|n| session.alias(&topic(&format!("app/{n}")))).map(|(it, _)| it).max();
    assert_eq!(greatest, Some(64));
}

#[test]
fn an_alias_that_was_not_written_is_taken_back() {
    let mut session = telling(4);
    session.alias(&topic("app/a"));
    session.undeliverable(None);
    assert_eq!(session.alias(&topic("app/a")).map(|(_, with_topic)| with_topic), Some(true));
    session.alias(&topic("app/a"));
    session.undeliverable(None);
    assert_eq!(
        session.alias(&topic("app/a")).map(|(_, with_topic)| with_topic),
        Some(false),
        "it was written"
    );
}
