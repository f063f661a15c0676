//! `Members`: conversation (16) ‖ user (16) → [`MemberRecord`].

use super::join;
use crate::{ConversationId, UserId};
use prost::Message;

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Role {
    /// Reads and writes.
    Member = 0,
    /// Also adds and removes members.
    Admin = 1,
    /// Also cannot be removed by others.
    Owner = 2,
}

impl Role {
    /// From its persisted number; unknown numbers are plain members.
    pub fn from_number(number: u32) -> Self {
        match number {
            2 => Self::Owner,
            1 => Self::Admin,
            _ => Self::Member,
        }
    }

    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

/// A membership.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct MemberRecord {
    /// [`Role`].
    #[prost(uint32, tag = "1")]
    pub role: u32,
    /// First seq that the member may see.
    #[prost(uint64, tag = "2")]
    pub joined_seq: u64,
    /// Since when, Unix milliseconds.
    #[prost(uint64, tag = "3")]
    pub joined_ms: u64,
}

/// The key of a membership, and of the member's cursors.
pub fn member_key(conversation: ConversationId, user: UserId) -> [u8; 32] {
    join(&[&conversation.0, &user.0])
}

/// Back from the key.
pub fn parse_member_key(key: &[u8]) -> Option<(ConversationId, UserId)> {
    let (conversation, user) = key.split_at_checked(16)?;
    Some((ConversationId(conversation.try_into().ok()?), UserId(user.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_and_values_round_trip(c: [u8; 16], u: [u8; 16], role in 0u32..3, joined_seq: u64, joined_ms: u64) {
            let (c, u) = (ConversationId(c), UserId(u));
            prop_assert_eq!(parse_member_key(&member_key(c, u)), Some((c, u)));
            let record = MemberRecord { role, joined_seq, joined_ms };
            prop_assert_eq!(super::super::decode(record.encode_to_vec().into()), Some(record));
            prop_assert_eq!(Role::from_number(role) as u32, role);
        }
    }
}
