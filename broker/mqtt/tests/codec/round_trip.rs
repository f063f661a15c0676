//! What is encoded decodes to itself.

use bytes::{Bytes, BytesMut};
use parlance_mqtt::*;
use proptest::prelude::*;

use crate::arbitrary::{message_properties, qos, subscription_id, topic, versioned};
use crate::{ANY_SIZE, decoded, encoded};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_packet((version, packet) in versioned()) {
        let bytes = encoded(&packet, version);
        prop_assert_eq!(encoded_len(&packet, version), Ok(bytes.len()));
        prop_assert_eq!(decoded(bytes.freeze(), version), Ok(packet));
    }

    /// Any prefix is incomplete and leaves the buffer as it was.
    #[test]
    fn a_prefix_is_incomplete((version, packet) in versioned(), cut in any::<prop::sample::Index>()) {
        let bytes = encoded(&packet, version).freeze();
        let prefix = bytes.slice(..cut.index(bytes.len()));
        let mut buf = prefix.clone();
        prop_assert_eq!(decode(&mut buf, version, ANY_SIZE), Ok(None));
        prop_assert_eq!(buf, prefix);
    }

    /// A size limit of one byte less refuses the packet, by its fixed header alone (MQTT-3.1.2-24).
    #[test]
    fn a_limit_is_exact((version, packet) in versioned()) {
        let bytes = encoded(&packet, version).freeze();
        let bytes_max = bytes.len() as u32 - 1;
        let mut header = bytes.slice(..bytes.len().min(5));
        let refused = DecodeError::PacketTooLarge { bytes: bytes_max + 1, bytes_max };
        prop_assert_eq!(decode(&mut header, version, bytes_max), Err(refused));
        prop_assert!(decode(&mut bytes.clone(), version, bytes_max + 1).unwrap().is_some());
    }

    /// A template writes for each recipient what the plain encoder writes for the same packet.
    #[test]
    fn a_template_equals_the_plain_encoder(
        version in prop::sample::select(vec![Version::V3, Version::V5]),
        topic in topic(),
        properties in message_properties(),
        payload in prop::collection::vec(any::<u8>(), 0..200),
        [retain, wants_retain, dup, name_too] in any::<[bool; 4]>(),
        qos in qos(),
        id in 1..=u16::MAX,
        ids in prop::collection::vec(subscription_id(), 0..4),
        alias in prop::option::of(1..=u16::MAX),
    ) {
        let packet_id = PacketId::new(id).filter(|_| qos != QoS::AtMostOnce);
        let topic_alias = alias.map(|alias| (alias, name_too));
        let recipient =
            Recipient { qos, dup, packet_id, subscription_ids: &ids, topic_alias, retain: wants_retain };
        let template = PublishTemplate::new(version, &topic, &properties, &payload, retain).unwrap();
        let mut written = BytesMut::new();
        template.write(&recipient, &mut written);
        prop_assert_eq!(template.len(&recipient), written.len());
        prop_assert_eq!(template.payload(), &payload[..]);
        prop_assert_eq!(template.topic_len(), topic.len());

        let named = version == Version::V3 || alias.is_none() || name_too;
        let publish = Packet::Publish(Publish {
            dup: dup && packet_id.is_some(),
            qos,
            retain: retain && wants_retain,
            topic: named.then_some(topic),
            packet_id,
            properties: PublishProperties { topic_alias: alias, subscription_ids: ids.clone(), ..properties },
            payload: Bytes::from(payload),
        });
        prop_assert_eq!(written, encoded(&publish, version));
    }
}
