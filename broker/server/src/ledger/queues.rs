//! The queues of durable sessions as the decider knows them: which entries there are, not what they say.
//!
//! # Invariants
//! * Numbers ascend and are never given twice while a session lives. They are dense when they are written, but for those
//!   of QoS 2 that would have the packet id of another one; holes appear where entries were dropped or moved.
//! * No two QoS 2 entries of a queue have the same packet id ([`POSITIONS_PER_ID`]): what a lost process had sent can be told.
//! * An entry is here exactly if its row is in the store or in the running batch; a body's row is, exactly if an entry
//!   refers to it.
//! * Every change since the last [`Queues::settle`] can be taken back ([`Queues::undo`]): then everything is as the disk says.

use crate::topics::{QueueState, Subscriber};
use parlance_engine::POSITIONS_PER_ID;
use parlance_plugin_api::record::{BodyId, SessionKey};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

/// Numbers that are reserved at once: so many may be left out when the server starts again.
const RESERVED_AT_ONCE: u64 = 1024;

/// QoS 2 entries that one queue can have, whatever is configured: there are only so many packet ids for them.
const EXACT_MAX: usize = (POSITIONS_PER_ID / 2) as usize;

/// Where a shared body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BodySlot(u32);

/// What is known of an entry. Small: there may be millions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) number: u64,
    /// What it counts for.
    pub(super) bytes: u32,
    pub(super) body: Option<BodySlot>,
    /// QoS 2.
    pub(super) exact: bool,
    /// QoS 2: the client has it.
    pub(super) released: bool,
    /// It came from a shared subscription.
    pub(super) shared: bool,
}

/// One session's queue.
pub(super) struct Queue {
    pub(super) subscriber: Arc<Subscriber>,
    entries: VecDeque<Entry>,
    last: u64,
    reserved: u64,
    bytes: u64,
    /// QoS 2 entries.
    exact: usize,
    /// The last one that was released, if it is still there.
    released: u64,
}

impl Queue {
    pub(super) fn new(subscriber: Arc<Subscriber>) -> Self {
        Self { subscriber, entries: VecDeque::new(), last: 0, reserved: 0, bytes: 0, exact: 0, released: 0 }
    }

    pub(super) fn state(&self) -> QueueState {
        QueueState {
            done: self.entries.front().map_or(self.last, |first| first.number - 1),
            last: self.last,
            messages: self.entries.len() as u64,
            bytes: self.bytes,
            released: self.released,
        }
    }

    /// The number of the next entry.
    fn next_number(&self, exact: bool) -> u64 {
        let mut number = self.last + 1;
        while exact && self.has_same_packet_id(number) {
            number += 1;
        }
        number
    }

    /// Whether a QoS 2 entry with this number would have the packet id of another one.
    fn has_same_packet_id(&self, number: u64) -> bool {
        let first = self.entries.front().map_or(number, |first| first.number);
        let rounds = (number - first) / POSITIONS_PER_ID;
        let mut earlier = (1..=rounds).map(|round| number - round * POSITIONS_PER_ID);
        earlier.any(|number| self.position(number).is_some_and(|at| self.entries[at].exact))
    }

    fn add(&mut self, at: usize, entry: Entry) {
        self.bytes += u64::from(entry.bytes);
        self.exact += usize::from(entry.exact);
        self.entries.insert(at, entry);
    }

    fn remove(&mut self, at: usize) -> Option<Entry> {
        let entry = self.entries.remove(at)?;
        self.bytes -= u64::from(entry.bytes);
        self.exact -= usize::from(entry.exact);
        Some(entry)
    }

    pub(super) fn reserved(&self) -> u64 {
        self.reserved
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// What the store told: entries in the order of their numbers, and what was reserved, before or after them.
    pub(super) fn load(&mut self, entry: Entry) {
        self.last = self.last.max(entry.number);
        if entry.released {
            self.released = entry.number;
        }
        self.add(self.entries.len(), entry);
    }

    pub(super) fn load_reserved(&mut self, reserved: u64) {
        self.reserved = reserved;
        self.last = self.last.max(reserved);
    }

    fn position(&self, number: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&number, |entry| entry.number).ok()
    }

    /// The oldest entry that may be dropped for want of room: one that was not sent yet, if there is one; never one that
    /// the client has and is about to complete.
    fn droppable(&self, sent: u64) -> Option<usize> {
        let unreleased = |at: &usize| !self.entries[*at].released;
        let unsent = self.entries.partition_point(|entry| entry.number <= sent);
        (unsent..self.entries.len()).find(unreleased).or_else(|| (0..unsent).find(unreleased))
    }
}

