//! `Cursors`: conversation (16) ‖ user (16) → [`CursorRecord`] (key: `member_key`).
//! `DeviceCursors`: user (16) ‖ device (16) ‖ conversation (16) → acknowledged seq (8).

use super::{DeviceId, join};
use crate::{ConversationId, UserId};
use prost::Message;

/// How far a member has come. Positions never retreat.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct CursorRecord {
    /// Known to the member: acknowledged by some device, read, or written by it.
    #[prost(uint64, tag = "1")]
    pub delivered: u64,
    /// Read.
    #[prost(uint64, tag = "2")]
    pub read: u64,
    /// When `delivered` last moved, Unix milliseconds.
    #[prost(uint64, tag = "3")]
    pub delivered_ms: u64,
    /// When `read` last moved, Unix milliseconds.
    #[prost(uint64, tag = "4")]
    pub read_ms: u64,
    /// Acknowledged by some device of the member (PUBACK): where a device that has no position of its own begins.
    #[prost(uint64, tag = "5")]
    pub acknowledged: u64,
}

/// Key of a device's position.
pub fn device_cursor_key(user: UserId, device: DeviceId, conversation: ConversationId) -> [u8; 48] {
    join(&[&user.0, &device.0, &conversation.0])
}

/// Value of a device's position.
pub fn device_cursor_value(seq: u64) -> [u8; 8] {
    seq.to_be_bytes()
}

/// Back from the value.
pub fn parse_device_cursor(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_round_trip(delivered: u64, read: u64, delivered_ms: u64, read_ms: u64) {
            let record = CursorRecord { delivered, read, delivered_ms, read_ms, acknowledged: read };
            prop_assert_eq!(super::super::decode(record.encode_to_vec().into()), Some(record));
            prop_assert_eq!(parse_device_cursor(&device_cursor_value(read)), Some(read));
        }
    }
}
