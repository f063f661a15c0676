//! Packets in words, for reports.

use parlance_mqtt::{Packet, PacketId};

/// What came, in words.
pub(crate) fn seen(packet: Option<&Packet>) -> String {
    packet.map_or("the server closed".to_owned(), |packet| format!("{} came", name(packet)))
}

pub(super) fn name(packet: &Packet) -> String {
    match packet {
        Packet::Publish(publish) => format!(
            "PUBLISH {:?} on {:?} (QoS {}, id {:?}{}{})",
            text(&publish.payload),
            publish.topic.as_ref().map_or("", |topic| topic.as_str()),
            publish.qos as u8,
            publish.packet_id.map_or(0, PacketId::get),
            if publish.dup { ", DUP" } else { "" },
            if publish.retain { ", RETAIN" } else { "" },
        ),
        Packet::ConnAck(connack) => format!("CONNACK {}", connack.reason),
        Packet::Disconnect(disconnect) => format!("DISCONNECT {}", disconnect.reason),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            format!("{} {} ({})", packet.packet_type(), ack.packet_id, ack.reason)
        }
        Packet::SubAck(suback) => format!("SUBACK {} {:?}", suback.packet_id, suback.codes),
        Packet::UnsubAck(unsuback) => format!("UNSUBACK {} {:?}", unsuback.packet_id, unsuback.codes),
        other => other.packet_type().to_string(),
    }
}

/// As much of a payload as a report can hold.
pub(crate) fn text(payload: &[u8]) -> String {
    String::from_utf8_lossy(start(payload)).into_owned()
}

pub(super) fn start(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(60)]
}