#[derive(Debug, Clone, Copy)]
struct Body {
    id: BodyId,
    refs: u32,
}

/// What a message needs of a queue, or what there is of it at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// With QoS 2.
    pub(super) exact: bool,
}

/// An entry that is gone, and the body that nobody refers to any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Removed {
    pub(super) number: u64,
    pub(super) body: Option<BodyId>,
}

/// How to take back a change.
enum Undo {
    Made(SessionKey),
    Gone(SessionKey, Box<Queue>),
    /// With the last number before.
    Pushed(SessionKey, u64),
    Removed(SessionKey, usize, Entry),
    /// As it was, and the last that was released before.
    Released(SessionKey, usize, Entry, u64),
    Reserved(SessionKey, u64),
    BodyMade(BodySlot),
    BodyRefs(BodySlot, u32),
}

/// All queues, and the bodies that they share.
#[derive(Default)]
pub(super) struct Queues {
    queues: HashMap<SessionKey, Queue>,
    bodies: Vec<Body>,
    /// Places of bodies that are gone.
    free: Vec<BodySlot>,
    messages: u64,
    bytes: u64,
    undo: Vec<Undo>,
    /// Places of bodies that went in this batch.
    freed: Vec<BodySlot>,
    touched: HashSet<SessionKey>,
}

impl Queues {
    pub(super) fn get(&self, key: SessionKey) -> Option<&Queue> {
        self.queues.get(&key)
    }

    pub(super) fn len(&self) -> usize {
        self.queues.len()
    }

    /// Entries of all queues.
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// What they count for.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A queue that the store told of.
    pub(super) fn load(&mut self, key: SessionKey, queue: Queue) {
        self.messages += queue.entries.len() as u64;
        self.bytes += queue.bytes;
        queue.subscriber.set_queue(queue.state());
        self.queues.insert(key, queue);
    }

    /// A body that the store told of, with nobody who refers to it yet.
    pub(super) fn load_body(&mut self, id: BodyId) -> BodySlot {
        self.bodies.push(Body { id, refs: 0 });
        slot(self.bodies.len() - 1)
    }

    pub(super) fn load_ref(&mut self, body: BodySlot) {
        self.bodies[body.0 as usize].refs += 1;
    }

    /// Takes a body that the store told of and nobody refers to out again.
    pub(super) fn load_unreferred(&mut self) -> Vec<BodyId> {
        let mut unreferred = Vec::new();
        for (at, body) in self.bodies.iter().enumerate().filter(|(_, body)| body.refs == 0) {
            unreferred.push(body.id);
            self.free.push(slot(at));
        }
        unreferred
    }

    fn state(&self, key: SessionKey) -> QueueState {
        self.queues.get(&key).map(Queue::state).unwrap_or_default()
    }

    /// Whether a message finds room.
    pub(super) fn has_room(&self, key: SessionKey, message: Room, most: Room) -> bool {
        let Some(queue) = self.queues.get(&key) else { return message.bytes <= most.bytes };
        let exact_max = if message.exact { EXACT_MAX } else { usize::MAX };
        (queue.entries.len() as u64) < most.messages
            && queue.bytes.saturating_add(message.bytes) <= most.bytes
            && queue.exact < exact_max
    }

    /// Makes sure that a session has a queue.
    pub(super) fn make(&mut self, subscriber: &Arc<Subscriber>) -> &mut Queue {
        let Self { queues, undo, .. } = self;
        queues.entry(subscriber.key).or_insert_with(|| {
            undo.push(Undo::Made(subscriber.key));
            Queue::new(subscriber.clone())
        })
    }

    /// Appends an entry. Answers its number, and whether the reserve must be written anew.
    pub(super) fn push(&mut self, subscriber: &Arc<Subscriber>, entry: Entry) -> (u64, bool) {
        let key = subscriber.key;
        let queue = self.make(subscriber);
        let number = queue.next_number(entry.exact);
        let reserves = number > queue.reserved;
        let (reserved, last) = (queue.reserved, queue.last);
        if reserves {
            queue.reserved = number + RESERVED_AT_ONCE - 1;
        }
        queue.last = number;
        queue.add(queue.entries.len(), Entry { number, ..entry });
        if reserves {
            self.undo.push(Undo::Reserved(key, reserved));
        }
        self.undo.push(Undo::Pushed(key, last));
        self.messages += 1;
        self.bytes += u64::from(entry.bytes);
        self.touched.insert(key);
        if let Some(body) = entry.body {
            self.set_refs(body, 1);
        }
        (number, reserves)
    }

