//! The decider thread: commands in, one synced batch after the other out.

use super::{
    Command, Done, Health, Moves, Published, SendRefusal,
    batch::Batch,
    conversations::Conversations,
    free::{Free, FreeRunning},
    now_ms,
    overlay::Overlay,
    queue::{Queue, Waited},
    view::OpenView,
};
use crate::{
    delivery::Committed,
    hub::{Committing, Hub, Moved},
    peer::Step,
};
use bytes::Bytes;
use parlance_engine::Cursor;
use parlance_journal::{AppendError, Journal};
use parlance_mqtt::ReasonCode;
use parlance_plugin_api::{
    ConversationId, UserId,
    event::Event,
    ledger::{LedgerError, View},
    record::{self, CursorRecord, DeviceId, HeadRecord, IdRecord, SessionKey},
    store::{Position, StoreError, Table, VaultError},
};
use std::{
    collections::{BTreeMap, HashMap},
    io::IoSlice,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::oneshot;

/// What the decider and the applier tell each other.
pub(crate) struct Shared {
    pub(crate) health: Arc<Mutex<Health>>,
    /// Free space fell below the reserve, or the disk refused a write: writes are refused.
    pub(crate) low_space: AtomicBool,
    /// The journal found no space since the applier last looked.
    pub(crate) journal_full: AtomicBool,
    /// The store does not take runs: writes are refused once the overlay is full.
    pub(crate) store_fails: AtomicBool,
    /// The store is synced up to here: the journal may let go of it.
    pub(crate) safe: AtomicU64,
    /// The journal failed in a way that only a restart mends.
    pub(crate) stopped: AtomicBool,
}

impl Shared {
    pub(crate) fn is_ready(&self) -> bool {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) == Health::Ready
    }

    pub(crate) fn set_health(&self, health: Health) {
        let mut now = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if *now != health {
            match &health {
                Health::Ready => tracing::info!("the store takes writes again"),
                Health::ReadOnly { reason } | Health::Failed { reason } => {
                    tracing::error!("writes are refused: {reason}")
                }
            }
            *now = health;
        }
    }
}

/// Limits of a batch and of what may wait in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) batch_commands_max: usize,
    pub(crate) batch_bytes_max: usize,
    /// Bytes of the run that fills at which the applier is told.
    pub(crate) run_bytes_max: usize,
    /// Bytes in the overlay at which the decider waits for the applier.
    pub(crate) overlay_bytes_max: usize,
    pub(crate) message_bytes_max: usize,
    pub(crate) receipts_live_members_max: usize,
}

/// The running batch with everything that happens when it is durable.
#[derive(Default)]
pub(super) struct Running {
    pub(super) batch: Batch,
    /// What jobs wrote, plain: later jobs of the batch see it.
    pub(super) plain: super::layer::Layer,
    /// Message ids taken in this batch.
    pub(super) ids: HashMap<Vec<u8>, IdRecord>,
    /// Conversations whose head moved: head and time.
    pub(super) heads: Vec<(ConversationId, u64)>,
    /// Members whose cursors moved; `true` where others are told.
    pub(super) cursors: Vec<((ConversationId, UserId), bool)>,
    pub(super) device_cursors: BTreeMap<(UserId, DeviceId, ConversationId), u64>,
    /// Conversations that differ from the store until the batch is durable.
    pub(super) touched: Vec<ConversationId>,
    pub(super) messages: Vec<(Arc<Committed>, Arc<[UserId]>)>,
    pub(super) events: Vec<Event>,
    pub(super) answers: Vec<Answer>,
    pub(super) free: FreeRunning,
    /// Something was decided and could not be written down: nothing of the batch may happen.
    pub(super) broken: Option<LedgerError>,
}

/// What came of gathering a batch.
pub(crate) enum Gathered {
    Batch,
    /// The ledger is to stop after it; who asked is told then.
    Last(oneshot::Sender<()>),
    /// Nobody can ask any more.
    End,
}

pub(super) enum Answer {
    Sent(Done, Result<Published, SendRefusal>),
    Read(oneshot::Sender<Result<CursorRecord, SendRefusal>>, CursorRecord),
    Job(oneshot::Sender<Result<(), LedgerError>>),
}

/// The one writer.
pub(crate) struct Decider {
    pub(super) view: OpenView,
    pub(super) conversations: Conversations,
    pub(super) free: Free,
    pub(super) running: Running,
    pub(super) limits: Limits,
    pub(super) now: u64,
    pub(super) hub: Arc<Hub>,
    overlay: Arc<Overlay>,
    journal: Journal,
    shared: Arc<Shared>,
    applier: std::sync::mpsc::SyncSender<()>,
    /// What is encoded in it, one after the other.
    pub(super) scratch: Vec<u8>,
    /// Why writes are refused at present.
    pub(super) refusal: Option<LedgerError>,
}

