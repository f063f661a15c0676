//! `Meta`: [`KEY`] → [`RulesRecord`]: the access rules that calls have set, in their order.

use parlance_schema::api;
use prost::Message;

/// The key.
pub(crate) const KEY: &[u8] = b"access.rules";

/// All rules that calls have set.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RulesRecord {
    /// How often they were set.
    #[prost(uint64, tag = "1")]
    pub(crate) revision: u64,
    /// In their order.
    #[prost(message, repeated, tag = "2")]
    rules: Vec<RuleRecord>,
}

/// One rule, as it was written.
#[derive(Clone, PartialEq, Message)]
struct RuleRecord {
    #[prost(string, tag = "1")]
    who: String,
    #[prost(string, tag = "2")]
    action: String,
    #[prost(string, tag = "3")]
    topic: String,
    #[prost(bool, tag = "4")]
    deny: bool,
}

impl RulesRecord {
    pub(crate) fn new(revision: u64, rules: Vec<api::AccessRule>) -> Self {
        let rules = rules.into_iter().map(|rule| {
            let api::AccessRule { who, action, topic, deny } = rule;
            RuleRecord { who, action, topic, deny }
        });
        Self { revision, rules: rules.collect() }
    }

    pub(crate) fn into_rules(self) -> Vec<api::AccessRule> {
        let rules = self.rules.into_iter().map(|rule| {
            let RuleRecord { who, action, topic, deny } = rule;
            api::AccessRule { who, action, topic, deny }
        });
        rules.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_round_trip(
            revision: u64,
            rules in prop::collection::vec(any::<(String, String, String, bool)>(), 0..5),
        ) {
            let rules: Vec<_> = rules.into_iter()
                .map(|(who, action, topic, deny)| api::AccessRule { who, action, topic, deny })
                .collect();
            let record = RulesRecord::new(revision, rules.clone());
            let back = RulesRecord::decode(&record.encode_to_vec()[..]).unwrap();
            prop_assert_eq!(back.revision, revision);
            prop_assert_eq!(back.into_rules(), rules);
        }
    }
}
