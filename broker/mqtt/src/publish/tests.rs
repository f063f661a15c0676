use super::*;

fn template(version: Version) -> PublishTemplate {
    let properties = PublishProperties {
        payload_is_utf8: Some(true),
        message_expiry_s: Some(60),
        topic_alias: Some(9),
        subscription_ids: vec![9],
        ..PublishProperties::default()
    };
    PublishTemplate::new(version, &"a/b".parse().unwrap(), &properties, b"hi", true).unwrap()
}

fn plain() -> Recipient<'static> {
    Recipient {
        qos: QoS::AtMostOnce,
        dup: false,
        packet_id: None,
        subscription_ids: &[],
        topic_alias: None,
        retain: false,
    }
}

#[track_caller]
fn writes(template: &PublishTemplate, recipient: &Recipient<'_>, bytes: &[u8]) {
    let mut out = BytesMut::new();
    template.write(recipient, &mut out);
    assert_eq!(&out[..], bytes);
    assert_eq!(template.len(recipient), bytes.len());
}

/// The publisher's alias and subscription identifiers go to nobody (MQTT-3.3.2-7).
#[test]
fn each_recipient_gets_its_own() {
    let template = template(Version::V5);
    writes(&template, &plain(), b"\x30\x0F\x00\x03a/b\x07\x02\x00\x00\x00\x3C\x01\x01hi");
    let recipient = Recipient {
        qos: QoS::AtLeastOnce,
        dup: true,
        packet_id: PacketId::new(5),
        subscription_ids: &[1, 200],
        topic_alias: Some((3, true)),
        retain: true,
    };
    let bytes =
        b"\x3B\x19\x00\x03a/b\x00\x05\x0F\x23\x00\x03\x0B\x01\x0B\xC8\x01\x02\x00\x00\x00\x3C\x01\x01hi";
    writes(&template, &recipient, bytes);
    let known = Recipient { topic_alias: Some((3, false)), ..plain() };
    writes(&template, &known, b"\x30\x0F\x00\x00\x0A\x23\x00\x03\x02\x00\x00\x00\x3C\x01\x01hi");
}

/// In 3.1.1 nothing but the packet identifier and the flags differ.
#[test]
fn the_old_protocol_has_no_properties() {
    let template = template(Version::V3);
    let recipient = Recipient {
        qos: QoS::ExactlyOnce,
        packet_id: PacketId::new(5),
        subscription_ids: &[1],
        topic_alias: Some((3, false)),
        ..plain()
    };
    writes(&template, &recipient, b"\x34\x09\x00\x03a/b\x00\x05hi");
    assert_eq!(template.message_expiry_s(), None);
}

/// MQTT-2.2.1-2: no packet identifier with QoS 0, none without, no DUP either.
#[test]
fn qos_and_packet_id_agree() {
    let template = template(Version::V3);
    let no_id = Recipient { qos: QoS::AtLeastOnce, dup: true, ..plain() };
    let no_qos = Recipient { packet_id: PacketId::new(5), dup: true, ..plain() };
    for recipient in [no_id, no_qos] {
        writes(&template, &recipient, b"\x30\x07\x00\x03a/bhi");
    }
}

/// MQTT-3.3.2-6: what is left of the expiry, without encoding again.
#[test]
fn expiry_is_set_without_encoding_again() {
    let first = template(Version::V5);
    let second = first.clone().with_message_expiry(Some(1));
    assert_eq!(first.payload().as_ptr(), second.payload().as_ptr());
    writes(&second, &plain(), b"\x30\x0F\x00\x03a/b\x07\x02\x00\x00\x00\x01\x01\x01hi");
    let never = second.with_message_expiry(None);
    writes(&never, &plain(), b"\x30\x0A\x00\x03a/b\x02\x01\x01hi");
    assert_eq!(template(Version::V3).with_message_expiry(Some(1)).message_expiry_s(), None);
}

/// The same packet as one that is made from the beginning.
#[test]
fn a_message_of_the_same_kind() {
    let properties = PublishProperties { payload_is_utf8: Some(true), ..PublishProperties::default() };
    let user_properties = vec![("seq".into(), "7".into()), ("time".into(), "12".into())];
    let whole = PublishProperties { user_properties, ..properties.clone() };
    for version in [Version::V3, Version::V5] {
        let new = |properties, payload| {
            PublishTemplate::new(version, &"a/b".parse().unwrap(), properties, payload, true).unwrap()
        };
        let made = new(&properties, b"first").with_message(&[("seq", "7"), ("time", "12")], b"hi").unwrap();
        let expected = new(&whole, b"hi");
        assert_eq!((made.payload(), made.topic_len()), (&b"hi"[..], 3));
        let mut out = BytesMut::new();
        expected.write(&plain(), &mut out);
        writes(&made, &plain(), &out);
    }
    let first = template(Version::V5);
    let refused = first.with_message(&[("a", "\0")], b"").map(drop);
    assert_eq!(refused, Err(EncodeError::InvalidString { packet: PacketType::Publish }));
    let long = "x".repeat(1 << 16);
    let refused = first.with_message(&[("a", &long)], b"").map(drop);
    assert_eq!(refused, Err(EncodeError::FieldTooLong { packet: PacketType::Publish, bytes: 1 << 16 }));
}

#[test]
fn bad_properties_are_refused() {
    let topic = "a".parse().unwrap();
    let content_type = Some(Bytes::from_static(b"\xFF"));
    let properties = PublishProperties { content_type, ..PublishProperties::default() };
    let new = |version| PublishTemplate::new(version, &topic, &properties, b"", false).map(drop);
    assert_eq!(new(Version::V5), Err(EncodeError::InvalidString { packet: PacketType::Publish }));
    assert_eq!(new(Version::V3), Ok(()));
}
