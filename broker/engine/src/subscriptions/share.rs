//! Shared subscriptions (MQTT-4.8.2): which of the members gets a message.

use super::SubscriptionOptions;
use crate::roster::Roster;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How a member is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ShareStrategy {
    /// In turn.
    #[default]
    Fair,
    /// One publisher's messages go to one member for as long as that one is there. When members come and go,
    /// only the publishers that they gain or lose move.
    Sticky,
}

/// Whether a member can be given a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Availability {
    /// It is connected.
    Online,
    /// It is not, and has a queue: it gets one if nobody is online.
    Offline,
    /// It gets none.
    Unavailable,
}

/// A shared subscription that matches.
#[derive(Debug, Clone)]
pub struct SharedMatch<K> {
    /// `{group}/{filter}`.
    pub share: Arc<str>,
    members: Arc<Share<K>>,
}

/// The members of one shared subscription.
#[derive(Debug)]
pub(super) struct Share<K> {
    members: Roster<K, Member>,
    /// Whose turn it is, modulo members. In the trie, so that taking turns changes nothing else of it.
    turn: AtomicUsize,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    options: SubscriptionOptions,
    hash: u64,
}

impl<K> Default for Share<K> {
    fn default() -> Self {
        Self { members: Roster::default(), turn: AtomicUsize::new(0) }
    }
}

impl<K: Clone> Clone for Share<K> {
    fn clone(&self) -> Self {
        Self { members: self.members.clone(), turn: AtomicUsize::new(self.turn.load(Ordering::Relaxed)) }
    }
}

impl<K: Clone + Eq + Hash> Share<K> {
    /// To change it. Copied if somebody still holds it as a [`SharedMatch`]: that keeps the members of its time.
    pub(super) fn change(share: &mut Arc<Self>) -> &mut Self {
        Arc::make_mut(share)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn insert(&mut self, who: K, options: SubscriptionOptions) -> Option<SubscriptionOptions> {
        let mut hasher = DefaultHasher::new();
        who.hash(&mut hasher);
        let member = Member { options, hash: hasher.finish() };
        self.members.insert(who, member).map(|replaced| replaced.options)
    }

    pub(super) fn remove(&mut self, who: &K) -> Option<SubscriptionOptions> {
        self.members.remove(who).map(|removed| removed.options)
    }
}

impl<K: Clone + Eq + Hash> SharedMatch<K> {
    pub(super) fn new(share: Arc<str>, members: Arc<Share<K>>) -> Self {
        Self { share, members }
    }

    /// The member that gets the message: one that is online, else one with a queue; `None` if no member can.
    ///
    /// `available` may be asked once for each member.
    pub fn choose(
        &self,
        strategy: ShareStrategy,
        publisher_hash: u64,
        available: impl Fn(&K) -> Availability,
    ) -> Option<(K, SubscriptionOptions)> {
        let entries = self.members.members.entries();
        let at = match strategy {
            ShareStrategy::Fair => self.in_turn(entries, available),
            ShareStrategy::Sticky => heaviest(entries, publisher_hash, available),
        }?;
        let (who, member) = &entries[at];
        Some((who.clone(), member.options))
    }

    fn in_turn(&self, entries: &[(K, Member)], available: impl Fn(&K) -> Availability) -> Option<usize> {
        let turn = &self.members.turn;
        let start = turn.fetch_add(1, Ordering::Relaxed) % entries.len().max(1);
        let mut offline = None;
        let (before, from) = entries.split_at(start);
        for (skipped, (who, _)) in from.iter().chain(before).enumerate() {
            match available(who) {
                Availability::Online => return Some(pass(turn, start, skipped, entries.len())),
                Availability::Offline => offline = offline.or(Some(skipped)),
                Availability::Unavailable => {}
            }
        }
        offline.map(|skipped| pass(turn, start, skipped, entries.len()))
    }
}

/// Ends the turn of those that were passed over: else the member behind them would get theirs, too.
fn pass(turn: &AtomicUsize, start: usize, skipped: usize, members: usize) -> usize {
    if skipped > 0 {
        turn.fetch_add(skipped, Ordering::Relaxed);
    }
    (start + skipped) % members
}

/// Rendezvous hashing: each pair of publisher and member has a weight.
fn heaviest<K>(
    entries: &[(K, Member)],
    publisher_hash: u64,
    available: impl Fn(&K) -> Availability,
) -> Option<usize> {
    let mut best: Option<((bool, u64), usize)> = None;
    for (at, (who, member)) in entries.iter().enumerate() {
        let weight = mix(publisher_hash ^ mix(member.hash));
        if best.is_some_and(|(best, _)| best >= (true, weight)) {
            continue;
        }
        let online = match available(who) {
            Availability::Online => true,
            Availability::Offline => false,
            Availability::Unavailable => continue,
        };
        if best.is_none_or(|(best, _)| best < (online, weight)) {
            best = Some(((online, weight), at));
        }
    }
    best.map(|(_, at)| at)
}

/// Spreads each bit over all (the finaliser of splitmix64).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
