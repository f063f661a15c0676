//! `Log`: conversation (16) ‖ seq (8) → [`LogRecord`].

use super::join;
use crate::ConversationId;
use bytes::Bytes;
use prost::Message;

/// An entry of a conversation's log.
#[derive(Clone, PartialEq, Message)]
pub struct LogRecord {
    /// Sender's user id (16 bytes).
    #[prost(bytes = "bytes", tag = "1")]
    pub sender: Bytes,
    /// When it was decided, Unix milliseconds.
    #[prost(uint64, tag = "2")]
    pub time_ms: u64,
    /// The sender's message id; empty without one.
    #[prost(bytes = "bytes", tag = "3")]
    pub id: Bytes,
    /// Text, UTF-8; empty when it is data or a change.
    #[prost(bytes = "bytes", tag = "4")]
    pub text: Bytes,
    /// Anything else.
    #[prost(message, optional, tag = "5")]
    pub data: Option<DataRecord>,
    /// A change of the conversation.
    #[prost(message, optional, tag = "6")]
    pub change: Option<ChangeRecord>,
    /// The sender's device (see `device_key`), so that it is not sent its own message; empty for HTTP.
    #[prost(bytes = "bytes", tag = "7")]
    pub device: Bytes,
    /// The MQTT packet id of a message without an id of its own, so that a retransmission finds it; 0 for others.
    #[prost(uint32, tag = "8")]
    pub packet_id: u32,
}

/// Typed bytes.
#[derive(Clone, PartialEq, Message)]
pub struct DataRecord {
    /// Media type.
    #[prost(string, tag = "1")]
    pub content_type: String,
    /// The bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub bytes: Bytes,
}

/// A change of the conversation.
#[derive(Clone, PartialEq, Message)]
pub struct ChangeRecord {
    /// `group_created`, `member_added`, `member_removed`, `member_left`.
    #[prost(string, tag = "1")]
    pub action: String,
    /// Whom it concerns (16 bytes).
    #[prost(bytes = "bytes", tag = "2")]
    pub user: Bytes,
    /// The name it sets.
    #[prost(string, tag = "3")]
    pub name: String,
}

/// The key of an entry.
pub fn log_key(conversation: ConversationId, seq: u64) -> [u8; 24] {
    join(&[&conversation.0, &seq.to_be_bytes()])
}

/// Back from the key.
pub fn parse_log_key(key: &[u8]) -> Option<(ConversationId, u64)> {
    let (conversation, seq) = key.split_at_checked(16)?;
    Some((ConversationId(conversation.try_into().ok()?), u64::from_be_bytes(seq.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_round_trip_and_sort_by_seq(id: [u8; 16], a: u64, b: u64) {
            let id = ConversationId(id);
            prop_assert_eq!(parse_log_key(&log_key(id, a)), Some((id, a)));
            prop_assert_eq!(log_key(id, a).cmp(&log_key(id, b)), a.cmp(&b));
        }

        #[test]
        fn values_round_trip(sender: [u8; 16], time_ms: u64, text: Vec<u8>, data: Option<(String, Vec<u8>)>) {
            let record = LogRecord {
                sender: sender.to_vec().into(),
                time_ms,
                text: text.into(),
                data: data.map(|(content_type, bytes)| DataRecord { content_type, bytes: bytes.into() }),
                ..LogRecord::default()
            };
            prop_assert_eq!(super::super::decode(record.encode_to_vec().into()), Some(record));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = super::super::decode::<LogRecord>(bytes.clone().into());
            let _ = parse_log_key(&bytes);
        }
    }
}
