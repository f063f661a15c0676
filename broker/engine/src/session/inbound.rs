//! What the client says.

use parlance_mqtt::{
    Ack, Disconnect, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe, Unsubscribe, Version,
};

use super::{Ending, Session};
use crate::{Domain, Millis, Output, Ticket, WillFate};

impl<D: Domain> Session<D> {
    /// Takes in a packet that came after CONNECT. Ask [`accepts_input`](Session::accepts_input) before each.
    pub fn handle_packet(&mut self, packet: Packet, now: Millis) {
        self.clock = self.clock.max(now);
        if self.is_closed() {
            return;
        }
        self.keep_alive.heard(now);
        self.resting = matches!(packet, Packet::PingReq);
        match packet {
            Packet::Publish(publish) => self.handle_publish(publish),
            Packet::PubAck(ack) => self.handle_puback(ack.packet_id),
            Packet::PubRel(rel) => self.handle_pubrel(rel.packet_id),
            Packet::Subscribe(subscribe) => self.handle_subscribe(subscribe),
            Packet::Unsubscribe(unsubscribe) => self.handle_unsubscribe(unsubscribe),
            // MQTT-3.12.4-1
            Packet::PingReq => self.control.push_back(Output::Send(Packet::PingResp)),
            Packet::Disconnect(disconnect) => self.handle_disconnect(disconnect),
            // A second CONNECT (MQTT-3.1.0-2); AUTH without a method agreed on (MQTT-4.12.0-6);
            // QoS 2 answers to packets that were never QoS 2; and what only a server may send.
            Packet::Connect(_)
            | Packet::Auth(_)
            | Packet::PubRec(_)
            | Packet::PubComp(_)
            | Packet::ConnAck(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp => self.violation(ReasonCode::ProtocolError),
        }
        self.deaf = !self.accepts_input();
    }

    fn handle_publish(&mut self, mut publish: Publish) {
        if let Err(reason) = check_publish(&publish, self.config.version) {
            return self.violation(reason);
        }
        // In 3.1.1 a client cannot know that nothing is retained here: the flag is not obeyed.
        publish.retain = false;
        let ticket = match publish.packet_id {
            None => Ticket::NONE,
            Some(packet_id) => match self.receive(packet_id, publish.dup) {
                Some(ticket) => ticket,
                None => return,
            },
        };
        self.control.push_back(Output::Publish { ticket, publish });
    }

    /// Takes in the packet id of a QoS 1 publish. `None`: it is not a new publish.
    fn receive(&mut self, packet_id: PacketId, dup: bool) -> Option<Ticket> {
        if self.received.contains(packet_id) {
            if dup {
                // The first copy will be acknowledged.
                self.counters.repeated_publishes = self.counters.repeated_publishes.saturating_add(1);
            } else {
                // An id in use for another publish (MQTT-2.2.1-3).
                self.violation(ReasonCode::ProtocolError);
            }
            return None;
        }
        let full = self.received.len() >= usize::from(self.config.receive_maximum);
        if full && self.config.version == Version::V5 {
            // MQTT-3.3.4-9
            self.violation(ReasonCode::ReceiveMaximumExceeded);
            return None;
        }
        Some(self.received.begin(packet_id))
    }

    /// A negative PUBACK is an acknowledgement too: the client has it and does not want it again.
    fn handle_puback(&mut self, packet_id: PacketId) {
        if !self.settle(packet_id) {
            self.counters.unknown_acks = self.counters.unknown_acks.saturating_add(1);
        }
    }

    /// The end of a QoS 2 publish that a client began elsewhere: let it finish (MQTT-4.3.3).
    fn handle_pubrel(&mut self, packet_id: PacketId) {
        let mut done = Ack::success(packet_id);
        if self.config.version == Version::V5 {
            done.reason = ReasonCode::PacketIdentifierNotFound;
        }
        self.control.push_back(Output::Send(Packet::PubComp(done)));
    }

    fn handle_subscribe(&mut self, subscribe: Subscribe) {
        self.requests = self.requests.saturating_add(1);
        self.control.push_back(Output::Subscribe(subscribe));
    }

    fn handle_unsubscribe(&mut self, unsubscribe: Unsubscribe) {
        self.requests = self.requests.saturating_add(1);
        self.control.push_back(Output::Unsubscribe(unsubscribe));
    }

    fn handle_disconnect(&mut self, disconnect: Disconnect) {
        if let Some(asked_s) = disconnect.session_expiry_s {
            if self.config.session_expiry_s == 0 && asked_s != 0 {
                // MQTT-3.14.2-2: a session that was to end with its connection cannot be prolonged.
                return self.violation(ReasonCode::ProtocolError);
            }
            self.config.session_expiry_s = asked_s.min(self.config.session_expiry_s_max);
        }
        // MQTT-3.14.4-3: only a normal goodbye takes the will back.
        let will =
            if disconnect.reason == ReasonCode::Success { WillFate::Discard } else { WillFate::Publish };
        self.ending = Some(Box::new(Ending {
            cause: disconnect.reason,
            disconnect: false,
            reason_string: None,
            will,
            told: false,
        }));
    }

    fn violation(&mut self, reason: ReasonCode) {
        self.end(reason, None, WillFate::Publish);
    }
}

/// What a publish of a client may not have.
fn check_publish(publish: &Publish, version: Version) -> Result<(), ReasonCode> {
    if publish.properties.topic_alias.is_some() {
        // Topic Alias Maximum is 0 (MQTT-3.3.2-9).
        return Err(ReasonCode::TopicAliasInvalid);
    }
    if publish.topic.is_none() || !publish.properties.subscription_ids.is_empty() {
        // MQTT-3.3.2-1, MQTT-3.3.4-6
        return Err(ReasonCode::ProtocolError);
    }
    if publish.qos == QoS::ExactlyOnce {
        // MQTT-3.2.2-11
        return Err(ReasonCode::QoSNotSupported);
    }
    if publish.packet_id.is_some() != (publish.qos == QoS::AtLeastOnce) {
        // MQTT-2.2.1-2, MQTT-2.2.1-3
        return Err(ReasonCode::ProtocolError);
    }
    if publish.retain && version == Version::V5 {
        // MQTT-3.2.2-14
        return Err(ReasonCode::RetainNotSupported);
    }
    Ok(())
}
