//! QoS 2 after the PUBLISH, in both directions (MQTT-4.3.3).

use parlance_mqtt::{Ack, Packet, PacketId, QoS, ReasonCode, Version};

use super::Session;
use crate::inflight::{Receipt, Stage};
use crate::received::Released;
use crate::{Domain, Output};

/// The server sends.
impl<D: Domain> Session<D> {
    /// The client has a QoS 2 packet, or does not want it.
    pub(super) fn handle_pubrec(&mut self, ack: &Ack) {
        let packet_id = ack.packet_id;
        match self.inflight.get(packet_id).map(|slot| slot.qos) {
            None => {
                self.count_unknown_ack();
                if !ack.reason.is_error() {
                    // It was given up, or is of a session that is gone: the client need not keep the id.
                    self.send_stray_pubrel(packet_id);
                }
                return;
            }
            Some(QoS::ExactlyOnce) => {}
            // A QoS 1 packet is answered with PUBACK (MQTT-4.3.2-4).
            Some(_) => return self.violation(ReasonCode::ProtocolError),
        }
        if ack.reason.is_error() {
            // Acknowledged, and not to be sent again (MQTT-4.4.0-2).
            self.settle(packet_id);
            return self.send_pubrels();
        }
        match self.inflight.receive(packet_id, self.config.durable) {
            Some(Receipt::Ask(conversation, seq)) => {
                self.control.push_back(Output::Release { conversation, seq, packet_id });
            }
            Some(Receipt::Release) => self.send_pubrels(),
            Some(Receipt::Again) => {
                self.control.push_back(Output::Send(Packet::PubRel(Ack::success(packet_id))))
            }
            Some(Receipt::Waiting) | None => {}
        }
    }

    /// The last answer to a QoS 2 packet. Any reason settles it: 0x92 says that the client was done with it before.
    pub(super) fn handle_pubcomp(&mut self, packet_id: PacketId) {
        match self.inflight.get(packet_id).map(|slot| slot.stage) {
            None => self.count_unknown_ack(),
            Some(Stage::Released) => _ = self.settle(packet_id),
            // No PUBREL asked for it.
            Some(_) => self.violation(ReasonCode::ProtocolError),
        }
    }

    /// The answer to [`Output::Release`]: PUBREL may leave. PUBRELs leave in the order of the PUBRECs
    /// (MQTT-4.6.0-4), so this one may wait for those before it. An answer to no question is ignored.
    pub fn released(&mut self, packet_id: PacketId) {
        if !self.is_closed() {
            self.inflight.released(packet_id);
            self.send_pubrels();
        }
    }

    /// Sends the PUBRELs whose turn it is.
    pub(super) fn send_pubrels(&mut self) {
        while let Some(packet_id) = self.inflight.next_release() {
            self.control.push_back(Output::Send(Packet::PubRel(Ack::success(packet_id))));
        }
    }

    /// Gives up a packet that an earlier connection sent. The client may hold its id, and would take the next message
    /// with it for this one: it is told to release it, and the id stays taken until it did.
    pub(super) fn abandon(&mut self, packet_id: PacketId) {
        if let Some(what) = self.inflight.abandon(packet_id) {
            self.count_as_acknowledged(&what);
            self.send_stray_pubrel(packet_id);
        }
    }

    /// A PUBREL for a packet that is not known (any more).
    pub(super) fn send_stray_pubrel(&mut self, packet_id: PacketId) {
        let ack = self.not_found(packet_id);
        self.control.push_back(Output::Send(Packet::PubRel(ack)));
    }

    fn not_found(&self, packet_id: PacketId) -> Ack {
        let reason = match self.config.version {
            Version::V3 => ReasonCode::Success,
            Version::V5 => ReasonCode::PacketIdentifierNotFound,
        };
        Ack { reason, ..Ack::success(packet_id) }
    }
}

/// The client sends.
impl<D: Domain> Session<D> {
    /// The client releases a QoS 2 publish: its packet id may be used again after PUBCOMP (MQTT-4.3.3-11,
    /// MQTT-4.3.3-12).
    pub(super) fn handle_pubrel(&mut self, packet_id: PacketId) {
        match self.received.release(packet_id, self.config.durable) {
            Released::Now if self.config.durable => self.control.push_back(Output::Complete { packet_id }),
            Released::Now => self.send_pubcomp(Ack::success(packet_id)),
            Released::Later => {}
            // Most likely its PUBCOMP was lost with an earlier connection. 0x92 is no error then (MQTT-3.7.2.1), but
            // libraries hand it on as a publish that failed, which whoever wrote it would send again.
            Released::Unknown if self.resumed => self.send_pubcomp(Ack::success(packet_id)),
            // The client comes to its end.
            Released::Unknown => self.send_pubcomp(self.not_found(packet_id)),
        }
    }

    /// The answer to [`Output::Complete`]: PUBCOMP may leave. An answer to no question is ignored.
    pub fn completed(&mut self, packet_id: PacketId) {
        if !self.is_closed() && self.received.complete(packet_id) {
            self.send_pubcomp(Ack::success(packet_id));
        }
    }

    fn send_pubcomp(&mut self, ack: Ack) {
        self.control.push_back(Output::Send(Packet::PubComp(ack)));
    }
}