/// How long the decider rests when the overlay is full before it looks again.
const OVERLAY_FULL_POLL: Duration = Duration::from_millis(2);

impl Decider {
    #[allow(clippy::too_many_arguments)] // the parts of one thread, handed over once
    pub(super) fn new(
        view: OpenView,
        conversations: Conversations,
        free: Free,
        limits: Limits,
        hub: Arc<Hub>,
        journal: Journal,
        shared: Arc<Shared>,
        applier: std::sync::mpsc::SyncSender<()>,
    ) -> Self {
        let overlay = view.overlay.clone();
        let running = Running::default();
        Self {
            view,
            conversations,
            free,
            running,
            limits,
            now: now_ms(),
            hub,
            overlay,
            journal,
            shared,
            applier,
            scratch: Vec::new(),
            refusal: None,
        }
    }

    /// Runs until told to stop, or until nobody can ask any more.
    pub(crate) fn run(mut self, mut queue: Queue) {
        loop {
            let first = match self.rest() {
                None => queue.next(),
                Some(rest) => queue.next_within(rest),
            };
            while !self.keeps_up() {
                std::thread::sleep(OVERLAY_FULL_POLL);
            }
            let stop = match self.gather(first, &mut queue) {
                Gathered::Batch => None,
                Gathered::Last(stopped) => Some(stopped),
                Gathered::End => return,
            };
            self.commit();
            if let Some(stopped) = stop {
                return self.stop(queue, stopped);
            }
        }
    }

    /// How long a command is waited for before other work is done; `None`: there is none.
    pub(crate) fn rest(&self) -> Option<Duration> {
        self.free.rest()
    }

    /// The overlay is bounded: when the applier does not keep up, deciding waits. Also looks why nothing may be decided.
    pub(crate) fn keeps_up(&mut self) -> bool {
        self.refusal = None;
        if self.shared.low_space.load(Ordering::Acquire) {
            self.refusal = Some(LedgerError::Full);
            return true;
        }
        let (active, frozen) = self.overlay.bytes();
        if active + frozen < self.limits.overlay_bytes_max {
            return true;
        }
        if self.shared.store_fails.load(Ordering::Acquire) {
            self.refusal = Some(LedgerError::Store("the store takes nothing, and memory is full".into()));
            return true;
        }
        let _ = self.applier.try_send(());
        false
    }

    /// Decides what waits, as far as it fits one batch.
    pub(crate) fn gather(&mut self, first: Waited, queue: &mut Queue) -> Gathered {
        self.conversations.trim();
        // Time never runs backwards here, whatever the clock does.
        self.now = self.now.max(now_ms());
        // First: it reads, and what this batch writes is not in the view yet.
        self.work();
        let mut stop = match first {
            Waited::Command(first) => self.decide(first),
            Waited::Nothing => None,
            Waited::End => return Gathered::End,
        };
        let mut commands = 1;
        while stop.is_none()
            && commands < self.limits.batch_commands_max
            && self.running.batch.bytes() < self.limits.batch_bytes_max
        {
            let Some(command) = queue.try_next() else { break };
            stop = self.decide(command);
            commands += 1;
        }
        metrics::histogram!("parlance_batch_commands").record(commands as f64);
        stop.map_or(Gathered::Batch, Gathered::Last)
    }

    /// Takes nothing more.
    pub(crate) fn stop(self, queue: Queue, stopped: oneshot::Sender<()>) {
        self.shared.stopped.store(true, Ordering::Release);
        drop(queue);
        // Whoever asked to stop may have gone.
        let _ = stopped.send(());
    }

    /// The newest entry of the journal.
    #[cfg(test)]
    pub(super) fn position(&self) -> u64 {
        self.journal.last()
    }

