//! [`Operators`]: what the operator does with accounts.

use crate::{
    Auth, account, families,
    options::{USERS_PAGE, USERS_PAGE_MAX},
    record::UserRecord,
};
use async_trait::async_trait;
use parlance_plugin_api::{
    UserId,
    event::Event,
    identity::{AuthError, Operators},
    ledger::{LedgerError, Transaction},
    record::decode,
    store::{Direction, Entry, Scan, Table},
};
use parlance_schema::api;

#[async_trait]
impl Operators for Auth {
    async fn add_users(&self, request: api::AddUsersRequest) -> Result<api::Outcomes, AuthError> {
        self.state.import(request.users).await
    }

    async fn users(&self, request: api::UsersRequest) -> Result<api::Users, AuthError> {
        let limit = request.limit.unwrap_or(USERS_PAGE).clamp(1, USERS_PAGE_MAX) as usize;
        // The least key behind the last one.
        let from = request.after.map_or_else(Vec::new, |after| [&after.0[..], &[0]].concat());
        let scan = Scan {
            table: Table::Users,
            from: &from,
            to: &[],
            direction: Direction::Forward,
            limit: limit + 1,
        };
        let mut entries = self.state.view().scan(scan).map_err(LedgerError::from)?;
        let more = entries.len() > limit;
        entries.truncate(limit);
        let next = entries.last().filter(|_| more).and_then(|(key, _)| id(key));
        Ok(api::Users { users: entries.into_iter().filter_map(user).collect(), next })
    }

    async fn set_disabled(&self, request: api::SetDisabledRequest) -> Result<api::Done, AuthError> {
        let user = self.state.require_user(&request.user)?;
        let decide = move |tx: &mut dyn Transaction| {
            let mut record = account::require(tx, user)?;
            record.disabled = request.disabled;
            if request.disabled {
                record.epoch += 1;
                families::forget_all(tx, user, None)?;
                tx.emit(Event::UserDisabled { user });
            }
            account::save(tx, user, &record);
            Ok(api::Done {})
        };
        self.state.change(user, decide).await
    }

    async fn mint_tokens(&self, request: api::MintTokensRequest) -> Result<api::MintedTokens, AuthError> {
        self.state.mint(request).await
    }

    async fn create_api_key(&self, request: api::CreateApiKeyRequest) -> Result<api::ApiKey, AuthError> {
        self.state.create_key(request).await
    }

    async fn api_keys(&self, request: api::ApiKeysRequest) -> Result<api::ApiKeys, AuthError> {
        self.state.list_keys(&request)
    }

    async fn revoke_api_key(&self, request: api::RevokeApiKeyRequest) -> Result<api::Done, AuthError> {
        self.state.revoke_key(&request).await
    }
}

fn id(key: &[u8]) -> Option<UserId> {
    Some(UserId(key.try_into().ok()?))
}

fn user((key, value): Entry) -> Option<api::User> {
    let (user, record) = (id(&key)?, decode::<UserRecord>(value));
    let Some(record) = record else {
        tracing::error!(%user, "a damaged account is left out of the list");
        return None;
    };
    Some(api::User {
        user,
        kind: record.account_kind().as_str().to_owned(),
        handle: record.handle,
        disabled: record.disabled,
        created_ms: record.created_ms,
    })
}
