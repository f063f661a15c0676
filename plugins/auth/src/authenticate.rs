//! [`Authenticator`]: from a credential to a principal.

use crate::{
    Auth,
    account::{self, Account},
    keys::ADMIN_PREFIX,
    options::TOKEN_BYTES_MAX,
    password::Password,
    record::{ApiKeyRecord, FamilyRecord, Index, UserRecord, index_key},
    secret,
    state::State,
    token::{Access, ApiKeyToken, Lineage},
};
use async_trait::async_trait;
use parlance_plugin_api::{
    UserId,
    identity::{
        AccountKind, Action, AuthError, Authenticator, Credential, CredentialId, Principal, Scope, Scopes,
    },
    ledger::{LedgerError, read},
    record::DeviceId,
    store::Table,
};
use parlance_schema::Handle;
use std::{net::IpAddr, sync::Arc};
use zeroize::Zeroizing;

/// How the operator is called, where a user name must be given. A user may have this handle: the token decides.
const ADMIN_NAME: &str = "admin";

/// What a certificate allows: what an API key with every scope does.
const DEVICE_SCOPES: [Scope; 3] = [
    Scope { action: Action::Send, conversation: None },
    Scope { action: Action::Read, conversation: None },
    Scope { action: Action::ManageGroups, conversation: None },
];

#[async_trait]
impl Authenticator for Auth {
    async fn authenticate(
        &self,
        credential: Credential<'_>,
        client_id: Option<&str>,
        from: IpAddr,
    ) -> Result<Principal, AuthError> {
        let (name, secret) = match credential {
            Credential::Token(token) => return self.state.by_token(token, client_id),
            Credential::Certificate { name, fingerprint } => {
                return self.state.by_certificate(name, fingerprint);
            }
            Credential::NameAndSecret { name, secret } => (name, secret),
        };
        if self.state.keys.is_admin(secret) {
            // Clients that cannot send a password without a user name (3.1.1) write the operator's.
            return if name == ADMIN_NAME { admin() } else { Err(AuthError::BadCredentials) };
        }
        if Access::looks_like(secret) || ApiKeyToken::parse(secret).is_some() {
            let principal = self.state.by_token(secret, client_id)?;
            let named = self.state.user_called(name)? == Some(principal.user);
            return if named { Ok(principal) } else { Err(AuthError::BadCredentials) };
        }
        if secret.len() > TOKEN_BYTES_MAX {
            return Err(AuthError::BadCredentials);
        }
        let (user, record) = self.state.by_password(name, Zeroizing::new(secret.to_vec()), from).await?;
        let handle = record.handle.parse().map_err(|_| AuthError::Internal)?;
        Ok(Principal {
            user,
            handle,
            kind: record.account_kind(),
            scopes: Scopes::Everything,
            credential: None,
            bound_client_id: None,
            expires_ms: None,
            epoch: Some(record.epoch),
        })
    }

    fn still_holds(&self, who: &Principal) -> Result<(), AuthError> {
        self.state.still_holds(who)
    }
}

/// The operator. No user: its connections hold no messages and leave nothing behind.
fn admin() -> Result<Principal, AuthError> {
    Ok(Principal {
        user: UserId([0; 16]),
        handle: ADMIN_NAME.parse::<Handle>().map_err(|_| AuthError::Internal)?,
        kind: AccountKind::Admin,
        scopes: Scopes::Everything,
        credential: None,
        bound_client_id: None,
        expires_ms: None,
        epoch: None,
    })
}

impl State {
    /// Establishes an account by its password. Whether the account is disabled is told only to who knows the password.
    pub(crate) async fn by_password(
        &self,
        name: &str,
        password: Password,
        from: IpAddr,
    ) -> Result<(UserId, UserRecord), AuthError> {
        let user = self.user_called(name)?;
        let subject = self.subject(name, user);
        self.throttle.check(&subject, from, self.now())?;
        let turn = self.hasher.turn().await?;
        // Charged only now: who waits for a turn is not yet guessing.
        let attempt = self.throttle.begin(subject, from, self.now())?;
        let found = match user {
            Some(user) => account::record(self.view(), user)?.map(|record| (user, record)),
            None => None,
        };
        let stored = found.as_ref().map(|(_, record)| &*record.password).filter(|hash| !hash.is_empty());
        if !self.hasher.verify(turn, password, stored).await? {
            return Err(AuthError::BadCredentials);
        }
        self.throttle.succeeded(&attempt);
        let (user, record) = found.ok_or(AuthError::BadCredentials)?;
        if record.disabled { Err(AuthError::Disabled) } else { Ok((user, record)) }
    }

    /// The service account that a verified certificate names. People prove themselves: an authority for devices does not
    /// speak for them.
    fn by_certificate(&self, name: &str, fingerprint: [u8; 32]) -> Result<Principal, AuthError> {
        let user = self.user_called(name)?.ok_or(AuthError::BadCredentials)?;
        let account = self.live_account(user)?;
        if account.profile.kind != AccountKind::Service {
            return Err(AuthError::WrongKind("only a service account logs in with a certificate"));
        }
        let mut id = [0; 16];
        id.copy_from_slice(&fingerprint[..16]);
        Ok(Principal {
            user,
            handle: account.profile.handle.clone(),
            kind: account.profile.kind,
            scopes: Scopes::Only(DEVICE_SCOPES.into()),
            credential: Some(CredentialId(id)),
            bound_client_id: None,
            expires_ms: None,
            epoch: Some(account.epoch),
        })
    }

