//! What comes out of the session, and what must hold for each of it.

use std::rc::Rc;

use parlance_engine::Output;
use parlance_mqtt::{Packet, PacketId, QoS, ReasonCode, TopicName};

use super::client::{Carried, ToClient, topic_of};
use super::setup::Chat;
use super::world::{Open, Stage, World};

impl World {
    /// One poll round.
    pub(super) fn pump(&mut self) {
        while let Some(output) = self.session.poll_output() {
            if *super::TRACE {
                eprintln!("    {output:?}");
            }
            assert!(!self.closed, "after Close came {output:?}");
            self.carry_out(output);
        }
        self.polled = true;
        self.check_held();
        if self.closed {
            // Whatever is said now is not heard.
            self.session.handle_timeout(parlance_engine::Millis(u64::MAX / 2));
            self.session.lagging();
            self.session.close(ReasonCode::ServerShuttingDown, None);
            assert!(self.session.poll_output().is_none(), "Close is the last output");
            assert!(self.session.is_closed() && self.session.next_timeout().is_none());
        }
    }

    /// Messages and notes that are held, against the terms.
    fn check_held(&self) {
        let [messages, notes] = self.alive.each_ref().map(|alive| Rc::strong_count(alive) - 1);
        let config = &self.setup.config;
        let run = 2 * usize::from(config.send_window);
        assert!(messages <= config.ready_messages_max + run, "{messages} messages are held");
        assert!(notes <= config.notes_max + run, "{notes} notes are held");
    }

    fn carry_out(&mut self, output: Output<Chat>) {
        match output {
            Output::Send(packet) => self.written(packet),
            Output::Deliver { message, conversation, seq, channel, qos, packet_id, dup } => {
                assert_eq!(message.number, seq);
                self.deliver(Carried::Message { conversation, seq, channel }, qos, packet_id, dup);
            }
            Output::Note { note, qos, packet_id, dup } => {
                self.deliver(Carried::Note(note.number), qos, packet_id, dup)
            }
            Output::Publish { ticket, publish } => {
                let number = <[u8; 8]>::try_from(&publish.payload[..]).ok().map(u64::from_be_bytes);
                assert!(publish.topic.is_some() && publish.properties.topic_alias.is_none());
                // A hostile client sets its aliases to anything.
                if let Some(number) = number.filter(|_| !self.setup.hostile) {
                    assert_eq!(publish.topic, Some(topic_of(number)), "the topic of an alias");
                }
                assert_eq!(ticket.needs_answer(), publish.packet_id.is_some());
                if publish.qos == QoS::ExactlyOnce {
                    let again = publish.packet_id.is_some_and(|id| self.accepted.contains(&id));
                    assert!(!again, "{:?} comes out twice (MQTT-4.3.3-10)", publish.packet_id);
                }
                if ticket.needs_answer() {
                    self.tickets.push((ticket, publish.packet_id, publish.qos, number));
                }
            }
            Output::Complete { packet_id } => self.completes.push(packet_id),
            Output::Release { conversation, seq, packet_id } => {
                let of = |open: &Open| matches!(open.carried, Carried::Message { conversation: c, seq: s, .. } if (c, s) == (conversation, seq));
                // A client that takes its PUBREC back in the same breath has settled the packet.
                match self.open.get(&packet_id) {
                    Some(open) => assert!(of(open) && open.stage != Stage::Published, "released: {open:?}"),
                    None => assert!(self.setup.hostile, "{packet_id} is not in flight"),
                }
                self.releases.push((packet_id, conversation, seq));
            }
            Output::Authenticate(_) => self.authenticating = true,
            Output::Subscribe(subscribe) => self.requests.push((subscribe.packet_id, true)),
            Output::Unsubscribe(unsubscribe) => self.requests.push((unsubscribe.packet_id, false)),
            Output::ReadLog { conversation, after, limit } => {
                assert!(limit >= 1 && limit <= self.setup.config.page_messages_max);
                assert!(self.reads.len() < self.setup.config.reads_in_flight_max || self.setup.hostile);
                self.reads.push((conversation, after, limit));
            }
            Output::Restore(wanted) => {
                assert!(self.restore.replace(wanted).is_none(), "asked once");
            }
            Output::Delivered { conversation, seq } => self.cursor_moved(conversation, seq),
            Output::Resync => self.resync = true,
            Output::Close { reason, .. } => self.close(reason),
        }
    }

    fn cursor_moved(&mut self, conversation: usize, seq: u64) {
        if !self.setup.hostile {
            assert!(seq > self.cursors[conversation], "cursors never retreat");
            let waiting = self.open.values().find(|open| {
                matches!(open.carried, Carried::Message { conversation: of, seq: at, .. } if of == conversation && at <= seq)
            });
            assert!(waiting.is_none(), "the cursor went to {seq} over {waiting:?}");
        }
        assert!(seq <= self.head(conversation));
        self.cursors[conversation] = self.cursors[conversation].max(seq);
    }

