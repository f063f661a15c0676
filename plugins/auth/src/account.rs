//! Accounts in transactions: create, change, and what is kept of one in memory.

use crate::record::UserRecord;
use parlance_plugin_api::{
    UserId,
    identity::{AccountKind, AuthError, Named, Profile},
    ledger::{LedgerError, Transaction, View, read},
    record::NameRecord,
    store::Table,
};
use parlance_schema::Handle;
use prost::Message;
use std::sync::Arc;

/// What is kept of an account in memory: no secrets.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) profile: Arc<Profile>,
    pub(crate) epoch: u64,
}

/// The stored account.
pub(crate) fn record(view: &dyn View, user: UserId) -> Result<Option<UserRecord>, LedgerError> {
    read(view, Table::Users, &user.0)
}

/// The account as it is kept in memory.
pub(crate) fn load(view: &dyn View, user: UserId) -> Result<Option<Account>, LedgerError> {
    let Some(record) = record(view, user)? else { return Ok(None) };
    let Ok(handle) = record.handle.parse() else {
        return Err(LedgerError::Store(format!("the account {user} is damaged: it has no handle")));
    };
    let profile = Profile { handle, kind: record.account_kind(), disabled: record.disabled };
    Ok(Some(Account { profile: Arc::new(profile), epoch: record.epoch }))
}

/// An account to create.
pub(crate) struct NewAccount {
    pub(crate) user: UserId,
    pub(crate) handle: Handle,
    /// The key of its handle in the table of names.
    pub(crate) name_key: [u8; 32],
    pub(crate) kind: AccountKind,
    /// The password's hash; empty for none.
    pub(crate) password: String,
}

/// Creates an account, unless its handle is taken.
pub(crate) fn create(tx: &mut dyn Transaction, new: NewAccount) -> Result<(), AuthError> {
    if tx.get(Table::Names, &new.name_key).map_err(LedgerError::from)?.is_some() {
        return Err(AuthError::HandleTaken);
    }
    let record = UserRecord {
        handle: new.handle.as_str().to_owned(),
        kind: UserRecord::kind_number(new.kind),
        password: new.password,
        disabled: false,
        created_ms: tx.now(),
        epoch: 0,
    };
    let name = NameRecord::from(Named::User(new.user));
    tx.put(Table::Names, &new.name_key, &name.encode_to_vec());
    save(tx, new.user, &record);
    Ok(())
}

/// The account, which must exist.
pub(crate) fn require(view: &dyn View, user: UserId) -> Result<UserRecord, AuthError> {
    record(view, user)?.ok_or(AuthError::NotFound("account"))
}

/// Writes the account.
pub(crate) fn save(tx: &mut dyn Transaction, user: UserId, record: &UserRecord) {
    tx.put(Table::Users, &user.0, &record.encode_to_vec());
}
