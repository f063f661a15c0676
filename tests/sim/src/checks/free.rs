//! Free topics: who subscribed in a session that stays gets what is published from then on, once with QoS 2.

use super::book::{DeviceName, Draft, short};
use std::collections::BTreeMap;

/// A message of a free topic.
#[derive(Debug)]
struct Published {
    /// The moment before it was sent first.
    at: u64,
    /// How often it was sent as something new.
    attempts: u64,
    acknowledged: bool,
    /// Who got it, how often.
    received: BTreeMap<DeviceName, u64>,
}

/// What is known of free topics. Moments are counted, not measured.
#[derive(Debug, Default)]
pub(crate) struct Free {
    moment: u64,
    published: BTreeMap<String, Published>,
    /// Since when a device's subscription is sure to be there.
    followers: BTreeMap<DeviceName, u64>,
}

impl Free {
    fn next_moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    pub(crate) fn sent(&mut self, draft: &Draft) {
        let at = self.next_moment();
        let fresh = || Published { at, attempts: 0, acknowledged: false, received: BTreeMap::new() };
        self.published.entry(draft.text.clone()).or_insert_with(fresh).attempts += 1;
    }

    pub(crate) fn acknowledged(&mut self, draft: &Draft) {
        if let Some(published) = self.published.get_mut(&draft.text) {
            published.acknowledged = true;
        }
    }

    pub(crate) fn follows(&mut self, device: DeviceName, follows: bool) {
        let now = self.next_moment();
        match follows {
            true => {
                self.followers.entry(device).or_insert(now);
            }
            false => {
                self.followers.remove(&device);
            }
        }
    }

    /// `Err`: why that must not be.
    pub(crate) fn delivered(&mut self, device: DeviceName, text: &str, exactly: bool) -> Result<(), String> {
        let since = self.followers.get(&device).copied();
        let Some(published) = self.published.get_mut(text) else {
            return Err(format!("{device} was sent {:?}, which nobody published", short(text)));
        };
        let count = published.received.entry(device).or_default();
        *count += 1;
        let stayed = since.is_some_and(|since| since < published.at);
        if exactly && stayed && *count > published.attempts {
            return Err(format!("{device} was sent {:?} {count} times with QoS 2", short(text)));
        }
        Ok(())
    }

    /// What was acknowledged and has not come to who follows, in words.
    pub(crate) fn missing(&self) -> Vec<String> {
        let acknowledged = self.published.iter().filter(|(_, published)| published.acknowledged);
        let missing = acknowledged.flat_map(|(text, published)| {
            let owed = self.followers.iter().filter(|(_, since)| **since < published.at);
            let missing = owed.filter(|(device, _)| !published.received.contains_key(device));
            missing.map(move |(device, _)| format!("{device} was never sent {:?}", short(text)))
        });
        missing.collect()
    }
}
