//! Server and clients around the engine, and the model they are checked against.

mod rules;

use std::collections::{BTreeMap, HashMap};

use parlance_engine::{
    Channels, Conversation, Cursor, Entry, Known, Millis, NoteFate, Refusal, Role, Verdict,
};
use parlance_mqtt::{QoS, ReasonCode};

use crate::device::Device;
use crate::step::Step;

pub(crate) const CONVERSATIONS: usize = 2;
pub(crate) const USERS: u8 = 3;
pub(crate) const DEVICES: usize = 6;
const OUTBOX_MAX: usize = 6;

/// A record of the log.
struct Record {
    /// `None`: a system message.
    sender: Option<usize>,
    expired: bool,
}

/// What the model knows of a member.
#[derive(Debug, Clone, Copy)]
struct ModelMember {
    joined_seq: u64,
    read: u64,
    delivered: u64,
}

pub(crate) struct World {
    now: Millis,
    conversations: Vec<Conversation<u8>>,
    log: Vec<Vec<Record>>,
    /// The id index of the store: (sender, id) → (conversation, seq, body).
    ids: HashMap<(u8, u8), (usize, u64, u8)>,
    members: Vec<BTreeMap<u8, ModelMember>>,
    devices: Vec<Device>,
    notes: u32,
}

impl World {
    pub(crate) fn new() -> Self {
        use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
        let mut world = Self {
            now: Millis(1),
            conversations: vec![Conversation::new(); CONVERSATIONS],
            log: (0..CONVERSATIONS).map(|_| Vec::new()).collect(),
            ids: HashMap::new(),
            members: vec![BTreeMap::new(); CONVERSATIONS],
            devices: vec![
                Device::new(0, &[(0, AtLeastOnce)], 2, 4),
                Device::new(0, &[(0, AtLeastOnce), (3, AtLeastOnce)], 3, 1),
                Device::new(1, &[(1, ExactlyOnce)], 2, 2),
                Device::new(1, &[(0, AtMostOnce), (2, AtLeastOnce)], 4, 8),
                Device::new(1, &[(7, AtMostOnce)], 1, 3),
                Device::new(2, &[(0, AtLeastOnce), (1, ExactlyOnce)], 1, 5),
            ],
            notes: 0,
        };
        for user in 0..2 {
            world.add(user, 0);
        }
        world
    }

    pub(crate) fn take(&mut self, step: Step) {
        match step {
            Step::Send { device, conversation, id, body } => self.send(device, conversation, id, body),
            Step::Add { user, conversation } => self.add(user, conversation),
            Step::Remove { user, conversation } => self.remove(user, conversation),
            Step::MarkRead { user, conversation, seq } => self.mark_read(user, conversation, seq),
            Step::Expire { conversation, seq } => {
                if let Some(record) = self.log[conversation].get_mut(seq as usize - 1) {
                    record.expired = true;
                }
            }
            Step::Connect { device, clean, track_first } => self.connect(device, clean, track_first),
            Step::Break { device } => self.lose_connection(device),
            Step::Drain { device } => self.drain(device),
            Step::Receive { device, count } => self.devices[device].receive(count),
            Step::Ack { device, start, count } => {
                self.devices[device].acknowledge(start, count, self.now);
                self.pump(device);
            }
            Step::AnswerRead { device, which, cut, fails } => self.answer_read(device, which, cut, fails),
            Step::AnswerRestore { device } => self.answer_restore(device),
            Step::Note { device, acknowledged } => self.note(device, acknowledged),
            Step::Forget { device } => {
                if let Some(link) = &mut self.devices[device].link {
                    link.session.forget_idle();
                }
            }
            Step::SaveCursors { device } => self.devices[device].saved = self.devices[device].cursors,
            Step::Wait => self.wait(),
            Step::Restart => self.restart(),
        }
    }

    fn head(&self, conversation: usize) -> u64 {
        self.log[conversation].len() as u64
    }

    fn joined_seq(&self, user: u8, conversation: usize) -> Option<u64> {
        self.members[conversation].get(&user).map(|member| member.joined_seq)
    }

    /// The channels of a device that want a message.
    fn channels(&self, device: usize, conversation: usize, seq: u64) -> Channels {
        let own = self.log[conversation][seq as usize - 1].sender == Some(device);
        if own { Channels::NONE } else { self.devices[device].channels }
    }

    // ---- deciding

