//! What is still owed to this device, over all conversations.
//!
//! A conversation is here only while the server tracks it (or packets of it are in flight after a resume).
//! Live messages go into memory while there is room and nothing is missing before them; everything else is
//! read from the log, page by page, when memory is below half. Both are the same code path: whatever is in
//! memory is handed out conversation by conversation in turn.

use std::collections::VecDeque;

use foldhash::{HashMap, HashMapExt};
use parlance_mqtt::QoS;

use crate::lazy::Lazy;
use crate::track::{Handed, Track};
use crate::{Channels, Domain, Entry, SessionConfig};

/// The limits that stand in [`SessionConfig`], each at least 1.
struct Limits {
    ready: u32,
    ready_bytes: usize,
    page: u32,
    reads: u32,
}

/// Conversations in the order in which something is done for them. Each stands at most once in each queue.
struct Queues<C> {
    /// Something is in memory for them.
    runnable: VecDeque<C>,
    /// Something must be read for them.
    behind: VecDeque<C>,
    /// Their cursor moved and the server was not told.
    moved: Vec<C>,
    /// Their last read was in vain: they wait for a retry. May hold conversations that do not wait any more.
    stalled: Vec<C>,
}

impl<C: Copy + Eq> Queues<C> {
    fn file<M: Clone>(&mut self, conversation: C, track: &mut Track<M>) {
        if !track.filed.runnable && track.ready_len() > 0 {
            track.filed.runnable = true;
            self.runnable.push_back(conversation);
        }
        if !track.filed.behind && track.is_behind() {
            track.filed.behind = true;
            self.behind.push_back(conversation);
        }
        if !track.filed.moved && track.is_moved() {
            track.filed.moved = true;
            self.moved.push(conversation);
        }
    }

    fn is_empty(&self) -> bool {
        self.runnable.is_empty() && self.behind.is_empty() && self.moved.is_empty() && self.stalled.is_empty()
    }

    fn remove<M>(&mut self, conversation: C, track: &Track<M>) {
        if track.filed.runnable {
            self.runnable.retain(|it| *it != conversation);
        }
        if track.filed.behind {
            self.behind.retain(|it| *it != conversation);
        }
        if track.filed.moved {
            self.moved.retain(|it| *it != conversation);
        }
    }
}

impl<C> Default for Queues<C> {
    fn default() -> Self {
        Self { runnable: VecDeque::new(), behind: VecDeque::new(), moved: Vec::new(), stalled: Vec::new() }
    }
}

/// A message to be sent.
pub(crate) struct Delivery<D: Domain> {
    pub(crate) conversation: D::Conversation,
    pub(crate) seq: u64,
    pub(crate) channel: u8,
    pub(crate) message: D::Message,
    /// Above 0: it needs a packet id and a place in the window.
    pub(crate) qos: QoS,
}

/// A log read to be asked for.
pub(crate) struct Wanted<D: Domain> {
    pub(crate) conversation: D::Conversation,
    pub(crate) after: u64,
    pub(crate) limit: u32,
}

/// See the module.
pub(crate) struct CatchUp<D: Domain> {
    tracks: HashMap<D::Conversation, Track<D::Message>>,
    queues: Lazy<Queues<D::Conversation>>,
    /// Messages in memory, over all conversations.
    ready: u32,
    /// What they hold.
    ready_bytes: usize,
    /// Places in memory that reads under way may fill.
    reserved: u32,
    reads: u32,
    limits: Limits,
}

impl<D: Domain> CatchUp<D> {
    pub(crate) fn new(config: &SessionConfig) -> Self {
        Self {
            tracks: HashMap::new(),
            queues: Lazy::new(),
            ready: 0,
            ready_bytes: 0,
            reserved: 0,
            reads: 0,
            limits: Limits {
                ready: at_least_one(config.ready_messages_max),
                ready_bytes: config.ready_bytes_max.max(1),
                page: at_least_one(config.page_messages_max),
                reads: at_least_one(config.reads_in_flight_max),
            },
        }
    }

    /// A packet of an earlier connection is in flight.
    pub(crate) fn resume(&mut self, conversation: D::Conversation, seq: u64, channel: u8, sent: u64) {
        self.tracks
            .entry(conversation)
            .or_insert_with(|| Track::new(seq.saturating_sub(1), seq, false))
            .resume(seq, channel, sent);
    }

