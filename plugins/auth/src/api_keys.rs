//! API keys of service accounts: made, listed, revoked.

use crate::{
    account, families,
    options::{API_KEYS_MAX, KEY_NAME_CHARS_MAX, SCOPES_MAX},
    record::{ApiKeyRecord, Index, index_key},
    secret,
    state::State,
    token::ApiKeyToken,
};
use parlance_plugin_api::{
    event::Event,
    identity::{AccountKind, AuthError, CredentialId, Scope},
    ledger::{Transaction, read},
    store::{Table, hex},
};
use parlance_schema::api;
use prost::Message;

impl State {
    pub(crate) async fn create_key(
        &self,
        request: api::CreateApiKeyRequest,
    ) -> Result<api::ApiKey, AuthError> {
        let user = self.require_user(&request.user)?;
        let name = request.name;
        if !(1..=KEY_NAME_CHARS_MAX).contains(&name.chars().count()) {
            return Err(AuthError::Limit("an API key's name has 1 to 100 characters"));
        }
        let scopes = check_scopes(&request.scopes)?;
        let key = ApiKeyToken::fresh(self.now())?;
        let (id, secret_hash) = (key.id, key.hash());
        let decide = move |tx: &mut dyn Transaction| {
            if account::require(tx, user)?.account_kind() != AccountKind::Service {
                return Err(AuthError::WrongKind("only a service account has API keys"));
            }
            if families::indexed(tx, user, Index::ApiKey)?.len() >= API_KEYS_MAX {
                return Err(AuthError::Limit("an account has at most 100 API keys: revoke one"));
            }
            let record = ApiKeyRecord {
                user: user.0.to_vec(),
                name,
                secret_hash: secret_hash.to_vec(),
                scopes,
                created_ms: tx.now(),
            };
            tx.put(Table::ApiKeys, &id.0, &record.encode_to_vec());
            tx.put(Table::UserIndex, &index_key(user, Index::ApiKey, &id.0), &[]);
            Ok(record)
        };
        let record = self.create(decide).await?;
        Ok(api::ApiKey { key: Some(api::Secret(key.text().to_string())), ..shown(id, record) })
    }

    pub(crate) fn list_keys(&self, request: &api::ApiKeysRequest) -> Result<api::ApiKeys, AuthError> {
        let user = self.require_user(&request.user)?;
        let mut keys = Vec::new();
        for id in families::indexed(self.view(), user, Index::ApiKey)? {
            let record: Option<ApiKeyRecord> = read(self.view(), Table::ApiKeys, &id)?;
            keys.extend(record.map(|record| shown(CredentialId(id), record)));
        }
        Ok(api::ApiKeys { keys })
    }

    pub(crate) async fn revoke_key(
        &self,
        request: &api::RevokeApiKeyRequest,
    ) -> Result<api::Done, AuthError> {
        const UNKNOWN: AuthError = AuthError::NotFound("API key");
        let id = CredentialId(secret::parse_hex(request.id.as_bytes()).ok_or(UNKNOWN)?);
        let decide = move |tx: &mut dyn Transaction| {
            let record: Option<ApiKeyRecord> = read(tx, Table::ApiKeys, &id.0)?;
            let user = record.and_then(|record| record.user()).ok_or(UNKNOWN)?;
            tx.delete(Table::ApiKeys, &id.0);
            tx.delete(Table::UserIndex, &index_key(user, Index::ApiKey, &id.0));
            tx.emit(Event::CredentialsEnded { user, credential: Some(id) });
            Ok(api::Done {})
        };
        self.create(decide).await
    }
}

fn check_scopes(scopes: &[String]) -> Result<Vec<String>, AuthError> {
    if !(1..=SCOPES_MAX).contains(&scopes.len()) {
        return Err(AuthError::Limit("an API key has 1 to 64 scopes"));
    }
    scopes.iter().map(|scope| scope.parse().map(|scope: Scope| scope.to_string())).collect()
}

fn shown(id: CredentialId, record: ApiKeyRecord) -> api::ApiKey {
    api::ApiKey {
        id: hex(&id.0),
        name: record.name,
        scopes: record.scopes,
        created_ms: record.created_ms,
        key: None,
    }
}
