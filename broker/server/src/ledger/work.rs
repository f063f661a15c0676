//! Work that is done a slice at a time, between commands: what a session that left had of shared subscriptions goes to
//! others, what a session that ended had goes, and retained messages go out.
//!
//! A slice is part of a batch like any command. If the batch fails, the slice is done again.

use super::{
    Command,
    decider::Decider,
    free::Stepped,
    publish::{Chosen, Plan},
    queues::Queue,
    reading::delivery,
    subscribing::RetainedWork,
};
use crate::topics::{FreeDelivery, Subscriber};
use bytes::Bytes;
use parlance_plugin_api::{
    ledger::{LedgerError, View},
    record::{self, QueueRecord, SessionKey, queue_key},
    store::{Direction, Scan, StoreError, Table},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// Rows that one slice deletes or moves at most.
const SLICE_ROWS_MAX: usize = 1024;
/// Entries of shared subscriptions that one slice moves at most: each is read.
const SLICE_MOVES_MAX: usize = 256;
/// Works that are looked at in one slice: of those that wait for room, there may be many.
const WORKS_LOOKED_AT_MAX: usize = 64;
/// How long work that waits for room is left alone, at first and at most.
const PACE: Duration = Duration::from_millis(2);
const PACE_MAX: Duration = Duration::from_millis(64);
/// The same while nothing can be written.
const PACE_REFUSED: Duration = Duration::from_millis(250);

/// How far a slice came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is more to do.
    More,
    /// It waits for room.
    Waits,
    Finished,
}

/// Work in progress.
pub(super) enum Work {
    Retained(RetainedWork),
    /// What a session has of shared subscriptions.
    Share(ShareWork),
    /// What a session has.
    End(EndWork),
    /// Rows that belong to nothing.
    Rows(Table, Vec<Bytes>),
}

/// Moves entries of shared subscriptions to other members.
pub(super) struct ShareWork {
    subscriber: Arc<Subscriber>,
    /// Of this one only.
    share: Option<Arc<str>>,
    /// Entries behind this number are still to be looked at.
    behind: u64,
    /// The same before this batch.
    durable_behind: u64,
    /// Entries that came later are not looked at.
    up_to: u64,
    /// The session has ended: also what was sent and not acknowledged (QoS 1) goes on, and to members that are away.
    ended: bool,
    finished: bool,
}

impl ShareWork {
    pub(super) fn new(queue: &Queue, share: Option<Arc<str>>) -> Self {
        let state = queue.state();
        Self {
            subscriber: queue.subscriber.clone(),
            share,
            behind: state.done,
            durable_behind: state.done,
            up_to: state.last,
            ended: false,
            finished: false,
        }
    }
}

/// Deletes what a session has: first of all its subscriptions are taken away, so that nothing is added meanwhile.
pub(super) struct EndWork {
    key: SessionKey,
    /// Its entries of shared subscriptions go to others first.
    share: Option<ShareWork>,
    /// Entries of a session that began anew meanwhile stay.
    up_to: u64,
    subscriber: Option<Arc<Subscriber>>,
    done: Option<oneshot::Sender<Result<(), LedgerError>>>,
}

impl Work {
    /// Whoever waits for it hears how it went.
    pub(super) fn done(self, outcome: Result<(), LedgerError>) {
        if let Self::End(EndWork { done: Some(done), .. }) = self {
            // The asker may have gone.
            let _ = done.send(outcome);
        }
    }

    /// Whoever waits hears that it did not happen now. The work itself goes on.
    pub(super) fn fail(&mut self, error: &LedgerError) {
        if let Self::End(end) = self
            && let Some(done) = end.done.take()
        {
            let _ = done.send(Err(error.clone()));
        }
    }

    /// As it was before this batch.
    pub(super) fn rewind(&mut self) {
        match self {
            Self::Retained(work) => work.rewind(),
            Self::Share(work) | Self::End(EndWork { share: Some(work), .. }) => {
                work.behind = work.durable_behind;
                work.finished = false;
            }
            Self::End(_) | Self::Rows(..) => {}
        }
    }
}