    fn send(&mut self, device: usize, conversation: usize, id: Option<u8>, body: u8) {
        let user = self.devices[device].user;
        let first = id.and_then(|id| self.ids.get(&(user, id)).copied());
        let known = first.map(|(place, seq, known_body)| Known {
            same_conversation: place == conversation,
            seq,
            same_body: body == known_body,
        });
        let verdict = self.conversations[conversation].send(&user, known);
        let member = self.joined_seq(user, conversation).is_some();
        match first {
            Some((place, seq, same)) if place == conversation && same == body => {
                assert_eq!(verdict, Ok(Verdict::Repeat { seq }), "rule 2: a retry gets its first seq");
            }
            _ if !member => assert_eq!(verdict, Err(Refusal::NotMember), "rule 8"),
            Some((_, seq, _)) => assert_eq!(verdict, Err(Refusal::IdReused { seq }), "rule 2"),
            None => {
                let seq = self.head(conversation) + 1;
                assert_eq!(verdict, Ok(Verdict::Append { seq }), "rule 3: dense");
                if let Some(id) = id {
                    self.ids.insert((user, id), (conversation, seq, body));
                }
                if let Some(member) = self.members[conversation].get_mut(&user) {
                    (member.read, member.delivered) = (seq, seq);
                }
                self.commit(conversation, Some(device));
            }
        }
    }

    /// The message is durable: it goes to the outbox of each live device of each member.
    fn commit(&mut self, conversation: usize, sender: Option<usize>) {
        self.log[conversation].push(Record { sender, expired: false });
        let seq = self.head(conversation);
        let audience = self.conversations[conversation].audience();
        for device in &mut self.devices {
            let Some(link) = device.link.as_mut().filter(|_| audience.contains(&device.user)) else {
                continue;
            };
            if link.outbox.len() < OUTBOX_MAX {
                link.outbox.push_back((conversation, seq));
            } else {
                link.overflowed = true;
            }
        }
    }

    fn add(&mut self, user: u8, conversation: usize) {
        let joined = self.conversations[conversation].add(user, Role(0));
        let joined_seq = self.head(conversation) + 1;
        if self.joined_seq(user, conversation).is_some() {
            assert!(joined.is_err());
            return;
        }
        assert_eq!(joined, Ok(joined_seq));
        let member = ModelMember { joined_seq, read: joined_seq - 1, delivered: joined_seq - 1 };
        self.members[conversation].insert(user, member);
        self.system_message(conversation);
    }

    fn remove(&mut self, user: u8, conversation: usize) {
        let removed = self.conversations[conversation].remove(&user);
        assert_eq!(removed.is_ok(), self.members[conversation].remove(&user).is_some());
        if removed.is_err() {
            return;
        }
        for device in 0..DEVICES {
            let device_of = &mut self.devices[device];
            if let Some(link) = device_of.link.as_mut().filter(|_| device_of.user == user) {
                link.session.untrack(conversation);
                self.pump(device);
            }
        }
        self.system_message(conversation);
    }

    fn system_message(&mut self, conversation: usize) {
        let seq = self.conversations[conversation].append_system();
        assert_eq!(seq, self.head(conversation) + 1, "rule 3: dense");
        self.commit(conversation, None);
    }

    fn mark_read(&mut self, user: u8, conversation: usize, seq: u64) {
        let head = self.head(conversation);
        let changed = self.conversations[conversation].advance(&user, Cursor::Read, seq);
        match self.members[conversation].get_mut(&user) {
            None => assert!(changed.is_err(), "rule 8"),
            Some(member) => {
                member.read = member.read.max(seq.min(head));
                member.delivered = member.delivered.max(member.read);
            }
        }
    }

    /// Rules 3 and 7: what the engine says of members is what the model recounts.
    pub(crate) fn check_conversations(&self) {
        for (index, conversation) in self.conversations.iter().enumerate() {
            assert_eq!(conversation.head(), self.head(index));
            assert_eq!(conversation.members().len(), self.members[index].len());
            for (user, model) in &self.members[index] {
                let member = conversation.member(user).expect("the model knows it as a member");
                assert_eq!(
                    (member.joined_seq, member.read, member.delivered),
                    (model.joined_seq, model.read, model.delivered),
                    "rule 7: cursors of user {user} in {index}"
                );
                let recount = (model.joined_seq..=self.head(index)).filter(|seq| *seq > model.read).count();
                assert_eq!(conversation.unread(user), recount as u64, "rule 7: unread");
            }
        }
    }

    // ---- connections

    fn connect(&mut self, device: usize, clean: bool, track_first: bool) {
        if let Some(link) = &mut self.devices[device].link {
            link.session.close(ReasonCode::SessionTakenOver, None);
            self.pump(device);
            assert!(self.devices[device].link.as_ref().is_some_and(|link| link.session.is_closed()));
        }
        self.lose_connection(device);
        self.devices[device].open_session(clean, self.now);
        if track_first {
            self.track_all(device);
        }
        self.pump(device);
    }

