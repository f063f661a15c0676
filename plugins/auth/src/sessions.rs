//! What a login answers: a session's pair of tokens.

use crate::{
    families,
    options::BOUND_CLIENT_ID_BYTES_MAX,
    secret,
    state::State,
    token::{Access, Lineage, Refresh},
};
use parlance_plugin_api::{
    UnixMillis, UserId,
    identity::{AuthError, CredentialId},
    ledger::{LedgerError, Transaction},
};
use parlance_schema::api;

/// A session about to begin.
pub(crate) struct NewSession {
    pub(crate) refresh: Refresh,
    pub(crate) client_id: Option<String>,
    rules: families::SessionRules,
}

impl NewSession {
    /// Begins it, in the transaction that decided that it may. Returns when its refresh token expires.
    pub(crate) fn begin(&self, tx: &mut dyn Transaction, user: UserId) -> Result<UnixMillis, LedgerError> {
        families::begin(tx, user, self.client_id.as_deref(), &self.refresh, self.rules)
    }
}

/// Checks a client id that tokens are to be bound to.
pub(crate) fn check_client_id(client_id: Option<&str>) -> Result<(), AuthError> {
    match client_id {
        Some(id) if !(1..=BOUND_CLIENT_ID_BYTES_MAX).contains(&id.len()) => {
            Err(AuthError::Limit("a client id that tokens are bound to has 1 to 256 bytes"))
        }
        _ => Ok(()),
    }
}

impl State {
    /// A session to begin in a transaction.
    pub(crate) fn new_session(&self, client_id: Option<String>) -> Result<NewSession, AuthError> {
        check_client_id(client_id.as_deref())?;
        let family = CredentialId(secret::fresh_id(self.now())?);
        Ok(NewSession { refresh: Refresh::fresh(family)?, client_id, rules: self.session_rules() })
    }

    /// The pair of tokens of a session.
    pub(crate) fn tokens(
        &self,
        user: UserId,
        handle: String,
        refresh: &Refresh,
        client_id: Option<String>,
        refresh_expires_ms: UnixMillis,
    ) -> Result<api::Tokens, AuthError> {
        let now = self.now();
        let expires_ms = (now + self.options.access_ttl_s * 1_000) / 1_000 * 1_000;
        let credential = refresh.family;
        let access = Access { user, credential, lineage: Lineage::Family, client_id, expires_ms };
        Ok(api::Tokens {
            user,
            handle,
            access_token: api::Secret(access.sign(&self.keys, now)?.to_string()),
            access_expires_ms: expires_ms,
            refresh_token: api::Secret(refresh.text(&*self.vault).to_string()),
            refresh_expires_ms,
        })
    }
}
