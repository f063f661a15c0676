//! One conversation as one device still has to receive it.
//!
//! Three positions cut the sequence: `acked ≤ sent ≤ queued ≤ head`.
//! * up to `acked`: the device has it (contiguous);
//! * up to `sent`: handed out; what is unacknowledged of it stands in `outstanding`;
//! * up to `queued`: in memory, waiting for the window (`ready`), or passed over;
//! * up to `head`: known to exist, to be read from the log.

use std::collections::VecDeque;

use crate::Channels;

/// A message in memory that waits for the window.
struct Ready<M> {
    seq: u64,
    /// The cursor goes to here when the message is handed out: what follows `seq` needs no delivery.
    upto: u64,
    /// Channels that have not got it yet; never empty.
    channels: Channels,
    /// What it holds.
    bytes: usize,
    message: M,
}

/// A message handed out that is not done with: channels have not acknowledged it, or have not got it yet.
struct Outstanding {
    seq: u64,
    /// Channels that got it.
    handed: Channels,
    /// Those of them that have not acknowledged it.
    waiting: Channels,
}

/// A log read under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) after: u64,
    pub(crate) limit: u32,
}

/// In which queues of [`CatchUp`](crate::catch_up::CatchUp) the conversation stands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Filed {
    pub(crate) runnable: bool,
    pub(crate) behind: bool,
    pub(crate) moved: bool,
}

/// What was handed out.
pub(crate) struct Handed<M> {
    pub(crate) seq: u64,
    pub(crate) channel: u8,
    pub(crate) message: M,
    /// The message left memory: all its channels were served.
    pub(crate) complete: bool,
}

/// See the module.
pub(crate) struct Track<M> {
    sent: u64,
    head: u64,
    /// Last `acked` that the server was told.
    reported: u64,
    ready: VecDeque<Ready<M>>,
    /// Sum over `ready`.
    ready_bytes: usize,
    outstanding: VecDeque<Outstanding>,
    read: Option<Read>,
    /// The last read brought nothing though there should be something: wait before the next.
    stalled: bool,
    /// The server tracks it. False: only packets in flight of an earlier connection are known.
    followed: bool,
    pub(crate) filed: Filed,
}

impl<M: Clone> Track<M> {
    /// A conversation of which the device has everything up to `acked`.
    pub(crate) fn new(acked: u64, head: u64, followed: bool) -> Self {
        Self {
            sent: acked,
            head: head.max(acked),
            reported: acked,
            ready: VecDeque::new(),
            ready_bytes: 0,
            outstanding: VecDeque::new(),
            read: None,
            stalled: false,
            followed,
            filed: Filed::default(),
        }
    }

    /// A packet of an earlier connection is in flight. Up to `sent` all messages were served to all their channels.
    pub(crate) fn resume(&mut self, seq: u64, channel: u8, sent: u64) {
        self.hand_out(seq, channel);
        self.sent = self.sent.max(sent).max(seq.saturating_sub(1));
        self.head = self.head.max(seq).max(sent);
    }

