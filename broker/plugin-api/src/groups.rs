//! The groups port.

use crate::{ConversationId, identity::Principal, ledger::LedgerError};
use async_trait::async_trait;
use parlance_schema::{UserId, api};
use thiserror::Error;

/// Why a group call was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GroupError {
    /// No such group, or the caller is not a member: the same, so that neither is told.
    #[error("there is no such group, or you are not a member")]
    NotFound,
    /// Only the owner and admins may.
    #[error("only the group's owner and admins may do this")]
    NotAllowed,
    /// Nobody has this handle or id.
    #[error("there is no user {0}")]
    UnknownUser(String),
    /// The user is not a member.
    #[error("{0} is not a member")]
    NotMember(String),
    /// The name is empty or too long.
    #[error("a group's name has 1 to 100 characters")]
    BadName,
    /// The handle is not well formed.
    #[error("{0}")]
    HandleInvalid(#[from] parlance_schema::HandleError),
    /// The handle is taken.
    #[error("the handle is taken")]
    HandleTaken,
    /// Too many members.
    #[error("a group has at most {0} members")]
    TooMany(u32),
    /// Too many users in one request.
    #[error("at most {0} users at once")]
    BatchTooLarge(usize),
    /// The ledger did not commit.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What members do with groups. Addresses are resolved before: ids only.
#[async_trait]
pub trait Groups: Send + Sync + 'static {
    /// A new group with its first members.
    async fn create(
        &self,
        who: &Principal,
        name: &str,
        handle: Option<&str>,
        members: Vec<UserId>,
    ) -> Result<api::Group, GroupError>;
    /// Adds members; each sees the log from the entry that added it.
    async fn add(
        &self,
        who: &Principal,
        group: ConversationId,
        users: Vec<UserId>,
    ) -> Result<api::MembersAdded, GroupError>;
    /// Removes one. The last owner cannot be removed by others.
    async fn remove(
        &self,
        who: &Principal,
        group: ConversationId,
        user: UserId,
    ) -> Result<api::Done, GroupError>;
    /// Leaves. When the last owner leaves, the longest-standing admin or member becomes owner.
    async fn leave(&self, who: &Principal, group: ConversationId) -> Result<api::Done, GroupError>;
}
