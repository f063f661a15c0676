//! The codec as its users see it: expected bytes, round trips, hostile input, and other people's codecs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test helpers stand outside of test functions")]

mod arbitrary;
mod expected;
mod expected_v5;
mod hostile;
mod rmqtt_v3;
mod rmqtt_v5;
mod round_trip;
mod rumqttc_v4;
mod rumqttc_v5;

use bytes::{Bytes, BytesMut};
use parlance_mqtt::{DecodeError, Packet, Version, decode, encode};

/// No limit but the protocol's.
const ANY_SIZE: u32 = u32::MAX;

fn encoded(packet: &Packet, version: Version) -> BytesMut {
    let mut out = BytesMut::new();
    encode(packet, version, &mut out).expect("a valid packet");
    out
}

/// Decodes bytes that are exactly one packet.
fn decoded(bytes: impl Into<Bytes>, version: Version) -> Result<Packet, DecodeError> {
    let mut buf = bytes.into();
    let packet = decode(&mut buf, version, ANY_SIZE)?.expect("a whole packet");
    assert!(buf.is_empty(), "bytes left behind {packet:?}");
    Ok(packet)
}