    pub(super) fn decide(&mut self, command: Command) -> Option<oneshot::Sender<()>> {
        let command = match self.refusal.clone() {
            Some(error) => match self.decide_unwritten(command) {
                Ok(()) => return None,
                Err(command) => return refuse(command, &error),
            },
            None => command,
        };
        match command {
            Command::Stop(stopped) => return Some(stopped),
            Command::Send(intent, done) => self.send(*intent, done),
            Command::MarkRead { conversation, user, seq, done } => match self.read(conversation, user, seq) {
                Ok(record) => self.running.answers.push(Answer::Read(done, record)),
                Err(refusal) => {
                    let _ = done.send(Err(refusal));
                }
            },
            Command::Moves(moves) => self.moves(moves),
            Command::Publish(publish, done) => self.publish(*publish, done),
            Command::Subscribe(subscribing) => self.subscribe(*subscribing),
            Command::Release { session, number, packet_id, peer } => {
                self.release(session, number, packet_id, peer);
            }
            Command::Complete { session, packet_id, peer } => self.complete(session, packet_id, peer),
            Command::Leave { subscriber, whole, done } => self.leave(&subscriber, whole, done),
            Command::Redeliver { from, deliveries } => self.redeliver(from, &deliveries),
            Command::ExpireRetained(topics) => self.expire_retained(topics),
            Command::Job(job, done) => self.job(job, done),
        }
        None
    }

    fn read(&mut self, id: ConversationId, user: UserId, seq: u64) -> Result<CursorRecord, SendRefusal> {
        let now = self.now;
        let known =
            self.conversations.get(&self.view, id).map_err(store_error)?.ok_or(SendRefusal::NotMember)?;
        let moved = known.rules.advance(&user, Cursor::Read, seq).map_err(|_| SendRefusal::NotMember)?;
        if moved.is_some() {
            let times = known.cursors.entry(user).or_default();
            times.read_ms = now;
            self.running.touched.push(id);
            self.running.cursors.push(((id, user), true));
        }
        Ok(known.cursor_record(user))
    }

    fn moves(&mut self, mut moves: Moves) {
        // They come out of a hash map: what happens does not depend on its keys.
        moves.positions.sort_unstable();
        if let Some(number) = moves.queue {
            self.acknowledged(SessionKey { user: moves.user, device: moves.device }, number);
        }
        for (id, seq) in moves.begins {
            let position = self.running.device_cursors.entry((moves.user, moves.device, id)).or_default();
            *position = seq.max(*position);
        }
        for (id, seq) in moves.positions {
            let kept = self.delivered(moves.user, id, seq).and_then(|furthest| {
                if moves.keep_device {
                    self.move_device(moves.user, moves.device, id, seq, furthest)?;
                }
                Ok(())
            });
            if let Err(error) = kept {
                tracing::warn!(conversation = %id, %error, "a position was not kept; it will be reported again");
            }
        }
    }

    /// Merged by maximum: after a resume a device may report again what it has reported before. No device was further than
    /// the `furthest` of its user: then there is nothing to compare with.
    fn move_device(
        &mut self,
        user: UserId,
        device: DeviceId,
        id: ConversationId,
        seq: u64,
        furthest: bool,
    ) -> Result<(), StoreError> {
        let of = (user, device, id);
        let before = match self.running.device_cursors.get(&of) {
            Some(running) => *running,
            None if furthest => 0,
            None => {
                let stored =
                    self.view.get(Table::DeviceCursors, &record::device_cursor_key(user, device, id))?;
                stored.and_then(|value| record::parse_device_cursor(&value)).unwrap_or_default()
            }
        };
        if seq > before {
            self.running.device_cursors.insert(of, seq);
        }
        Ok(())
    }

    /// Answers whether no device of the user was here before.
    fn delivered(&mut self, user: UserId, id: ConversationId, seq: u64) -> Result<bool, StoreError> {
        let now = self.now;
        let Some(known) = self.conversations.get(&self.view, id)? else { return Ok(false) };
        // Removed in the meantime: nothing to keep.
        let Ok(moved) = known.rules.advance(&user, Cursor::Delivered, seq) else { return Ok(false) };
        let seq = seq.min(known.rules.head());
        let record = known.cursors.entry(user).or_default();
        let furthest = record.acknowledged < seq;
        if furthest {
            record.acknowledged = seq;
            self.running.touched.push(id);
            self.running.cursors.push(((id, user), false));
        }
        if moved.is_some() {
            record.delivered_ms = now;
            self.running.cursors.push(((id, user), true));
        }
        Ok(furthest)
    }

    /// Writes the batch, syncs it, and lets everybody know.
    pub(crate) fn commit(&mut self) {
        if let Some(moved) = self.make_durable() {
            self.made_durable(moved);
        }
    }

