//! `Ids`: sender (16) ‖ tag (1) ‖ id → [`IdRecord`], so that a retry finds the first seq.
//!
//! Tag 0: the client's own message id. (Tag 1 was a packet id of a device: now the log tells, see [`super::LogRecord`].)

use crate::{ConversationId, UserId};
use prost::Message;

/// Where a message of this id is.
#[derive(Clone, PartialEq, Message)]
pub struct IdRecord {
    /// Conversation (16 bytes).
    #[prost(bytes = "vec", tag = "1")]
    pub conversation: Vec<u8>,
    /// Its position.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// When it was decided.
    #[prost(uint64, tag = "3")]
    pub time_ms: u64,
    /// First 8 bytes of the SHA-256 of its content: the same id with another body is an error.
    #[prost(fixed64, tag = "4")]
    pub body: u64,
}

impl IdRecord {
    /// The conversation it names.
    pub fn conversation(&self) -> Option<ConversationId> {
        Some(ConversationId(self.conversation.as_slice().try_into().ok()?))
    }
}

/// Key of a client's own message id (at most 64 bytes).
pub fn explicit_id_key(sender: UserId, id: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(17 + id.len());
    key.extend_from_slice(&sender.0);
    key.push(0);
    key.extend_from_slice(id);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_round_trip(conversation: [u8; 16], seq: u64, time_ms: u64, body: u64) {
            let record = IdRecord { conversation: conversation.to_vec(), seq, time_ms, body };
            prop_assert_eq!(record.conversation(), Some(ConversationId(conversation)));
            prop_assert_eq!(super::super::decode(record.encode_to_vec().into()), Some(record));
        }
    }
}
