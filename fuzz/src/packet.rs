//! Target `packet`: the decoder, both versions.
//!
//! Input: one byte of choices, two bytes of chunk lengths, then the stream. What must hold:
//! * no stream makes the decoder panic, and how it is cut into chunks changes neither packets nor error;
//! * what is held is bounded by what arrived, never by what a length field announces, and by the packet limit;
//! * an error stays, and lets everything go;
//! * what decodes encodes, in the measured length, and decodes to the same again;
//! * a publish written through the template for many recipients means what it meant;
//! * what came over MQTT 5 and is written for 3.1.1 is either refused or valid there.

use bytes::{Bytes, BytesMut};
use parlance_mqtt::{
    DecodeError, Decoder, Packet, PacketId, Publish, PublishTemplate, QoS, Recipient, Version, decode,
    encode, encoded_len,
};

use crate::memory;

/// Bytes held for each byte that arrived: a user property of 5 bytes is two handles of 32, in a list that doubles.
const HELD_PER_BYTE_MAX: usize = 48;
/// Bytes held whatever arrived: a boxed CONNECT, the least buffer of a packet that arrived in part.
const HELD_MAX: usize = 4 * 1024;

/// What the bytes before the stream choose.
struct Choices {
    version: Version,
    packet_bytes_max: u32,
    lengths: [usize; 2],
}

/// The packets of a stream, and the error that ended it.
type Outcome = (Vec<Packet>, Option<DecodeError>);

/// See the module.
pub fn check(input: &[u8]) {
    let Some((&[choices, first, second], stream)) = input.split_first_chunk() else { return };
    let choices = Choices {
        version: if choices & 1 == 0 { Version::V3 } else { Version::V5 },
        packet_bytes_max: [64, 1_024, 1 << 20, u32::MAX][usize::from(choices >> 1 & 3)],
        lengths: [usize::from(first).max(1), usize::from(second).max(1)],
    };
    let (_, held) = memory::peak_of(|| decode_in_chunks(stream, &choices, drop));
    let held_max = stream.len() * HELD_PER_BYTE_MAX + HELD_MAX;
    assert!(held <= held_max, "{held} bytes held for {} that arrived", stream.len());

    let chunked = collect(stream, &choices);
    let whole = collect(stream, &Choices { lengths: [usize::MAX; 2], ..choices });
    assert_eq!(chunked, whole, "chunks of {:?} bytes make a difference", choices.lengths);

    let mut version = choices.version;
    for packet in &whole.0 {
        if let Packet::Connect(connect) = packet {
            version = connect.version;
        }
        round_trip(packet, version);
        if version == Version::V5 {
            for_older_clients(packet);
        }
        if let Packet::Publish(publish) = packet {
            through_template(publish, version);
        }
    }
}

fn collect(stream: &[u8], choices: &Choices) -> Outcome {
    let mut packets = Vec::new();
    let error = decode_in_chunks(stream, choices, |packet| packets.push(packet));
    (packets, error)
}

/// Each chunk has an allocation of its own, as a read from a socket has.
fn decode_in_chunks(stream: &[u8], choices: &Choices, mut sink: impl FnMut(Packet)) -> Option<DecodeError> {
    let mut decoder = Decoder::new(choices.packet_bytes_max);
    decoder.set_version(choices.version);
    let (mut rest, mut lengths) = (stream, choices.lengths.iter().cycle());
    while !rest.is_empty() {
        let length = lengths.next().map_or(1, |&length| length).min(rest.len());
        let (chunk, after) = rest.split_at(length);
        rest = after;
        decoder.feed(Bytes::copy_from_slice(chunk));
        loop {
            match decoder.next() {
                Ok(Some(packet)) => sink(packet),
                Ok(None) => break,
                Err(error) => {
                    decoder.feed(Bytes::copy_from_slice(rest));
                    assert_eq!(decoder.next(), Err(error), "an error stays");
                    assert_eq!(decoder.buffered(), 0, "after an error nothing is kept");
                    return Some(error);
                }
            }
        }
        let buffered = decoder.buffered();
        assert!(buffered < choices.packet_bytes_max as usize, "{buffered} bytes are a packet or too many");
    }
    None
}

/// Decodes bytes that are exactly one packet.
fn decode_one(bytes: BytesMut, version: Version) -> Packet {
    let mut bytes = bytes.freeze();
    let packet = decode(&mut bytes, version, u32::MAX).expect("what was encoded decodes");
    assert!(bytes.is_empty(), "one packet was encoded");
    packet.expect("what was encoded is whole")
}

fn round_trip(packet: &Packet, version: Version) {
    let mut out = BytesMut::new();
    encode(packet, version, &mut out).expect("what decoded encodes");
    assert_eq!(encoded_len(packet, version), Ok(out.len()), "the measured length");
    assert_eq!(&decode_one(out, version), packet, "the round trip");
}

fn for_older_clients(packet: &Packet) {
    if matches!(packet, Packet::Connect(_)) {
        return;
    }
    let mut out = BytesMut::new();
    match encode(packet, Version::V3, &mut out) {
        Ok(()) => drop(decode_one(out, Version::V3)),
        Err(_) => assert!(out.is_empty(), "a refused packet leaves nothing behind"),
    }
}

/// As the broker forwards it: alias and identifiers are the recipient's own.
fn through_template(publish: &Publish, version: Version) {
    let Some(topic) = &publish.topic else { return };
    let made = PublishTemplate::new(version, topic, &publish.properties, &publish.payload, publish.retain);
    let template = made.expect("what decoded can be forwarded");
    let ids: &[u32] = if version == Version::V5 { &[1, 268_435_455] } else { &[] };
    let recipient = Recipient {
        qos: publish.qos,
        dup: publish.dup,
        packet_id: publish.packet_id.map(|_| PacketId::MAX),
        subscription_ids: ids,
        topic_alias: None,
        retain: true,
    };
    let mut out = BytesMut::new();
    template.write(&recipient, &mut out);
    assert_eq!(out.len(), template.len(&recipient), "the measured length");
    let mut expected = publish.clone();
    expected.packet_id = recipient.packet_id;
    expected.dup = publish.dup && publish.qos != QoS::AtMostOnce;
    expected.properties.topic_alias = None;
    expected.properties.subscription_ids = ids.to_vec();
    assert_eq!(decode_one(out, version), Packet::Publish(expected), "forwarded");
}
