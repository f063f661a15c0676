//! A rule: parsed from its words, and made a right of somebody.

use super::{TOPIC_BYTES_MAX, TOPIC_LEVELS_MAX, WHO_BYTES_MAX};
use parlance_plugin_api::{
    ConversationId, ConversationKind, Handle, UserId,
    access::{RuleProblem, Subject, TopicFilter},
    identity::AccountKind,
};
use parlance_schema::{
    api,
    topic::{Interest, parse_filter},
};

/// A rule that is one.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) who: Who,
    pub(crate) publish: bool,
    pub(crate) subscribe: bool,
    topic: Template,
    written: api::AccessRule,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        // All else follows from it.
        self.written == other.written
    }
}

/// Whom a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    Everybody,
    Kind(AccountKind),
    Handle(Handle),
    User(UserId),
    Group(GroupName),
}

/// A group, by id or by a handle that may not be there yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum GroupName {
    Id(ConversationId),
    Handle(Handle),
}

/// A filter with what is substituted.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Template {
    /// Nothing is.
    Whole(TopicFilter),
    /// By levels.
    Levels(Vec<Vec<Part>>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Handle,
    UserId,
    ClientId,
}

/// Parses rules; the first that is none is named, from 1.
pub(crate) fn parse_all(rules: Vec<api::AccessRule>) -> Result<Vec<Rule>, (usize, RuleProblem)> {
    let rules = rules.into_iter().enumerate();
    rules.map(|(index, rule)| Rule::parse(rule).map_err(|problem| (index + 1, problem))).collect()
}

impl Rule {
    pub(crate) fn parse(written: api::AccessRule) -> Result<Self, RuleProblem> {
        let who = Who::parse(&written.who)?;
        let (publish, subscribe) = match &*written.action {
            "publish" => (true, false),
            "subscribe" => (false, true),
            "both" => (true, true),
            other => return Err(RuleProblem::Action(shown(other))),
        };
        let topic = Template::parse(&written.topic, publish)?;
        Ok(Self { who, publish, subscribe, topic, written })
    }

    /// As it was written.
    pub(crate) fn written(&self) -> &api::AccessRule {
        &self.written
    }

    pub(crate) fn allow(&self) -> bool {
        !self.written.deny
    }

    /// The topics that it is about, for somebody; `None`: it does not apply.
    pub(crate) fn filter(&self, subject: &Subject) -> Option<TopicFilter> {
        match &self.topic {
            Template::Whole(filter) => Some(filter.clone()),
            Template::Levels(levels) => {
                let levels = levels.iter().enumerate().map(|(depth, parts)| {
                    // To allow, each value must be known. To deny, a value that cannot stand in a topic is any:
                    // nobody gets around a denial by the choice of a client id.
                    let level = level(parts, depth, subject);
                    level.or_else(|| self.written.deny.then(|| "+".to_owned()))
                });
                TopicFilter::try_from(levels.collect::<Option<Vec<_>>>()?.join("/")).ok()
            }
        }
    }
}

/// A level with its values; `None` if one of them cannot be part of a level, or would make a topic of the broker's.
fn level(parts: &[Part], depth: usize, subject: &Subject) -> Option<String> {
    let mut level = String::new();
    for part in parts {
        let user;
        let value = match part {
            Part::Text(text) => {
                level.push_str(text);
                continue;
            }
            Part::Handle => subject.handle.as_ref()?.as_str(),
            Part::UserId => {
                user = subject.user.to_string();
                &user
            }
            Part::ClientId => &subject.client_id,
        };
        let splits = value.is_empty() || value.contains(['/', '+', '#', '\0']);
        if splits || (depth == 0 && level.is_empty() && value.starts_with('$')) {
            return None;
        }
        level.push_str(value);
    }
    Some(level)
}

impl Who {
    fn parse(text: &str) -> Result<Self, RuleProblem> {
        if text.len() > WHO_BYTES_MAX {
            return Err(RuleProblem::TooLong { key: "who", bytes_max: WHO_BYTES_MAX });
        }
        let nobody = || RuleProblem::Who(shown(text));
        if let Some(group) = text.strip_prefix("group:") {
            return GroupName::parse(group).map(Self::Group).ok_or_else(nobody);
        }
        match text {
            "*" => Ok(Self::Everybody),
            "person" => Ok(Self::Kind(AccountKind::Person)),
            "service" => Ok(Self::Kind(AccountKind::Service)),
            _ if text.starts_with('@') => text.parse().map(Self::Handle).map_err(|_| nobody()),
            _ => text.parse().map(Self::User).map_err(|_| nobody()),
        }
    }
}

impl GroupName {
    fn parse(text: &str) -> Option<Self> {
        if text.starts_with('@') {
            return text.parse().ok().map(Self::Handle);
        }
        let group: ConversationId = text.parse().ok()?;
        (group.kind() == ConversationKind::Group).then_some(Self::Id(group))
    }
}

impl Template {
    fn parse(topic: &str, publish: bool) -> Result<Self, RuleProblem> {
        if topic.len() > TOPIC_BYTES_MAX {
            return Err(RuleProblem::TooLong { key: "topic", bytes_max: TOPIC_BYTES_MAX });
        }
        if topic.split('/').nth(TOPIC_LEVELS_MAX).is_some() {
            return Err(RuleProblem::TooDeep { levels_max: TOPIC_LEVELS_MAX });
        }
        let levels = topic.split('/').map(parts).collect::<Result<Vec<_>, _>>()?;
        // With a letter for each value it is to be a filter of free topics.
        let letters: Vec<String> =
            levels.iter().map(|parts| parts.iter().map(Part::or_letter).collect()).collect();
        let filter = TopicFilter::try_from(letters.join("/"))?;
        check_first(&filter, publish)?;
        let substitutes = levels.iter().flatten().any(|part| !matches!(part, Part::Text(_)));
        Ok(if substitutes { Self::Levels(levels) } else { Self::Whole(filter) })
    }
}

/// Rules are about free topics, and to subscribe about `$SYS`.
fn check_first(filter: &TopicFilter, publish: bool) -> Result<(), RuleProblem> {
    if filter.shared().is_some() {
        return Err(RuleProblem::Shared);
    }
    match filter.as_str().split('/').next().unwrap_or_default() {
        "$SYS" if publish => Err(RuleProblem::SystemComesDown),
        "$SYS" => Ok(()),
        first if first.starts_with('$') => Err(RuleProblem::Reserved),
        first if !matches!(parse_filter(filter), Ok(Interest::Free)) => {
            Err(RuleProblem::Messenger(first.to_owned()))
        }
        _ => Ok(()),
    }
}

fn parts(level: &str) -> Result<Vec<Part>, RuleProblem> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut letters = level.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        let part = match letters.next() {
            Some('u') => Part::Handle,
            Some('i') => Part::UserId,
            Some('c') => Part::ClientId,
            Some('%') => {
                text.push('%');
                continue;
            }
            Some(other) => return Err(RuleProblem::Substitution(shown(&format!("%{other}")))),
            None => return Err(RuleProblem::Substitution("%".to_owned())),
        };
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        parts.push(part);
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

impl Part {
    fn or_letter(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Handle | Self::UserId | Self::ClientId => "x",
        }
    }
}

/// What was written, for an error: not endless, and without what would steer a terminal.
fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 64;
    text.chars().take(SHOWN_CHARS_MAX).filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests;
