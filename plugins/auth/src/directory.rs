//! [`Directory`]: names and accounts from memory, or with one point read.

use crate::Auth;
use parlance_plugin_api::{
    UserId,
    identity::{Directory, Named, Profile},
    ledger::LedgerError,
};
use parlance_schema::Handle;
use std::sync::Arc;

fn or_unknown<T>(found: Result<Option<T>, LedgerError>) -> Option<T> {
    found.unwrap_or_else(|error| {
        // The port has no error: to who asks, an account that cannot be read is not there.
        tracing::error!(%error, "an account or name cannot be read");
        None
    })
}

impl Directory for Auth {
    fn resolve(&self, handle: &Handle) -> Option<Named> {
        or_unknown(self.state.named(handle))
    }

    fn profile(&self, user: UserId) -> Option<Arc<Profile>> {
        or_unknown(self.state.account(user)).map(|account| account.profile)
    }

    /// Names are never given to another, so it is the accounts that change.
    fn version(&self) -> Option<u64> {
        self.state.accounts_version()
    }
}
