//! Packets → bytes. One file for each family of packets.
//!
//! What a packet's body is, is written once, for two readers: [`out::Check`] measures it and judges each
//! field, then the buffer takes it. So the length in the fixed header is never a second opinion.

mod ack;
mod close;
mod connack;
mod connect;
pub(crate) mod out;
pub(crate) mod properties;
mod publish;
mod subscribe;
#[cfg(test)]
mod tests;

use bytes::BytesMut;

use out::{Check, Out};
pub(crate) use publish::{
    check_message_properties, first_byte as publish_first_byte, put_message_properties,
};

use crate::{EncodeError, Packet, PacketType, ReasonCode, Version, varint};

/// Appends one packet to `out`. On an error `out` is as it was.
///
/// In 3.1.1 properties are left out and reason codes become what that version has for them: a return code in
/// CONNACK and SUBACK, nothing elsewhere. What it cannot express at all is an error: AUTH, and a DISCONNECT
/// that is not the plain one of a client. A CONNECT is written in the version that it names itself.
pub fn encode(packet: &Packet, version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
    let version = version_of(packet, version);
    if ack::encode_plain(packet, version, out) {
        return Ok(());
    }
    if version == Version::V5
        && let Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) = packet
    {
        return ack::encode_explained(packet, ack, out);
    }
    let remaining = remaining_len(packet, version)?;
    let total = 1 + varint::len(remaining) + remaining;
    let start = out.len();
    out.reserve(total);
    out.u8(first_byte(packet));
    out.varint(remaining);
    let written = put_body(packet, version, out);
    if written.is_err() {
        out.truncate(start);
    } else {
        debug_assert_eq!(out.len() - start, total, "measured and written length of {packet:?}");
    }
    written
}

/// The size in bytes that [`encode`] gives a packet, to be compared with a peer's Maximum Packet Size.
pub fn encoded_len(packet: &Packet, version: Version) -> Result<usize, EncodeError> {
    let remaining = remaining_len(packet, version_of(packet, version))?;
    Ok(1 + varint::len(remaining) + remaining)
}

fn version_of(packet: &Packet, version: Version) -> Version {
    match packet {
        Packet::Connect(connect) => connect.version,
        _ => version,
    }
}

fn remaining_len(packet: &Packet, version: Version) -> Result<usize, EncodeError> {
    check(packet, version)?;
    let mut measured = Check::new(packet.packet_type());
    put_body(packet, version, &mut measured)?;
    match measured.len() {
        len if len > varint::VALUE_MAX => Err(EncodeError::PacketTooLarge { bytes: len }),
        len => Ok(len),
    }
}

fn first_byte(packet: &Packet) -> u8 {
    match packet {
        Packet::Publish(publish) => publish::first_byte(publish.dup, publish.qos, publish.retain),
        other => other.packet_type().first_byte(),
    }
}

/// What the types alone do not rule out.
fn check(packet: &Packet, version: Version) -> Result<(), EncodeError> {
    match packet {
        Packet::Connect(connect) => connect::check(connect),
        Packet::ConnAck(connack) => connack::check(connack, version),
        Packet::Publish(publish) => publish::check(publish, version),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            check_reason(packet.packet_type(), ack.reason, version)
        }
        Packet::Subscribe(subscribe) => subscribe::check_subscribe(subscribe),
        Packet::SubAck(suback) => subscribe::check_suback(suback, version),
        Packet::Unsubscribe(unsubscribe) => subscribe::check_unsubscribe(unsubscribe),
        Packet::UnsubAck(unsuback) => subscribe::check_unsuback(unsuback, version),
        Packet::PingReq | Packet::PingResp => Ok(()),
        Packet::Disconnect(disconnect) => close::check_disconnect(disconnect, version),
        Packet::Auth(auth) => close::check_auth(auth, version),
    }
}

fn put_body<O: Out>(packet: &Packet, version: Version, out: &mut O) -> Result<(), EncodeError> {
    match packet {
        Packet::Connect(connect) => connect::put(connect, out),
        Packet::ConnAck(connack) => connack::put(connack, version, out),
        Packet::Publish(publish) => publish::put(publish, version, out),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            ack::put(ack, version, out)
        }
        Packet::Subscribe(subscribe) => subscribe::put_subscribe(subscribe, version, out),
        Packet::SubAck(suback) => subscribe::put_suback(suback, version, out),
        Packet::Unsubscribe(unsubscribe) => subscribe::put_unsubscribe(unsubscribe, version, out),
        Packet::UnsubAck(unsuback) => subscribe::put_unsuback(unsuback, version, out),
        Packet::PingReq | Packet::PingResp => Ok(()),
        Packet::Disconnect(disconnect) => close::put_disconnect(disconnect, version, out),
        Packet::Auth(auth) => close::put_auth(auth, out),
    }
}

/// 3.1.1 has no reason codes, so there none can be wrong.
fn check_reason(packet: PacketType, reason: ReasonCode, version: Version) -> Result<(), EncodeError> {
    if version == Version::V5 && !reason.is_allowed_in(packet) {
        return Err(EncodeError::ReasonCode { packet, reason });
    }
    Ok(())
}
