//! A device's life: it connects, does what it does, is cut off or leaves, and comes back.

use super::{
    line::{Line, Over},
    memory::{Leg, Memory, SessionHope, Under},
    packets::{self, Heard},
};
use crate::{
    checks::short,
    stage::{Stage, Status},
    tell,
    wire::Link,
};
use parlance_mqtt::{Ack, ConnAck, Disconnect, Packet, PacketId, Publish, QoS, ReasonCode, Version};
use parlance_plugin_api::ConversationId;
use parlance_schema::api::Conversations;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How long a device waits for CONNACK, and for the answer to a ping.
const PATIENCE: Duration = Duration::from_secs(12);
/// Messages that it may send once more.
const STORED_MAX: usize = 6;
/// Publishes that it has under way at most.
const UNDER_WAY_MAX: usize = 8;

/// Lives until the run is over.
pub async fn live(stage: Arc<Stage>, mut memory: Memory, status: Arc<Status>) {
    sleep(memory.random.millis(0..2000)).await;
    loop {
        if let Some((line, link)) = connect(&stage, &mut memory).await {
            memory.calls.clear();
            let mut online = Online::new(&stage, &mut memory, &status, line, link);
            let end = online.run().await;
            online.leave(end).await;
        }
        status.set_ready(false);
        let away_ms_max = if memory.random.chance(150) { memory.habits.away_ms_max } else { 1500 };
        let away_ms_max = if stage.is_finishing() { 500 } else { away_ms_max };
        sleep(memory.random.millis(10..10 + away_ms_max)).await;
    }
}

/// Up to CONNACK. `None`: it did not work.
async fn connect(stage: &Stage, memory: &mut Memory) -> Option<(Line, Link)> {
    let name = memory.name;
    let (link, socket) = stage.machine.connect()?;
    let clean = memory.random.chance(memory.habits.clean_per_mille) && !stage.is_finishing();
    let mangle = stage.mutation.map(|mutation| (mutation, memory.random.fork(link.number)));
    let mut line = Line::new(link.number, socket, memory.habits.version, mangle);
    line.send(&packets::connect(memory, clean));
    if clean {
        stage.book.follows_free(name, false);
    }
    tell!(stage.trace, "{name} connects ({}, clean {clean})", link.number);
    let hoped = std::mem::replace(&mut memory.session, SessionHope::Unknown);
    let answer = timeout(PATIENCE, line.next()).await;
    let session_present = match answer {
        Ok(Ok(Packet::ConnAck(ack))) => {
            let ConnAck { session_present, reason, .. } = *ack;
            tell!(stage.trace, "{name} CONNACK {reason:?}, session present {session_present}");
            (reason == ReasonCode::Success).then_some(session_present)
        }
        Ok(Ok(packet)) => {
            stage.book.violated(format_args!("{name} expected CONNACK, not {packet:?}"));
            None
        }
        none => {
            tell!(stage.trace, "{name} gets no CONNACK: {none:?}");
            None
        }
    };
    let Some(session_present) = session_present else {
        if clean {
            // Nobody knows whether the session began anew: also who was refused, if the disk failed, and the server after it.
            memory.begin_anew();
            memory.subscribed = false;
        } else {
            memory.session = hoped;
        }
        return None;
    };
    if clean && session_present {
        stage.book.violated(format_args!("{name} asked for a clean start and has a session"));
    }
    if hoped == SessionHope::Kept && !clean && !session_present && !stage.was_full() {
        stage.book.violated(format_args!("{name} has lost its session"));
    }
    if !session_present {
        stage.book.follows_free(name, false);
        memory.begin_anew();
        memory.subscribed = false;
    }
    stage.book.connected(name, line.number, memory.subscribed);
    // A clean session of 3.1.1 ends with its connection.
    if memory.habits.expiry_s > 0 && !(clean && memory.habits.version == Version::V3) {
        memory.session = SessionHope::Kept;
    }
    Some((line, link))
}

/// Why a device does not go on.
enum End {
    /// The connection is over.
    Over(Over),
    /// The server said goodbye.
    Told(ReasonCode),
    /// It heard nothing for too long.
    Silence,
    /// It wants to.
    Leaves,
}

/// A device that is connected.
struct Online<'a> {
    stage: &'a Stage,
    memory: &'a mut Memory,
    status: &'a Status,
    line: Line,
    link: Link,
    /// Deliveries to be acknowledged, in their order.
    unacknowledged: VecDeque<(PacketId, Option<(ConversationId, u64)>)>,
    subscribing: Option<PacketId>,
    spoke: Instant,
    pinged: Option<Instant>,
}

impl<'a> Online<'a> {
    fn new(stage: &'a Stage, memory: &'a mut Memory, status: &'a Status, line: Line, link: Link) -> Self {
        Self {
            stage,
            memory,
            status,
            line,
            link,
            unacknowledged: VecDeque::new(),
            subscribing: None,
            spoke: Instant::now(),
            pinged: None,
        }
    }

