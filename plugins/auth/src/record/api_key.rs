//! `ApiKeys`: key id (16) → [`ApiKeyRecord`]. It exists until it is revoked.

use parlance_plugin_api::UserId;
use prost::Message;
use std::fmt;

/// An API key of a service account.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(crate) struct ApiKeyRecord {
    /// Whose (16 bytes).
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) user: Vec<u8>,
    /// A name to recognise it by.
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    /// SHA-256 of its secret.
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) secret_hash: Vec<u8>,
    /// What it may do, as words.
    #[prost(string, repeated, tag = "4")]
    pub(crate) scopes: Vec<String>,
    /// When it was made, Unix milliseconds.
    #[prost(uint64, tag = "5")]
    pub(crate) created_ms: u64,
}

impl ApiKeyRecord {
    /// Whose.
    pub(crate) fn user(&self) -> Option<UserId> {
        Some(UserId(self.user.as_slice().try_into().ok()?))
    }
}

impl fmt::Debug for ApiKeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyRecord")
            .field("user", &self.user())
            .field("name", &self.name)
            .field("scopes", &self.scopes)
            .field("created_ms", &self.created_ms)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_round_trip(user: [u8; 16], name: String, hash: [u8; 32], scopes: Vec<String>, created_ms: u64) {
            let record =
                ApiKeyRecord { user: user.to_vec(), name, secret_hash: hash.to_vec(), scopes, created_ms };
            prop_assert_eq!(record.user(), Some(UserId(user)));
            prop_assert_eq!(ApiKeyRecord::decode(&record.encode_to_vec()[..]), Ok(record));
        }
    }
}
