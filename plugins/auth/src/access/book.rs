//! All rules in their order, found by whom they are about: the rights of one device of a fleet do not cost a look at
//! the rules of all the others.

use super::rule::{GroupName, Rule, Who};
use parlance_plugin_api::{
    Handle, UserId,
    access::{Subject, TopicRight, TopicRights},
    ledger::LedgerError,
};
use std::collections::HashMap;

#[derive(Debug, Default)]
pub(crate) struct Book {
    rules: Vec<Rule>,
    /// Places of the rules about one account, by how it is named; the rest are about many.
    by_handle: HashMap<Handle, Vec<usize>>,
    by_user: HashMap<UserId, Vec<usize>>,
    about_many: Vec<usize>,
    names_groups: bool,
}

impl Book {
    pub(crate) fn new(rules: impl Iterator<Item = Rule>) -> Self {
        let mut book = Self::default();
        for (place, rule) in rules.enumerate() {
            match &rule.who {
                Who::Handle(handle) => book.by_handle.entry(handle.clone()).or_default().push(place),
                Who::User(user) => book.by_user.entry(*user).or_default().push(place),
                Who::Everybody | Who::Kind(_) => book.about_many.push(place),
                Who::Group(_) => {
                    book.names_groups = true;
                    book.about_many.push(place);
                }
            }
            book.rules.push(rule);
        }
        book
    }

    /// Whether some rule is about the members of a group.
    pub(crate) fn names_groups(&self) -> bool {
        self.names_groups
    }

    /// The rights of a person or service account. A membership is asked for once.
    pub(crate) fn rights(
        &self,
        subject: &Subject,
        is_member: impl Fn(&GroupName) -> Result<bool, LedgerError>,
    ) -> Result<TopicRights, LedgerError> {
        let named = subject.handle.as_ref().and_then(|handle| self.by_handle.get(handle));
        let places = [named, self.by_user.get(&subject.user), Some(&self.about_many)];
        let mut places: Vec<usize> = places.into_iter().flatten().flatten().copied().collect();
        places.sort_unstable();
        let mut memberships = HashMap::new();
        let mut rules = Vec::new();
        for place in places {
            let rule = &self.rules[place];
            let concerned = match &rule.who {
                // Found by name.
                Who::Everybody | Who::Handle(_) | Who::User(_) => true,
                Who::Kind(kind) => *kind == subject.kind,
                Who::Group(group) => match memberships.get(group) {
                    Some(member) => *member,
                    None => *memberships.entry(group).or_insert(is_member(group)?),
                },
            };
            let Some(filter) = concerned.then(|| rule.filter(subject)).flatten() else { continue };
            rules.push(TopicRight {
                number: u32::try_from(place + 1).unwrap_or(u32::MAX),
                allow: rule.allow(),
                publish: rule.publish,
                subscribe: rule.subscribe,
                filter,
            });
        }
        Ok(TopicRights { rules })
    }
}