    /// Writes the batch and syncs it; readers see it from here on. Answers who has moved; `None`: nothing of it happened,
    /// and who waits was told.
    pub(crate) fn make_durable(&mut self) -> Option<Vec<Moved>> {
        if let Some(error) = self.running.broken.take() {
            self.fail(error);
            return None;
        }
        let closed = self.close_batch().and_then(|moved| self.close_free().map(|()| moved));
        let moved = match closed {
            Ok(moved) => moved,
            Err(error) => {
                self.fail(LedgerError::Store(error.to_string()));
                return None;
            }
        };
        if !self.running.batch.is_empty() {
            let entry = match self.running.batch.close(&*self.view.vault) {
                Ok(entry) => entry,
                Err(error) => {
                    self.fail(LedgerError::Store(error.to_string()));
                    return None;
                }
            };
            let bytes = entry.len();
            match self.journal.append(&[IoSlice::new(entry)]) {
                Ok(position) => {
                    metrics::counter!("parlance_journal_batches_total").increment(1);
                    metrics::counter!("parlance_journal_bytes_total").increment(bytes as u64);
                    self.overlay.publish(self.running.batch.take(), Position(position));
                }
                Err(error) => {
                    self.append_failed(&error);
                    return None;
                }
            }
        }
        Some(moved)
    }

    /// Lets everybody know.
    pub(crate) fn made_durable(&mut self, moved: Vec<Moved>) {
        self.tell(moved);
        self.trim();
    }

    /// Adds what is written once per batch: heads and positions. Returns who has moved.
    fn close_batch(&mut self) -> Result<Vec<Moved>, VaultError> {
        let Self { running, conversations, view, limits, .. } = self;
        let mut moved = Vec::new();
        // The newest of each conversation is the last.
        running.heads.sort_by_key(|(id, _)| *id);
        for same in running.heads.chunk_by(|(one, _), (next, _)| one == next) {
            let (id, time_ms) = same[same.len() - 1];
            if let Ok(Some(known)) = conversations.get(view, id) {
                let head = HeadRecord { seq: known.rules.head(), time_ms };
                running.batch.put_again(Table::Heads, &record::conversation_key(id), head);
            }
        }
        running.cursors.sort_unstable();
        for same in running.cursors.chunk_by(|(one, _), (next, _)| one == next) {
            // Those that are told are sorted behind those that are not.
            let ((id, user), tell) = same[same.len() - 1];
            let Ok(Some(known)) = conversations.get(view, id) else { continue };
            if known.rules.member(&user).is_none() {
                continue; // moved, then removed, in one batch
            }
            let record = known.cursor_record(user);
            running.batch.put_again(Table::Cursors, &record::member_key(id, user), record);
            if tell && known.rules.members().len() <= limits.receipts_live_members_max {
                let audience = known.rules.audience();
                moved.push(Moved { conversation: known.info.clone(), user, record, audience });
            }
        }
        for (&(user, device, id), &seq) in &running.device_cursors {
            let key = record::device_cursor_key(user, device, id);
            running.batch.put_again_bytes(Table::DeviceCursors, &key, &record::device_cursor_value(seq));
        }
        Ok(moved)
    }

    fn append_failed(&mut self, error: &AppendError) {
        metrics::counter!("parlance_journal_failures_total").increment(1);
        if let AppendError::Full { .. } = error {
            self.shared.journal_full.store(true, Ordering::Release);
            self.shared.low_space.store(true, Ordering::Release);
            self.shared.set_health(Health::ReadOnly { reason: "the disk is full".into() });
            return self.fail(LedgerError::Full);
        }
        self.shared.set_health(Health::Failed { reason: error.to_string() });
        self.fail(LedgerError::Store(error.to_string()));
    }

    /// Nothing of the batch happened.
    fn fail(&mut self, error: LedgerError) {
        let running = std::mem::take(&mut self.running);
        self.fail_free(running.free, &error);
        for id in running.touched {
            self.conversations.forget(id);
        }
        for answer in running.answers {
            match answer {
                Answer::Sent(done, Err(refusal)) => answer_sent(done, Err(refusal)),
                Answer::Sent(done, Ok(_)) => answer_sent(done, Err(error.clone().into())),
                Answer::Read(done, _) => {
                    let _ = done.send(Err(error.clone().into()));
                }
                Answer::Job(done) => {
                    let _ = done.send(Err(error.clone()));
                }
            }
        }
    }

