//! Bytes that need not be a packet: what a codec refuses to write has to be written by hand.

use parlance_mqtt::Version;

/// A packet from its first byte and its body, whatever they are. The Remaining Length fits the body.
pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    varint(&mut bytes, body.len());
    bytes.extend_from_slice(body);
    bytes
}

/// Appends a variable byte integer in its shortest form (MQTT-1.5.5).
pub(crate) fn varint(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let byte = (value % 128) as u8;
        value /= 128;
        if value == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

/// Length and bytes, as strings and binary data are written.
pub(crate) fn field(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let length = u16::try_from(bytes.len()).expect("a field has at most 65,535 bytes");
    [&length.to_be_bytes()[..], bytes].concat()
}

/// Properties with their length in front; nothing at all in 3.1.1, which has none.
pub(crate) fn properties(version: Version, properties: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if version == Version::V5 {
        varint(&mut out, properties.len());
        out.extend_from_slice(properties);
    }
    out
}

/// User Property.
pub(crate) fn user_property(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    [&[0x26][..], &field(name), &field(value)].concat()
}

/// PUBLISH with flags, topic, packet id if any, and properties as given.
pub(crate) fn publish(
    version: Version,
    flags: u8,
    topic: impl AsRef<[u8]>,
    id: Option<u16>,
    props: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let mut body = field(topic);
    body.extend(id.into_iter().flat_map(u16::to_be_bytes));
    body.extend(properties(version, props));
    body.extend_from_slice(payload);
    packet(0x30 | flags, &body)
}

/// SUBSCRIBE with its first byte, packet id, and pairs of filter and options as given.
pub(crate) fn subscribe(version: Version, first: u8, id: u16, filters: &[(&[u8], u8)]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend(properties(version, &[]));
    for (filter, options) in filters {
        body.extend(field(filter));
        body.push(*options);
    }
    packet(first, &body)
}

/// UNSUBSCRIBE with its first byte, packet id and filters as given.
pub(crate) fn unsubscribe(version: Version, first: u8, id: u16, filters: &[&[u8]]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend(properties(version, &[]));
    for filter in filters {
        body.extend(field(filter));
    }
    packet(first, &body)
}

/// The flags of CONNECT (MQTT-3.1.2.3).
pub(crate) mod flag {
    pub(crate) const RESERVED: u8 = 0x01;
    pub(crate) const CLEAN: u8 = 0x02;
    pub(crate) const WILL: u8 = 0x04;
    pub(crate) const WILL_QOS_1: u8 = 0x08;
    pub(crate) const WILL_QOS_2: u8 = 0x10;
    pub(crate) const WILL_RETAIN: u8 = 0x20;
    pub(crate) const PASSWORD: u8 = 0x40;
    pub(crate) const USER_NAME: u8 = 0x80;
}

/// A CONNECT of which everything can be wrong.
#[derive(Debug, Clone)]
pub(crate) struct RawConnect {
    pub(crate) first: u8,
    pub(crate) name: Vec<u8>,
    pub(crate) level: u8,
    pub(crate) flags: u8,
    /// With their length in front; empty in 3.1.1.
    pub(crate) properties: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl RawConnect {
    /// A valid one with Clean Start.
    pub(crate) fn new(version: Version, client_id: impl AsRef<[u8]>) -> Self {
        Self {
            first: 0x10,
            name: b"MQTT".to_vec(),
            level: if version == Version::V5 { 5 } else { 4 },
            flags: flag::CLEAN,
            properties: properties(version, &[]),
            payload: field(client_id),
        }
    }

    /// Appends a field to the payload.
    pub(crate) fn with(mut self, more: impl AsRef<[u8]>) -> Self {
        self.payload.extend(field(more));
        self
    }

    /// Sets flags on top of those that are set.
    pub(crate) fn flags(mut self, flags: u8) -> Self {
        self.flags |= flags;
        self
    }

    /// With these properties in the place of none.
    pub(crate) fn properties(mut self, bytes: &[u8]) -> Self {
        self.properties = properties(Version::V5, bytes);
        self
    }

    /// With the will's topic and payload, QoS 0, and its flag.
    pub(crate) fn will(mut self, topic: impl AsRef<[u8]>, payload: &[u8]) -> Self {
        self.flags |= flag::WILL;
        if self.level == 5 {
            self.payload.push(0);
        }
        self.with(topic).with(payload)
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut body = field(&self.name);
        body.extend([self.level, self.flags, 0, 60]);
        body.extend_from_slice(&self.properties);
        body.extend_from_slice(&self.payload);
        packet(self.first, &body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use parlance_mqtt::{Packet, decode};

    /// What is meant to be valid is: otherwise the tests built on it would test something else.
    #[test]
    fn the_valid_forms_are_packets() {
        for version in [Version::V3, Version::V5] {
            let connect = RawConnect::new(version, "c").will("t", b"w").bytes();
            let Ok(Some(Packet::Connect(connect))) = decode(&mut Bytes::from(connect), version, 1_000) else {
                panic!("a CONNECT")
            };
            assert_eq!(connect.will.as_ref().map(|will| will.topic.as_str()), Some("t"));
            for bytes in [
                publish(version, 2, "t", Some(7), &[], b"payload"),
                subscribe(version, 0x82, 1, &[(b"a/#", 1)]),
                unsubscribe(version, 0xA2, 1, &[b"a/#"]),
                packet(0x30, &[&field("t")[..], &properties(version, &[]), &[b'x'; 200]].concat()),
            ] {
                let packet = decode(&mut Bytes::from(bytes.clone()), version, 1_000);
                assert!(matches!(packet, Ok(Some(_))), "{bytes:?}: {packet:?}");
            }
        }
    }
}
