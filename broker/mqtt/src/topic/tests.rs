use super::*;

fn name(text: &str) -> Result<TopicName, TopicError> {
    TopicName::try_from(text)
}

fn filter(text: &str) -> Result<TopicFilter, TopicError> {
    TopicFilter::try_from(text)
}

/// MQTT-4.7.3-1 to MQTT-4.7.3-3, MQTT-3.3.2-2, MQTT-1.5.4-1.
#[test]
fn names() {
    for good in ["a", "/", "a/", "/a//b", "$SYS/x", "€/語", " ", "\u{FEFF}", "\u{1}"] {
        assert_eq!(name(good).unwrap().as_str(), good);
    }
    assert_eq!(name(""), Err(TopicError::Empty));
    assert_eq!(name("a\0"), Err(TopicError::Nul));
    assert_eq!(name("a/+"), Err(TopicError::WildcardInName));
    assert_eq!(name("a#"), Err(TopicError::WildcardInName));
    // A surrogate half, as a careless encoder would write it.
    assert_eq!(TopicName::new(&b"\xED\xA0\x80"[..]), Err(TopicError::NotUtf8));
    assert!(name(&"x".repeat(65_535)).is_ok());
    assert_eq!(name(&"x".repeat(65_536)), Err(TopicError::TooLong { bytes: 65_536 }));
}

/// MQTT-4.7.1-1, MQTT-4.7.1-2: the examples of the specification.
#[test]
fn filters() {
    for good in ["#", "+", "sport/tennis/#", "+/tennis/#", "sport/+/player1", "/+", "+/+", "a//#"] {
        assert_eq!(filter(good).unwrap().as_str(), good);
    }
    for bad in ["sport/tennis#", "sport/tennis/#/ranking", "sport+", "++", "+a/b", "##", "#/", "a/#b"] {
        assert_eq!(filter(bad), Err(TopicError::MisplacedWildcard), "{bad}");
    }
    assert_eq!(filter(""), Err(TopicError::Empty));
}

/// MQTT-4.8.2-1, MQTT-4.8.2-2.
#[test]
fn shared_filters() {
    assert_eq!(filter("$share/g/a/#").unwrap().shared(), Some(("g", "a/#")));
    assert_eq!(filter("$share/g//").unwrap().shared(), Some(("g", "/")));
    assert_eq!(filter("$shared/g").unwrap().shared(), None);
    assert_eq!(filter("a/$share/g").unwrap().shared(), None);
    for bad in ["$share", "$share/", "$share/g", "$share/g/", "$share//a", "$share/+/a"] {
        assert_eq!(filter(bad), Err(TopicError::MalformedShare), "{bad}");
    }
}

/// MQTT-4.7.1.2, MQTT-4.7.1.3, MQTT-4.7.2-1: the examples of the specification.
#[test]
fn matching() {
    for (filter, topic, expected) in [
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/#", "sport", true),
        ("sport/#", "sports", false),
        ("#", "a/b", true),
        ("#", "/", true),
        ("sport/tennis/+", "sport/tennis/player1", true),
        ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("+", "/finance", false),
        ("#", "$SYS/monitor/Clients", false),
        ("+/monitor/Clients", "$SYS/monitor/Clients", false),
        ("$SYS/#", "$SYS/monitor/Clients", true),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
        ("a/+/#", "a/$b", true),
        ("ACCOUNTS", "Accounts", false),
        ("a", "a/b", false),
        ("a/b", "a", false),
        ("a/b/c", "a/b/c", true),
        ("a//c", "a//c", true),
        ("a/+/c", "a//c", true),
    ] {
        assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
    }
}

#[test]
fn a_clone_shares_the_bytes() {
    let source = Bytes::from(b"user/bob/text".to_vec());
    let topic = TopicName::new(source.slice(..8)).unwrap();
    assert_eq!(topic.as_bytes().as_ptr(), source.as_ptr());
    assert_eq!(topic.levels().collect::<Vec<_>>(), ["user", "bob"]);
}
