//! Whom a topic was found to concern.

use super::{SharedMatch, SubscriptionOptions};
use crate::levels::NodeId;
use parlance_mqtt::QoS;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::ops::Deref;

/// Up to this many matches are searched one by one for an overlapping subscription.
const SCANNED_MAX: usize = 16;

/// Identifiers that fit without memory of their own.
const INLINE_IDS: usize = 3;

/// What [`Subscriptions::matching`](super::Subscriptions::matching) finds. Use one again and again: its memory stays.
#[derive(Debug)]
pub struct Found<K> {
    /// Sessions with subscriptions of their own, each once.
    pub direct: Vec<Match<K>>,
    /// Shared subscriptions, of each of which one member gets the message.
    pub shared: Vec<SharedMatch<K>>,
    /// Nodes that the walk has still to see; empty between two.
    pub(super) ahead: Vec<(NodeId, usize)>,
    /// Where the first `indexed` of `direct` are.
    index: HashMap<K, usize>,
    indexed: usize,
}

impl<K> Default for Found<K> {
    fn default() -> Self {
        Self { direct: Vec::new(), shared: Vec::new(), ahead: Vec::new(), index: HashMap::new(), indexed: 0 }
    }
}

/// A session with at least one subscription that matches: it gets the message once (MQTT-3.3.4-2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match<K> {
    /// Who.
    pub who: K,
    /// The greatest QoS of the subscriptions that match (MQTT-3.3.4-2).
    pub qos: QoS,
    /// One of them wants the RETAIN flag as it was published.
    pub retain_as_published: bool,
    /// The identifiers of all of them (MQTT-3.3.4-4).
    pub ids: SubscriptionIds,
}

impl<K: Clone + Eq + Hash> Found<K> {
    /// Forgets what was found, and so lets go of the sessions in it.
    pub fn clear(&mut self) {
        self.direct.clear();
        self.shared.clear();
        self.ahead.clear();
        self.index.clear();
        self.indexed = 0;
    }

    /// Adds the subscribers of one filter, each at most once among them.
    pub(super) fn add<'a>(&mut self, subscribers: impl Iterator<Item = &'a (K, SubscriptionOptions)>)
    where
        K: 'a,
    {
        let before = self.direct.len();
        for (who, options) in subscribers {
            match self.position(who, before) {
                Some(at) => self.direct[at].merge(options),
                None => self.direct.push(Match::new(who.clone(), options)),
            }
        }
    }

    fn position(&mut self, who: &K, before: usize) -> Option<usize> {
        if before <= SCANNED_MAX {
            return self.direct[..before].iter().position(|found| found.who == *who);
        }
        for at in self.indexed..before {
            self.index.insert(self.direct[at].who.clone(), at);
        }
        self.indexed = before;
        self.index.get(who).copied()
    }
}

impl<K> Match<K> {
    fn new(who: K, options: &SubscriptionOptions) -> Self {
        let mut ids = SubscriptionIds::default();
        ids.push(options.id);
        Self { who, qos: options.qos, retain_as_published: options.retain_as_published, ids }
    }

    fn merge(&mut self, options: &SubscriptionOptions) {
        self.qos = self.qos.max(options.qos);
        self.retain_as_published |= options.retain_as_published;
        self.ids.push(options.id);
    }
}

/// Subscription Identifiers of one delivery; one that was given twice is in it twice. A slice.
#[derive(Clone)]
pub struct SubscriptionIds(Ids);

#[derive(Clone)]
enum Ids {
    Inline { len: u8, ids: [u32; INLINE_IDS] },
    Heap(Vec<u32>),
}

impl SubscriptionIds {
    /// Adds one; 0 is none.
    fn push(&mut self, id: u32) {
        if id == 0 {
            return;
        }
        match &mut self.0 {
            Ids::Inline { len, ids } => match ids.get_mut(usize::from(*len)) {
                Some(free) => {
                    *free = id;
                    *len += 1;
                }
                None => {
                    let mut heap = ids.to_vec();
                    heap.push(id);
                    self.0 = Ids::Heap(heap);
                }
            },
            Ids::Heap(ids) => ids.push(id),
        }
    }
}

impl Default for SubscriptionIds {
    fn default() -> Self {
        Self(Ids::Inline { len: 0, ids: [0; INLINE_IDS] })
    }
}

impl Deref for SubscriptionIds {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        match &self.0 {
            Ids::Inline { len, ids } => &ids[..usize::from(*len)],
            Ids::Heap(ids) => ids,
        }
    }
}

impl PartialEq for SubscriptionIds {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for SubscriptionIds {}

impl fmt::Debug for SubscriptionIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
