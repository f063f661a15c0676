//! Free topics within the decider: what it knows of them, and what a batch does with them.
//!
//! # Invariants
//! * What is known in memory is changed when it is decided, and taken back if the batch does not become durable:
//!   subscriptions, retained messages and queues are then as the disk says, and nobody was told.
//! * Nothing is handed out before its batch is durable. A batch that wrote nothing is handed out at the same place, so
//!   that all sessions see messages in the order in which they were decided.
//! * Work that may be long is done in slices, at the beginning of a batch, when everything before it is in the view.

use super::{decider::Decider, queues::Queues, work::Work};
use crate::topics::{FreeMessage, HandOut, Subscriber, Topics, hand_out};
use bytes::Bytes;
use parlance_engine::{Found, Retained, SubscriptionOptions};
use parlance_mqtt::{ReasonCode, TopicFilter};
use parlance_plugin_api::{
    ledger::{LedgerError, View},
    record::{QueueHeadRecord, SessionKey, queue_key},
    store::{StoreError, Table, VaultError},
};
use prost::Message as _;
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

/// What the decider knows of free topics.
pub(super) struct Free {
    pub(super) topics: Arc<Topics>,
    pub(super) queues: Queues,
    pub(super) retained: Retained<Arc<FreeMessage>>,
    pub(super) retained_bytes: usize,
    /// Work that is done a slice at a time.
    pub(super) later: VecDeque<Work>,
    /// How long the next slice waits.
    pub(super) pace: Duration,
    pub(super) found: Found<Arc<Subscriber>>,
}

impl Free {
    pub(super) fn new(topics: Arc<Topics>) -> Self {
        Self {
            topics,
            queues: Queues::default(),
            retained: Retained::new(),
            retained_bytes: 0,
            later: VecDeque::new(),
            pace: Duration::ZERO,
            found: Found::default(),
        }
    }

    /// How long a command is waited for before a slice of work is done; `None`: there is no work.
    pub(super) fn rest(&self) -> Option<Duration> {
        (!self.later.is_empty()).then_some(self.pace)
    }

    pub(super) fn tell_counts(&self) {
        let counters = self.topics.counters();
        counters.set_queues(self.queues.len() as u64, self.queues.messages(), self.queues.bytes());
        counters.set_retained(self.retained.len() as u64, self.retained_bytes as u64);
        crate::topics::Counters::set_subscriptions(self.topics.subscriptions());
    }
}

/// How to take back a change of what is not a queue.
pub(super) enum Undo {
    Subscription(TopicFilter, Arc<Subscriber>, Option<SubscriptionOptions>),
    Retained(Arc<FreeMessage>, Option<Arc<FreeMessage>>),
}

/// Work that was begun or gone on with in this batch.
pub(super) struct Stepped {
    pub(super) work: Work,
    pub(super) finished: bool,
    /// A command of this batch asked for it: if that fails, there is nothing to do.
    pub(super) born: bool,
}

/// What of free topics happens when the batch is durable.
#[derive(Default)]
pub(super) struct FreeRunning {
    pub(super) out: Vec<HandOut>,
    pub(super) undo: Vec<Undo>,
    pub(super) stepped: Vec<Stepped>,
    /// Queues whose head is written with the batch.
    pub(super) heads: BTreeSet<SessionKey>,
    pub(super) dropped: Vec<Arc<Subscriber>>,
    pub(super) published: u64,
    /// Retained messages that subscriptions of this batch brought.
    pub(super) retained_sent: usize,
    /// Sessions that have ended.
    pub(super) ended: Vec<Arc<Subscriber>>,
    /// Something that is counted has changed.
    pub(super) changed: bool,
}

impl Decider {
    /// Writes a row that later commands of this batch must see.
    pub(super) fn write(&mut self, table: Table, key: &[u8], plain: Option<Bytes>) -> Result<(), VaultError> {
        match &plain {
            Some(plain) => self.running.batch.put(&*self.view.vault, table, key, plain)?,
            None => self.running.batch.delete(table, key),
        }
        self.running.plain.insert(table, Bytes::copy_from_slice(key), plain);
        Ok(())
    }

    /// A row as this batch leaves it.
    pub(super) fn look(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.running.plain.get(table, key) {
            Some(known) => Ok(known),
            None => self.view.get(table, key),
        }
    }

    /// Adds what is written once per batch: the heads of queues.
    pub(super) fn close_free(&mut self) -> Result<(), VaultError> {
        for key in &self.running.free.heads {
            let Some(queue) = self.free.queues.get(*key) else { continue };
            let dropped = self.running.free.dropped.iter().filter(|who| who.key == *key).count() as u64;
            let head =
                QueueHeadRecord { reserved: queue.reserved(), dropped: queue.subscriber.dropped() + dropped };
            self.running.batch.put(
                &*self.view.vault,
                Table::Queue,
                &queue_key(*key, 0),
                &head.encode_to_vec(),
            )?;
        }
        Ok(())
    }

    /// The batch is durable: everybody hears of it, in the order decided.
    pub(super) fn tell_free(&mut self, running: FreeRunning) {
        let Free { topics, queues, later, pace, .. } = &mut self.free;
        // First: what is handed out is then within what the session's queue is known to hold.
        let mut changed = queues.settle() || running.changed;
        for who in running.ended {
            if queues.get(who.key).is_none() {
                who.begin_anew();
            }
        }
        for who in &running.dropped {
            who.add_dropped(1);
        }
        let counters = topics.counters();
        counters.queue_dropped(running.dropped.len() as u64);
        counters.published(running.published);
        hand_out(running.out, counters);
        for Stepped { work, finished, born } in running.stepped {
            changed = true;
            match finished {
                true => work.done(Ok(())),
                false => later.push_back(work),
            }
            if born {
                *pace = Duration::ZERO;
            }
        }
        if changed {
            self.free.tell_counts();
        }
    }

    /// Nothing of the batch happened.
    pub(super) fn fail_free(&mut self, running: FreeRunning, error: &LedgerError) {
        let Free { topics, queues, retained, retained_bytes, later, .. } = &mut self.free;
        queues.undo();
        for undo in running.undo.into_iter().rev() {
            match undo {
                Undo::Subscription(filter, who, Some(before)) => {
                    topics.subscribe(&filter, &who, before);
                }
                Undo::Subscription(filter, who, None) => {
                    topics.unsubscribe(&filter, &who);
                }
                Undo::Retained(now, before) => {
                    let gone = match before {
                        Some(before) => {
                            *retained_bytes += before.bytes();
                            let topic = before.topic.clone();
                            retained.insert(&topic, before)
                        }
                        None => retained.remove(now.topic.as_str()),
                    };
                    *retained_bytes -= gone.map_or(0, |gone| gone.bytes());
                }
            }
        }
        for out in running.out {
            match out {
                HandOut::Settled(peer, mut settled) => {
                    settled.codes.fill(ReasonCode::UnspecifiedError);
                    peer.settled(settled);
                }
                HandOut::Step(peer, _) => peer.step(crate::peer::Step::Failed),
                HandOut::Queued(..) | HandOut::Live(..) => {}
            }
        }
        for Stepped { mut work, born, .. } in running.stepped {
            work.fail(error);
            if !born {
                work.rewind();
                later.push_back(work);
            }
        }
    }
}
