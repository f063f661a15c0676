//! `TokenFamilies`: family (16) → [`FamilyRecord`]: a session that was begun by a login and goes on by refreshing.
//! It exists while the session does.

use parlance_plugin_api::UserId;
use prost::Message;
use std::fmt;

/// A session of tokens.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(crate) struct FamilyRecord {
    /// Whose (16 bytes).
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) user: Vec<u8>,
    /// SHA-256 of the refresh token's secret that serves next.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) refresh_hash: Vec<u8>,
    /// The only client id that its tokens serve; empty for any.
    #[prost(string, tag = "3")]
    pub(crate) client_id: String,
    /// When it began, Unix milliseconds.
    #[prost(uint64, tag = "4")]
    pub(crate) created_ms: u64,
    /// When its refresh token expires, Unix milliseconds.
    #[prost(uint64, tag = "5")]
    pub(crate) expires_ms: u64,
}

impl FamilyRecord {
    /// Whose.
    pub(crate) fn user(&self) -> Option<UserId> {
        Some(UserId(self.user.as_slice().try_into().ok()?))
    }
}

impl fmt::Debug for FamilyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FamilyRecord")
            .field("user", &self.user())
            .field("created_ms", &self.created_ms)
            .field("expires_ms", &self.expires_ms)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_round_trip(user: [u8; 16], hash: [u8; 32], client_id: String, created_ms: u64, expires_ms: u64) {
            let record = FamilyRecord {
                user: user.to_vec(),
                refresh_hash: hash.to_vec(),
                client_id,
                created_ms,
                expires_ms,
            };
            prop_assert_eq!(record.user(), Some(UserId(user)));
            prop_assert_eq!(FamilyRecord::decode(&record.encode_to_vec()[..]), Ok(record));
        }
    }
}
