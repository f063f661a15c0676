//! What a session wants done, and the rules that are checked while it is done and at the end.

use parlance_engine::{Channels, Cursor, Output};
use parlance_mqtt::{Packet, PacketId, QoS, ReasonCode};

use super::{CONVERSATIONS, DEVICES, World};
use crate::device::Carried;
use crate::step::Step;

impl World {
    pub(super) fn pump(&mut self, device: usize) {
        while let Some(output) =
            self.devices[device].link.as_mut().and_then(|link| link.session.poll_output())
        {
            let Some(link) = &mut self.devices[device].link else { return };
            match output {
                Output::Deliver { message, conversation, seq, channel, qos, packet_id, dup } => {
                    assert_eq!(message, (conversation, seq));
                    self.write_message(
                        device,
                        Carried::Message { conversation, seq, channel },
                        qos,
                        packet_id,
                        dup,
                    );
                }
                Output::Note { note, qos, packet_id, dup } => {
                    assert!(link.last_note.is_none_or(|last| last < note), "notes in order");
                    link.last_note = Some(note);
                    self.write_packet(device, Carried::Note(note), qos, packet_id, dup);
                }
                Output::ReadLog { conversation, after, limit } => {
                    assert!(limit <= 3);
                    link.reads.push((conversation, after, limit));
                }
                Output::Release { packet_id, .. } => link.releases.push(packet_id),
                Output::Send(Packet::PubRel(ack)) if ack.reason == ReasonCode::PacketIdentifierNotFound => {
                    // Given up: the client lets go of the id, which is taken until it says so.
                    link.pubrels.push(ack.packet_id);
                    self.devices[device].given_up.insert(ack.packet_id);
                }
                Output::Send(Packet::PubRel(ack)) => link.pubrels.push(ack.packet_id),
                Output::Restore(wanted) => {
                    assert!(link.restore.replace(wanted).is_none());
                }
                Output::Delivered { conversation, seq } => self.cursor_moved(device, conversation, seq),
                Output::Resync => self.track_all(device),
                Output::Close { reason, .. } => assert_eq!(reason, Some(ReasonCode::SessionTakenOver)),
                other => panic!("nobody asked for {other:?}"),
            }
        }
    }

    /// Rules 3, 5 and 8 for a message that is about to be written.
    fn write_message(
        &mut self,
        device: usize,
        carried: Carried,
        qos: QoS,
        packet_id: Option<PacketId>,
        dup: bool,
    ) {
        let Carried::Message { conversation, seq, channel } = carried else { return };
        let joined_seq = self.joined_seq(self.devices[device].user, conversation);
        assert!(joined_seq.is_some_and(|joined| seq >= joined), "rule 8: {carried:?} to device {device}");
        assert!(
            self.channels(device, conversation, seq).contains(channel),
            "rule 8: {carried:?} was not asked for"
        );
        assert_eq!(qos, self.devices[device].channel_qos(channel));
        for earlier in joined_seq.unwrap_or(seq)..seq {
            if !self.owes(device, conversation, earlier, channel) {
                continue;
            }
            let earlier = Carried::Message { conversation, seq: earlier, channel };
            let device = &self.devices[device];
            assert!(
                device.done.contains(&earlier) || device.open.values().any(|it| *it == earlier),
                "rule 3: {carried:?} before {earlier:?}"
            );
        }
        if let Some(link) = &mut self.devices[device].link {
            let last = link.last.insert((conversation, channel), seq);
            assert!(
                last.is_none_or(|last| last < seq),
                "rule 3: {carried:?} after {last:?} on one connection"
            );
        }
        self.write_packet(device, carried, qos, packet_id, dup);
    }

    /// MQTT's own rules for a packet that is about to be written.
    fn write_packet(
        &mut self,
        device: usize,
        carried: Carried,
        qos: QoS,
        packet_id: Option<PacketId>,
        dup: bool,
    ) {
        let device = &mut self.devices[device];
        let Some(link) = &mut device.link else { return };
        assert_eq!(packet_id.is_some(), qos != QoS::AtMostOnce, "MQTT-2.2.1-2");
        match packet_id {
            None => {
                assert!(!dup, "MQTT-3.3.1-2");
                device.done.insert(carried);
            }
            Some(packet_id) => {
                let before = device.open.insert(packet_id, carried);
                assert_eq!(before, dup.then_some(carried), "MQTT-2.2.1-4, MQTT-4.4.0-1: id {packet_id}");
                assert!(!(dup && link.fresh), "MQTT-4.6.0-1: what is owed goes first");
                link.fresh |= !dup;
                assert!(link.in_flight.insert(packet_id), "{packet_id} twice on one connection");
                assert!(link.in_flight.len() <= usize::from(device.config.send_window), "MQTT-3.3.4-7");
            }
        }
        link.wire.push_back((packet_id, carried));
    }