    async fn run(&mut self) -> End {
        // What was under way goes on where it was: the server has the session.
        for (_, under) in &self.memory.under_way {
            let may_double = match under {
                Under::Message(_, Leg::Once) => !self.stage.knows_retries(),
                Under::Message(_, Leg::Exactly) => self.stage.was_full(),
                _ => false,
            };
            if let Under::Message(draft, _) = under
                && may_double
            {
                self.stage.book.sent(draft);
            }
        }
        let again: Vec<Packet> = {
            let Memory { habits, under_way, .. } = &*self.memory;
            under_way.iter().map(|(id, under)| packets::publish(habits, *id, under, true)).collect()
        };
        again.iter().for_each(|packet| self.send(packet));
        if !self.memory.subscribed || self.memory.random.chance(300) {
            self.subscribe();
        }
        let mut acts_at = Instant::now() + self.pause();
        loop {
            self.status.set_ready(self.memory.subscribed);
            self.status.set_done(self.memory.is_done() && self.unacknowledged.is_empty());
            tokio::select! {
                biased;
                packet = self.line.next() => match packet {
                    Ok(packet) => if let Some(end) = self.heard(packet) { return end; },
                    Err(over) => return End::Over(over),
                },
                () = sleep_until(acts_at) => {
                    if let Some(end) = self.act() {
                        return end;
                    }
                    acts_at = Instant::now() + self.pause();
                }
            }
        }
    }

    fn pause(&mut self) -> Duration {
        let idle = self.memory.habits.idle_ms.clone();
        self.memory.random.millis(if self.stage.is_finishing() { 5..50 } else { idle })
    }

    fn send(&mut self, packet: &Packet) {
        self.spoke = Instant::now();
        self.line.send(packet);
    }

    fn subscribe(&mut self) {
        let packet_id = self.memory.packet_id();
        tell!(self.stage.trace, "{} subscribes", self.memory.name);
        self.stage.book.subscribes(self.memory.name, self.line.number, true);
        self.send(&packets::subscribe(&self.memory.habits, packet_id));
        self.subscribing = Some(packet_id);
    }

    /// Does something.
    fn act(&mut self) -> Option<End> {
        let keep_alive = Duration::from_secs(u64::from(self.memory.habits.keep_alive_s) / 2);
        if self.pinged.is_some_and(|at| at.elapsed() > PATIENCE) {
            return Some(End::Silence);
        }
        if self.pinged.is_none() && self.spoke.elapsed() > keep_alive {
            self.send(&Packet::PingReq);
            self.pinged = Some(Instant::now());
        }
        if self.stage.is_finishing() {
            self.acknowledge(usize::MAX);
            if !self.memory.subscribed && self.subscribing.is_none() {
                self.subscribe();
            }
            self.publish_next();
            return None;
        }
        if self.memory.random.chance(self.memory.habits.leave_per_mille) {
            return Some(End::Leaves);
        }
        match self.memory.random.within(0..100) {
            0..45 => self.publish_next(),
            45..75 => {
                let some = self.memory.random.index(4) + 1;
                self.acknowledge(some);
            }
            75..85 => self.read(),
            85..89 if self.subscribing.is_none() => self.subscribe(),
            89..92 if self.subscribing.is_none() && self.memory.subscribed => {
                let packet_id = self.memory.packet_id();
                self.memory.subscribed = false;
                self.send(&packets::unsubscribe(&self.memory.habits, packet_id));
                self.subscribe();
            }
            92..96 if self.memory.habits.version == Version::V5 => self.call(),
            96..98 => self.repeat(),
            _ => {}
        }
        None
    }

    fn begin(&mut self, under: Under) {
        let packet_id = self.memory.packet_id();
        self.send(&packets::publish(&self.memory.habits, packet_id, &under, false));
        self.memory.under_way.push_back((packet_id, under));
    }

    fn publish_next(&mut self) {
        if self.memory.under_way.len() >= UNDER_WAY_MAX {
            return;
        }
        let Some(draft) = self.memory.outbox.pop_front() else { return };
        tell!(self.stage.trace, "{} sends {:?} to {}", self.memory.name, short(&draft.text), draft.topic);
        self.stage.book.sent(&draft);
        let exactly = self.memory.random.chance(self.memory.habits.exactly_per_mille);
        self.begin(Under::Message(draft, if exactly { Leg::Exactly } else { Leg::Once }));
    }

    /// Sends once more what was acknowledged: its seq is the first one.
    fn repeat(&mut self) {
        let count = self.memory.stored.len();
        if count == 0 || self.memory.under_way.len() >= UNDER_WAY_MAX {
            return;
        }
        let which = self.memory.random.index(count);
        let Some(draft) = self.memory.stored.get(which).cloned() else { return };
        tell!(self.stage.trace, "{} repeats {:?}", self.memory.name, short(&draft.text));
        self.stage.book.sent(&draft);
        self.begin(Under::Message(draft, Leg::Once));
    }

