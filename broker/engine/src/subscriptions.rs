//! Who subscribes to what: a trie of topic levels.
//!
//! A topic is matched along its levels: the work is in the number of levels and of subscribers found, not in
//! the number of filters. Nothing recurses.

mod found;
mod share;

pub use found::{Found, Match, SubscriptionIds};
pub use share::{Availability, ShareStrategy, SharedMatch};

use crate::levels::{Hashed, Levels, ROOT, Vacant};
use crate::roster::Roster;
use parlance_mqtt::{QoS, TopicFilter, TopicName};
use share::Share;
use std::hash::Hash;
use std::sync::Arc;

/// What a subscription was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionOptions {
    /// Greatest QoS of a delivery.
    pub qos: QoS,
    /// What the subscriber itself published is not delivered (MQTT-3.8.3-3).
    pub no_local: bool,
    /// The RETAIN flag stays as published (MQTT-3.3.1-13).
    pub retain_as_published: bool,
    /// Subscription Identifier; 0: none.
    pub id: u32,
}

/// All subscriptions, shared ones too.
#[derive(Debug)]
pub struct Subscriptions<K> {
    tree: Levels<Spot<K>, Hashed>,
    count: usize,
}

/// The subscriptions at one node.
#[derive(Debug)]
struct Spot<K> {
    /// Of the filter that ends here.
    here: Option<Box<Subscribers<K>>>,
    /// Of the filter that goes on with `#`, which matches this level too.
    below: Option<Box<Subscribers<K>>>,
}

#[derive(Debug)]
struct Subscribers<K> {
    direct: Roster<K, SubscriptionOptions>,
    /// By `{group}/{filter}`.
    shared: Option<Box<Shares<K>>>,
}

type Shares<K> = Roster<Arc<str>, Arc<Share<K>>>;

impl<K> Default for Spot<K> {
    fn default() -> Self {
        Self { here: None, below: None }
    }
}

impl<K> Vacant for Spot<K> {
    fn is_vacant(&self) -> bool {
        self.here.is_none() && self.below.is_none()
    }
}

impl<K> Default for Subscribers<K> {
    fn default() -> Self {
        Self { direct: Roster::default(), shared: None }
    }
}

impl<K: Clone + Eq + Hash> Subscribers<K> {
    fn is_empty(&self) -> bool {
        self.direct.is_empty() && self.shared.is_none()
    }

    fn insert(
        &mut self,
        share: Option<&str>,
        who: K,
        options: SubscriptionOptions,
    ) -> Option<SubscriptionOptions> {
        let Some(share) = share else { return self.direct.insert(who, options) };
        let shares = self.shared.get_or_insert_default();
        match shares.get_mut(share) {
            Some(members) => Share::change(members).insert(who, options),
            None => {
                let mut members = Share::default();
                members.insert(who, options);
                shares.insert(share.into(), Arc::new(members));
                None
            }
        }
    }

    fn remove(&mut self, share: Option<&str>, who: &K) -> Option<SubscriptionOptions> {
        let Some(share) = share else { return self.direct.remove(who) };
        let shares = self.shared.as_mut()?;
        let members = Share::change(shares.get_mut(share)?);
        let removed = members.remove(who);
        if members.is_empty() {
            shares.remove(share);
        }
        if shares.is_empty() {
            self.shared = None;
        }
        removed
    }
}

/// Where a filter's subscriptions are.
struct Place<'a> {
    /// Levels before a final `#`.
    path: Option<&'a str>,
    /// The filter ends with `#`.
    below: bool,
    /// `{group}/{filter}` of a shared subscription.
    share: Option<&'a str>,
}

impl<'a> Place<'a> {
    fn of(filter: &'a TopicFilter) -> Self {
        match filter.shared() {
            Some((group, inner)) => {
                let share = &filter.as_str()[filter.as_str().len() - group.len() - 1 - inner.len()..];
                Self { share: Some(share), ..Self::of_inner(inner) }
            }
            None => Self::of_inner(filter.as_str()),
        }
    }

    fn of_share(share: &'a str) -> Option<Self> {
        let (_, inner) = share.split_once('/')?;
        Some(Self { share: Some(share), ..Self::of_inner(inner) })
    }

    fn of_inner(filter: &'a str) -> Self {
        let (path, below) = match filter.strip_suffix('#') {
            // `#` is a whole level: before it is a slash, or nothing.
            Some(rest) => (rest.strip_suffix('/'), true),
            None => (Some(filter), false),
        };
        Self { path, below, share: None }
    }