    fn close(&mut self, reason: Option<ReasonCode>) {
        self.closed = true;
        assert!(
            self.setup.config.version == parlance_mqtt::Version::V5 || reason.is_none(),
            "3.1.1 is told nothing"
        );
        if !self.setup.hostile {
            let why = self.session.close_reason();
            let fair = [ReasonCode::Success, ReasonCode::KeepAliveTimeout, ReasonCode::SessionTakenOver];
            assert!(why.is_some_and(|why| fair.contains(&why)), "a good client is closed: {why:?}");
        }
    }

    /// A PUBLISH to the client.
    fn deliver(&mut self, carried: Carried, qos: QoS, packet_id: Option<PacketId>, dup: bool) {
        assert_eq!(packet_id.is_some(), qos != QoS::AtMostOnce, "MQTT-2.2.1-2");
        if let Carried::Message { conversation, seq, channel } = carried {
            assert_eq!(qos, self.setup.qos(channel));
            let record = self.record(conversation, seq).expect("only what is in the log is delivered");
            assert!(record.channels.contains(channel), "{carried:?} was not asked for");
            let last = self.last.insert((conversation, channel), seq);
            assert!(last.is_none_or(|last| last < seq), "{carried:?} after {last:?}");
        }
        let Some(id) = packet_id else {
            assert!(!dup, "MQTT-3.3.1-2");
            return self.write(carried, qos, packet_id);
        };
        let before = self.open.insert(
            id,
            Open { carried, qos, stage: Stage::Published, live: true, forgotten: false, unknown: false },
        );
        if let Some(before) = before {
            let again = dup && !before.live && before.carried == carried && before.stage == Stage::Published;
            // Given up without a word, for its message is gone.
            let given_up =
                self.setup.hostile && !before.live && (before.qos == QoS::AtLeastOnce || before.unknown);
            assert!(
                again || given_up,
                "id {id} stands for {before:?} already, now for {carried:?} (MQTT-2.2.1-4)"
            );
        }
        let live = self.open.values().filter(|open| open.live).count();
        assert!(
            live <= usize::from(self.setup.config.send_window),
            "{live} packets are under way (MQTT-3.3.4-7)"
        );
        self.write(carried, qos, packet_id);
    }

    fn write(&mut self, carried: Carried, qos: QoS, packet_id: Option<PacketId>) {
        let topic: TopicName = match carried {
            Carried::Message { seq, .. } => format!("app/message/{}", seq % 5),
            Carried::Note(_) => "app/note".to_owned(),
        }
        .parse()
        .expect("a topic name");
        let alias = self.session.alias(&topic);
        if std::mem::take(&mut self.too_large) {
            self.session.undeliverable(packet_id);
            self.given_up.insert(carried);
            if let Some(id) = packet_id {
                self.settle(id);
            }
            return;
        }
        self.wire.push_back(ToClient::Publish { carried, qos, packet_id, alias, topic });
    }

    /// A packet to the client that is no PUBLISH.
    fn written(&mut self, packet: Packet) {
        match &packet {
            Packet::PubAck(ack) => self.answered(ack.packet_id, QoS::AtLeastOnce),
            Packet::PubRec(ack) => {
                self.answered(ack.packet_id, QoS::ExactlyOnce);
                let released = self.released_early.remove(&ack.packet_id);
                if !released && !ack.reason.is_error() {
                    self.accepted.insert(ack.packet_id);
                }
            }
            Packet::PubRel(ack) => self.released_to_client(ack.packet_id),
            Packet::PubComp(ack) => {
                assert!(!self.accepted.contains(&ack.packet_id), "PUBCOMP without PUBREL");
            }
            Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp | Packet::Auth(_) => {}
            other => panic!("a server does not send {other:?} here"),
        }
        self.wire.push_back(ToClient::Packet(packet));
    }

    /// MQTT-4.6.0-2, MQTT-4.6.0-3: in the order of the publishes.
    fn answered(&mut self, packet_id: PacketId, qos: QoS) {
        let front = self.unanswered.pop_front();
        assert_eq!(front, Some((packet_id, qos)), "answers in the order of the publishes");
    }

    fn released_to_client(&mut self, packet_id: PacketId) {
        let Some(open) = self.open.get_mut(&packet_id) else { return };
        match open.stage {
            Stage::Published => {
                // Given up: the client may hold the id and is told to let it go.
                assert!(self.setup.hostile, "PUBREL before PUBREC: {open:?}");
                self.settle(packet_id);
            }
            Stage::Received => {
                open.stage = Stage::Released;
                if let Some(index) = self.receipts.iter().position(|id| *id == packet_id) {
                    assert_eq!(index, 0, "PUBRELs in the order of the PUBRECs (MQTT-4.6.0-4)");
                    self.receipts.pop_front();
                }
            }
            Stage::Released => {}
        }
    }
}
