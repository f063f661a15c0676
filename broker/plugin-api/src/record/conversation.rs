//! `Conversations`: conversation (16) → [`ConversationRecord`]. `Heads`: conversation (16) → [`HeadRecord`].
//! `UserConversations`: user (16) ‖ conversation (16) → empty.

use super::join;
use crate::{ConversationId, UserId};
use prost::Message;

/// What a conversation is.
#[derive(Clone, PartialEq, Message)]
pub struct ConversationRecord {
    /// A group's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// A group's handle, without `@`; empty for none.
    #[prost(string, tag = "2")]
    pub handle: String,
    /// When it began, Unix milliseconds.
    #[prost(uint64, tag = "3")]
    pub created_ms: u64,
    /// A direct conversation's two users, 16 bytes each; empty for a group.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub peers: Vec<Vec<u8>>,
    /// How many members a group has; 0 for a direct conversation.
    #[prost(uint32, tag = "5")]
    pub members: u32,
}

/// Its newest entry.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct HeadRecord {
    /// Position.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// When it was decided.
    #[prost(uint64, tag = "2")]
    pub time_ms: u64,
}

/// Key of a conversation and of its head.
pub fn conversation_key(conversation: ConversationId) -> [u8; 16] {
    conversation.0
}

/// Key of the index from a user to its conversations.
pub fn user_conversation_key(user: UserId, conversation: ConversationId) -> [u8; 32] {
    join(&[&user.0, &conversation.0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_round_trip(name: String, handle: String, created_ms: u64, a: [u8; 16], b: [u8; 16], seq: u64) {
            let record = ConversationRecord { name, handle, created_ms, peers: vec![a.to_vec(), b.to_vec()], members: 2 };
            prop_assert_eq!(super::super::decode(record.encode_to_vec().into()), Some(record));
            let head = HeadRecord { seq, time_ms: created_ms };
            prop_assert_eq!(super::super::decode(head.encode_to_vec().into()), Some(head));
        }
    }
}