    fn levels(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.path.into_iter().flat_map(|path| path.split('/'))
    }
}

impl<K> Spot<K> {
    fn at(&self, place: &Place<'_>) -> Option<&Subscribers<K>> {
        if place.below { self.below.as_deref() } else { self.here.as_deref() }
    }

    fn at_mut(&mut self, place: &Place<'_>) -> &mut Option<Box<Subscribers<K>>> {
        if place.below { &mut self.below } else { &mut self.here }
    }
}

impl<K: Clone + Eq + Hash> Default for Subscriptions<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Clone + Eq + Hash> Subscriptions<K> {
    /// None.
    pub fn new() -> Self {
        Self { tree: Levels::new(), count: 0 }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Sets `who`'s subscription to a filter; what it replaces comes back (MQTT-3.8.4-3).
    ///
    /// Each level costs memory: refuse filters of more than [`LEVELS_MAX`](crate::LEVELS_MAX) before.
    pub fn insert(
        &mut self,
        filter: &TopicFilter,
        who: K,
        options: SubscriptionOptions,
    ) -> Option<SubscriptionOptions> {
        let place = Place::of(filter);
        let at = self.tree.grow(place.levels());
        let subscribers = self.tree.value_mut(at).at_mut(&place).get_or_insert_default();
        let replaced = subscribers.insert(place.share, who, options);
        self.count += usize::from(replaced.is_none());
        replaced
    }

    /// Takes `who`'s subscription to a filter away.
    pub fn remove(&mut self, filter: &TopicFilter, who: &K) -> Option<SubscriptionOptions> {
        let place = Place::of(filter);
        let at = self.tree.find(place.levels())?;
        let spot = self.tree.value_mut(at).at_mut(&place);
        let subscribers = spot.as_mut()?;
        let removed = subscribers.remove(place.share, who)?;
        self.count -= 1;
        if subscribers.is_empty() {
            *spot = None;
            self.tree.prune(place.levels());
        }
        Some(removed)
    }

    /// The members of a shared subscription, by `{group}/{filter}`; `None` when the last has gone.
    pub fn share(&self, share: &str) -> Option<SharedMatch<K>> {
        let place = Place::of_share(share)?;
        let subscribers = self.tree.value(self.tree.find(place.levels())?).at(&place)?;
        let (name, members) = subscribers.shared.as_ref()?.get_entry(share)?;
        Some(SharedMatch::new(name.clone(), members.clone()))
    }

    /// Whose subscriptions a topic matches. What was in `found` goes.
    ///
    /// One's own messages do not match one's No Local subscriptions (MQTT-3.8.3-3). Wildcards at the first
    /// level do not match `$…` (MQTT-4.7.2-1).
    pub fn matching(&self, topic: &TopicName, publisher: Option<&K>, found: &mut Found<K>) {
        found.clear();
        let topic = topic.as_str();
        let hidden = topic.starts_with('$');
        if !hidden {
            collect(&self.tree.value(ROOT).below, publisher, found);
        }
        // What is still to be walked: a node, and where its next level begins. At most one more than levels.
        let mut ahead = std::mem::take(&mut found.ahead);
        ahead.push((ROOT, 0));
        while let Some((at, from)) = ahead.pop() {
            let rest = &topic[from..];
            let (level, next) = match rest.find('/') {
                Some(slash) => (&rest[..slash], Some(from + slash + 1)),
                None => (rest, None),
            };
            let plus = if at == ROOT && hidden { None } else { self.tree.plus(at) };
            for child in [plus, self.tree.child(at, level)].into_iter().flatten() {
                let spot = self.tree.value(child);
                collect(&spot.below, publisher, found);
                match next {
                    Some(next) => ahead.push((child, next)),
                    None => collect(&spot.here, publisher, found),
                }
            }
        }
        found.ahead = ahead;
    }
}

fn collect<K: Clone + Eq + Hash>(
    subscribers: &Option<Box<Subscribers<K>>>,
    publisher: Option<&K>,
    found: &mut Found<K>,
) {
    let Some(subscribers) = subscribers else { return };
    let direct = subscribers.direct.entries().iter();
    found.add(direct.filter(|(who, options)| !(options.no_local && publisher == Some(who))));
    if let Some(shares) = &subscribers.shared {
        let shares = shares.entries().iter();
        found.shared.extend(shares.map(|(name, members)| SharedMatch::new(name.clone(), members.clone())));
    }
}

#[cfg(test)]
mod tests;
