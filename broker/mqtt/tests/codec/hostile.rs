//! No input makes the codec panic, and how a stream is cut into chunks changes nothing.

use bytes::Bytes;
use parlance_mqtt::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::arbitrary::versioned;
use crate::{decoded, encoded};

const BYTES_MAX: u32 = 64 * 1024;

/// The packets of a stream, and the error that ended it.
type Outcome = (Vec<Packet>, Option<DecodeError>);

/// Feeds `stream` in chunks whose lengths repeat `lengths`.
fn decode_in_chunks(stream: &Bytes, version: Version, lengths: &[usize]) -> Outcome {
    let mut decoder = Decoder::new(BYTES_MAX);
    decoder.set_version(version);
    let (mut packets, mut rest, mut lengths) = (Vec::new(), stream.clone(), lengths.iter().cycle());
    while !rest.is_empty() {
        let length = lengths.next().map_or(1, |&length| length).min(rest.len());
        // Its own allocation, as a socket read would be.
        decoder.feed(Bytes::copy_from_slice(&rest.split_to(length)));
        loop {
            match decoder.next() {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next(), Err(error), "an error stays");
                    assert_eq!(decoder.buffered(), 0);
                    return (packets, Some(error));
                }
            }
        }
        assert!(decoder.buffered() < BYTES_MAX as usize);
    }
    (packets, None)
}

fn whole(stream: &Bytes, version: Version) -> Outcome {
    decode_in_chunks(stream, version, &[usize::MAX])
}

#[derive(Debug, Clone)]
enum Mutation {
    Set(Index, u8),
    Flip(Index, u8),
    Remove(Index),
    Insert(Index, u8),
    Truncate(Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    // The bytes on which codecs stumble.
    let byte =
        || prop_oneof![any::<u8>(), select(vec![0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0xC0, 0xED, b'#', b'+'])];
    prop_oneof![
        (at(), byte()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (at(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        at().prop_map(Mutation::Remove),
        (at(), byte()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        at().prop_map(Mutation::Truncate),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    if bytes.is_empty() {
        return;
    }
    match mutation {
        Mutation::Set(at, byte) => *at.get_mut(bytes) = *byte,
        Mutation::Flip(at, bit) => *at.get_mut(bytes) ^= 1 << bit,
        Mutation::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
        Mutation::Insert(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
        Mutation::Truncate(at) => bytes.truncate(at.index(bytes.len())),
    }
}

/// A frame whose length is right, so that the mistake is found by the packet's own rules.
fn framed(first: u8, body: &[u8]) -> Bytes {
    assert!(body.len() < 128);
    [&[first, body.len() as u8], body].concat().into()
}

/// The version in which a packet that was decoded is encoded again.
fn version_after(packet: &Packet, version: Version) -> Version {
    match packet {
        Packet::Connect(connect) => connect.version,
        _ => version,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn arbitrary_bytes(
        version in select(vec![Version::V3, Version::V5]),
        bytes in vec(any::<u8>(), 0..200),
        lengths in vec(1..40_usize, 1..5),
    ) {
        let stream = Bytes::from(bytes);
        prop_assert_eq!(decode_in_chunks(&stream, version, &lengths), whole(&stream, version));
    }

    /// Whatever passes the decoder passes the encoder, and means the same afterwards: one set of rules.
    #[test]
    fn what_decodes_encodes(
        version in select(vec![Version::V3, Version::V5]),
        first in any::<u8>(),
        body in vec(prop_oneof![3 => 0..8_u8, 1 => any::<u8>()], 0..40),
    ) {
        if let Ok(packet) = decoded(framed(first, &body), version) {
            prop_assert_eq!(decoded(encoded(&packet, version), version), Ok(packet));
        }
    }

    #[test]
    fn mutated_packets(
        (version, packet) in versioned(),
        mutations in vec(mutation(), 1..4),
        lengths in vec(1..60_usize, 1..5),
    ) {
        let mut bytes = encoded(&packet, version).to_vec();
        mutations.iter().for_each(|mutation| mutate(&mut bytes, mutation));
        let stream = Bytes::from(bytes);
        let (packets, error) = whole(&stream, version);
        prop_assert_eq!(decode_in_chunks(&stream, version, &lengths), (packets.clone(), error));
        let mut version = version;
        for packet in packets {
            version = version_after(&packet, version);
            prop_assert_eq!(decoded(encoded(&packet, version), version), Ok(packet));
        }
    }

    #[test]
    fn mutated_bodies((version, packet) in versioned(), mutations in vec(mutation(), 1..3)) {
        let bytes = encoded(&packet, version);
        prop_assume!(bytes.len() < 120);
        let mut body = bytes[2..].to_vec();
        mutations.iter().for_each(|mutation| mutate(&mut body, mutation));
        if let Ok(packet) = decoded(framed(bytes[0], &body), version) {
            let version = version_after(&packet, version);
            prop_assert_eq!(decoded(encoded(&packet, version), version), Ok(packet));
        }
    }

    #[test]
    fn many_packets_in_any_chunks(
        packets in vec(versioned(), 1..12),
        version in select(vec![Version::V3, Version::V5]),
        lengths in vec(1..100_usize, 1..6),
    ) {
        let packets: Vec<_> = packets
            .into_iter()
            .filter(|(of, packet)| *of == version && !matches!(packet, Packet::Connect(_)))
            .map(|(_, packet)| packet)
            .collect();
        let stream: Vec<u8> = packets.iter().flat_map(|packet| encoded(packet, version)).collect();
        let stream = Bytes::from(stream);
        prop_assert_eq!(decode_in_chunks(&stream, version, &lengths), (packets, None));
    }
}