impl Decider {
    /// Does a slice of what waits.
    pub(super) fn work(&mut self) {
        if let Some(refusal) = &self.refusal {
            self.free.later.iter_mut().for_each(|work| work.fail(refusal));
            self.free.pace = PACE_REFUSED;
            return;
        }
        for _ in 0..self.free.later.len().min(WORKS_LOOKED_AT_MAX) {
            let Some(mut work) = self.free.later.pop_front() else { break };
            let progress = match &mut work {
                Work::Retained(work) => self.step_retained(work),
                Work::Share(work) => self.step_share(work),
                Work::End(work) => self.step_end(work),
                Work::Rows(table, keys) => self.step_rows(*table, keys),
            };
            let finished = progress == Progress::Finished;
            if progress == Progress::Waits {
                self.free.later.push_back(work);
                continue;
            }
            self.running.free.stepped.push(Stepped { work, finished, born: false });
            self.free.pace = Duration::ZERO;
            return;
        }
        self.free.pace = (self.free.pace * 2).clamp(PACE, PACE_MAX);
    }

    /// What a session that lives in memory asks for needs no room on the disk. Gives back what does.
    pub(super) fn decide_unwritten(&mut self, command: Command) -> Result<(), Command> {
        match command {
            Command::Leave { subscriber, whole: true, done } if !subscriber.is_durable() => {
                for filter in subscriber.filters() {
                    self.free.topics.unsubscribe(&filter, &subscriber);
                }
                if let Some(done) = done {
                    // Whoever asked may have gone.
                    let _ = done.send(Ok(()));
                }
                Ok(())
            }
            Command::Subscribe(subscribing) if subscribing.stored.is_none() => {
                self.subscribe(*subscribing);
                Ok(())
            }
            other => Err(other),
        }
    }

    /// A connection ended, or a whole session.
    pub(super) fn leave(
        &mut self,
        subscriber: &Arc<Subscriber>,
        whole: bool,
        done: Option<oneshot::Sender<Result<(), LedgerError>>>,
    ) {
        let queue = self.free.queues.get(subscriber.key);
        let share = queue.filter(|queue| queue.entries().any(|entry| entry.shared));
        let share = share.map(|queue| ShareWork { ended: whole, ..ShareWork::new(queue, None) });
        if !whole {
            if let Some(share) = share {
                let work = Work::Share(share);
                self.running.free.stepped.push(Stepped { work, finished: false, born: true });
            }
            if let Some(done) = done {
                self.running.answers.push(super::decider::Answer::Job(done));
            }
            return;
        }
        let up_to = queue.map_or(0, |queue| queue.state().last);
        for filter in subscriber.filters() {
            if let Some(before) = self.free.topics.unsubscribe(&filter, subscriber) {
                let undo = super::free::Undo::Subscription(filter, subscriber.clone(), Some(before));
                self.running.free.undo.push(undo);
            }
        }
        self.running.free.changed = true;
        let end = EndWork { key: subscriber.key, share, up_to, subscriber: Some(subscriber.clone()), done };
        self.running.free.stepped.push(Stepped { work: Work::End(end), finished: false, born: true });
        self.free.pace = Duration::ZERO;
    }

    /// Gives what a member did not take to others.
    pub(super) fn redeliver(&mut self, from: SessionKey, deliveries: &[Arc<FreeDelivery>]) {
        for delivery in deliveries {
            let Some(shared) = delivery.share.as_ref().and_then(|share| self.free.topics.share(share)) else {
                continue;
            };
            let Chosen::Member(target) = self.choose(&shared, &delivery.message, Some(from), false) else {
                continue;
            };
            let mut plan = Plan::default();
            plan.add(target);
            if let Err(error) = self.hand_to(plan, &delivery.message, None) {
                self.broken(error);
                return;
            }
        }
    }

    fn step_share(&mut self, work: &mut ShareWork) -> Progress {
        work.durable_behind = work.behind;
        let key = work.subscriber.key;
        let sent = work.subscriber.may_be_sent();
        let Some(queue) = self.free.queues.get(key) else { return Progress::Finished };
        let wanted = queue.entries().filter(|entry| entry.number > work.behind && entry.number <= work.up_to);
        // What may have been sent with QoS 2 is this client's to complete, or nobody's.
        let movable =
            wanted.filter(|entry| entry.shared && !(entry.exact && (entry.released || entry.number <= sent)));
        let entries: Vec<_> = movable.take(SLICE_MOVES_MAX).copied().collect();
        for entry in &entries {
            work.behind = entry.number;
            match self.move_entry(work, entry) {
                Ok(()) => {}
                Err(MoveError::Store(error)) => {
                    tracing::warn!(%error, "an entry of a shared subscription could not be read; it stays");
                }
                Err(MoveError::Broken) => return Progress::Finished,
            }
        }
        if entries.len() < SLICE_MOVES_MAX { Progress::Finished } else { Progress::More }
    }