    fn take(&mut self, key: SessionKey, at: usize) -> Option<Removed> {
        let queue = self.queues.get_mut(&key)?;
        let entry = queue.remove(at)?;
        self.messages -= 1;
        self.bytes -= u64::from(entry.bytes);
        self.undo.push(Undo::Removed(key, at, entry));
        self.touched.insert(key);
        let body = entry.body.and_then(|body| self.set_refs(body, -1));
        Some(Removed { number: entry.number, body })
    }

    /// Takes the first entry out, if its number is not beyond one.
    pub(super) fn take_first(&mut self, key: SessionKey, up_to: u64) -> Option<Removed> {
        let first = self.queues.get(&key)?.entries.front()?;
        (first.number <= up_to).then(|| self.take(key, 0)).flatten()
    }

    /// Takes an entry out.
    pub(super) fn take_number(&mut self, key: SessionKey, number: u64) -> Option<Removed> {
        let at = self.queues.get(&key)?.position(number)?;
        self.take(key, at)
    }

    /// Takes the entry out that is dropped first for want of room.
    pub(super) fn drop_oldest(&mut self, key: SessionKey) -> Option<Removed> {
        let queue = self.queues.get(&key)?;
        let at = queue.droppable(queue.subscriber.sent())?;
        self.take(key, at)
    }

    /// The client has an entry: its message is gone, and its number is kept until the client has forgotten it, too.
    /// `None`: there is no such entry, or it was released before.
    pub(super) fn release(&mut self, key: SessionKey, number: u64) -> Option<Removed> {
        let queue = self.queues.get_mut(&key)?;
        let at = queue.position(number)?;
        let entry = queue.entries[at];
        if entry.released {
            return None;
        }
        let marker = Entry { bytes: 0, body: None, exact: true, released: true, shared: false, ..entry };
        queue.remove(at);
        queue.add(at, marker);
        self.undo.push(Undo::Released(key, at, entry, queue.released));
        queue.released = queue.released.max(number);
        self.bytes -= u64::from(entry.bytes);
        self.touched.insert(key);
        let body = entry.body.and_then(|body| self.set_refs(body, -1));
        Some(Removed { number, body })
    }

    /// The session has ended: its queue is gone. Only an empty one goes.
    pub(super) fn end(&mut self, key: SessionKey) -> bool {
        let empty = self.queues.get(&key).is_some_and(|queue| queue.entries.is_empty());
        if empty && let Some(queue) = self.queues.remove(&key) {
            self.undo.push(Undo::Gone(key, Box::new(queue)));
            self.touched.insert(key);
        }
        empty
    }

    /// A body that is to be shared.
    pub(super) fn make_body(&mut self, id: BodyId) -> BodySlot {
        let body = Body { id, refs: 0 };
        let made = match self.free.pop() {
            Some(free) => {
                self.bodies[free.0 as usize] = body;
                free
            }
            None => {
                self.bodies.push(body);
                slot(self.bodies.len() - 1)
            }
        };
        self.undo.push(Undo::BodyMade(made));
        made
    }

    pub(super) fn body(&self, body: BodySlot) -> BodyId {
        self.bodies[body.0 as usize].id
    }

    /// Answers the body if nobody refers to it any more.
    fn set_refs(&mut self, slot: BodySlot, change: i32) -> Option<BodyId> {
        let body = &mut self.bodies[slot.0 as usize];
        self.undo.push(Undo::BodyRefs(slot, body.refs));
        body.refs = body.refs.saturating_add_signed(change);
        if body.refs > 0 {
            return None;
        }
        self.freed.push(slot);
        Some(body.id)
    }

    /// What was changed is durable. Answers whether anything was: then every session's new state is told.
    pub(super) fn settle(&mut self) -> bool {
        self.undo.clear();
        self.free.append(&mut self.freed);
        let changed = !self.touched.is_empty();
        for key in self.touched.drain() {
            if let Some(queue) = self.queues.get(&key) {
                queue.subscriber.set_queue(queue.state());
            }
        }
        changed
    }

    /// What was changed did not happen.
    pub(super) fn undo(&mut self) {
        self.freed.clear();
        self.touched.clear();
        while let Some(undo) = self.undo.pop() {
            self.undo_one(undo);
        }
    }

