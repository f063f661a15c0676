//! `Users`: user (16) → [`UserRecord`].

use parlance_plugin_api::identity::AccountKind;
use prost::Message;
use std::fmt;

/// An account.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(crate) struct UserRecord {
    /// Its handle, without `@`.
    #[prost(string, tag = "1")]
    pub(crate) handle: String,
    /// 0 person, 1 service account. Persisted: never renumber.
    #[prost(uint32, tag = "2")]
    pub(crate) kind: u32,
    /// The password's hash (PHC string, argon2id); empty for none.
    #[prost(string, tag = "3")]
    pub(crate) password: String,
    /// Cannot log in or be written to.
    #[prost(bool, tag = "4")]
    pub(crate) disabled: bool,
    /// When it was made, Unix milliseconds.
    #[prost(uint64, tag = "5")]
    pub(crate) created_ms: u64,
    /// Raised to end every minted token at once.
    #[prost(uint64, tag = "6")]
    pub(crate) epoch: u64,
}

impl UserRecord {
    /// What kind of account.
    pub(crate) fn account_kind(&self) -> AccountKind {
        if self.kind == 1 { AccountKind::Service } else { AccountKind::Person }
    }

    /// The persisted number of a kind. The operator has no record.
    pub(crate) fn kind_number(kind: AccountKind) -> u32 {
        u32::from(kind == AccountKind::Service)
    }
}

impl fmt::Debug for UserRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserRecord")
            .field("handle", &self.handle)
            .field("kind", &self.account_kind())
            .field("disabled", &self.disabled)
            .field("created_ms", &self.created_ms)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_round_trip(handle: String, kind in 0_u32..2, password: String, disabled: bool, epoch: u64) {
            let record = UserRecord { handle, kind, password, disabled, created_ms: epoch, epoch };
            prop_assert_eq!(UserRecord::kind_number(record.account_kind()), kind);
            prop_assert_eq!(UserRecord::decode(&record.encode_to_vec()[..]), Ok(record));
        }
    }

    #[test]
    fn debug_does_not_show_the_hash() {
        let record = UserRecord { password: "$argon2id$x".into(), ..UserRecord::default() };
        assert!(!format!("{record:?}").contains("argon2"));
    }
}
