//! What the client says.

use parlance_mqtt::{
    Disconnect, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe, Unsubscribe, Version,
};

use super::{Ending, Session};
use crate::handshake::is_as_indicated;
use crate::received::Known;
use crate::{Domain, Millis, Output, PublishOutcome, Ticket, WillFate};

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
            Packet::PubRec(ack) => self.handle_pubrec(&ack),
            // The reason of a PUBREL changes nothing: the client is done with the id.
            Packet::PubRel(rel) => self.handle_pubrel(rel.packet_id),
            Packet::PubComp(ack) => self.handle_pubcomp(ack.packet_id),
            Packet::Subscribe(subscribe) => self.handle_subscribe(subscribe),
            Packet::Unsubscribe(unsubscribe) => self.handle_unsubscribe(unsubscribe),
            // MQTT-3.12.4-1
            Packet::PingReq => self.control.push_back(Output::Send(Packet::PingResp)),
            Packet::Disconnect(disconnect) => self.handle_disconnect(disconnect),
            Packet::Auth(auth) => self.handle_auth(auth),
            // A second CONNECT (MQTT-3.1.0-2), and what only a server may send.
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp => self.violation(ReasonCode::ProtocolError),
        }
        self.deaf = !self.accepts_input();
    }

    fn handle_publish(&mut self, mut publish: Publish) {
        let checked = check_publish(&publish).and_then(|()| self.resolve_topic(&mut publish));
        if let Err(reason) = checked {
            return self.violation(reason);
        }
        let valid = is_as_indicated(&publish.properties, &publish.payload);
        let ticket = match publish.packet_id {
            None => Ticket::NONE,
            Some(packet_id) => match self.receive(packet_id, publish.qos, publish.dup) {
                Ok(Some(ticket)) => ticket,
                Ok(None) => return self.count_repeated(),
                Err(reason) => return self.violation(reason),
            },
        };
        if !valid {
            self.counters.invalid_payloads = self.counters.invalid_payloads.saturating_add(1);
            return self.publish_done(ticket, PublishOutcome::with(ReasonCode::PayloadFormatInvalid));
        }
        self.control.push_back(Output::Publish { ticket, publish });
    }

    /// Puts the topic in the place of its alias, which means nothing to others (MQTT-3.3.2-7).
    fn resolve_topic(&mut self, publish: &mut Publish) -> Result<(), ReasonCode> {
        let Some(alias) = publish.properties.topic_alias.take() else {
            return publish.topic.is_some().then_some(()).ok_or(ReasonCode::ProtocolError);
        };
        if alias == 0 || alias > self.config.topic_alias_maximum {
            // MQTT-3.3.2-8, MQTT-3.3.2-9
            return Err(ReasonCode::TopicAliasInvalid);
        }
        let aliases = self.aliases.made();
        match &publish.topic {
            Some(topic) => aliases.hear(alias, topic),
            // An alias that was not set is a Protocol Error, not an invalid alias (MQTT-3.3.4).
            None => publish.topic = Some(aliases.heard(alias).ok_or(ReasonCode::ProtocolError)?),
        }
        Ok(())
    }

    /// Takes in the packet id of a publish. `None`: it is not a new publish.
    fn receive(&mut self, packet_id: PacketId, qos: QoS, dup: bool) -> Result<Option<Ticket>, ReasonCode> {
        let (repeat, counts) = match (self.received.find(packet_id), qos) {
            (Known::New, _) => (false, true),
            // One PUBREC comes, and answers both.
            (Known::Waiting(QoS::ExactlyOnce), QoS::ExactlyOnce) => return Ok(None),
            // The first copy will be acknowledged.
            (Known::Waiting(QoS::AtLeastOnce), QoS::AtLeastOnce) if dup => return Ok(None),
            // Until PUBREL the id stands for the message that had it first, and is answered with PUBREC, whatever
            // DUP says (MQTT-4.3.3-10). So also where an earlier connection brought it: a client that begins
            // another message with it has forgotten its session and should have closed the connection (MQTT-3.2.2-4);
            // to forward the publish would break "once" for those that have not.
            (Known::Kept { here }, QoS::ExactlyOnce) => (true, !here),
            // Such a client is helped where nothing can come twice by it.
            (Known::Kept { here: false }, _) => (false, true),
            // An id in use for another publish (MQTT-2.2.1-3); after PUBREL it is in use until PUBCOMP
            // (MQTT-4.3.3-6, MQTT-4.3.3-12).
            _ => return Err(ReasonCode::ProtocolError),
        };
        let full = self.received.counted() >= usize::from(self.config.receive_maximum);
        if counts && full && self.config.version == Version::V5 {
            // MQTT-3.3.4-9
            return Err(ReasonCode::ReceiveMaximumExceeded);
        }
        if repeat {
            self.received.repeat(packet_id);
            self.send_answers();
            return Ok(None);
        }
        Ok(Some(self.received.begin(packet_id, qos)))
    }

    fn count_repeated(&mut self) {
        self.counters.repeated_publishes = self.counters.repeated_publishes.saturating_add(1);
    }

    /// A negative PUBACK is an acknowledgement too: the client has it and does not want it again.
    fn handle_puback(&mut self, packet_id: PacketId) {
        match self.inflight.get(packet_id).map(|slot| slot.qos) {
            None => self.count_unknown_ack(),
            // A QoS 2 packet is answered with PUBREC (MQTT-4.3.3-8).
            Some(QoS::ExactlyOnce) => self.violation(ReasonCode::ProtocolError),
            Some(_) => _ = self.settle(packet_id),
        }
    }

    fn handle_subscribe(&mut self, subscribe: Subscribe) {
        if subscribe.filters.iter().any(|it| it.no_local && it.filter.shared().is_some()) {
            // MQTT-3.8.3-4
            return self.violation(ReasonCode::ProtocolError);
        }
        self.requests = self.requests.saturating_add(1);
        self.control.push_back(Output::Subscribe(subscribe));
    }

    fn handle_unsubscribe(&mut self, unsubscribe: Unsubscribe) {
        self.requests = self.requests.saturating_add(1);
        self.control.push_back(Output::Unsubscribe(unsubscribe));
    }

    fn handle_disconnect(&mut self, disconnect: Disconnect) {
        if disconnect.server_reference.is_some() {
            // MQTT-3.14.2.2.5: the server's word.
            return self.violation(ReasonCode::ProtocolError);
        }
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

    pub(super) fn violation(&mut self, reason: ReasonCode) {
        self.end(reason, None, WillFate::Publish);
    }
}

/// What a publish of a client may not have.
fn check_publish(publish: &Publish) -> Result<(), ReasonCode> {
    if !publish.properties.subscription_ids.is_empty() {
        // MQTT-3.3.4-6
        return Err(ReasonCode::ProtocolError);
    }
    if publish.packet_id.is_some() != (publish.qos != QoS::AtMostOnce) {
        // MQTT-2.2.1-2, MQTT-2.2.1-3
        return Err(ReasonCode::ProtocolError);
    }
    Ok(())
}