    /// Moves an entry to another member, if there is one.
    fn move_entry(&mut self, work: &ShareWork, entry: &super::queues::Entry) -> Result<(), MoveError> {
        let key = work.subscriber.key;
        let row = self.view.get(Table::Queue, &queue_key(key, entry.number)).map_err(MoveError::Store)?;
        let Some(record) = row.and_then(record::decode::<QueueRecord>) else { return Ok(()) };
        let Some(delivery) = delivery(&self.view, record).map_err(MoveError::Store)? else { return Ok(()) };
        let Some(share) = delivery.share.clone() else { return Ok(()) };
        if work.share.as_ref().is_some_and(|wanted| *wanted != share) || delivery.message.is_expired(self.now)
        {
            return Ok(());
        }
        let Some(shared) = self.free.topics.share(&share) else { return Ok(()) };
        let message = &delivery.message;
        let Chosen::Member(target) = self.choose(&shared, message, Some(key), !work.ended) else {
            return Ok(());
        };
        let mut plan = Plan::default();
        plan.add(target);
        if let Err(error) = self.hand_to(plan, message, entry.body) {
            self.broken(error);
            return Err(MoveError::Broken);
        }
        if let Some(removed) = self.free.queues.take_number(key, entry.number) {
            self.delete_entry(key, removed);
        }
        Ok(())
    }

    fn step_end(&mut self, work: &mut EndWork) -> Progress {
        if let Some(share) = work.share.as_mut().filter(|share| !share.finished) {
            share.finished = self.step_share(share) == Progress::Finished;
            return Progress::More;
        }
        // What was moved is durable.
        work.share = None;
        for _ in 0..SLICE_ROWS_MAX {
            let Some(removed) = self.free.queues.take_first(work.key, work.up_to) else {
                return match self.forget_received(work.key) {
                    Ok(true) => self.end_session(work),
                    Ok(false) => Progress::More,
                    Err(error) => {
                        tracing::warn!(%error, "packet ids of a session that ended stay until the next start");
                        self.end_session(work)
                    }
                };
            };
            self.delete_entry(work.key, removed);
        }
        Progress::More
    }

    /// Deletes packet ids of a session that ended; `true`: all of them.
    fn forget_received(&mut self, key: SessionKey) -> Result<bool, StoreError> {
        let (from, to) = (key.bytes(), record::prefix_end(&key.bytes()));
        let table = Table::Received;
        let page = self.view.scan(Scan {
            table,
            from: &from,
            to: &to,
            direction: Direction::Forward,
            limit: SLICE_ROWS_MAX,
        })?;
        for (key, _) in &page {
            self.running.batch.delete(table, key);
            self.running.plain.insert(table, key.clone(), None);
        }
        Ok(page.len() < SLICE_ROWS_MAX)
    }

    fn end_session(&mut self, work: &EndWork) -> Progress {
        if self.free.queues.end(work.key) {
            self.running.batch.delete(Table::Queue, &queue_key(work.key, 0));
            self.running.free.heads.remove(&work.key);
        }
        self.running.free.ended.extend(work.subscriber.clone());
        Progress::Finished
    }

    fn step_rows(&mut self, table: Table, keys: &mut Vec<Bytes>) -> Progress {
        // From the end: what a batch that failed had deleted is found again at the next start.
        let kept = keys.len().saturating_sub(SLICE_ROWS_MAX);
        for key in keys.drain(kept..) {
            self.running.batch.delete(table, &key);
        }
        if keys.is_empty() { Progress::Finished } else { Progress::More }
    }
}

/// Why an entry was not moved.
enum MoveError {
    Store(StoreError),
    /// It was decided and could not be written down.
    Broken,
}

/// What a server before this one has left of a session that has ended.
pub(super) fn orphan(key: SessionKey, queue: &Queue) -> Work {
    let share = queue
        .entries()
        .any(|entry| entry.shared)
        .then(|| ShareWork { ended: true, ..ShareWork::new(queue, None) });
    Work::End(EndWork {
        key,
        share,
        up_to: queue.state().last,
        subscriber: Some(queue.subscriber.clone()),
        done: None,
    })
}
