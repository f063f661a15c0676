//! What the parts of this plugin share.

use crate::{
    AuthKeys, AuthOptions,
    account::{self, Account},
    cache::Cache,
    families::SessionRules,
    password::Hasher,
    throttle::{Subject, Throttle},
};
use parlance_plugin_api::{
    UnixMillis, UserId,
    identity::{AuthError, Named},
    ledger::{Ledger, LedgerError, TransactError, Transaction, View, read, transact},
    record::{NameRecord, handle_pseudonym},
    store::{Table, Vault},
};
use parlance_schema::Handle;
use std::sync::Arc;

/// Longest name that can be an account's: `@` and a handle; ids are shorter.
const NAME_BYTES_MAX: usize = 33;

pub(crate) struct State {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) vault: Arc<dyn Vault>,
    pub(crate) keys: AuthKeys,
    pub(crate) options: AuthOptions,
    pub(crate) hasher: Hasher,
    pub(crate) throttle: Throttle,
    /// Names are never given to another, so what is found here stays right.
    names: Cache<Handle, Named>,
    accounts: Cache<UserId, Account>,
}

impl State {
    pub(crate) fn new(
        ledger: Arc<dyn Ledger>,
        vault: Arc<dyn Vault>,
        keys: AuthKeys,
        options: AuthOptions,
    ) -> Result<Self, AuthError> {
        Ok(Self {
            hasher: Hasher::new(options.password_cost, options.hashes_at_once, options.hash_wait_ms)?,
            throttle: Throttle::new(&options),
            names: Cache::new(options.directory_entries_max),
            accounts: Cache::new(options.directory_entries_max),
            ledger,
            vault,
            keys,
            options,
        })
    }

    pub(crate) fn now(&self) -> UnixMillis {
        (self.options.clock)()
    }

    pub(crate) fn view(&self) -> &dyn View {
        &*self.ledger
    }

    pub(crate) fn session_rules(&self) -> SessionRules {
        SessionRules {
            ttl_ms: self.options.refresh_ttl_s * 1_000,
            per_user_max: self.options.sessions_per_user_max,
        }
    }

    /// Whose a handle is.
    pub(crate) fn named(&self, handle: &Handle) -> Result<Option<Named>, LedgerError> {
        self.names.get_or(handle, || {
            let key = handle_pseudonym(&*self.vault, handle);
            let name: Option<NameRecord> = read(self.view(), Table::Names, &key)?;
            Ok(name.and_then(|name| name.named()))
        })
    }

    /// An account.
    pub(crate) fn account(&self, user: UserId) -> Result<Option<Account>, LedgerError> {
        self.accounts.get_or(&user, || account::load(self.view(), user))
    }

    /// See [`Cache::version`].
    pub(crate) fn accounts_version(&self) -> Option<u64> {
        self.accounts.version()
    }

    /// The user that a person or an operator wrote: an id, or a handle with or without `@`. An id comes before a
    /// handle that looks like one.
    pub(crate) fn user_called(&self, name: &str) -> Result<Option<UserId>, LedgerError> {
        if name.len() > NAME_BYTES_MAX {
            return Ok(None);
        }
        if let Ok(user) = name.parse::<UserId>() {
            return Ok(self.account(user)?.map(|_| user));
        }
        let Ok(handle) = name.parse::<Handle>() else { return Ok(None) };
        match self.named(&handle)? {
            Some(Named::User(user)) => Ok(Some(user)),
            _ => Ok(None),
        }
    }

    /// The same, for calls about an account that must exist.
    pub(crate) fn require_user(&self, name: &str) -> Result<UserId, AuthError> {
        self.user_called(name)?.ok_or(AuthError::NotFound("account"))
    }

    /// Whom the throttle counts: the account however it was written, or else what was written.
    pub(crate) fn subject(&self, name: &str, user: Option<UserId>) -> Subject {
        match user {
            Some(user) => self.vault.pseudonym("throttle account", &user.0),
            None => self.vault.pseudonym("throttle name", name.as_bytes()),
        }
    }

    /// Runs a transaction that creates something new.
    pub(crate) async fn create<T, F>(&self, decide: F) -> Result<T, AuthError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Transaction) -> Result<T, AuthError> + Send + 'static,
    {
        transact(&*self.ledger, decide).await.map_err(refused)
    }

    /// Runs a transaction that changes an account. It runs to its end even when the caller goes away, so that what is
    /// in memory is right afterwards.
    pub(crate) async fn change<T, F>(self: &Arc<Self>, user: UserId, decide: F) -> Result<T, AuthError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Transaction) -> Result<T, AuthError> + Send + 'static,
    {
        let state = self.clone();
        let task = tokio::spawn(async move {
            let _changing = state.accounts.changing(user);
            transact(&*state.ledger, decide).await.map_err(refused)
        });
        task.await.map_err(|_| AuthError::Internal)?
    }
}

fn refused(error: TransactError<AuthError>) -> AuthError {
    match error {
        TransactError::Ledger(error) => AuthError::Ledger(error),
        TransactError::Refused(error) => error,
    }
}