    fn read(&mut self) {
        let count = self.memory.newest.len();
        if count == 0 || self.memory.under_way.len() >= UNDER_WAY_MAX {
            return;
        }
        let which = self.memory.random.index(count);
        let Some((conversation, newest)) = self.memory.newest.iter().nth(which) else { return };
        let (conversation, newest) = (*conversation, *newest);
        let seq = self.memory.random.within(1..newest + 1);
        tell!(self.stage.trace, "{} has read {seq}", self.memory.name);
        self.begin(Under::Read(conversation, seq));
    }

    fn call(&mut self) {
        if self.memory.under_way.len() >= UNDER_WAY_MAX || !self.memory.subscribed {
            return;
        }
        self.memory.last_call += 1;
        let number = self.memory.last_call;
        let known = self.stage.book.known_reads(crate::people::user_id(self.memory.name.user));
        self.memory.calls.insert(number, known);
        self.begin(Under::Call(number));
    }

    fn acknowledge(&mut self, count: usize) {
        for _ in 0..count {
            let Some((packet_id, message)) = self.unacknowledged.pop_front() else { return };
            self.send(&Packet::PubAck(Ack::success(packet_id)));
            if let Some((conversation, seq)) = message {
                self.stage.book.device_acknowledged(self.memory.name, conversation, seq);
            }
        }
    }

    fn heard(&mut self, packet: Packet) -> Option<End> {
        match packet {
            Packet::Publish(publish) => self.publish(publish),
            Packet::PubAck(ack) | Packet::PubRec(ack) => self.publish_acknowledged(ack),
            Packet::PubComp(ack) => self.completed(&ack),
            Packet::PubRel(ack) => {
                self.memory.unreleased.remove(&ack.packet_id);
                self.send(&Packet::PubComp(Ack::success(ack.packet_id)));
            }
            Packet::SubAck(ack) if self.subscribing == Some(ack.packet_id) => {
                self.subscribing = None;
                self.memory.subscribed = !ack.codes.iter().any(|code| code.is_error());
                let stays = self.memory.session == SessionHope::Kept
                    && self.memory.habits.free.is_some()
                    && !self.stage.was_full();
                self.stage.book.follows_free(self.memory.name, stays && self.memory.subscribed);
                tell!(self.stage.trace, "{} SUBACK {:?}", self.memory.name, ack.codes);
                self.stage.book.subscribes(self.memory.name, self.line.number, false);
            }
            Packet::UnsubAck(_) => {}
            Packet::PingResp => self.pinged = None,
            Packet::Disconnect(Disconnect { reason, .. }) => return Some(End::Told(reason)),
            other => {
                self.stage.book.violated(format_args!("{} did not expect {other:?}", self.memory.name));
            }
        }
        None
    }

    fn publish(&mut self, publish: Publish) {
        let name = self.memory.name;
        let Some(heard) = packets::understand(&publish) else {
            return self.stage.book.violated(format_args!("{name} does not understand {publish:?}"));
        };
        let mut message = None;
        match heard {
            Heard::Message(delivery) => {
                let (conversation, seq) = (delivery.conversation, delivery.seq);
                let dup = if publish.dup { " again" } else { "" };
                let kind = if conversation.0[0] & 0x80 == 0 { 'g' } else { 'd' };
                tell!(self.stage.trace, "{name} <- {kind}{:02x} {seq}{dup}", conversation.0[15]);
                self.stage.book.delivered(name, self.line.number, &delivery);
                let newest = self.memory.newest.entry(conversation).or_default();
                *newest = seq.max(*newest);
                message = Some((conversation, seq));
            }
            Heard::Receipt(receipt) => {
                let (Ok(conversation), Ok(user)) = (receipt.conversation.parse(), receipt.user.parse())
                else {
                    return self.stage.book.violated(format_args!("{name} got {receipt:?}"));
                };
                let (of, dup) = ((conversation, user), publish.dup);
                let (delivered, read) = (receipt.delivered, receipt.read);
                self.stage.book.receipt(name, self.line.number, of, delivered, read, dup);
            }
            Heard::Answer(number, body) => {
                let known = self.memory.calls.remove(&number);
                // Anything else is a problem document.
                if let (Some(known), Ok(listed)) = (known, serde_json::from_slice::<Conversations>(&body)) {
                    self.stage.book.listed(crate::people::user_id(name.user), &known, &listed);
                }
            }
            Heard::Free(text) => {
                let exactly = publish.qos == QoS::ExactlyOnce;
                // What has an id that was not released is the same again.
                let fresh = !exactly || publish.packet_id.is_none_or(|id| self.memory.unreleased.insert(id));
                tell!(self.stage.trace, "{name} <- {:?} (fresh {fresh})", short(&text));
                if fresh {
                    self.stage.book.free_delivered(name, &text, exactly);
                }
            }
            Heard::Other => {}
        }
        if let Some(packet_id) = publish.packet_id.filter(|_| publish.qos == QoS::ExactlyOnce) {
            self.send(&Packet::PubRec(Ack::success(packet_id)));
        }
        if let Some(packet_id) = publish.packet_id.filter(|_| publish.qos == QoS::AtLeastOnce) {
            self.unacknowledged.push_back((packet_id, message));
            if self.memory.random.chance(self.memory.habits.prompt_per_mille) {
                self.acknowledge(usize::MAX);
            }
        }
    }

