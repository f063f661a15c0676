//! What a device is like, and what it remembers from one connection to the next.

use crate::{
    checks::{DeviceName, Draft},
    random::Random,
};
use parlance_mqtt::{PacketId, QoS, Version};
use parlance_plugin_api::ConversationId;
use parlance_schema::Format;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
};

/// What a device is like.
#[derive(Debug, Clone)]
pub struct Habits {
    /// What it speaks.
    pub version: Version,
    /// The format that it reads and writes.
    pub format: Format,
    /// Session expiry that it asks for, seconds; 0: its session ends with its connection.
    pub expiry_s: u32,
    /// How often in a thousand it begins anew.
    pub clean_per_mille: u32,
    /// Deliveries that it takes at once.
    pub receive_maximum: Option<u16>,
    /// Keep alive, seconds.
    pub keep_alive_s: u16,
    /// How long it waits from one thing that it does to the next, milliseconds.
    pub idle_ms: Range<u64>,
    /// How often in a thousand it acknowledges at once, not later.
    pub prompt_per_mille: u32,
    /// How often in a thousand it gives its messages ids.
    pub id_per_mille: u32,
    /// How often in a thousand it sends with QoS 2.
    pub exactly_per_mille: u32,
    /// With which QoS it subscribes to free topics.
    pub free: Option<QoS>,
    /// How often in a thousand, when it does something, it leaves.
    pub leave_per_mille: u32,
    /// It wants receipts.
    pub receipts: bool,
    /// It stays away this long at most, milliseconds.
    pub away_ms_max: u64,
}

/// Whether the server must have this device's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionHope {
    /// It may have one or not.
    Unknown,
    /// It was acknowledged, and is to last.
    Kept,
}

/// How far a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leg {
    /// Sent with QoS 1.
    Once,
    /// Sent with QoS 2.
    Exactly,
    /// The server has it, and is to forget its packet id.
    Released,
}

/// A publish that is not done with.
#[derive(Debug, Clone)]
pub(crate) enum Under {
    Message(Draft, Leg),
    Read(ConversationId, u64),
    Call(u64),
}

/// What a device remembers.
#[derive(Debug)]
pub struct Memory {
    pub(crate) name: DeviceName,
    pub(crate) habits: Habits,
    pub(crate) random: Random,
    /// To be sent.
    pub(crate) outbox: VecDeque<Draft>,
    /// Acknowledged, with an id: the newest few.
    pub(crate) stored: VecDeque<Draft>,
    /// Sent, in that order.
    pub(crate) under_way: VecDeque<(PacketId, Under)>,
    pub(crate) last_packet_id: u16,
    /// Packet ids of deliveries with QoS 2 that the server has not released.
    pub(crate) unreleased: BTreeSet<PacketId>,
    pub(crate) session: SessionHope,
    /// Its session has its subscriptions, as far as it was told.
    pub(crate) subscribed: bool,
    /// The newest message of each conversation.
    pub(crate) newest: BTreeMap<ConversationId, u64>,
    /// Calls of this connection that wait for their answer, with what was known when they were made.
    pub(crate) calls: BTreeMap<u64, BTreeMap<ConversationId, u64>>,
    pub(crate) last_call: u64,
}

impl Memory {
    /// A new device with messages to send.
    pub fn new(name: DeviceName, habits: Habits, outbox: Vec<Draft>, random: Random) -> Self {
        Self {
            name,
            habits,
            random,
            outbox: outbox.into(),
            stored: VecDeque::new(),
            under_way: VecDeque::new(),
            last_packet_id: 0,
            unreleased: BTreeSet::new(),
            session: SessionHope::Unknown,
            subscribed: false,
            newest: BTreeMap::new(),
            calls: BTreeMap::new(),
            last_call: 0,
        }
    }

    /// A packet id that is not under way.
    pub(crate) fn packet_id(&mut self) -> PacketId {
        loop {
            self.last_packet_id = self.last_packet_id.wrapping_add(1);
            let Some(id) = PacketId::new(self.last_packet_id) else { continue };
            if self.under_way.iter().all(|(under, _)| *under != id) {
                return id;
            }
        }
    }

    /// The session is gone: what was under way is to be sent as something new.
    pub(crate) fn begin_anew(&mut self) {
        self.unreleased.clear();
        for (_, under) in std::mem::take(&mut self.under_way).into_iter().rev() {
            // What is released is stored.
            if let Under::Message(draft, Leg::Once | Leg::Exactly) = under {
                self.outbox.push_front(draft);
            }
        }
    }

    /// Nothing is left to be sent.
    pub(crate) fn is_done(&self) -> bool {
        self.outbox.is_empty() && !self.under_way.iter().any(|(_, under)| matches!(under, Under::Message(..)))
    }
}