    pub(crate) fn acked(&self) -> u64 {
        self.outstanding.front().map_or(self.sent, |first| first.seq - 1)
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    pub(crate) fn queued(&self) -> u64 {
        self.ready.back().map_or(self.sent, |last| last.upto)
    }

    pub(crate) fn ready_len(&self) -> u32 {
        self.ready.len() as u32
    }

    pub(crate) fn ready_bytes(&self) -> usize {
        self.ready_bytes
    }

    pub(crate) fn is_followed(&self) -> bool {
        self.followed
    }

    pub(crate) fn reading(&self) -> Option<Read> {
        self.read
    }

    /// The server tracks it from now on: the device has everything up to `acked`, `head` exists.
    /// Returns how many messages left memory.
    pub(crate) fn follow(&mut self, acked: u64, head: u64) -> u32 {
        self.followed = true;
        self.stalled = false;
        self.head = self.head.max(head).max(acked);
        self.reported = self.reported.max(acked);
        let before = self.ready_len();
        while self.outstanding.front().is_some_and(|first| first.seq <= acked) {
            self.outstanding.pop_front();
        }
        while self.ready.front().is_some_and(|first| first.seq <= acked) {
            self.sent = self.pop_ready().map_or(self.sent, |first| first.upto);
        }
        self.sent = self.sent.max(acked);
        self.trim();
        before - self.ready_len()
    }

    /// `head` exists.
    pub(crate) fn saw(&mut self, head: u64) {
        if head > self.head {
            self.head = head;
            self.stalled = false;
        }
    }

    /// Nothing up to `upto` needs delivery any more.
    pub(crate) fn pass(&mut self, upto: u64) {
        match self.ready.back_mut() {
            Some(last) => last.upto = last.upto.max(upto),
            None => {
                self.sent = self.sent.max(upto);
                self.trim();
            }
        }
    }

    /// Queues the message at `seq`, which is beyond `queued`; what lies between does not exist any more.
    /// Returns whether it went into memory: false if no channel needs it.
    pub(crate) fn push(&mut self, seq: u64, message: M, bytes: usize, channels: Channels) -> bool {
        debug_assert!(seq > self.queued(), "messages are queued in order");
        self.saw(seq);
        self.pass(seq - 1);
        // After a resume the newest packet in flight may be of a message whose other channels were not served.
        let handed = self.outstanding.back().filter(|last| last.seq == seq).map(|last| last.handed);
        let channels = channels.difference(handed.unwrap_or_default());
        if channels.is_empty() {
            self.pass(seq);
            return false;
        }
        self.ready_bytes += bytes;
        self.ready.push_back(Ready { seq, upto: seq, channels, bytes, message });
        true
    }

    /// The message that is handed out next, and to which channel.
    pub(crate) fn next_handed(&self) -> Option<(u64, u8)> {
        let first = self.ready.front()?;
        Some((first.seq, first.channels.first()?))
    }

    /// Hands the next message to its next channel. `acknowledged`: an acknowledgement will come.
    pub(crate) fn take(&mut self, acknowledged: bool) -> Option<Handed<M>> {
        let first = self.ready.front_mut()?;
        let channel = first.channels.first()?;
        let seq = first.seq;
        first.channels = first.channels.without(channel);
        let (message, complete) = if first.channels.is_empty() {
            let first = self.pop_ready()?;
            self.sent = first.upto;
            (first.message, true)
        } else {
            (first.message.clone(), false)
        };
        if acknowledged {
            self.hand_out(seq, channel);
        }
        self.trim();
        Some(Handed { seq, channel, message, complete })
    }

    /// The device has the message at `seq` by `channel`.
    pub(crate) fn ack(&mut self, seq: u64, channel: u8) {
        let index = match self.outstanding.front() {
            Some(first) if first.seq == seq => 0,
            _ => match self.outstanding.binary_search_by_key(&seq, |it| it.seq) {
                Ok(index) => index,
                Err(_) => return,
            },
        };
        self.outstanding[index].waiting = self.outstanding[index].waiting.without(channel);
        self.trim();
    }

    /// Whether the acknowledgement of `seq` by `channel` is awaited.
    pub(crate) fn awaits(&self, seq: u64, channel: u8) -> bool {
        self.outstanding
            .binary_search_by_key(&seq, |it| it.seq)
            .is_ok_and(|index| self.outstanding[index].waiting.contains(channel))
    }

    /// Whether something must be read from the log, and no read is under way.
    pub(crate) fn is_behind(&self) -> bool {
        self.followed && !self.stalled && self.read.is_none() && self.head > self.queued()
    }

    pub(crate) fn begin_read(&mut self, limit: u32) -> Read {
        let read = Read { after: self.queued(), limit };
        self.read = Some(read);
        read
    }

    /// The read that began after `after` was answered; `None` if there is none.
    pub(crate) fn end_read(&mut self, after: u64) -> Option<Read> {
        self.read.take_if(|read| read.after == after)
    }

    /// Notes whether the last read moved `queued` beyond `before`. Returns true if it should have and did not.
    pub(crate) fn judge_read(&mut self, before: u64) -> bool {
        self.stalled = self.queued() == before && self.head > before;
        self.stalled
    }

    /// The wait after a vain read is over.
    pub(crate) fn unstall(&mut self) {
        self.stalled = false;
    }

    /// Whether the server has not been told of the newest `acked`.
    pub(crate) fn is_moved(&self) -> bool {
        self.acked() > self.reported
    }

    /// The newest `acked`, which the server is told now; `None` if it knows.
    pub(crate) fn report(&mut self) -> Option<u64> {
        let acked = self.acked();
        (acked > self.reported).then(|| {
            self.reported = acked;
            acked
        })
    }

    /// Whether nothing is owed, awaited, read or to be told.
    pub(crate) fn is_idle(&self) -> bool {
        self.ready.is_empty()
            && self.outstanding.is_empty()
            && self.read.is_none()
            && !self.is_moved()
            && (!self.followed || self.head <= self.sent)
    }

    /// Gives back the memory of empty queues.
    pub(crate) fn shrink(&mut self) {
        if self.ready.is_empty() {
            self.ready = VecDeque::new();
        }
        if self.outstanding.is_empty() {
            self.outstanding = VecDeque::new();
        }
    }

    fn pop_ready(&mut self) -> Option<Ready<M>> {
        let first = self.ready.pop_front()?;
        self.ready_bytes -= first.bytes;
        Some(first)
    }

    fn hand_out(&mut self, seq: u64, channel: u8) {
        match self.outstanding.back_mut() {
            Some(last) if last.seq == seq => {
                last.handed = last.handed.with(channel);
                last.waiting = last.waiting.with(channel);
            }
            _ => {
                let only = Channels::one(channel);
                self.outstanding.push_back(Outstanding { seq, handed: only, waiting: only });
            }
        }
    }

    /// Lets go of what all channels got and acknowledged.
    fn trim(&mut self) {
        let sent = self.sent;
        while self.outstanding.front().is_some_and(|first| first.waiting.is_empty() && first.seq <= sent) {
            self.outstanding.pop_front();
        }
    }
}
