//! The access port: who may publish and subscribe to which free topics. Deny by default.
//!
//! Hot decisions are made from [`TopicRights`], compiled once for a subject and kept until
//! [`AccessRules::version`] moves for its user.

use crate::{Handle, UserId, event::Event, identity::AccountKind, ledger::LedgerError};
use async_trait::async_trait;
use parlance_schema::api;
use std::sync::Arc;
use thiserror::Error;

/// What plugins need of MQTT: filters, and whether a topic matches one.
pub use parlance_mqtt::{TopicError, TopicFilter, matches};

/// What somebody wants to do with a free topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TopicAction {
    /// Send to it.
    Publish,
    /// Receive from it.
    Subscribe,
}

/// Whose rights.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The account.
    pub user: UserId,
    /// Its handle; `None` for anonymous clients.
    pub handle: Option<Handle>,
    /// What kind.
    pub kind: AccountKind,
    /// Its MQTT client id.
    pub client_id: Arc<str>,
}

/// One rule with its substitutions made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRight {
    /// Which rule: from 1, those of the file before those that calls have set.
    pub number: u32,
    /// Allow, or deny. The first rule that matches decides.
    pub allow: bool,
    /// May be published to, if it matches.
    pub publish: bool,
    /// May be subscribed to, if it matches.
    pub subscribe: bool,
    /// Which topics.
    pub filter: TopicFilter,
}

/// What a subject may do, in the order of the rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicRights {
    /// The rules that concern it.
    pub rules: Vec<TopicRight>,
}

impl TopicRight {
    fn concerns(&self, action: TopicAction) -> bool {
        match action {
            TopicAction::Publish => self.publish,
            TopicAction::Subscribe => self.subscribe,
        }
    }
}

impl TopicRights {
    /// The rules about an action, in their order.
    pub fn about(&self, action: TopicAction) -> impl Iterator<Item = &TopicRight> {
        self.rules.iter().filter(move |rule| rule.concerns(action))
    }

    /// The rule that decides about a topic name; `None`: no rule matches, so it is denied.
    pub fn deciding(&self, action: TopicAction, topic: &str) -> Option<&TopicRight> {
        self.about(action).find(|rule| matches(rule.filter.as_str(), topic))
    }

    /// Whether a topic name may be published to, or received from.
    pub fn allows(&self, action: TopicAction, topic: &str) -> bool {
        self.deciding(action, topic).is_some_and(|rule| rule.allow)
    }
}

/// Why a rule is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RuleProblem {
    /// Nobody that a rule can be about.
    #[error("`who` is *, person, service, @handle, a user id, or group:{{id or @handle}}, not {0:?}")]
    Who(String),
    /// Nothing that a rule can be about.
    #[error("`action` is publish, subscribe or both, not {0:?}")]
    Action(String),
    /// No topic filter.
    #[error("`topic` is no topic filter: {0}")]
    Topic(#[from] TopicError),
    /// A shared subscription.
    #[error("`topic` is the filter alone, without $share/group/: a right to subscribe is one to share, too")]
    Shared,
    /// A topic of the messenger.
    #[error("`topic` begins with {0}/, which is the messenger's: membership decides there, not rules")]
    Messenger(String),
    /// A topic that begins with `$`.
    #[error("`topic`: of the topics that begin with $, rules are about $SYS only")]
    Reserved,
    /// `$SYS`, and not only to subscribe.
    #[error("`topic`: only the broker publishes to $SYS; use the action subscribe")]
    SystemComesDown,
    /// `%` and something that is not substituted.
    #[error("`topic`: {0} stands for nothing; %u is the handle, %i the user id, %c the client id, %% a %")]
    Substitution(String),
    /// It is too long.
    #[error("`{key}` has more than {bytes_max} bytes")]
    TooLong {
        /// `who` or `topic`.
        key: &'static str,
        /// The limit.
        bytes_max: usize,
    },
    /// It has too many levels.
    #[error("`topic` has more than {levels_max} levels")]
    TooDeep {
        /// The limit.
        levels_max: usize,
    },
}

impl RuleProblem {
    /// Which key of the rule it is about.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Who(_) => "who",
            Self::Action(_) => "action",
            Self::TooLong { key, .. } => key,
            _ => "topic",
        }
    }
}

/// Why rules were not set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AccessError {
    /// One of them is none.
    #[error("rule {number}: {problem}")]
    Rule {
        /// Which, from 1.
        number: usize,
        /// What is wrong with it.
        problem: RuleProblem,
    },
    /// Too many.
    #[error("there are at most {rules_max} access rules")]
    TooMany {
        /// The limit.
        rules_max: usize,
    },
    /// Too large altogether.
    #[error("access rules have at most {bytes_max} bytes altogether")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// They were made for other rules than those that are there now.
    #[error("the access rules were changed meanwhile: they are at revision {revision}")]
    Changed {
        /// What they are at.
        revision: u64,
    },
    /// The ledger did not commit.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A task of the broker ended early.
    #[error("the broker could not do this")]
    Internal,
}

/// The rules, from a file and from the operator's calls.
#[async_trait]
pub trait AccessRules: Send + Sync + 'static {
    /// Moves with every change of a rule, and of what the rights of this user depend on. Read it *before*
    /// [`Self::rights`]: those are then at least as new.
    fn version(&self, user: UserId) -> u64;

    /// The rights of a subject, from memory and with point reads.
    fn rights(&self, subject: &Subject) -> Arc<TopicRights>;

    /// Whether somebody may hold a subscription to a filter: whether some topic that it matches is allowed. What
    /// is delivered is checked again. Of a shared subscription the inner filter counts.
    fn allows_filter(&self, rights: &TopicRights, filter: &TopicFilter) -> bool;

    /// What happened, once it is durable and before anybody acts on it: memberships change rights.
    fn happened(&self, event: &Event);

    /// The rules as they are.
    fn list(&self) -> api::AccessRules;

    /// Replaces the rules that calls have set (not those of the file). Durable, and live at once.
    async fn set(&self, request: api::SetAccessRulesRequest) -> Result<api::AccessRules, AccessError>;

    /// Reads the file again. Live at once; a broken file changes nothing.
    ///
    /// # Errors
    /// In words for the operator.
    fn reload(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}
