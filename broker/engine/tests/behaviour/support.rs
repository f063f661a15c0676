//! A session with words that are numbers, and shorthand for driving it.

use bytes::Bytes;
use parlance_engine::{Channels, Domain, Entry, Millis, Output, Session, SessionConfig};
use parlance_mqtt::{Ack, Packet, PacketId, Publish, PublishProperties, QoS, ReasonCode, TopicName, Version};

pub(crate) struct Numbers;

impl Domain for Numbers {
    type Conversation = u32;
    type User = u32;
    /// Conversation × 1000 + seq.
    type Message = u64;
    type Note = &'static str;

    fn message_bytes(_: &u64) -> usize {
        MESSAGE_BYTES
    }
}

/// What each message is said to hold.
pub(crate) const MESSAGE_BYTES: usize = 10;

pub(crate) type TestSession = Session<Numbers>;
pub(crate) type TestOutput = Output<Numbers>;

pub(crate) const NOW: Millis = Millis(1_000);
/// The channel most tests use, as a set.
pub(crate) const ZERO: Channels = Channels::one(0);

pub(crate) fn config(version: Version) -> SessionConfig {
    SessionConfig {
        version,
        send_window: 4,
        client_packet_max: None,
        receive_maximum: 3,
        keep_alive_ms: 60_000,
        session_expiry_s: 3_600,
        session_expiry_s_max: 7_200,
        durable: true,
        topic_alias_maximum: 4,
        client_topic_alias_maximum: 0,
        authentication_method: None,
        problem_information: true,
        ready_messages_max: 8,
        ready_bytes_max: 1_000,
        notes_max: 4,
        page_messages_max: 4,
        reads_in_flight_max: 2,
    }
}

pub(crate) fn session() -> TestSession {
    Session::new(config(Version::V5), NOW)
}

pub(crate) fn id(packet_id: u16) -> PacketId {
    PacketId::new(packet_id).unwrap()
}

pub(crate) fn publish(packet_id: u16) -> Packet {
    Packet::Publish(Publish {
        dup: false,
        qos: if packet_id == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce },
        retain: false,
        topic: Some(TopicName::new(&b"user/bob/text"[..]).unwrap()),
        packet_id: PacketId::new(packet_id),
        properties: PublishProperties::default(),
        payload: Bytes::from_static(b"hello"),
    })
}

/// A publish with something changed.
pub(crate) fn publish_with(packet_id: u16, change: impl FnOnce(&mut Publish)) -> Packet {
    let Packet::Publish(mut publish) = publish(packet_id) else { unreachable!() };
    change(&mut publish);
    Packet::Publish(publish)
}

pub(crate) fn puback(packet_id: u16) -> Packet {
    Packet::PubAck(Ack::success(id(packet_id)))
}

/// One poll round.
pub(crate) fn round(session: &mut TestSession) -> Vec<TestOutput> {
    std::iter::from_fn(|| session.poll_output()).collect()
}

/// One poll round in words: what `Output` prints, without messages.
pub(crate) fn words(session: &mut TestSession) -> Vec<String> {
    round(session).iter().map(|output| format!("{output:?}")).collect()
}

/// What was delivered in a round: (message, packet id or 0, dup).
pub(crate) fn deliveries(session: &mut TestSession) -> Vec<(u64, u16, bool)> {
    round(session)
        .into_iter()
        .filter_map(|output| match output {
            Output::Deliver { message, packet_id, dup, .. } => {
                Some((message, packet_id.map_or(0, PacketId::get), dup))
            }
            _ => None,
        })
        .collect()
}

pub(crate) fn message(conversation: u32, seq: u64) -> u64 {
    u64::from(conversation) * 1_000 + seq
}

pub(crate) fn announce(session: &mut TestSession, conversation: u32, seq: u64) -> bool {
    session.announce(conversation, seq, message(conversation, seq), ZERO)
}

/// Log records of a conversation.
pub(crate) fn entries(conversation: u32, seqs: impl IntoIterator<Item = u64>) -> Vec<Entry<Numbers>> {
    seqs.into_iter().map(|seq| Entry { seq, message: message(conversation, seq), channels: ZERO }).collect()
}

/// Acknowledges these packets.
pub(crate) fn ack(session: &mut TestSession, packet_ids: impl IntoIterator<Item = u16>) {
    for packet_id in packet_ids {
        session.handle_packet(puback(packet_id), NOW);
    }
}

/// A QoS 2 publish.
pub(crate) fn publish2(packet_id: u16, dup: bool) -> Packet {
    publish_with(packet_id, |it| (it.qos, it.dup) = (QoS::ExactlyOnce, dup))
}

pub(crate) fn pubrec(packet_id: u16) -> Packet {
    Packet::PubRec(Ack::success(id(packet_id)))
}

pub(crate) fn pubrel(packet_id: u16) -> Packet {
    Packet::PubRel(Ack::success(id(packet_id)))
}

pub(crate) fn pubcomp(packet_id: u16) -> Packet {
    Packet::PubComp(Ack::success(id(packet_id)))
}

/// Gives the packets to the session, one after the other.
pub(crate) fn say(session: &mut TestSession, packets: impl IntoIterator<Item = Packet>) {
    for packet in packets {
        session.handle_packet(packet, NOW);
    }
}

/// One poll round as a reader of the wire would tell it; what is asked of the server stands in capitals too.
pub(crate) fn story(session: &mut TestSession) -> Vec<String> {
    let ack = |name: &str, ack: &Ack| match ack.reason {
        ReasonCode::Success => format!("{name} {}", ack.packet_id),
        reason => format!("{name} {} 0x{:02X}", ack.packet_id, reason.code()),
    };
    let sent = |qos: QoS, packet_id: Option<PacketId>, dup| {
        let again = if dup { " again" } else { "" };
        format!("QoS {} id {}{again}", qos as u8, packet_id.map_or(0, PacketId::get))
    };
    round(session)
        .iter()
        .map(|output| match output {
            Output::Send(Packet::PubAck(it)) => ack("PUBACK", it),
            Output::Send(Packet::PubRec(it)) => ack("PUBREC", it),
            Output::Send(Packet::PubRel(it)) => ack("PUBREL", it),
            Output::Send(Packet::PubComp(it)) => ack("PUBCOMP", it),
            Output::Deliver { message, qos, packet_id, dup, .. } => {
                format!("{message} {}", sent(*qos, *packet_id, *dup))
            }
            Output::Note { note, qos, packet_id, dup } => format!("{note} {}", sent(*qos, *packet_id, *dup)),
            other => format!("{other:?}"),
        })
        .collect()
}

/// A session whose channel 0 is QoS 2, tracking conversation 1.
pub(crate) fn exact_session(config: SessionConfig) -> TestSession {
    let mut session = Session::new(config, NOW);
    session.set_channel_qos(0, QoS::ExactlyOnce);
    session.track(1, 0, 0);
    session
}
