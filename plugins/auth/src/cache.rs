//! A bounded memory of what the ledger says, never older than it.
//!
//! A reader that found nothing here reads the ledger and remembers the answer; a writer meanwhile may have changed it.
//! So each shard counts the changes that begin and end in it: an answer is remembered only if no change was under way
//! and none has begun or ended since the reader looked. What is being changed is read from the ledger each time.

use lru::LruCache;
use std::{
    hash::{BuildHasher, Hash, RandomState},
    num::NonZeroUsize,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

const SHARDS: usize = 16;
/// One change in [`Cache::changes`]; below it stands how many are under way.
const CHANGE: u64 = 1 << 24;

/// See the module.
pub(crate) struct Cache<K, V> {
    hasher: RandomState,
    shards: [Mutex<Shard<K, V>>; SHARDS],
    /// Changes that have begun or ended, each a [`CHANGE`], and how many are under way.
    changes: AtomicU64,
}

struct Shard<K, V> {
    entries: LruCache<K, V>,
    /// Changes that have begun or ended.
    turns: u64,
    /// Changes under way.
    changing: usize,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    /// Remembers about `entries_max` entries.
    pub(crate) fn new(entries_max: usize) -> Self {
        let each = NonZeroUsize::new(entries_max.div_ceil(SHARDS)).unwrap_or(NonZeroUsize::MIN);
        let shard = || Mutex::new(Shard { entries: LruCache::new(each), turns: 0, changing: 0 });
        Self {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| shard()),
            changes: AtomicU64::new(0),
        }
    }

    /// A number that changes when a change begins and when it ends; `None` while one is under way. What was found after one look
    /// at it is right as long as later looks see the same.
    pub(crate) fn version(&self) -> Option<u64> {
        let changes = self.changes.load(Ordering::SeqCst);
        changes.is_multiple_of(CHANGE).then_some(changes / CHANGE)
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, Shard<K, V>> {
        let index = self.hasher.hash_one(key) % SHARDS as u64;
        // A panic under this lock leaves at worst a forgotten entry.
        self.shards[index as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered, or what `read` finds. Nothing found is not remembered.
    pub(crate) fn get_or<E>(
        &self,
        key: &K,
        read: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<V>, E> {
        let turns = {
            let mut shard = self.shard(key);
            if let Some(value) = shard.entries.get(key) {
                return Ok(Some(value.clone()));
            }
            shard.turns
        };
        let found = read()?;
        if let Some(value) = &found {
            let mut shard = self.shard(key);
            if shard.changing == 0 && shard.turns == turns {
                shard.entries.put(key.clone(), value.clone());
            }
        }
        Ok(found)
    }

    /// Forgets an entry, and remembers nothing of it until the answer is dropped.
    pub(crate) fn changing(&self, key: K) -> Changing<'_, K, V> {
        self.changes.fetch_add(CHANGE + 1, Ordering::SeqCst);
        let mut shard = self.shard(&key);
        shard.entries.pop(&key);
        shard.turns += 1;
        shard.changing += 1;
        drop(shard);
        Changing { cache: self, key }
    }
}

/// A change under way.
pub(crate) struct Changing<'a, K: Hash + Eq + Clone, V: Clone> {
    cache: &'a Cache<K, V>,
    key: K,
}

impl<K: Hash + Eq + Clone, V: Clone> Drop for Changing<'_, K, V> {
    fn drop(&mut self) {
        let mut shard = self.cache.shard(&self.key);
        shard.turns += 1;
        shard.changing -= 1;
        self.cache.changes.fetch_add(CHANGE - 1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn read(cache: &Cache<u8, u8>, found: u8) -> u8 {
        cache.get_or::<Infallible>(&1, || Ok(Some(found))).unwrap().unwrap()
    }

    #[test]
    fn an_answer_is_remembered_until_it_changes() {
        let cache = Cache::new(16);
        assert_eq!((read(&cache, 1), read(&cache, 2)), (1, 1));
        let change = cache.changing(1);
        assert_eq!((read(&cache, 2), read(&cache, 3)), (2, 3), "not remembered meanwhile");
        drop(change);
        assert_eq!((read(&cache, 4), read(&cache, 5)), (4, 4));
    }

    #[test]
    fn what_was_read_before_a_change_is_not_remembered_after_it() {
        let cache: Cache<u8, u8> = Cache::new(16);
        let stale = cache.get_or::<Infallible>(&1, || {
            drop(cache.changing(1));
            Ok(Some(1))
        });
        assert_eq!(stale, Ok(Some(1)));
        assert_eq!(read(&cache, 2), 2);
    }

    #[test]
    fn what_is_kept_elsewhere_is_known_to_be_old() {
        let cache: Cache<u8, u8> = Cache::new(16);
        let before = cache.version();
        assert!(before.is_some() && cache.version() == before);
        let (one, two) = (cache.changing(1), cache.changing(2));
        assert_eq!(cache.version(), None);
        drop(one);
        assert_eq!(cache.version(), None, "the other one is under way");
        drop(two);
        assert!(cache.version().is_some_and(|version| Some(version) != before));
    }

    #[test]
    fn it_is_bounded() {
        let cache = Cache::new(32);
        for key in 0..10_000_u32 {
            let _ = cache.get_or::<Infallible>(&key, || Ok(Some(())));
        }
        let kept: usize = cache.shards.iter().map(|shard| shard.lock().unwrap().entries.len()).sum();
        assert_eq!(kept, 32);
    }
}