    fn tell(&mut self, moved: Vec<Moved>) {
        let running = std::mem::take(&mut self.running);
        if let Some(access) = self.free.topics.access() {
            running.events.iter().for_each(|event| access.happened(event));
        }
        if !running.messages.is_empty() {
            metrics::counter!("parlance_messages_stored_total").increment(running.messages.len() as u64);
        }
        // Memberships first: what ends must end before the next message can be handed out.
        self.hub.committed(Committing { events: running.events, messages: running.messages, moved });
        self.tell_free(running.free);
        for answer in running.answers {
            match answer {
                Answer::Sent(done, outcome) => answer_sent(done, outcome),
                Answer::Read(done, record) => {
                    let _ = done.send(Ok(record));
                }
                Answer::Job(done) => {
                    let _ = done.send(Ok(()));
                }
            }
        }
        // Looked at now: the disk may have become full since this batch began.
        let refuses =
            self.shared.low_space.load(Ordering::Acquire) || self.shared.store_fails.load(Ordering::Acquire);
        if self.refusal.is_none() && !refuses && !self.shared.is_ready() {
            self.shared.set_health(Health::Ready);
        }
    }

    fn trim(&mut self) {
        let safe = self.shared.safe.swap(0, Ordering::AcqRel);
        if safe > 0
            && let Err(error) = self.journal.trim(safe)
        {
            tracing::warn!(%error, "old journal segments could not be recycled; tried again later");
        }
        if self.overlay.bytes().0 >= self.limits.run_bytes_max {
            // It looks by itself now and then. A full queue means that it knows already.
            let _ = self.applier.try_send(());
        }
    }
}

/// Answers a command that nothing is done about.
fn refuse(command: Command, error: &LedgerError) -> Option<oneshot::Sender<()>> {
    // Whoever asked may have stopped waiting.
    match command {
        Command::Stop(stopped) => return Some(stopped),
        Command::Send(_, done) | Command::Publish(_, done) => answer_sent(done, Err(error.clone().into())),
        Command::MarkRead { done, .. } => {
            let _ = done.send(Err(error.clone().into()));
        }
        Command::Job(_, done) => {
            let _ = done.send(Err(error.clone()));
        }
        Command::Subscribe(subscribing) => {
            if let Some((peer, mut settled)) = subscribing.done {
                settled.codes.fill(ReasonCode::UnspecifiedError);
                peer.settled(settled);
            }
        }
        Command::Release { peer, .. } | Command::Complete { peer, .. } => peer.step(Step::Failed),
        Command::Leave { done, .. } => {
            if let Some(done) = done {
                let _ = done.send(Err(error.clone()));
            }
        }
        // Positions that are not kept are reported again when the device acknowledges more; what has expired is found again.
        Command::Moves(_) | Command::ExpireRetained(_) => {}
        // They were nowhere but in memory.
        Command::Redeliver { deliveries, .. } => {
            metrics::counter!("parlance_live_dropped_total").increment(deliveries.len() as u64);
        }
    }
    None
}

/// Answers a sender.
pub(super) fn answer_sent(done: Done, outcome: Result<Published, SendRefusal>) {
    match done {
        Done::Reply(reply) => {
            // The caller may have stopped waiting.
            let _ = reply.send(outcome);
        }
        // QoS 0 waits for no acknowledgement, but is told of a refusal.
        Done::Peer(peer, ticket) if ticket.needs_answer() || outcome.is_err() => {
            peer.publish_done(ticket, outcome)
        }
        Done::Peer(..) => {}
        Done::Nobody => {}
    }
}

/// A store error as the asker hears it.
pub(super) fn store_error(error: StoreError) -> LedgerError {
    match error {
        StoreError::Full => LedgerError::Full,
        other => LedgerError::Store(other.to_string()),
    }
}

/// The first 8 bytes of a keyed hash of a message's content.
pub(super) fn body_hash(view: &OpenView, record: &record::LogRecord) -> u64 {
    let mut content = Vec::with_capacity(record.text.len() + 64);
    content.extend_from_slice(&record.text);
    if let Some(data) = &record.data {
        content.push(0xFF); // no UTF-8 text contains it
        content.extend_from_slice(data.content_type.as_bytes());
        content.push(0xFF);
        content.extend_from_slice(&data.bytes);
    }
    let hash = view.vault.pseudonym("message body", &content);
    u64::from_be_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]])
}

/// Whether anything of this key is known, in the batch or durable.
pub(super) fn known_id(
    running: &Running,
    view: &OpenView,
    key: &[u8],
) -> Result<Option<IdRecord>, StoreError> {
    if let Some(record) = running.ids.get(key) {
        return Ok(Some(record.clone()));
    }
    Ok(view.get(Table::Ids, key)?.and_then(record::decode))
}

/// Bytes of an id.
pub(super) fn id_bytes(id: &[u8; 16]) -> Bytes {
    Bytes::copy_from_slice(id)
}
