//! Topic aliases of one connection (5): a number instead of a topic name, in each direction its own.

use std::collections::HashMap;

use bytes::Bytes;
use parlance_mqtt::TopicName;

/// Topics that are told under an alias at once, whatever the client allows.
const TOLD_MAX: u16 = 64;

/// What an alias costs in a packet, bytes: a topic name that is not longer travels as it is.
const ALIAS_BYTES: usize = 3;

/// A topic that the client knows by its alias.
struct Told {
    /// `None`: the client does not.
    topic: Option<TopicName>,
    /// When it was told last.
    used: u64,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Aliases {
    /// Those of the client. It sets at most as many as it was allowed.
    heard: HashMap<u16, TopicName>,
    /// Those of the server; alias = 1 + index.
    told: Vec<Told>,
    numbers: HashMap<TopicName, u16>,
    clock: u64,
    /// The last one that was told, if the topic name has to travel with it.
    fresh: Option<u16>,
}

impl Aliases {
    /// The client sets an alias.
    pub(crate) fn hear(&mut self, alias: u16, topic: &TopicName) {
        if self.heard.get(&alias) != Some(topic) {
            self.heard.insert(alias, own(topic));
        }
    }

    /// The client uses an alias.
    pub(crate) fn heard(&self, alias: u16) -> Option<TopicName> {
        self.heard.get(&alias).cloned()
    }

    /// The alias for a topic, and whether the topic name must travel too. `client_max`: the client's Topic Alias
    /// Maximum. When all are used, the one that rested longest is given anew.
    pub(crate) fn tell(&mut self, topic: &TopicName, client_max: u16) -> Option<(u16, bool)> {
        self.clock += 1;
        self.fresh = None;
        if let Some(&alias) = self.numbers.get(topic) {
            self.told[usize::from(alias) - 1].used = self.clock;
            return Some((alias, false));
        }
        let alias = self.free_alias(client_max.min(TOLD_MAX))?;
        let topic = own(topic);
        let told = Told { topic: Some(topic.clone()), used: self.clock };
        match self.told.get_mut(usize::from(alias) - 1) {
            Some(before) => {
                if let Some(before) = std::mem::replace(before, told).topic {
                    self.numbers.remove(&before);
                }
            }
            None => self.told.push(told),
        }
        self.numbers.insert(topic, alias);
        self.fresh = Some(alias);
        Some((alias, true))
    }

    fn free_alias(&self, max: u16) -> Option<u16> {
        if self.told.len() < usize::from(max) {
            return Some(self.told.len() as u16 + 1);
        }
        (1..=max).min_by_key(|alias| self.told[usize::from(*alias) - 1].used)
    }

    /// The packet that was to carry the last alias was not written: the client does not know it.
    pub(crate) fn take_back(&mut self) {
        let Some(alias) = self.fresh.take() else { return };
        let Some(told) = self.told.get_mut(usize::from(alias) - 1) else { return };
        told.used = 0;
        if let Some(topic) = told.topic.take() {
            self.numbers.remove(&topic);
        }
    }
}

/// Whether an alias makes a packet shorter.
pub(crate) fn is_worth_it(topic: &TopicName) -> bool {
    topic.as_str().len() > ALIAS_BYTES
}

/// A topic name is a slice of the packet that brought it: what is kept must not keep that alive.
fn own(topic: &TopicName) -> TopicName {
    TopicName::new(Bytes::copy_from_slice(topic.as_bytes())).unwrap_or_else(|_| topic.clone())
}
