//! A connection whose every packet is told what to be, for tests.

use super::{
    line::Line,
    memory::{Habits, Leg, Memory, Under},
    packets::{self, Heard},
};
use crate::{
    checks::{DeviceName, Draft},
    random::Random,
    wire::Socket,
};
use parlance_mqtt::{Ack, Packet, Publish, Version};
use parlance_plugin_api::ConversationId;
use parlance_schema::Format;

/// How long its session lasts, seconds.
const SESSION_S: u32 = 86_400;

/// See the module.
pub struct Dialogue {
    line: Line,
    memory: Memory,
}

impl Dialogue {
    /// On a connection of a device; nothing is said yet.
    pub fn new(name: DeviceName, number: u64, socket: Socket) -> Self {
        let habits = Habits {
            version: Version::V5,
            format: Format::Pb,
            expiry_s: SESSION_S,
            clean_per_mille: 0,
            receive_maximum: None,
            keep_alive_s: 600,
            idle_ms: 0..1,
            prompt_per_mille: 1000,
            id_per_mille: 1000,
            exactly_per_mille: 0,
            free: None,
            leave_per_mille: 0,
            receipts: false,
            away_ms_max: 0,
        };
        let memory = Memory::new(name, habits, Vec::new(), Random::new(0));
        Self { line: Line::new(number, socket, Version::V5, None), memory }
    }

    /// The connection's number in the run.
    pub fn connection(&self) -> u64 {
        self.line.number
    }

    /// CONNECT.
    pub fn connect(&mut self) {
        let packet = packets::connect(&self.memory, false);
        self.line.send(&packet);
    }

    /// SUBSCRIBE to all messages.
    pub fn subscribe(&mut self) {
        let packet_id = self.memory.packet_id();
        self.line.send(&packets::subscribe(&self.memory.habits, packet_id));
    }

    /// UNSUBSCRIBE from all messages.
    pub fn unsubscribe(&mut self) {
        let packet_id = self.memory.packet_id();
        self.line.send(&packets::unsubscribe(&self.memory.habits, packet_id));
    }

    /// PUBLISH of a message.
    pub fn publish(&mut self, draft: &Draft) {
        let packet_id = self.memory.packet_id();
        let under = Under::Message(draft.clone(), Leg::Once);
        self.line.send(&packets::publish(&self.memory.habits, packet_id, &under, false));
    }

    /// The next packet; `None`: the connection is over.
    pub async fn next(&mut self) -> Option<Packet> {
        self.line.next().await.ok()
    }

    /// Understands a delivery, and acknowledges it if it is to.
    pub fn take(&mut self, publish: &Publish, acknowledges: bool) -> Option<Heard> {
        if let Some(packet_id) = publish.packet_id.filter(|_| acknowledges) {
            self.line.send(&Packet::PubAck(Ack::success(packet_id)));
        }
        packets::understand(publish)
    }

    /// Where an acknowledgement says that its message is.
    pub fn place(ack: &Ack) -> Option<(ConversationId, u64)> {
        packets::place(&ack.user_properties)
    }

    /// The code of a refusal.
    pub fn code(ack: &Ack) -> Option<String> {
        packets::property(&ack.user_properties, "code").map(str::to_owned)
    }
}