    fn publish_acknowledged(&mut self, ack: Ack) {
        let name = self.memory.name;
        let Some(at) = self.memory.under_way.iter().position(|(id, _)| *id == ack.packet_id) else {
            return self.stage.book.violated(format_args!("{name} got an acknowledgement for nothing"));
        };
        let waits = |(_, under): &(PacketId, Under)| !matches!(under, Under::Message(_, Leg::Released));
        if self.memory.under_way.iter().position(waits) != Some(at) {
            self.stage.book.violated(format_args!("{name} got acknowledgements out of order"));
        }
        let Some((packet_id, under)) = self.memory.under_way.remove(at) else { return };
        match under {
            Under::Message(draft, leg) if !ack.reason.is_error() => {
                let place = packets::place(&ack.user_properties);
                let seq = place.map_or(0, |(_, seq)| seq);
                tell!(self.stage.trace, "{name} PUBACK {:?} seq {seq}", short(&draft.text));
                self.stage.book.acknowledged(&draft, place);
                if leg == Leg::Exactly {
                    let under = Under::Message(draft.clone(), Leg::Released);
                    self.send(&packets::publish(&self.memory.habits, packet_id, &under, false));
                    self.memory.under_way.insert(at, (packet_id, under));
                }
                if draft.id.is_some() {
                    self.memory.stored.truncate(STORED_MAX - 1);
                    self.memory.stored.push_front(draft);
                }
            }
            Under::Message(draft, _) => {
                tell!(self.stage.trace, "{name} refused {:?}: {:?}", short(&draft.text), ack.reason);
                // Who is no member any more may not write. Everything else may pass.
                if ack.reason != ReasonCode::NotAuthorized {
                    self.memory.outbox.push_back(draft);
                }
            }
            Under::Read(conversation, seq) if !ack.reason.is_error() => {
                let user = crate::people::user_id(name.user);
                self.stage.book.has_read(conversation, user, seq);
            }
            Under::Read(..) | Under::Call(_) => {}
        }
    }

    /// The server has forgotten a packet id.
    fn completed(&mut self, ack: &Ack) {
        let released = |(id, under): &(PacketId, Under)| {
            *id == ack.packet_id && matches!(under, Under::Message(_, Leg::Released))
        };
        match self.memory.under_way.iter().position(released) {
            Some(at) => drop(self.memory.under_way.remove(at)),
            None => {
                let name = self.memory.name;
                self.stage.book.violated(format_args!("{name} got a PUBCOMP for nothing"));
            }
        }
    }

    /// Ends the connection, in one of the ways that there are.
    async fn leave(mut self, end: End) {
        let Self { stage, memory, .. } = &mut self;
        let name = memory.name;
        match end {
            End::Over(Over::Malformed(why)) => {
                stage.book.violated(format_args!("{name} was sent what is no packet: {why}"));
            }
            End::Over(Over::Lost) => tell!(stage.trace, "{name} is cut off"),
            End::Told(reason) => tell!(stage.trace, "{name} is told to go: {reason:?}"),
            End::Silence => tell!(stage.trace, "{name} hears nothing"),
            End::Leaves => match memory.random.within(0..4) {
                0 => {
                    tell!(stage.trace, "{name} says goodbye");
                    self.line.send(&Packet::Disconnect(Disconnect::with(ReasonCode::Success)));
                    // A server that takes nothing hears nothing.
                    let _ = timeout(Duration::from_secs(1), self.line.flush()).await;
                }
                1 => tell!(stage.trace, "{name} drops its connection"),
                kind => {
                    // The server believes that it is still there, and has to find out.
                    let frozen = kind == 2;
                    tell!(stage.trace, "{name} leaves its connection open (dead {frozen})");
                    let lasts = memory.random.millis(1_000..60_000);
                    if frozen {
                        self.link.freeze(true, true, Instant::now() + lasts);
                    }
                    let line = self.line;
                    tokio::spawn(async move {
                        sleep(lasts).await;
                        drop(line);
                    });
                }
            },
        }
    }
}