    fn lose_connection(&mut self, device: usize) {
        let device = &mut self.devices[device];
        if let Some(link) = device.link.take() {
            device.parked = Some(link.session.park());
        }
    }

    fn restart(&mut self) {
        for device in 0..DEVICES {
            self.lose_connection(device);
            let device = &mut self.devices[device];
            device.forget_session();
            device.cursors = device.saved;
        }
        for (index, conversation) in self.conversations.iter_mut().enumerate() {
            // Delivered cursors are written lazily: here, not at all.
            let members: Vec<_> = conversation
                .members()
                .map(|(user, member)| {
                    let delivered = member.read;
                    (*user, parlance_engine::Member { delivered, ..*member })
                })
                .collect();
            for member in self.members[index].values_mut() {
                member.delivered = member.read;
            }
            *conversation = Conversation::restore(self.log[index].len() as u64, members);
        }
    }

    fn wait(&mut self) {
        self.now = self.now + 250;
        for device in 0..DEVICES {
            if let Some(link) = &mut self.devices[device].link {
                link.session.handle_timeout(self.now);
                self.pump(device);
            }
        }
    }

    fn track_all(&mut self, device: usize) {
        for conversation in 0..CONVERSATIONS {
            self.track(device, conversation);
        }
    }

    fn track(&mut self, device: usize, conversation: usize) {
        let head = self.head(conversation);
        let joined_seq = self.joined_seq(self.devices[device].user, conversation);
        let device = &mut self.devices[device];
        let Some(joined_seq) = joined_seq else {
            if let Some(link) = &mut device.link {
                link.session.untrack(conversation);
            }
            return;
        };
        let acked = device.cursors[conversation].max(joined_seq - 1);
        if let Some(link) = &mut device.link {
            link.session.track(conversation, acked, head);
        }
    }

    fn drain(&mut self, device: usize) {
        let user = self.devices[device].user;
        let Some(link) = &mut self.devices[device].link else { return };
        if std::mem::take(&mut link.overflowed) {
            link.session.lagging();
        }
        for (conversation, seq) in std::mem::take(&mut link.outbox) {
            if self.joined_seq(user, conversation).is_none_or(|joined| seq < joined) {
                continue;
            }
            let channels = self.channels(device, conversation, seq);
            let Some(link) = &mut self.devices[device].link else { return };
            if !link.session.announce(conversation, seq, (conversation, seq), channels) {
                assert!(!link.session.is_tracked(conversation));
                self.track(device, conversation);
            }
        }
        self.pump(device);
    }

    fn answer_read(&mut self, device: usize, which: usize, cut: usize, fails: bool) {
        let user = self.devices[device].user;
        let Some(link) = self.devices[device].link.as_mut().filter(|link| !link.reads.is_empty()) else {
            return;
        };
        let (conversation, after, limit) = link.reads.remove(which % link.reads.len());
        // Who is no member any more gets a late answer all the same: the session must not use it.
        let joined_seq = self.joined_seq(user, conversation).unwrap_or(0);
        let head = self.head(conversation);
        let entries: Vec<_> = (after + 1..=head)
            .filter(|seq| *seq >= joined_seq && !self.log[conversation][*seq as usize - 1].expired)
            .take(limit.min(cut))
            .map(|seq| {
                let channels = self.channels(device, conversation, seq);
                Entry { seq, message: (conversation, seq), channels }
            })
            .collect();
        let Some(link) = &mut self.devices[device].link else { return };
        if fails {
            link.session.page(conversation, after, Vec::new(), after);
        } else {
            link.session.page(conversation, after, entries, head);
        }
        self.pump(device);
    }

    /// The storage answers: messages that were asked for, and that QoS 2 messages need not be sent again.
    fn answer_restore(&mut self, device: usize) {
        self.devices[device].release();
        self.pump(device);
        let user = self.devices[device].user;
        let Some(wanted) = self.devices[device].link.as_mut().and_then(|link| link.restore.take()) else {
            return;
        };
        let messages = wanted.into_iter().map(|(conversation, seq)| {
            let visible = self.joined_seq(user, conversation).is_some_and(|joined| seq >= joined);
            let exists = !self.log[conversation][seq as usize - 1].expired;
            (visible && exists).then_some((conversation, seq))
        });
        let messages = messages.collect();
        if let Some(link) = &mut self.devices[device].link {
            link.session.restored(messages);
        }
        self.pump(device);
    }

    fn note(&mut self, device: usize, acknowledged: bool) {
        let number = self.notes;
        let device_of = &mut self.devices[device];
        let Some(link) = &mut device_of.link else { return };
        let qos = if acknowledged { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        if link.session.note(number, qos) == NoteFate::Queued {
            self.notes += 1;
            if acknowledged {
                device_of.promised.insert(number);
            }
        }
        self.pump(device);
    }
}
