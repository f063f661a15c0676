//! What devices were told, in one book for all of them.

use super::free::Free;
use crate::{people::user_id, tell, trace::Trace};
use parlance_plugin_api::{
    ConversationId, UserId,
    record::{CursorRecord, DeviceId},
    testing::PlainVault,
};
use parlance_schema::api::Conversations;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Violations that are kept of one run.
const VIOLATIONS_MAX: usize = 20;

/// A device: the number of its user, and its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceName {
    /// Whose.
    pub user: usize,
    /// Which.
    pub number: usize,
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "u{}d{}", self.user, self.number)
    }
}

impl DeviceName {
    /// Its MQTT client id.
    pub fn client_id(self) -> String {
        format!("device-{}", self.number)
    }

    /// As the server knows it.
    pub fn id(self) -> DeviceId {
        DeviceId::of(&PlainVault, user_id(self.user), self.client_id().as_bytes())
    }
}

/// A message that somebody wants to send.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Who writes.
    pub device: DeviceName,
    /// Where it goes.
    pub topic: String,
    /// The conversation that it must land in.
    pub conversation: ConversationId,
    /// Its id, if it has one.
    pub id: Option<String>,
    /// What it says: no two drafts say the same.
    pub text: String,
    /// It goes to a free topic, and into no conversation.
    pub free: bool,
}

/// An entry of a log, as far as everybody must agree on it.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    /// Who wrote it.
    pub sender: UserId,
    /// The sender's id of it, or nothing.
    pub id: String,
    /// What it says; a change says what it changes.
    pub text: String,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} with id {:?}", short(&self.text), self.sender, self.id)
    }
}

/// The beginning of a text: what follows is there for its length.
pub fn short(text: &str) -> String {
    text.chars().take(16).collect()
}

impl Line {
    /// The line of a change of a group.
    pub fn change(sender: UserId, action: &str, user: UserId) -> Self {
        Self { sender, id: String::new(), text: format!("{action} {user}") }
    }
}

/// A message that came to a device.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Where.
    pub conversation: ConversationId,
    /// Its position.
    pub seq: u64,
    /// What it says; `None` where the format does not tell all of it.
    pub line: Option<Line>,
}

/// What one device has of one conversation.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Since the last message the device had a connection that did not go on from one that received messages: it may have
    /// begun elsewhere.
    begun_anew: bool,
    pub(crate) received: BTreeSet<u64>,
    pub(crate) acknowledged: BTreeSet<u64>,
}

/// What a draft has come to.
#[derive(Debug)]
pub(crate) struct Fate {
    pub(crate) draft: Draft,
    /// How often it was sent as something new.
    pub(crate) attempts: usize,
    pub(crate) acknowledged: bool,
    pub(crate) place: Option<u64>,
}

/// Positions that a device was not sent: each must have had a reason.
#[derive(Debug)]
pub(crate) struct Gap {
    pub(crate) device: DeviceName,
    pub(crate) conversation: ConversationId,
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Whether another device's acknowledgement is a reason.
    pub(crate) first: bool,
}

/// One connection of a device.
#[derive(Debug, Default)]
struct Course {
    connection: u64,
    /// The last message of each conversation.
    last: BTreeMap<ConversationId, u64>,
    /// It has asked to subscribe, and has no answer.
    subscribing: bool,
    receipts: BTreeMap<(ConversationId, UserId), (u64, u64)>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// All there are.
    pub(crate) devices: Vec<DeviceName>,
    pub(crate) violations: Vec<String>,
    pub(crate) lines: BTreeMap<(ConversationId, u64), Line>,
    pub(crate) fates: BTreeMap<String, Fate>,
    pub(crate) held: BTreeMap<DeviceName, BTreeMap<ConversationId, Held>>,
    pub(crate) gaps: Vec<Gap>,
    /// Positions that somebody was told of: they never retreat.
    pub(crate) cursors: BTreeMap<(ConversationId, UserId), CursorRecord>,
    pub(crate) device_cursors: BTreeMap<Vec<u8>, u64>,
    pub(crate) free: Free,
    courses: BTreeMap<DeviceName, Course>,
    deliveries: u64,
    acknowledgements: u64,
}