    fn undo_one(&mut self, undo: Undo) {
        match undo {
            Undo::Made(key) => {
                self.queues.remove(&key);
            }
            Undo::Gone(key, queue) => {
                self.queues.insert(key, *queue);
            }
            Undo::BodyMade(body) => self.free.push(body),
            Undo::BodyRefs(body, refs) => self.bodies[body.0 as usize].refs = refs,
            Undo::Pushed(key, last) => {
                let Some(queue) = self.queues.get_mut(&key) else { return };
                queue.last = last;
                if let Some(entry) = queue.remove(queue.entries.len().saturating_sub(1)) {
                    self.messages -= 1;
                    self.bytes -= u64::from(entry.bytes);
                }
            }
            Undo::Removed(key, at, entry) => {
                let Some(queue) = self.queues.get_mut(&key) else { return };
                queue.add(at, entry);
                self.messages += 1;
                self.bytes += u64::from(entry.bytes);
            }
            Undo::Released(key, at, entry, released) => {
                let Some(queue) = self.queues.get_mut(&key) else { return };
                queue.remove(at);
                queue.add(at, entry);
                queue.released = released;
                self.bytes += u64::from(entry.bytes);
            }
            Undo::Reserved(key, reserved) => {
                if let Some(queue) = self.queues.get_mut(&key) {
                    queue.reserved = reserved;
                }
            }
        }
    }
}

