//! A small map that grows large well: a vector, and an index of it from a certain size on.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Up to this many entries are looked for one by one.
const SCANNED_MAX: usize = 16;

/// Entries by key. Their order depends on what was done to it and on nothing else.
#[derive(Debug, Clone)]
pub(crate) struct Roster<K, V> {
    entries: Vec<(K, V)>,
    #[expect(clippy::box_collection, reason = "nearly every roster has none: 8 bytes in place of 48")]
    index: Option<Box<HashMap<K, u32>>>,
}

impl<K, V> Default for Roster<K, V> {
    fn default() -> Self {
        Self { entries: Vec::new(), index: None }
    }
}

impl<K: Clone + Eq + Hash, V> Roster<K, V> {
    pub(crate) fn entries(&self) -> &[(K, V)] {
        &self.entries
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn position<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        match &self.index {
            Some(index) => index.get(key).map(|at| *at as usize),
            None => self.entries.iter().position(|(held, _)| held.borrow() == key),
        }
    }

    /// An entry, with the key as it is kept.
    pub(crate) fn get_entry<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&(K, V)>
    where
        K: Borrow<Q>,
    {
        self.position(key).map(|at| &self.entries[at])
    }

    pub(crate) fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.position(key).map(|at| &mut self.entries[at].1)
    }

    /// Sets an entry; the value that was there comes back.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(held) = self.get_mut(&key) {
            return Some(std::mem::replace(held, value));
        }
        if self.entries.is_empty() {
            self.entries.reserve_exact(1); // most filters of a fleet have one subscriber
        }
        let at = narrow(self.entries.len());
        if let Some(index) = &mut self.index {
            index.insert(key.clone(), at);
        }
        self.entries.push((key, value));
        if self.index.is_none() && self.entries.len() > SCANNED_MAX {
            let pairs = self.entries.iter().enumerate();
            self.index = Some(Box::new(pairs.map(|(at, (key, _))| (key.clone(), narrow(at))).collect()));
        }
        None
    }

    /// Takes an entry out; the last one takes its place.
    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let at = self.position(key)?;
        if let Some(index) = &mut self.index {
            index.remove(key);
        }
        let (_, value) = self.entries.swap_remove(at);
        if let (Some(index), Some((moved, _))) = (&mut self.index, self.entries.get(at)) {
            index.insert(moved.clone(), narrow(at));
        }
        if self.entries.len() <= SCANNED_MAX / 2 {
            self.index = None;
        }
        Some(value)
    }
}

fn narrow(at: usize) -> u32 {
    u32::try_from(at).expect("2^32 entries do not fit into memory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_a_map(steps in prop::collection::vec((any::<bool>(), 0u8..48, any::<u16>()), 0..300)) {
            let (mut roster, mut map) = (Roster::default(), HashMap::new());
            for (put, key, value) in steps {
                if put {
                    prop_assert_eq!(roster.insert(key, value), map.insert(key, value));
                } else {
                    prop_assert_eq!(roster.remove(&key), map.remove(&key));
                }
                prop_assert_eq!(roster.get_entry(&key).map(|(_, value)| value), map.get(&key));
                prop_assert_eq!(roster.is_empty(), map.is_empty());
                let all: HashMap<_, _> = roster.entries().iter().copied().collect();
                prop_assert_eq!(&all, &map);
                prop_assert_eq!(roster.entries().len(), map.len());
            }
        }
    }
}