    pub(crate) fn follow(&mut self, conversation: D::Conversation, acked: u64, head: u64) {
        let track = self.tracks.entry(conversation).or_insert_with(|| Track::new(acked, head, true));
        self.ready_bytes -= track.ready_bytes();
        self.ready -= track.follow(acked, head);
        self.ready_bytes += track.ready_bytes();
        self.queues.made().file(conversation, track);
    }

    /// Forgets a conversation. Returns whether it was known.
    pub(crate) fn untrack(&mut self, conversation: D::Conversation) -> bool {
        let Some(track) = self.tracks.remove(&conversation) else { return false };
        self.queues.made().remove(conversation, &track);
        self.ready -= track.ready_len();
        self.ready_bytes -= track.ready_bytes();
        if let Some(read) = track.reading() {
            self.reads -= 1;
            self.reserved -= read.limit;
        }
        true
    }

    pub(crate) fn is_followed(&self, conversation: D::Conversation) -> bool {
        self.tracks.get(&conversation).is_some_and(Track::is_followed)
    }

    pub(crate) fn holds(&self, conversation: D::Conversation) -> bool {
        self.tracks.contains_key(&conversation)
    }

    pub(crate) fn ready_bytes(&self) -> usize {
        self.ready_bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.tracks.len()
    }

    /// A live message. Returns false if the conversation is not tracked.
    pub(crate) fn announce(
        &mut self,
        conversation: D::Conversation,
        seq: u64,
        message: D::Message,
        channels: Channels,
    ) -> bool {
        let Some(track) = self.tracks.get_mut(&conversation).filter(|track| track.is_followed()) else {
            return false;
        };
        let next = track.queued() + 1;
        if seq < next {
            return true;
        }
        let room =
            self.ready + self.reserved < self.limits.ready && self.ready_bytes < self.limits.ready_bytes;
        if seq == next && (room || channels.is_empty()) {
            let bytes = D::message_bytes(&message);
            if track.push(seq, message, bytes, channels) {
                self.ready += 1;
                self.ready_bytes += bytes;
            }
        } else {
            track.saw(seq);
        }
        self.queues.made().file(conversation, track);
        true
    }

    /// The answer to a read. Returns true if it brought nothing though it should have: the conversation waits
    /// for [`retry`](Self::retry).
    pub(crate) fn page(
        &mut self,
        conversation: D::Conversation,
        after: u64,
        entries: Vec<Entry<D>>,
        head: u64,
    ) -> bool {
        let Some(track) = self.tracks.get_mut(&conversation) else { return false };
        let Some(read) = track.end_read(after) else { return false };
        self.reads -= 1;
        self.reserved -= read.limit;
        let before = track.queued();
        let nothing_left = entries.is_empty();
        for entry in entries.into_iter().take(read.limit as usize) {
            let bytes = D::message_bytes(&entry.message);
            if entry.seq > track.queued() && track.push(entry.seq, entry.message, bytes, entry.channels) {
                self.ready += 1;
                self.ready_bytes += bytes;
            }
        }
        track.saw(head);
        if nothing_left && head > track.queued() {
            // Up to its head the log has nothing any more (expired, unreadable).
            track.pass(head);
        }
        let stalled = track.judge_read(before);
        let queues = self.queues.made();
        if stalled && !queues.stalled.contains(&conversation) {
            queues.stalled.push(conversation);
        }
        queues.file(conversation, track);
        stalled
    }

    /// Asks again where reads were in vain.
    pub(crate) fn retry(&mut self) {
        let Some(queues) = self.queues.get_mut() else { return };
        for conversation in std::mem::take(&mut queues.stalled) {
            if let Some(track) = self.tracks.get_mut(&conversation) {
                track.unstall();
                queues.file(conversation, track);
            }
        }
    }