impl State {
    /// What there is of the device's present connection.
    fn course(&mut self, device: DeviceName, connection: u64) -> &mut Course {
        let course = self.courses.entry(device).or_default();
        if course.connection != connection {
            *course = Course { connection, ..Course::default() };
        }
        course
    }
}

/// See the module.
#[derive(Debug)]
pub struct Book {
    trace: Arc<Trace>,
    state: Mutex<State>,
}

impl Book {
    /// An empty one, about these devices.
    pub fn new(trace: Arc<Trace>, devices: Vec<DeviceName>) -> Self {
        Self { trace, state: Mutex::new(State { devices, ..State::default() }) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something that must hold does not.
    pub fn violated(&self, what: fmt::Arguments<'_>) {
        self.violate(&mut self.state(), what);
    }

    pub(crate) fn violate(&self, state: &mut State, what: fmt::Arguments<'_>) {
        tell!(self.trace, "VIOLATION {what}");
        if state.violations.len() < VIOLATIONS_MAX {
            state.violations.push(format!("at {} ms: {what}", self.trace.now()));
        }
    }

    /// Whether something does not hold: nothing that happens then tells more.
    pub fn has_failed(&self) -> bool {
        !self.state().violations.is_empty()
    }

    /// What was found so far.
    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// Messages that came to devices, and acknowledgements that came to senders.
    pub fn counts(&self) -> (u64, u64) {
        let state = self.state();
        (state.deliveries, state.acknowledgements)
    }

    /// A draft was sent as something new.
    pub fn sent(&self, draft: &Draft) {
        let mut state = self.state();
        if draft.free {
            return state.free.sent(draft);
        }
        let fresh = || Fate { draft: draft.clone(), attempts: 0, acknowledged: false, place: None };
        state.fates.entry(draft.text.clone()).or_insert_with(fresh).attempts += 1;
    }

    /// A draft was acknowledged; `place`: where it is said to be.
    pub fn acknowledged(&self, draft: &Draft, place: Option<(ConversationId, u64)>) {
        let mut state = self.state();
        state.acknowledgements += 1;
        if draft.free {
            return state.free.acknowledged(draft);
        }
        let Some(fate) = state.fates.get_mut(&draft.text) else { return };
        fate.acknowledged = true;
        let Some((conversation, seq)) = place else { return };
        let before = fate.place.replace(seq);
        if conversation != draft.conversation {
            self.violate(
                &mut state,
                format_args!("{:?} was acknowledged in another conversation", short(&draft.text)),
            );
        }
        if let Some(before) = before.filter(|before| draft.id.is_some() && *before != seq) {
            let id = draft.id.as_deref().unwrap_or_default();
            self.violate(&mut state, format_args!("message id {id} has seq {before} and seq {seq}"));
        }
        let line = Line {
            sender: user_id(draft.device.user),
            id: draft.id.clone().unwrap_or_default(),
            text: draft.text.clone(),
        };
        self.agree(&mut state, conversation, seq, line, format_args!("PUBACK to {}", draft.device));
    }

    /// All agree on what stands at a position.
    fn agree(
        &self,
        state: &mut State,
        conversation: ConversationId,
        seq: u64,
        line: Line,
        who: fmt::Arguments<'_>,
    ) {
        match state.lines.get(&(conversation, seq)) {
            None => {
                state.lines.insert((conversation, seq), line);
            }
            Some(known) if *known == line => {}
            Some(known) => {
                let known = known.clone();
                self.violate(
                    state,
                    format_args!("{who}: seq {seq} is {line:?}, and was {known:?} to others"),
                );
            }
        }
    }

    /// A device is connected. `follows`: with a session that has its subscriptions.
    pub fn connected(&self, device: DeviceName, connection: u64, follows: bool) {
        let mut state = self.state();
        state.course(device, connection);
        if !follows {
            state.held.entry(device).or_default().values_mut().for_each(|held| held.begun_anew = true);
        }
    }

    /// A device subscribes, or has the answer. It may be sent again what its acknowledgement is not yet durable of.
    pub fn subscribes(&self, device: DeviceName, connection: u64, asks: bool) {
        let mut state = self.state();
        let course = state.course(device, connection);
        course.subscribing = asks;
        course.last.clear();
    }

    /// A device has a session that stays, with a subscription to free topics; or that is not sure.
    pub fn follows_free(&self, device: DeviceName, follows: bool) {
        self.state().free.follows(device, follows);
    }

    /// A free message came to a device.
    pub fn free_delivered(&self, device: DeviceName, text: &str, exactly: bool) {
        let state = &mut *self.state();
        state.deliveries += 1;
        if let Err(what) = state.free.delivered(device, text, exactly) {
            self.violate(state, format_args!("{what}"));
        }
    }

    /// A message came to a device.
    pub fn delivered(&self, device: DeviceName, connection: u64, delivery: &Delivery) {
        let Delivery { conversation, seq, line } = delivery.clone();
        let state = &mut *self.state();
        state.deliveries += 1;
        if let Some(line) = line {
            self.agree(state, conversation, seq, line, format_args!("delivery to {device}"));
        }
        let course = state.course(device, connection);
        let last = course.last.insert(conversation, seq).filter(|_| !course.subscribing);
        let held = state.held.entry(device).or_default().entry(conversation).or_default();
        let known = held.received.last().copied();
        let anew = std::mem::take(&mut held.begun_anew);
        held.received.insert(seq);
        if let Some(last) = last.filter(|last| seq <= *last) {
            self.violate(state, format_args!("{device} was sent seq {seq} behind seq {last}"));
        }
        // Within a connection from the last one on; else from all that the device has ever had.
        let (from, first) = match (last, known) {
            (Some(last), _) => (last + 1, false),
            (None, Some(known)) => (known + 1, anew),
            (None, None) => (seq, true),
        };
        if from < seq {
            state.gaps.push(Gap { device, conversation, from, to: seq - 1, first });
        }
    }

    /// A device has sent its acknowledgement of a message.
    pub fn device_acknowledged(&self, device: DeviceName, conversation: ConversationId, seq: u64) {
        let mut state = self.state();
        let held = state.held.entry(device).or_default().entry(conversation).or_default();
        held.acknowledged.insert(seq);
    }

    /// A receipt came to a device.
    pub fn receipt(
        &self,
        device: DeviceName,
        connection: u64,
        of: (ConversationId, UserId),
        delivered: u64,
        read: u64,
        dup: bool,
    ) {
        let state = &mut *self.state();
        let course = state.course(device, connection);
        let before = course.receipts.insert(of, (delivered, read)).unwrap_or_default();
        if !dup && (delivered < before.0 || read < before.1) {
            let now = (delivered, read);
            self.violate(
                state,
                format_args!("{device} was told of a position that retreats: {before:?}, {now:?}"),
            );
        }
        Self::raise(state, of, delivered, read);
    }

    /// A read position was acknowledged to a user.
    pub fn has_read(&self, conversation: ConversationId, user: UserId, seq: u64) {
        Self::raise(&mut self.state(), (conversation, user), 0, seq);
    }

    fn raise(state: &mut State, of: (ConversationId, UserId), delivered: u64, read: u64) {
        let known = state.cursors.entry(of).or_default();
        known.delivered = known.delivered.max(delivered);
        known.read = known.read.max(read);
    }

    /// The positions of a user that it knows of: what it asks for now must not be behind them.
    pub fn known_reads(&self, user: UserId) -> BTreeMap<ConversationId, u64> {
        let state = self.state();
        let own = state.cursors.iter().filter(|((_, of), _)| *of == user);
        own.map(|((conversation, _), cursor)| (*conversation, cursor.read)).collect()
    }

    /// A user was told of its conversations.
    pub fn listed(&self, user: UserId, before: &BTreeMap<ConversationId, u64>, listed: &Conversations) {
        let state = &mut *self.state();
        for conversation in &listed.conversations {
            let id = conversation.id;
            let read = conversation.read.max(conversation.joined_seq.saturating_sub(1));
            if conversation.unread != conversation.head.saturating_sub(read) {
                self.violate(state, format_args!("unread is not what is left: {conversation:?}"));
            }
            let behind = before.get(&id).is_some_and(|known| conversation.read < *known);
            if behind {
                self.violate(state, format_args!("a read position retreats in a listing: {conversation:?}"));
            }
            Self::raise(state, (id, user), conversation.delivered, conversation.read);
        }
    }
}
