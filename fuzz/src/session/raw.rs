//! Packets of a client: those that a good one sends besides, and anything at all.

use std::collections::HashMap;

use bytes::Bytes;
use parlance_mqtt::{
    Ack, Auth, Disconnect, Packet, PacketId, Publish, PublishProperties, QoS, ReasonCode, RetainHandling,
    SubAck, Subscribe, SubscribeFilter, Unsubscribe,
};

use super::setup::METHOD;
use super::world::Open;

pub(super) fn qos_of(byte: u8) -> QoS {
    [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(byte % 3)]
}

pub(super) fn subscribe_to(packet_id: PacketId, no_local_share: bool) -> Packet {
    let filter = if no_local_share { "$share/g/app/#" } else { "app/#" };
    Packet::Subscribe(Subscribe {
        packet_id,
        filters: vec![SubscribeFilter {
            filter: filter.parse().expect("a filter"),
            qos: QoS::AtLeastOnce,
            no_local: no_local_share,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        }],
        subscription_id: None,
        user_properties: Vec::new(),
    })
}

pub(super) fn unsubscribe(packet_id: PacketId) -> Packet {
    let filters = vec!["app/#".parse().expect("a filter")];
    Packet::Unsubscribe(Unsubscribe { packet_id, filters, user_properties: Vec::new() })
}

pub(super) fn auth(reason: ReasonCode) -> Packet {
    let method = Some(Bytes::from_static(METHOD));
    Packet::Auth(Auth { reason, method, data: None, reason_string: None, user_properties: Vec::new() })
}

/// Anything; the ids are those in use, or near the ends of their ranges.
pub(super) fn raw(kind: u8, id: u8, flags: u8, open: &HashMap<PacketId, Open>) -> Packet {
    let mut in_use: Vec<PacketId> = open.keys().copied().collect();
    in_use.sort_unstable();
    let ends = [1, 2, 3, 4, 32_767, 32_768, 32_769, 65_535];
    let packet_id = if flags & 0x80 != 0 && !in_use.is_empty() {
        in_use[usize::from(id) % in_use.len()]
    } else {
        PacketId::new(ends[usize::from(id) % ends.len()]).unwrap_or(PacketId::MIN)
    };
    let reason = if flags & 0x40 != 0 { ReasonCode::UnspecifiedError } else { ReasonCode::Success };
    let ack = Ack { reason, ..Ack::success(packet_id) };
    match kind % 16 {
        0..=3 => raw_publish(packet_id, flags),
        4 => Packet::PubAck(ack),
        5 | 6 => Packet::PubRec(ack),
        7 | 8 => Packet::PubRel(ack),
        9 | 10 => Packet::PubComp(ack),
        11 => subscribe_to(packet_id, flags & 1 != 0),
        12 => unsubscribe(packet_id),
        13 => {
            auth(if flags & 1 == 0 { ReasonCode::ReAuthenticate } else { ReasonCode::ContinueAuthentication })
        }
        14 if flags & 1 == 0 => Packet::PingReq,
        14 => {
            let expiry = (flags & 2 != 0).then_some(u32::from(flags));
            let reason = if flags & 4 == 0 { ReasonCode::Success } else { ReasonCode::DisconnectWithWill };
            Packet::Disconnect(Disconnect { session_expiry_s: expiry, ..Disconnect::with(reason) })
        }
        _ => match flags % 3 {
            0 => Packet::PingResp,
            1 => Packet::PubAck(ack),
            _ => Packet::SubAck(SubAck {
                packet_id,
                codes: Vec::new(),
                reason_string: None,
                user_properties: Vec::new(),
            }),
        },
    }
}

fn raw_publish(packet_id: PacketId, flags: u8) -> Packet {
    let qos = qos_of(flags & 3);
    let properties = PublishProperties {
        payload_is_utf8: (flags & 32 != 0).then_some(true),
        topic_alias: (flags & 8 != 0).then_some(u16::from(flags >> 4 & 3)),
        subscription_ids: if flags & 0x3F == 0x3F { vec![1] } else { Vec::new() },
        ..PublishProperties::default()
    };
    Packet::Publish(Publish {
        dup: flags & 4 != 0,
        qos,
        retain: false,
        topic: (flags & 0x18 != 0x08).then(|| super::client::topic_of(u64::from(flags))),
        // A packet that the decoder would not make: the session must not trust it.
        packet_id: (qos != QoS::AtMostOnce || flags & 0x7F == 0x74).then_some(packet_id),
        properties,
        payload: Bytes::from(vec![flags; usize::from(flags & 3)]),
    })
}
