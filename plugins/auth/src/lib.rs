//! Who somebody is: accounts, passwords, tokens, API keys, the throttle in front of them; and the access rules of
//! free topics.
//!
//! # Contract
//! * A password is stored as an argon2id hash only; a refresh token and an API key as a SHA-256 only (they are 256
//!   random bits). None of them appears in `Debug`, a log or an error.
//! * An unknown handle and a wrong password are one answer that takes one time.
//! * An access token serves while its signature, its time, its account and its session do. All four are looked at
//!   each time: a session that ended, an account that was disabled, has no tokens any more, however long they had left.
//! * What ends a credential emits its event in the same transaction, so that what was opened with it is closed.
//! * Who may use which free topics follows from rules, of a file and of calls; what no rule allows is denied.
//! * Accounts in memory are never older than the ledger: the cache knows which are being changed.

mod access;
mod account;
mod accounts;
mod api_keys;
mod authenticate;
mod cache;
mod directory;
mod families;
mod import;
mod keys;
mod keys_file;
mod minting;
mod operators;
mod options;
mod password;
mod record;
mod secret;
mod sessions;
mod state;
mod throttle;
mod token;

pub use access::{Access, AccessOptions, OpenAccessError, RuleFileError};
pub use keys::AuthKeys;
pub use keys_file::KeysError;
pub use options::{AuthOptions, Backoff, Clock, OptionsError, PasswordCost, system_clock};

use parlance_plugin_api::{ledger::Ledger, store::Vault};
use state::State;
use std::sync::Arc;
use thiserror::Error;

/// Why the plugin cannot begin.
#[derive(Debug, Error)]
pub enum OpenError {
    /// An option is out of its range.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The cryptographic provider failed.
    #[error("the cryptographic provider failed")]
    Provider,
}

/// The identity port: [`parlance_plugin_api::identity::Authenticator`], [`Directory`], [`Accounts`], [`Operators`].
///
/// [`Directory`]: parlance_plugin_api::identity::Directory
/// [`Accounts`]: parlance_plugin_api::identity::Accounts
/// [`Operators`]: parlance_plugin_api::identity::Operators
pub struct Auth {
    state: Arc<State>,
}

impl Auth {
    /// Opens it over a ledger.
    ///
    /// # Errors
    /// When an option is out of its range, or there is no randomness.
    pub fn open(
        ledger: Arc<dyn Ledger>,
        vault: Arc<dyn Vault>,
        keys: AuthKeys,
        options: AuthOptions,
    ) -> Result<Arc<Self>, OpenError> {
        options.check()?;
        let state = State::new(ledger, vault, keys, options).map_err(|_| OpenError::Provider)?;
        Ok(Arc::new(Self { state: Arc::new(state) }))
    }
}
