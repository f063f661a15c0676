//! `admin.mintTokens`: access tokens without a login, for provisioning fleets of devices.

use crate::{
    options::{MINT_TOKENS_MAX, MINT_TTL_S_MAX},
    secret, sessions,
    state::State,
    token::{Access, Lineage},
};
use parlance_plugin_api::{
    UnixMillis,
    identity::{AccountKind, AuthError, CredentialId},
};
use parlance_schema::api;
use std::sync::Arc;
use tokio::task::spawn_blocking;

impl State {
    /// Signs on another thread: thousands of signatures take a while.
    pub(crate) async fn mint(
        self: &Arc<Self>,
        request: api::MintTokensRequest,
    ) -> Result<api::MintedTokens, AuthError> {
        if request.items.len() > MINT_TOKENS_MAX {
            return Err(AuthError::Limit("at most 2,000 tokens at once"));
        }
        if !(1..=MINT_TTL_S_MAX).contains(&request.ttl_s) {
            return Err(AuthError::Limit("a minted token serves 1 second to 10 years"));
        }
        let expires_ms = (self.now() / 1_000 + request.ttl_s) * 1_000;
        let state = self.clone();
        let mint = move || {
            let minted = |item: api::MintItem| {
                let (token, error) = match state.mint_one(&item, expires_ms) {
                    Ok(token) => (Some(token), None),
                    Err(error) => (None, Some(error.to_string())),
                };
                api::Minted { user: item.user, client_id: item.client_id, token, error }
            };
            request.items.into_iter().map(minted).collect()
        };
        let tokens = spawn_blocking(mint).await.map_err(|_| AuthError::Internal)?;
        Ok(api::MintedTokens { expires_ms, tokens })
    }

    fn mint_one(&self, item: &api::MintItem, expires_ms: UnixMillis) -> Result<api::Secret, AuthError> {
        sessions::check_client_id(item.client_id.as_deref())?;
        let user = self.require_user(&item.user)?;
        let account = self.account(user)?.ok_or(AuthError::NotFound("account"))?;
        if account.profile.disabled {
            return Err(AuthError::Disabled);
        }
        if account.profile.kind != AccountKind::Person {
            return Err(AuthError::WrongKind("a service account uses API keys"));
        }
        let now = self.now();
        let access = Access {
            user,
            credential: CredentialId(secret::fresh_id(now)?),
            lineage: Lineage::Minted { epoch: account.epoch },
            client_id: item.client_id.clone(),
            expires_ms,
        };
        Ok(api::Secret(access.sign(&self.keys, now)?.to_string()))
    }
}