fn slot(at: usize) -> BodySlot {
    BodySlot(u32::try_from(at).expect("2^32 bodies do not fit into memory"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_plugin_api::{UserId, access::Subject, identity::AccountKind, record::DeviceId};
    use proptest::prelude::*;

    fn subscriber(user: u8) -> Arc<Subscriber> {
        let user = UserId([user; 16]);
        let key = SessionKey { user, device: DeviceId([0; 16]) };
        let subject = Subject { user, handle: None, kind: AccountKind::Person, client_id: "".into() };
        Arc::new(Subscriber::new(key, subject, true, true))
    }

    fn entry(bytes: u32, body: Option<BodySlot>) -> Entry {
        Entry { number: 0, bytes, body, exact: true, released: false, shared: false }
    }

    /// Everything that can be seen.
    fn seen(queues: &Queues) -> impl PartialEq + std::fmt::Debug + use<> {
        let mut all: Vec<_> = queues
            .queues
            .iter()
            .map(|(key, queue)| (*key, queue.state(), queue.reserved, queue.entries.clone()))
            .collect();
        all.sort_by_key(|(key, ..)| *key);
        let bodies: Vec<_> = queues.bodies.iter().map(|body| body.refs).filter(|refs| *refs > 0).collect();
        (all, bodies, queues.messages, queues.bytes)
    }

    #[derive(Debug, Clone)]
    enum Change {
        Push(u8, u32, bool),
        First(u8, u64),
        Number(u8, u64),
        Drop(u8),
        Release(u8, u64),
        End(u8),
        Body,
    }

    fn change() -> impl Strategy<Value = Change> {
        let (who, number) = (0u8..3, 1u64..12);
        prop_oneof![
            4 => (who.clone(), 0u32..9, any::<bool>()).prop_map(|(who, bytes, body)| Change::Push(who, bytes, body)),
            1 => (who.clone(), number.clone()).prop_map(|(who, number)| Change::First(who, number)),
            1 => (who.clone(), number.clone()).prop_map(|(who, number)| Change::Number(who, number)),
            1 => who.clone().prop_map(Change::Drop),
            2 => (who.clone(), number).prop_map(|(who, number)| Change::Release(who, number)),
            1 => who.prop_map(Change::End),
            1 => Just(Change::Body),
        ]
    }

    proptest! {
        #[test]
        fn what_is_undone_never_was(
            kept in prop::collection::vec(change(), 0..40),
            undone in prop::collection::vec(change(), 0..40),
        ) {
            let who = [subscriber(0), subscriber(1), subscriber(2)];
            let mut queues = Queues::default();
            let mut body = None;
            let mut carry_out = |queues: &mut Queues, changes: Vec<Change>| {
                // A body is referred to in the batch that made it only.
                body = None;
                for change in changes {
                    let key = |of: u8| who[usize::from(of)].key;
                    match change {
                        Change::Push(of, bytes, shared) => {
                            let body = body.filter(|_| shared);
                            queues.push(&who[usize::from(of)], entry(bytes, body));
                        }
                        Change::First(of, up_to) => drop(queues.take_first(key(of), up_to)),
                        Change::Number(of, number) => drop(queues.take_number(key(of), number)),
                        Change::Drop(of) => drop(queues.drop_oldest(key(of))),
                        Change::Release(of, number) => drop(queues.release(key(of), number)),
                        Change::End(of) => drop(queues.end(key(of))),
                        Change::Body => body = Some(queues.make_body(BodyId([7; 16]))),
                    }
                    if body.is_some_and(|body| queues.freed.contains(&body)) {
                        body = None;
                    }
                }
            };
            carry_out(&mut queues, kept);
            queues.settle();
            let before = seen(&queues);
            carry_out(&mut queues, undone);
            queues.undo();
            prop_assert_eq!(seen(&queues), before);
            let counted: u64 = queues.queues.values().map(|queue| queue.bytes).sum();
            prop_assert_eq!(queues.bytes, counted);
            for queue in queues.queues.values() {
                let exact = queue.entries.iter().filter(|entry| entry.exact).count();
                prop_assert_eq!(queue.exact, exact);
            }
        }
    }

    #[test]
    fn what_was_sent_is_dropped_last_and_what_the_client_has_never() {
        let who = subscriber(1);
        let mut queues = Queues::default();
        for _ in 0..4 {
            queues.push(&who, entry(1, None));
        }
        queues.release(who.key, 1).unwrap();
        who.set_sent(2);
        let mut dropped = || queues.drop_oldest(who.key).map(|removed| removed.number);
        assert_eq!([dropped(), dropped(), dropped(), dropped()], [Some(3), Some(4), Some(2), None]);
    }

    #[test]
    fn numbers_are_reserved_in_advance_and_go_on_behind_them() {
        let who = subscriber(1);
        let mut queues = Queues::default();
        assert_eq!(queues.push(&who, entry(1, None)), (1, true));
        assert_eq!(queues.push(&who, entry(1, None)), (2, false));
        let reserved = queues.get(who.key).unwrap().reserved();
        let mut again = Queue::new(who.clone());
        again.load_reserved(reserved);
        assert_eq!(again.state(), QueueState { done: reserved, last: reserved, ..QueueState::default() });
        let mut queues = Queues::default();
        queues.load(who.key, again);
        assert_eq!(queues.push(&who, entry(1, None)), (reserved + 1, true));
    }

    #[test]
    fn no_two_of_qos_2_have_the_same_packet_id() {
        let who = subscriber(1);
        let mut queues = Queues::default();
        let mut push = |exact| queues.push(&who, Entry { exact, ..entry(1, None) }).0;
        assert_eq!((push(true), push(false), push(true)), (1, 2, 3));
        let mut last = 3;
        while last < POSITIONS_PER_ID {
            last = push(false);
        }
        assert_eq!(push(true), POSITIONS_PER_ID + 2, "the number behind has the id of the first");
        assert_eq!(push(true), POSITIONS_PER_ID + 4);
        queues.settle();
        queues.push(&who, Entry { exact: true, ..entry(1, None) });
        queues.undo();
        assert_eq!(queues.get(who.key).unwrap().state().last, POSITIONS_PER_ID + 4);
    }

    #[test]
    fn there_are_no_more_of_qos_2_than_packet_ids() {
        let who = subscriber(1);
        let mut queues = Queues::default();
        let most = Room { messages: u64::MAX, bytes: u64::MAX, exact: true };
        let has_room =
            |queues: &Queues, exact| queues.has_room(who.key, Room { messages: 1, bytes: 1, exact }, most);
        for _ in 0..EXACT_MAX {
            assert!(has_room(&queues, true));
            queues.push(&who, entry(1, None));
        }
        assert_eq!((has_room(&queues, true), has_room(&queues, false)), (false, true));
        queues.drop_oldest(who.key);
        assert!(has_room(&queues, true));
    }

    #[test]
    fn a_body_goes_with_the_last_that_refers_to_it() {
        let (one, other) = (subscriber(1), subscriber(2));
        let mut queues = Queues::default();
        let body = queues.make_body(BodyId([9; 16]));
        queues.push(&one, entry(1, Some(body)));
        queues.push(&other, entry(1, Some(body)));
        assert_eq!(queues.take_first(one.key, 9).unwrap().body, None);
        assert_eq!(queues.release(other.key, 1).unwrap().body, Some(BodyId([9; 16])));
        queues.settle();
        assert_eq!(queues.make_body(BodyId([8; 16])), body, "its place is used again");
    }
}
