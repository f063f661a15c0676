//! `Queue`: user (16) ‖ device (16) ‖ number (8) → [`QueueRecord`]; number 0 → [`QueueHeadRecord`].
//! `Bodies`: body id (16) → `FreeRecord`.
//!
//! Numbers of a session's queue ascend from 1 and are never given twice while the session lives, not even when no entry
//! is left to tell of them: the head reserves them in advance.

use super::{FreeRecord, SessionKey, join};
use prost::Message;

/// Names a stored body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BodyId(pub [u8; 16]);

/// One delivery that a session is owed.
#[derive(Clone, PartialEq, Message)]
pub struct QueueRecord {
    /// The message itself, where one queue only has it.
    #[prost(message, optional, tag = "1")]
    pub message: Option<FreeRecord>,
    /// The id of its body, where several have it.
    #[prost(bytes = "bytes", tag = "2")]
    pub body: bytes::Bytes,
    /// QoS of the delivery: 1 or 2.
    #[prost(uint32, tag = "3")]
    pub qos: u32,
    /// RETAIN flag of the delivery.
    #[prost(bool, tag = "4")]
    pub retain: bool,
    /// Subscription identifiers that led to it.
    #[prost(uint32, repeated, tag = "5")]
    pub subscription_ids: Vec<u32>,
    /// `{group}/{filter}` of a shared subscription, or empty.
    #[prost(string, tag = "6")]
    pub share: String,
    /// QoS 2: the client has it (PUBREC); only PUBREL and PUBCOMP are left. The message is gone then.
    #[prost(bool, tag = "7")]
    pub released: bool,
    /// Bytes that it counts for in the queue's bound.
    #[prost(uint64, tag = "8")]
    pub bytes: u64,
}

/// What is kept of a queue beside its entries.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct QueueHeadRecord {
    /// No number beyond this one was given.
    #[prost(uint64, tag = "1")]
    pub reserved: u64,
    /// Entries that were dropped for want of room and that the session was not told of, about.
    #[prost(uint64, tag = "2")]
    pub dropped: u64,
}

/// The key of a queue entry.
pub fn queue_key(session: SessionKey, number: u64) -> [u8; 40] {
    join(&[&session.user.0, &session.device.0, &number.to_be_bytes()])
}

/// The session and number of a queue entry.
pub fn parse_queue_key(key: &[u8]) -> Option<(SessionKey, u64)> {
    let number = key.get(32..)?.try_into().ok()?;
    Some((SessionKey::parse(key)?, u64::from_be_bytes(number)))
}

/// The key of a body.
pub fn body_key(body: BodyId) -> [u8; 16] {
    body.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{UserId, record::DeviceId};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_round_trip_and_keep_order(user: [u8; 16], device: [u8; 16], a: u64, b: u64) {
            let session = SessionKey { user: UserId(user), device: DeviceId(device) };
            prop_assert_eq!(parse_queue_key(&queue_key(session, a)), Some((session, a)));
            prop_assert_eq!(queue_key(session, a).cmp(&queue_key(session, b)), a.cmp(&b));
        }

        #[test]
        fn heads_round_trip(reserved: u64, dropped: u64) {
            let head = QueueHeadRecord { reserved, dropped };
            prop_assert_eq!(super::super::decode(head.encode_to_vec().into()), Some(head));
        }

        #[test]
        fn values_round_trip(share: String, released: bool, ids: Vec<u32>, bytes: u64) {
            let record = QueueRecord { share, released, subscription_ids: ids, bytes, qos: 2, ..QueueRecord::default() };
            prop_assert_eq!(super::super::decode(record.encode_to_vec().into()), Some(record));
        }
    }
}
