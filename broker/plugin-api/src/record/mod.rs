//! The records that the broker and its plugins share: for each kind one file with its key layout, its value and
//! their tests. Keys are ordered bytes, big-endian. Values are protobuf, so that fields may be added.

mod conversation;
mod cursor;
mod device;
mod free;
mod id;
mod log;
mod member;
mod name;
mod queue;
mod received;
mod retained;

pub use conversation::{ConversationRecord, HeadRecord, conversation_key, user_conversation_key};
pub use cursor::{CursorRecord, device_cursor_key, device_cursor_value, parse_device_cursor};
pub use device::{
    DeviceId, DeviceRecord, SessionKey, SessionRecord, StoredSubscription, StoredWill, device_key,
};
pub use free::{FreeRecord, PropertyRecord};
pub use id::{IdRecord, explicit_id_key};
pub use log::{ChangeRecord, DataRecord, LogRecord, log_key, parse_log_key};
pub use member::{MemberRecord, Role, member_key, parse_member_key};
pub use name::{NameRecord, handle_pseudonym};
pub use queue::{BodyId, QueueHeadRecord, QueueRecord, body_key, parse_queue_key, queue_key};
pub use received::{parse_received_key, received_key};
pub use retained::retained_key;

use prost::Message;

/// Decodes a record's value; `None` when it is not one.
pub fn decode<T: Message + Default>(bytes: bytes::Bytes) -> Option<T> {
    T::decode(bytes).ok()
}

fn join<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut key = [0; N];
    let mut at = 0;
    for part in parts {
        key[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    debug_assert_eq!(at, N, "key parts fill the key");
    key
}

/// The least key behind every key that begins with `prefix`; empty when there is none.
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    Vec::new()
}
