//! Free topics: who subscribes to what, and how a message finds its sessions.
//!
//! # Invariants
//! * The decider is the only writer of the subscriptions; connections read them to route QoS 0. A change is seen from
//!   the moment it is decided, and is taken back if its batch does not become durable.
//! * Locks are held for a look-up only, never across an await, never one inside the other. Rights are looked at
//!   with no lock held.
//! * Deny by default: without rules, nobody but the sessions of an open listener receives anything.

mod counts;
mod handout;
mod message;
mod subscriber;

pub(crate) use counts::Counters;
pub use counts::TopicCounts;
pub(crate) use handout::{HandOut, Live, hand_out};
pub use message::{FreeDelivery, FreeMessage};
pub use subscriber::{QueueState, Subscriber};

use crate::config;
use parlance_engine::{Availability, Found, ShareStrategy, SharedMatch, SubscriptionOptions, Subscriptions};
use parlance_mqtt::{QoS, TopicFilter, TopicName};
use parlance_plugin_api::{
    access::{AccessRules, Subject, TopicAction},
    identity::{AccountKind, Directory},
    record::SessionKey,
};
use std::{
    collections::HashMap,
    hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak},
};

type Tree = Subscriptions<Arc<Subscriber>>;

const SHARDS: usize = 64;
/// Sessions of a shard below which those that are gone are not looked for.
const SWEPT_FROM: usize = 64;

/// Sessions by key, for as long as anybody holds them: a connection, a subscription, a queue.
#[derive(Default)]
struct Sessions {
    held: HashMap<SessionKey, Weak<Subscriber>>,
    /// At this number, those that are gone are taken out.
    swept_at: usize,
}

impl Sessions {
    fn get(&self, key: SessionKey) -> Option<Arc<Subscriber>> {
        self.held.get(&key)?.upgrade()
    }

    fn insert(&mut self, made: &Arc<Subscriber>) {
        if self.held.len() >= self.swept_at.max(SWEPT_FROM) {
            self.held.retain(|_, held| held.strong_count() > 0);
            self.swept_at = self.held.len() * 2;
        }
        self.held.insert(made.key, Arc::downgrade(made));
    }
}

/// The free topics of the broker.
pub struct Topics {
    settings: config::Topics,
    tree: RwLock<Tree>,
    sessions: [Mutex<Sessions>; SHARDS],
    hasher: RandomState,
    access: OnceLock<Arc<dyn AccessRules>>,
    directory: OnceLock<Arc<dyn Directory>>,
    counters: Counters,
}

/// What one session gets of a message.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) who: Arc<Subscriber>,
    /// The lesser of what was granted and what was published.
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) subscription_ids: Box<[u32]>,
    pub(crate) share: Option<Arc<str>>,
}

impl Target {
    /// Whether it goes through the session's queue.
    pub(crate) fn is_queued(&self) -> bool {
        self.qos != QoS::AtMostOnce && self.who.is_durable()
    }

    pub(crate) fn delivery(&mut self, message: &Arc<FreeMessage>) -> FreeDelivery {
        FreeDelivery {
            message: message.clone(),
            qos: self.qos,
            retain: self.retain,
            subscription_ids: std::mem::take(&mut self.subscription_ids),
            share: self.share.take(),
        }
    }
}

/// Who is left out when a member of a shared subscription is chosen, and what else counts.
pub(crate) struct Choosing<'a> {
    pub(crate) publisher: u64,
    pub(crate) topic: &'a str,
    pub(crate) published: QoS,
    /// This session does not get it (again).
    pub(crate) except: Option<SessionKey>,
    /// Only members that are connected.
    pub(crate) online_only: bool,
}

impl Topics {
    /// No subscriptions, and nobody has rights yet.
    pub fn new(settings: &config::Topics) -> Self {
        Self {
            settings: settings.clone(),
            tree: RwLock::default(),
            sessions: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            access: OnceLock::new(),
            directory: OnceLock::new(),
            counters: Counters::default(),
        }
    }

    /// The rules from now on. Only the first ones count.
    pub fn set_access(&self, access: Arc<dyn AccessRules>) {
        let _ = self.access.set(access);
    }

    /// Who sessions belong to that were known before any of their clients came. Only the first one counts.
    pub fn set_directory(&self, directory: Arc<dyn Directory>) {
        let _ = self.directory.set(directory);
    }

    /// The rules, once they are there.
    pub fn access(&self) -> Option<&Arc<dyn AccessRules>> {
        self.access.get()
    }

