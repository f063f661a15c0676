//! `UserIndex`: user (16) ‖ tag (1) ‖ id (16) → what the tag says. Persisted: tags are never renumbered.

use parlance_plugin_api::UserId;

/// What the index leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Index {
    /// A token family (id) → nothing.
    Family = 1,
    /// An API key (id) → nothing.
    ApiKey = 2,
    /// A device (id) that was removed → when (8 bytes, Unix milliseconds): tokens bound to it and minted before end.
    RemovedDevice = 3,
}

/// The key of an entry.
pub(crate) fn index_key(user: UserId, index: Index, id: &[u8; 16]) -> [u8; 33] {
    let mut key = [0; 33];
    key[..17].copy_from_slice(&index_prefix(user, index));
    key[17..].copy_from_slice(id);
    key
}

/// What the keys of all entries of a kind begin with.
pub(crate) fn index_prefix(user: UserId, index: Index) -> [u8; 17] {
    let mut prefix = [0; 17];
    prefix[..16].copy_from_slice(&user.0);
    prefix[16] = index as u8;
    prefix
}

/// The id back from the key.
pub(crate) fn parse_index_key(key: &[u8]) -> Option<[u8; 16]> {
    key.get(17..)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_round_trip_under_their_prefix(user: [u8; 16], id: [u8; 16]) {
            for index in [Index::Family, Index::ApiKey, Index::RemovedDevice] {
                let key = index_key(UserId(user), index, &id);
                prop_assert!(key.starts_with(&index_prefix(UserId(user), index)));
                prop_assert_eq!(parse_index_key(&key), Some(id));
            }
        }

        #[test]
        fn no_key_panics(key: Vec<u8>) {
            let _ = parse_index_key(&key);
        }
    }
}