    /// The next message to send. `admit` says with which QoS the message at a position goes to a channel, or that it
    /// has to wait; those after it wait with it.
    pub(crate) fn next_delivery(&mut self, admit: impl Fn(u64, u8) -> Option<QoS>) -> Option<Delivery<D>> {
        loop {
            let queues = self.queues.get_mut()?;
            let conversation = *queues.runnable.front()?;
            let track = self.tracks.get_mut(&conversation);
            let Some((track, (seq, channel))) =
                track.and_then(|track| track.next_handed().map(|it| (track, it)))
            else {
                // Served or gone meanwhile.
                queues.runnable.pop_front();
                if let Some(track) = self.tracks.get_mut(&conversation) {
                    track.filed.runnable = false;
                }
                continue;
            };
            let qos = admit(seq, channel)?;
            self.ready_bytes -= track.ready_bytes();
            let handed = track.take(qos != QoS::AtMostOnce);
            self.ready_bytes += track.ready_bytes();
            let Handed { seq, channel, message, complete } = handed?;
            if complete {
                self.ready -= 1;
                // The next message is the next conversation's.
                queues.runnable.pop_front();
                track.filed.runnable = false;
            }
            queues.file(conversation, track);
            return Some(Delivery { conversation, seq, channel, message, qos });
        }
    }

    /// Whether something is in memory.
    pub(crate) fn has_ready(&self) -> bool {
        self.ready > 0
    }

    /// The device has a message.
    pub(crate) fn ack(&mut self, conversation: D::Conversation, seq: u64, channel: u8) {
        if let Some(track) = self.tracks.get_mut(&conversation) {
            track.ack(seq, channel);
            self.queues.made().file(conversation, track);
            if !track.is_followed() && track.is_idle() {
                self.tracks.remove(&conversation);
            }
        }
    }

    /// Whether the acknowledgement of a message is awaited.
    pub(crate) fn awaits(&self, conversation: D::Conversation, seq: u64, channel: u8) -> bool {
        self.tracks.get(&conversation).is_some_and(|track| track.awaits(seq, channel))
    }

    /// Up to where messages were handed to all their channels.
    pub(crate) fn sent(&self, conversation: D::Conversation) -> u64 {
        self.tracks.get(&conversation).map_or(0, Track::sent)
    }

    /// The next read to ask for: only when memory is below half.
    pub(crate) fn next_read(&mut self) -> Option<Wanted<D>> {
        loop {
            let used = self.ready + self.reserved;
            let half_full = used * 2 >= self.limits.ready || self.ready_bytes * 2 >= self.limits.ready_bytes;
            if self.reads >= self.limits.reads || (used > 0 && half_full) {
                return None;
            }
            let conversation = self.queues.get_mut()?.behind.pop_front()?;
            let Some(track) = self.tracks.get_mut(&conversation) else { continue };
            track.filed.behind = false;
            if !track.is_behind() {
                continue;
            }
            // Half of memory at most, so that live messages of others find room meanwhile.
            let limit = self.limits.page.min((self.limits.ready / 2).max(1));
            let read = track.begin_read(limit);
            self.reads += 1;
            self.reserved += limit;
            return Some(Wanted { conversation, after: read.after, limit });
        }
    }

    /// The next cursor that the server is to be told.
    pub(crate) fn next_moved(&mut self) -> Option<(D::Conversation, u64)> {
        loop {
            let conversation = self.queues.get_mut()?.moved.pop()?;
            let Some(track) = self.tracks.get_mut(&conversation) else { continue };
            track.filed.moved = false;
            let Some(acked) = track.report() else { continue };
            if !track.is_followed() && track.is_idle() {
                self.tracks.remove(&conversation);
            }
            return Some((conversation, acked));
        }
    }

    /// Drops what is only here because of packets in flight of an earlier connection that are settled.
    pub(crate) fn drop_settled(&mut self) {
        self.tracks.retain(|_, track| track.is_followed() || !track.is_idle());
    }

    /// Drops every conversation for which nothing is to be done. Returns how many.
    pub(crate) fn forget_idle(&mut self) -> usize {
        let before = self.tracks.len();
        // What is idle stands in no queue, or only as an entry without effect, which must not outlive it.
        let Self { tracks, queues, .. } = self;
        tracks.retain(|conversation, track| {
            let idle = track.is_idle();
            if idle {
                queues.made().remove(*conversation, track);
            }
            !idle
        });
        before - self.tracks.len()
    }

    /// Gives back the memory of what is empty.
    pub(crate) fn shrink(&mut self) {
        for track in self.tracks.values_mut() {
            track.shrink();
        }
        if self.tracks.is_empty() {
            self.tracks = HashMap::new();
        }
        self.queues.release_if(Queues::is_empty);
    }
}

fn at_least_one(limit: usize) -> u32 {
    u32::try_from(limit.max(1)).unwrap_or(u32::MAX)
}