    /// What was configured.
    pub fn settings(&self) -> &config::Topics {
        &self.settings
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How much there is of everything.
    pub fn counts(&self) -> TopicCounts {
        self.counters.read(self.read().len())
    }

    // The tree is changed by single inserts and removals: a panic elsewhere leaves it whole.
    fn read(&self) -> RwLockReadGuard<'_, Tree> {
        self.tree.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tree> {
        self.tree.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard(&self, key: SessionKey) -> MutexGuard<'_, Sessions> {
        let shard = self.hasher.hash_one(key) as usize % SHARDS;
        self.sessions[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session, made if it is not known, with what its connection has agreed on.
    pub fn enter(&self, key: SessionKey, subject: Subject, open: bool, durable: bool) -> Arc<Subscriber> {
        let known = {
            let mut shard = self.shard(key);
            match shard.get(key).filter(|known| known.open == open) {
                Some(known) => known,
                None => {
                    let made = Arc::new(Subscriber::new(key, subject, open, durable));
                    shard.insert(&made);
                    return made;
                }
            }
        };
        known.set_subject(subject);
        known.set_durable(durable);
        known
    }

    /// A session that somebody holds.
    pub fn find(&self, key: SessionKey) -> Option<Arc<Subscriber>> {
        self.shard(key).get(key)
    }

    /// How many sessions are held, about: a moment ago.
    pub(crate) fn known(&self) -> usize {
        let shards = self.sessions.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        shards.map(|sessions| sessions.held.values().filter(|held| held.strong_count() > 0).count()).sum()
    }

    pub(crate) fn subscribe(
        &self,
        filter: &TopicFilter,
        who: &Arc<Subscriber>,
        options: SubscriptionOptions,
    ) -> Option<SubscriptionOptions> {
        who.add_filter(filter);
        let before = self.write().insert(filter, who.clone(), options);
        if before.is_none() && filter.shared().is_some() {
            self.counters.shared(1);
        }
        before
    }

    pub(crate) fn unsubscribe(
        &self,
        filter: &TopicFilter,
        who: &Arc<Subscriber>,
    ) -> Option<SubscriptionOptions> {
        who.remove_filter(filter);
        let before = self.write().remove(filter, who);
        if before.is_some() && filter.shared().is_some() {
            self.counters.shared(-1);
        }
        before
    }

    /// Subscriptions to free topics of all sessions.
    pub(crate) fn subscriptions(&self) -> usize {
        self.read().len()
    }

    /// Whether a session may receive from a topic now.
    pub fn may_receive(&self, who: &Subscriber, topic: &str) -> bool {
        if who.open {
            return true;
        }
        let Some(access) = self.access() else { return false };
        self.name(who);
        match who.kind() {
            AccountKind::Admin => topic == "$SYS" || topic.starts_with("$SYS/"),
            AccountKind::Anonymous => false,
            AccountKind::Person | AccountKind::Service => who.may(&**access, TopicAction::Subscribe, topic),
        }
    }

    /// A session that was read from the store says only whose it is: the rest is looked up when its rights are needed.
    fn name(&self, who: &Subscriber) {
        if who.is_named() {
            return;
        }
        let subject = who.subject();
        let Some(profile) = self.directory.get().and_then(|directory| directory.profile(subject.user)) else {
            return;
        };
        who.set_subject(Subject {
            handle: Some(profile.handle.clone()),
            kind: profile.kind,
            user: subject.user,
            client_id: subject.client_id.clone(),
        });
    }

    /// Whose subscriptions a topic matches.
    pub(crate) fn matching(
        &self,
        topic: &TopicName,
        publisher: Option<&Arc<Subscriber>>,
        found: &mut Found<Arc<Subscriber>>,
    ) {
        self.read().matching(topic, publisher, found);
    }

    /// The members of a shared subscription, `{group}/{filter}`.
    pub(crate) fn share(&self, share: &str) -> Option<SharedMatch<Arc<Subscriber>>> {
        self.read().share(share)
    }

    /// The member of a shared subscription that gets a message.
    pub(crate) fn choose(
        &self,
        shared: &SharedMatch<Arc<Subscriber>>,
        choosing: &Choosing<'_>,
        has_room: impl Fn(&Subscriber) -> bool,
    ) -> Option<Target> {
        let strategy = match self.settings.shared_strategy {
            config::ShareStrategy::Fair => ShareStrategy::Fair,
            config::ShareStrategy::Sticky => ShareStrategy::Sticky,
        };
        let available = |who: &Arc<Subscriber>| {
            let queued = choosing.published != QoS::AtMostOnce && who.is_durable();
            if choosing.except == Some(who.key)
                || !self.may_receive(who, choosing.topic)
                || (queued && !has_room(who))
            {
                return Availability::Unavailable;
            }
            match (who.is_online(), queued && !choosing.online_only) {
                (true, _) => Availability::Online,
                (false, true) => Availability::Offline,
                (false, false) => Availability::Unavailable,
            }
        };
        let (who, options) = shared.choose(strategy, choosing.publisher, available)?;
        Some(Target {
            who,
            qos: options.qos.min(choosing.published),
            // As published is not kept here: the one who chooses knows how it was published.
            retain: options.retain_as_published,
            subscription_ids: (options.id != 0).then_some(options.id).into_iter().collect(),
            share: Some(shared.share.clone()),
        })
    }

    /// Hands a QoS 0 message to whoever subscribes to its topic and is connected, on this thread.
    /// Answers whether anybody does.
    pub fn route_live(&self, message: &Arc<FreeMessage>, publisher: Option<&Arc<Subscriber>>) -> bool {
        let mut found = Found::default();
        self.matching(&message.topic, publisher, &mut found);
        if found.direct.is_empty() && found.shared.is_empty() {
            return false;
        }
        let mut handed = handout::Live::new(message);
        let topic = message.topic.as_str();
        let mut matched = false;
        for hit in found.direct.drain(..) {
            if !self.may_receive(&hit.who, topic) {
                continue;
            }
            matched = true;
            let target = Target {
                who: hit.who,
                qos: QoS::AtMostOnce,
                retain: message.record.retain && hit.retain_as_published,
                subscription_ids: (*hit.ids).into(),
                share: None,
            };
            handed.hand(target, &self.counters);
        }
        let choosing = Choosing {
            publisher: publisher_hash(message),
            topic,
            published: QoS::AtMostOnce,
            except: None,
            online_only: true,
        };
        for shared in found.shared.drain(..) {
            if let Some(mut target) = self.choose(&shared, &choosing, |_| true) {
                matched = true;
                target.retain &= message.record.retain;
                handed.hand(target, &self.counters);
            }
        }
        matched
    }
}

/// What of a message's publisher decides who of a shared subscription gets it, where that is sticky.
pub(crate) fn publisher_hash(message: &FreeMessage) -> u64 {
    let mut hasher = DefaultHasher::new();
    message.record.publisher.hash(&mut hasher);
    hasher.finish()
}
