//! What group transactions have in common: the record, the count, and the entries that tell of a change.

use parlance_plugin_api::{
    ConversationId, ConversationKind, UserId,
    groups::GroupError,
    identity::{AccountKind, Principal},
    ledger::{LedgerError, Transaction, read},
    record::{ChangeRecord, ConversationRecord, LogRecord, MemberRecord, Role},
    store::Table,
};
use prost::Message;

/// A change, as its entry names it. Persisted, and shown to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Created,
    Added,
    Removed,
    Left,
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::Created => "group_created",
            Self::Added => "member_added",
            Self::Removed => "member_removed",
            Self::Left => "member_left",
        }
    }
}

/// Appends the entry of a change: `actor` did it, it concerns `user`.
pub(crate) fn append(
    tx: &mut dyn Transaction,
    group: ConversationId,
    action: Action,
    actor: UserId,
    user: UserId,
    name: &str,
) -> Result<u64, LedgerError> {
    let change = ChangeRecord {
        action: action.word().to_owned(),
        user: user.0.to_vec().into(),
        name: name.to_owned(),
    };
    let entry = LogRecord {
        sender: actor.0.to_vec().into(),
        time_ms: tx.now(),
        change: Some(change),
        ..LogRecord::default()
    };
    Ok(tx.append(group, entry)?)
}

/// A group in a transaction, as somebody who is in it sees it.
pub(crate) struct Open {
    pub(crate) record: ConversationRecord,
}

impl Open {
    /// Opens a group for a principal; not there, no group and no member are one answer.
    pub(crate) fn find(tx: &mut dyn Transaction, group: ConversationId) -> Result<Self, GroupError> {
        if group.kind() != ConversationKind::Group {
            return Err(GroupError::NotFound);
        }
        let record = read(tx, Table::Conversations, &group.0)?;
        record.map(|record| Self { record }).ok_or(GroupError::NotFound)
    }

    /// Counts members in or out and writes the record.
    pub(crate) fn count(mut self, tx: &mut dyn Transaction, group: ConversationId, members: u32) {
        self.record.members = members;
        tx.put(Table::Conversations, &group.0, &self.record.encode_to_vec());
    }
}

/// A membership, if there is one now.
pub(crate) fn member(
    tx: &mut dyn Transaction,
    group: ConversationId,
    user: UserId,
) -> Result<Option<MemberRecord>, LedgerError> {
    Ok(tx.member(group, user)?)
}

/// Checks that a principal may add and remove members. The operator may everywhere.
pub(crate) fn require_manager(
    tx: &mut dyn Transaction,
    who: &Principal,
    group: ConversationId,
) -> Result<(), GroupError> {
    if who.kind == AccountKind::Admin {
        return Ok(());
    }
    let membership = member(tx, group, who.user)?.ok_or(GroupError::NotFound)?;
    if Role::from_number(membership.role) < Role::Admin {
        return Err(GroupError::NotAllowed);
    }
    Ok(())
}
