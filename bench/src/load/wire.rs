//! What a client says, in bytes (MQTT 3.1.1 and 5).
//!
//! Everything is written behind what stands in a client's buffer already, so that one wake is one write.

use super::stamp::{STAMP_BYTES, Stamp};
use serde::{Deserialize, Serialize};

/// Silence that a client announces, seconds: longer than a case, so that nobody has to ping.
const KEEP_ALIVE_S: u16 = 1_800;
/// Life of a durable session after its connection, seconds.
const SESSION_EXPIRY_S: u32 = 3_600;

/// The version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Version {
    /// 3.1.1.
    V311,
    /// 5.
    V5,
}

/// Who a client is and how it comes.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Client id.
    pub client_id: String,
    /// User name.
    pub user_name: Option<String>,
    /// Password.
    pub password: Option<String>,
    /// What it subscribes to (QoS 1) when it has no session yet.
    pub filter: Option<String>,
    /// The session outlives the connection.
    pub durable: bool,
}

/// CONNECT.
pub(crate) fn connect(out: &mut Vec<u8>, version: Version, plan: &Plan) {
    let flags = u8::from(!plan.durable) << 1
        | u8::from(plan.password.is_some()) << 6
        | u8::from(plan.user_name.is_some()) << 7;
    packet(out, 0x10, |body| {
        text(body, "MQTT");
        body.push(if version == Version::V5 { 5 } else { 4 });
        body.push(flags);
        body.extend_from_slice(&KEEP_ALIVE_S.to_be_bytes());
        match (version, plan.durable) {
            (Version::V311, _) => {}
            (Version::V5, false) => body.push(0),
            (Version::V5, true) => {
                body.extend_from_slice(&[5, 0x11]);
                body.extend_from_slice(&SESSION_EXPIRY_S.to_be_bytes());
            }
        }
        text(body, &plan.client_id);
        for field in [&plan.user_name, &plan.password].into_iter().flatten() {
            text(body, field);
        }
    });
}

/// SUBSCRIBE to one filter with QoS 1 and packet id 1.
pub(crate) fn subscribe(out: &mut Vec<u8>, version: Version, filter: &str) {
    packet(out, 0x82, |body| {
        body.extend_from_slice(&1_u16.to_be_bytes());
        if version == Version::V5 {
            body.push(0);
        }
        text(body, filter);
        body.push(1);
    });
}

/// PUBACK, success.
pub(crate) fn puback(out: &mut Vec<u8>, packet_id: u16) {
    let [high, low] = packet_id.to_be_bytes();
    out.extend_from_slice(&[0x40, 2, high, low]);
}

/// DISCONNECT, normal: a durable session stays.
pub(crate) const DISCONNECT: [u8; 2] = [0xE0, 0];

/// PUBLISH with QoS 1 up to its packet id, for payloads of one size; made once for each topic.
#[derive(Debug)]
pub(crate) struct PublishHead(Box<[u8]>);

impl PublishHead {
    /// For this topic.
    pub(crate) fn new(version: Version, topic: &str, payload_bytes: usize) -> Self {
        let mut head = vec![0x32];
        let properties = usize::from(version == Version::V5);
        length(&mut head, 2 + topic.len() + 2 + properties + payload_bytes);
        text(&mut head, topic);
        Self(head.into())
    }

    /// Writes the packet: a copy of `payload` whose beginning becomes the stamp.
    pub(crate) fn write(
        &self,
        out: &mut Vec<u8>,
        version: Version,
        packet_id: u16,
        payload: &[u8],
        stamp: Stamp,
    ) {
        out.extend_from_slice(&self.0);
        out.extend_from_slice(&packet_id.to_be_bytes());
        if version == Version::V5 {
            out.push(0);
        }
        let begins = out.len();
        out.extend_from_slice(payload);
        if let Some(place) = out[begins..].first_chunk_mut::<STAMP_BYTES>() {
            stamp.write(place);
        }
    }
}

fn packet(out: &mut Vec<u8>, first: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::with_capacity(128);
    write(&mut body);
    out.push(first);
    length(out, body.len());
    out.extend_from_slice(&body);
}

/// A variable byte integer (MQTT 5, 1.5.5).
fn length(out: &mut Vec<u8>, mut length: usize) {
    loop {
        let digit = (length & 0x7F) as u8;
        length >>= 7;
        if length == 0 {
            return out.push(digit);
        }
        out.push(digit | 0x80);
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("topics, ids and tokens are shorter than 64 KiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::packet::{Packet, next};

    fn plan() -> Plan {
        Plan {
            client_id: "c1".to_owned(),
            user_name: Some("u".to_owned()),
            password: Some("p".to_owned()),
            filter: None,
            durable: true,
        }
    }

    #[test]
    fn connect_of_3_1_1_has_the_bytes_of_the_specification() {
        let mut out = Vec::new();
        connect(&mut out, Version::V311, &plan());
        assert_eq!(out, b"\x10\x14\x00\x04MQTT\x04\xC0\x07\x08\x00\x02c1\x00\x01u\x00\x01p");
    }

    #[test]
    fn connect_of_5_carries_the_session_expiry() {
        let mut out = Vec::new();
        connect(&mut out, Version::V5, &plan());
        assert_eq!(
            out,
            b"\x10\x1A\x00\x04MQTT\x05\xC0\x07\x08\x05\x11\0\0\x0E\x10\x00\x02c1\x00\x01u\x00\x01p"
        );
        let mut clean = Vec::new();
        connect(&mut clean, Version::V5, &Plan { durable: false, user_name: None, password: None, ..plan() });
        assert_eq!(clean, b"\x10\x0F\x00\x04MQTT\x05\x02\x07\x08\x00\x00\x02c1");
    }

    #[test]
    fn what_is_published_reads_back_with_its_stamp() {
        let stamp = Stamp { flow: 7, counter: 99, sent_ns: 123_456_789 };
        for version in [Version::V311, Version::V5] {
            let mut out = Vec::new();
            let head = PublishHead::new(version, "a/b", 200);
            head.write(&mut out, version, 0x0102, &[b'.'; 200], stamp);
            let (packet, size) = next(&out, version).expect("well formed").expect("whole");
            assert_eq!(size, out.len());
            let Packet::Publish { qos, packet_id, dup, payload } = packet else { panic!("{packet:?}") };
            assert_eq!((qos, packet_id, dup, payload.len()), (1, 0x0102, false, 200));
            assert_eq!(Stamp::read(payload), Some(stamp));
        }
    }

    #[test]
    fn a_variable_byte_integer_has_the_digits_of_the_specification() {
        for (value, bytes) in [(0, &[0_u8][..]), (127, &[127]), (128, &[0x80, 1]), (16_384, &[0x80, 0x80, 1])]
        {
            let mut out = Vec::new();
            length(&mut out, value);
            assert_eq!(out, bytes);
        }
    }
}
