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
mod tests;