    /// Whether a device must get a message on a channel: it wants it, it may see it, it still exists.
    fn owes(&self, device: usize, conversation: usize, seq: u64, channel: u8) -> bool {
        let visible =
            self.joined_seq(self.devices[device].user, conversation).is_some_and(|joined| seq >= joined);
        visible
            && !self.log[conversation][seq as usize - 1].expired
            && self.channels(device, conversation, seq).contains(channel)
    }

    /// Rules 5 and 7 for a cursor that moved.
    fn cursor_moved(&mut self, device: usize, conversation: usize, seq: u64) {
        let user = self.devices[device].user;
        let Some(joined_seq) = self.joined_seq(user, conversation) else {
            // Packets of an earlier connection, given up because the user was removed meanwhile.
            let link = self.devices[device].link.as_ref().expect("a session said it");
            assert!(!link.session.is_tracked(conversation), "rule 8: no cursor of who is no member");
            return;
        };
        assert!(seq <= self.head(conversation));
        assert!(seq > self.devices[device].cursors[conversation], "rule 7: cursors never retreat");
        for earlier in joined_seq..=seq {
            for channel in 0..Channels::COUNT {
                let carried = Carried::Message { conversation, seq: earlier, channel };
                assert!(
                    !self.owes(device, conversation, earlier, channel)
                        || self.devices[device].done.contains(&carried),
                    "rule 5: the cursor of device {device} went to {seq} over {carried:?}"
                );
            }
        }
        self.devices[device].cursors[conversation] = seq;
        self.conversations[conversation].advance(&user, Cursor::Delivered, seq).expect("it is a member");
        if let Some(member) = self.members[conversation].get_mut(&user) {
            member.delivered = member.delivered.max(seq);
        }
    }

    /// Everybody comes back and goes on until there is nothing to do: nobody may lack anything.
    pub(crate) fn settle(&mut self) {
        for device in 0..DEVICES {
            if self.devices[device].link.is_none() {
                self.connect(device, false, false);
            }
            // What is tracked must come to its end without help: no head is told again.
            for conversation in 0..CONVERSATIONS {
                if self.devices[device]
                    .link
                    .as_ref()
                    .is_some_and(|link| !link.session.is_tracked(conversation))
                {
                    self.track(device, conversation);
                }
            }
        }
        for _ in 0..2_000 {
            for device in 0..DEVICES {
                self.drain(device);
                self.answer_restore(device);
                self.answer_read(device, 0, 3, false);
                self.devices[device].receive(usize::MAX);
                self.take(Step::Ack { device, start: 0, count: usize::MAX });
            }
            if self.is_settled() {
                break;
            }
            self.wait();
        }
        self.check_conversations();
        for device in 0..DEVICES {
            self.check_complete(device);
        }
    }

    fn is_settled(&self) -> bool {
        (0..DEVICES).all(|device| {
            (0..CONVERSATIONS).all(|conversation| {
                self.joined_seq(self.devices[device].user, conversation).is_none()
                    || self.devices[device].cursors[conversation] == self.head(conversation)
            }) && self.devices[device].promised.is_empty()
                && self.devices[device].link.as_ref().is_some_and(|link| link.session.in_flight() == 0)
        })
    }

    fn check_complete(&mut self, device: usize) {
        for conversation in 0..CONVERSATIONS {
            let Some(joined_seq) = self.joined_seq(self.devices[device].user, conversation) else { continue };
            let head = self.head(conversation);
            // Who joined at the head and was owed nothing since has no cursor of its own.
            let cursor = self.devices[device].cursors[conversation].max(joined_seq - 1);
            assert_eq!(cursor, head, "rule 5: device {device} in conversation {conversation}");
            for seq in joined_seq..=head {
                for channel in 0..Channels::COUNT {
                    let acknowledged = self.devices[device].acknowledged_channels.contains(channel);
                    let carried = Carried::Message { conversation, seq, channel };
                    assert!(
                        !acknowledged
                            || !self.owes(device, conversation, seq, channel)
                            || self.devices[device].got.contains(&carried),
                        "rule 5: device {device} never got {carried:?}"
                    );
                }
            }
        }
        let device = &mut self.devices[device];
        assert!(device.promised.is_empty(), "notes {:?} were promised", device.promised);
        let link = device.link.as_mut().expect("everybody is connected");
        link.session.forget_idle();
        assert_eq!(link.session.tracked(), 0, "nothing is held for who has everything");
        assert_eq!(link.session.in_flight(), 0);
    }
}
