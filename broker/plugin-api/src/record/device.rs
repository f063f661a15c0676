//! `Devices`: user (16) ‖ device (16) → [`DeviceRecord`]. `Sessions`: the same key → [`SessionRecord`].

use super::join;
use crate::UserId;
use prost::Message;

/// A device of a user: the first 16 bytes of the pseudonym of its client id, so that the key tells nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(pub [u8; 16]);

impl DeviceId {
    /// Of a client id. The pseudonym is keyed per user: the same client id of another user is another device.
    pub fn of(vault: &dyn crate::store::Vault, user: UserId, client_id: &[u8]) -> Self {
        let mut name = Vec::with_capacity(16 + client_id.len());
        name.extend_from_slice(&user.0);
        name.extend_from_slice(client_id);
        let hash = vault.pseudonym("device", &name);
        Self(join(&[&hash[..16]]))
    }
}

/// A device.
#[derive(Clone, PartialEq, Message)]
pub struct DeviceRecord {
    /// Its MQTT client id.
    #[prost(string, tag = "1")]
    pub client_id: String,
    /// First seen, Unix milliseconds.
    #[prost(uint64, tag = "2")]
    pub created_ms: u64,
    /// Last connected, Unix milliseconds.
    #[prost(uint64, tag = "3")]
    pub last_seen_ms: u64,
}

/// An MQTT session that outlives its connection.
#[derive(Clone, PartialEq, Message)]
pub struct SessionRecord {
    /// When the session began (its identity), Unix milliseconds.
    #[prost(uint64, tag = "1")]
    pub began_ms: u64,
    /// Session Expiry Interval in seconds.
    #[prost(uint32, tag = "2")]
    pub expiry_s: u32,
    /// When its last connection ended, Unix milliseconds; 0 while connected.
    #[prost(uint64, tag = "3")]
    pub ended_ms: u64,
    /// What it subscribed to.
    #[prost(message, repeated, tag = "4")]
    pub subscriptions: Vec<StoredSubscription>,
    /// It came through a listener that is open to all.
    #[prost(bool, tag = "5")]
    pub open: bool,
    /// The will of the connection that it has, or had: published when that ends without a goodbye.
    #[prost(message, optional, tag = "6")]
    pub will: Option<StoredWill>,
    /// The last entry of its queue that was sent, when its last connection ended: none behind it was.
    #[prost(uint64, tag = "7")]
    pub queue_sent: u64,
}

/// A will that a durable session has left.
#[derive(Clone, PartialEq, Message)]
pub struct StoredWill {
    /// The message.
    #[prost(message, optional, tag = "1")]
    pub message: Option<super::FreeRecord>,
    /// Will Delay Interval, seconds.
    #[prost(uint32, tag = "2")]
    pub delay_s: u32,
    /// The client id of the session.
    #[prost(string, tag = "3")]
    pub client_id: String,
    /// The credential that it logged in with; empty for a password. A will does not outlive it.
    #[prost(bytes = "bytes", tag = "4")]
    pub credential: bytes::Bytes,
    /// The account's epoch, where the login lived by it.
    #[prost(uint64, optional, tag = "5")]
    pub epoch: Option<u64>,
}

/// One subscription of a session.
#[derive(Clone, PartialEq, Message)]
pub struct StoredSubscription {
    /// The topic filter.
    #[prost(string, tag = "1")]
    pub filter: String,
    /// Granted QoS.
    #[prost(uint32, tag = "2")]
    pub qos: u32,
    /// Subscription Identifier; 0 for none.
    #[prost(uint32, tag = "3")]
    pub subscription_id: u32,
    /// No Local.
    #[prost(bool, tag = "4")]
    pub no_local: bool,
    /// Retain As Published.
    #[prost(bool, tag = "5")]
    pub retain_as_published: bool,
}

/// Names a session: a device of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub device: DeviceId,
}

impl SessionKey {
    /// The key of its record.
    pub fn bytes(&self) -> [u8; 32] {
        device_key(self.user, self.device)
    }

    /// From the first 32 bytes of a key.
    pub fn parse(key: &[u8]) -> Option<Self> {
        let user = UserId(key.get(..16)?.try_into().ok()?);
        let device = DeviceId(key.get(16..32)?.try_into().ok()?);
        Some(Self { user, device })
    }
}

/// The key of a device and of its session.
pub fn device_key(user: UserId, device: DeviceId) -> [u8; 32] {
    join(&[&user.0, &device.0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_round_trip(client_id: String, created_ms: u64, filter: String, qos in 0u32..3, no_local: bool) {
            let device = DeviceRecord { client_id, created_ms, last_seen_ms: created_ms };
            prop_assert_eq!(super::super::decode(device.encode_to_vec().into()), Some(device));
            let subscription = StoredSubscription { filter, qos, subscription_id: 1, no_local, retain_as_published: !no_local };
            let session =
                SessionRecord { began_ms: created_ms, expiry_s: 7, ended_ms: 0, subscriptions: vec![subscription], ..SessionRecord::default() };
            prop_assert_eq!(super::super::decode(session.encode_to_vec().into()), Some(session));
        }
    }
}