    fn by_token(&self, token: &[u8], client_id: Option<&str>) -> Result<Principal, AuthError> {
        if token.starts_with(ADMIN_PREFIX.as_bytes()) {
            return if self.keys.is_admin(token) { admin() } else { Err(AuthError::TokenInvalid) };
        }
        match ApiKeyToken::parse(token) {
            Some(key) => self.by_api_key(&key),
            None => self.by_access_token(token, client_id),
        }
    }

    fn by_api_key(&self, key: &ApiKeyToken) -> Result<Principal, AuthError> {
        let found: Option<ApiKeyRecord> = read(self.view(), Table::ApiKeys, &key.id.0)?;
        let record = found.ok_or(AuthError::TokenInvalid)?;
        if !secret::same(&key.hash(), &record.secret_hash) {
            return Err(AuthError::TokenInvalid);
        }
        let user = record.user().ok_or(AuthError::TokenInvalid)?;
        let account = self.live_account(user)?;
        let scopes: Result<Vec<Scope>, _> = record.scopes.iter().map(|scope| scope.parse()).collect();
        Ok(Principal {
            user,
            handle: account.profile.handle.clone(),
            kind: account.profile.kind,
            scopes: Scopes::Only(scopes?.into()),
            credential: Some(key.id),
            bound_client_id: None,
            expires_ms: None,
            epoch: None,
        })
    }

    fn by_access_token(&self, token: &[u8], client_id: Option<&str>) -> Result<Principal, AuthError> {
        let access = Access::verify(token, &self.keys, self.now())?;
        let account = self.live_account(access.user)?;
        let bound: Option<Arc<str>> = access.client_id.map(Into::into);
        let epoch = match access.lineage {
            Lineage::Family => None,
            Lineage::Minted { epoch } => Some(epoch),
        };
        let live = match epoch {
            None => self.family_lives(access.user, access.credential)?,
            Some(epoch) => {
                epoch == account.epoch
                    && !self.device_was_removed(access.user, access.credential, bound.as_deref())?
            }
        };
        if !live {
            return Err(AuthError::Ended);
        }
        if let (Some(bound), Some(client_id)) = (&bound, client_id)
            && **bound != *client_id
        {
            return Err(AuthError::WrongDevice);
        }
        Ok(Principal {
            user: access.user,
            handle: account.profile.handle.clone(),
            kind: account.profile.kind,
            scopes: Scopes::Everything,
            credential: Some(access.credential),
            bound_client_id: bound,
            expires_ms: Some(access.expires_ms),
            epoch,
        })
    }

    fn still_holds(&self, who: &Principal) -> Result<(), AuthError> {
        if who.kind == AccountKind::Admin {
            return Ok(());
        }
        let account = self.live_account(who.user)?;
        let in_epoch = who.epoch.is_none_or(|epoch| epoch == account.epoch);
        let live = match (who.credential, who.epoch) {
            (None, _) => true,
            (Some(minted), Some(_)) => {
                !self.device_was_removed(who.user, minted, who.bound_client_id.as_deref())?
            }
            (Some(id), None) => match who.scopes {
                Scopes::Everything => self.family_lives(who.user, id)?,
                Scopes::Only(_) => {
                    self.view().get(Table::ApiKeys, &id.0).map_err(LedgerError::from)?.is_some()
                }
            },
        };
        if in_epoch && live { Ok(()) } else { Err(AuthError::Ended) }
    }

    fn live_account(&self, user: UserId) -> Result<Account, AuthError> {
        let account = self.account(user)?.ok_or(AuthError::Ended)?;
        if account.profile.disabled { Err(AuthError::Disabled) } else { Ok(account) }
    }

    fn family_lives(&self, user: UserId, family: CredentialId) -> Result<bool, LedgerError> {
        let record: Option<FamilyRecord> = read(self.view(), Table::TokenFamilies, &family.0)?;
        Ok(record.is_some_and(|record| record.user() == Some(user)))
    }

    /// Whether the device that a minted token is bound to was removed after it was minted.
    fn device_was_removed(
        &self,
        user: UserId,
        minted: CredentialId,
        client_id: Option<&str>,
    ) -> Result<bool, LedgerError> {
        let Some(client_id) = client_id else { return Ok(false) };
        let device = DeviceId::of(&*self.vault, user, client_id.as_bytes());
        let key = index_key(user, Index::RemovedDevice, &device.0);
        let Some(removed) = self.view().get(Table::UserIndex, &key)? else { return Ok(false) };
        let removed_ms = removed[..].try_into().map_or(u64::MAX, u64::from_be_bytes);
        Ok(secret::id_time_ms(&minted.0) <= removed_ms)
    }
}
