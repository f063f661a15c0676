//! A client that follows the specification, with the state that it keeps between connections.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use bytes::Bytes;
use parlance_mqtt::{Ack, Packet, PacketId, Publish, PublishProperties, QoS, ReasonCode, TopicName, Version};

/// What a packet to the client carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Carried {
    Message { conversation: usize, seq: u64, channel: u8 },
    Note(u64),
}

/// What the server wrote.
pub(super) enum ToClient {
    Publish {
        carried: Carried,
        qos: QoS,
        packet_id: Option<PacketId>,
        alias: Option<(u16, bool)>,
        topic: TopicName,
    },
    Packet(Packet),
}

/// A publish of the client that is not settled.
pub(super) struct Sent {
    pub(super) number: u64,
    pub(super) qos: QoS,
    /// PUBREC came.
    received: bool,
}

#[derive(Default)]
pub(super) struct Client {
    /// Packets that it will send, in order.
    pub(super) out: VecDeque<Packet>,
    /// Publishes with QoS 1 or 2, by packet id; the number gives the order.
    pub(super) sent: BTreeMap<u16, Sent>,
    /// QoS 2 packet ids that it received and that are not released.
    held: HashSet<PacketId>,
    /// What reached it, and how often.
    pub(super) got: HashMap<Carried, u32>,
    /// Aliases of this connection: those that the server set, those that the client set.
    told: HashMap<u16, TopicName>,
    set: HashSet<u16>,
    numbers: u64,
    /// A re-authentication has no answer yet.
    pub(super) authenticating: bool,
    /// Publishes with QoS 2.
    pub(super) exact: HashSet<u64>,
    /// Publishes that were acknowledged to the end.
    pub(super) settled: HashSet<u64>,
}

/// The topic of the client's n-th publish; few, so that aliases repeat.
pub(super) fn topic_of(number: u64) -> TopicName {
    format!("app/client/{}", number % 3).parse().expect("a topic name")
}

impl Client {
    /// Begins a publish if the server's Receive Maximum and the packet ids allow it.
    pub(super) fn publish(&mut self, qos: QoS, alias: u16, receive_maximum: u16, version: Version) {
        let full = version == Version::V5 && self.sent.len() >= usize::from(receive_maximum);
        let id = (1..=8).find(|id| !self.sent.contains_key(id));
        let packet_id = match (qos, id) {
            (QoS::AtMostOnce, _) => None,
            (_, Some(id)) if !full => PacketId::new(id),
            _ => return,
        };
        let number = self.numbers;
        self.numbers += 1;
        if let Some(id) = packet_id {
            self.sent.insert(id.get(), Sent { number, qos, received: false });
            self.exact.extend((qos == QoS::ExactlyOnce).then_some(number));
        }
        let publish = self.make(number, qos, packet_id, alias, false);
        self.out.push_back(publish);
    }

    fn make(&mut self, number: u64, qos: QoS, packet_id: Option<PacketId>, alias: u16, dup: bool) -> Packet {
        let mut topic = Some(topic_of(number));
        let mut properties = PublishProperties::default();
        // One alias for each topic: it is set by its first use on a connection.
        if alias > 0 && number % 3 < u64::from(alias) {
            let alias = (number % 3) as u16 + 1;
            properties.topic_alias = Some(alias);
            if !self.set.insert(alias) {
                topic = None;
            }
        }
        let payload = Bytes::copy_from_slice(&number.to_be_bytes());
        Packet::Publish(Publish { dup, qos, retain: false, topic, packet_id, properties, payload })
    }

    /// The connection is gone and another begins with the same session: what is not settled is sent again, in
    /// order (MQTT-4.4.0-1).
    pub(super) fn reconnect(&mut self) {
        self.out.clear();
        self.told.clear();
        self.set.clear();
        self.authenticating = false;
        let mut again: Vec<(u16, u64, QoS, bool)> =
            self.sent.iter().map(|(id, sent)| (*id, sent.number, sent.qos, sent.received)).collect();
        again.sort_unstable_by_key(|(_, number, ..)| *number);
        for (id, number, qos, received) in again {
            let packet_id = PacketId::new(id);
            let packet = match (packet_id, received) {
                (Some(id), true) => Packet::PubRel(Ack::success(id)),
                _ => self.make(number, qos, packet_id, 0, true),
            };
            self.out.push_back(packet);
        }
    }

    /// The session is gone on the server: begin anew.
    pub(super) fn forget(&mut self) {
        self.sent.clear();
        self.held.clear();
        self.got.clear();
        self.reconnect();
    }

    /// Takes in what the server wrote, and answers.
    pub(super) fn receive(&mut self, what: ToClient) {
        match what {
            ToClient::Publish { carried, qos, packet_id, alias, topic } => {
                self.resolve(alias, &topic);
                self.receive_publish(carried, qos, packet_id);
            }
            ToClient::Packet(packet) => self.receive_packet(packet),
        }
    }

    fn resolve(&mut self, alias: Option<(u16, bool)>, topic: &TopicName) {
        match alias {
            Some((alias, true)) => _ = self.told.insert(alias, topic.clone()),
            Some((alias, false)) => {
                assert_eq!(self.told.get(&alias), Some(topic), "alias {alias} (MQTT-3.3.2-7)");
            }
            None => {}
        }
    }

    fn receive_publish(&mut self, carried: Carried, qos: QoS, packet_id: Option<PacketId>) {
        let Some(packet_id) = packet_id else {
            *self.got.entry(carried).or_default() += 1;
            return;
        };
        if qos == QoS::AtLeastOnce {
            *self.got.entry(carried).or_default() += 1;
            return self.out.push_back(Packet::PubAck(Ack::success(packet_id)));
        }
        // A QoS 2 packet whose id is held is the same packet again (MQTT-4.3.3-10).
        if self.held.insert(packet_id) {
            *self.got.entry(carried).or_default() += 1;
        }
        self.out.push_back(Packet::PubRec(Ack::success(packet_id)));
    }

    fn receive_packet(&mut self, packet: Packet) {
        match packet {
            Packet::PubAck(ack) => {
                let sent = self.sent.remove(&ack.packet_id.get()).expect("PUBACK for what was published");
                assert_eq!(sent.qos, QoS::AtLeastOnce, "PUBACK answers QoS 1");
                self.settled.extend((!ack.reason.is_error()).then_some(sent.number));
            }
            Packet::PubRec(ack) => {
                let sent = self.sent.get_mut(&ack.packet_id.get()).expect("PUBREC for what was published");
                assert_eq!(sent.qos, QoS::ExactlyOnce, "PUBREC answers QoS 2");
                sent.received = true;
                if ack.reason.is_error() {
                    self.sent.remove(&ack.packet_id.get());
                } else {
                    self.out.push_back(Packet::PubRel(Ack::success(ack.packet_id)));
                }
            }
            Packet::PubComp(ack) => {
                let sent = self.sent.remove(&ack.packet_id.get()).expect("PUBCOMP for what was published");
                assert!(sent.received, "PUBCOMP answers PUBREL");
                self.settled.insert(sent.number);
            }
            Packet::PubRel(ack) => {
                let reason = if self.held.remove(&ack.packet_id) {
                    ReasonCode::Success
                } else {
                    ReasonCode::PacketIdentifierNotFound
                };
                self.out.push_back(Packet::PubComp(Ack { reason, ..Ack::success(ack.packet_id) }));
            }
            Packet::Auth(_) => self.authenticating = false,
            _ => {}
        }
    }
}
