//! `Names`: pseudonym of a handle (32) → [`NameRecord`]. Users and groups share one name space.

use crate::{ConversationId, Handle, UserId, identity::Named, store::Vault};
use prost::Message;

/// Whose a name is: exactly one of the two.
#[derive(Clone, PartialEq, Message)]
pub struct NameRecord {
    /// User id (16 bytes).
    #[prost(bytes = "vec", tag = "1")]
    pub user: Vec<u8>,
    /// Group id (16 bytes).
    #[prost(bytes = "vec", tag = "2")]
    pub group: Vec<u8>,
}

impl NameRecord {
    /// As the directory answers it.
    pub fn named(&self) -> Option<Named> {
        if let Ok(user) = self.user.as_slice().try_into() {
            return Some(Named::User(UserId(user)));
        }
        Some(Named::Group(ConversationId(self.group.as_slice().try_into().ok()?)))
    }
}

impl From<Named> for NameRecord {
    fn from(named: Named) -> Self {
        match named {
            Named::User(user) => Self { user: user.0.to_vec(), group: Vec::new() },
            Named::Group(group) => Self { user: Vec::new(), group: group.0.to_vec() },
        }
    }
}

/// The key of a handle.
pub fn handle_pseudonym(vault: &dyn Vault, handle: &Handle) -> [u8; 32] {
    vault.pseudonym("handle", handle.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_round_trip(id: [u8; 16]) {
            for named in [Named::User(UserId(id)), Named::Group(ConversationId(id))] {
                let record = NameRecord::from(named);
                let back: Option<NameRecord> = super::super::decode(record.encode_to_vec().into());
                prop_assert_eq!(back.and_then(|record| record.named()), Some(named));
            }
        }
    }
}
