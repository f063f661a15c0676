//! [`Accounts`]: what people do with their own accounts.

use crate::{
    Auth,
    account::{self, NewAccount},
    families::{self, Rotation},
    options::REMOVED_DEVICES_MAX,
    password,
    record::{Index, index_key},
    sessions,
    token::Refresh,
};
use async_trait::async_trait;
use parlance_plugin_api::{
    UserId,
    event::Event,
    identity::{AccountKind, Accounts, Action, AuthError, Principal},
    ledger::Transaction,
    record::{DeviceId, handle_pseudonym},
    store::Table,
};
use parlance_schema::{Handle, api};
use std::net::IpAddr;
use zeroize::Zeroizing;

#[async_trait]
impl Accounts for Auth {
    async fn register(&self, request: api::RegisterRequest, from: IpAddr) -> Result<api::Tokens, AuthError> {
        let state = &self.state;
        let password = password::take(request.password);
        let handle: Handle = request.handle.parse()?;
        password::check(&password)?;
        // Before the costly part; the transaction looks again.
        if state.named(&handle)?.is_some() {
            return Err(AuthError::HandleTaken);
        }
        state.throttle.register(from, state.now())?;
        let turn = state.hasher.turn().await?;
        let password = state.hasher.hash(turn, password).await?;
        let user = UserId::fresh();
        let name_key = handle_pseudonym(&*state.vault, &handle);
        let text = handle.as_str().to_owned();
        let new = NewAccount { user, handle, name_key, kind: AccountKind::Person, password };
        let session = state.new_session(None)?;
        let (session, expires_ms) = state
            .create(move |tx| {
                account::create(tx, new)?;
                let expires_ms = session.begin(tx, user)?;
                Ok((session, expires_ms))
            })
            .await?;
        state.tokens(user, text, &session.refresh, None, expires_ms)
    }

    async fn login(&self, request: api::LoginRequest, from: IpAddr) -> Result<api::Tokens, AuthError> {
        let state = &self.state;
        let password = password::take(request.password);
        let session = state.new_session(request.client_id)?;
        let (user, verified) = state.by_password(&request.handle, password, from).await?;
        let decide = move |tx: &mut dyn Transaction| {
            let record = account::require(tx, user)?;
            if record.password != verified.password {
                return Err(AuthError::BadCredentials);
            }
            if record.disabled {
                return Err(AuthError::Disabled);
            }
            let expires_ms = session.begin(tx, user)?;
            Ok((session, record.handle, expires_ms))
        };
        let (session, handle, expires_ms) = state.create(decide).await?;
        state.tokens(user, handle, &session.refresh, session.client_id, expires_ms)
    }

    async fn refresh(&self, request: api::RefreshRequest, _from: IpAddr) -> Result<api::Tokens, AuthError> {
        let state = &self.state;
        let text = Zeroizing::new(request.refresh_token.0);
        let presented = Refresh::parse(&text, &*state.vault).ok_or(AuthError::TokenInvalid)?;
        let next = Refresh::fresh(presented.family)?;
        let ttl_ms = state.session_rules().ttl_ms;
        let decide = move |tx: &mut dyn Transaction| {
            let rotation = families::rotate(tx, &presented, &next, ttl_ms)?;
            let Rotation::Done { record } = rotation else { return Ok(Err(rotation)) };
            let user = record.user().ok_or(AuthError::Ended)?;
            let account = account::require(tx, user)?;
            if account.disabled {
                return Err(AuthError::Disabled);
            }
            Ok(Ok((user, account.handle, record, next)))
        };
        match state.create(decide).await? {
            Ok((user, handle, record, next)) => {
                let client_id = Some(record.client_id).filter(|id| !id.is_empty());
                state.tokens(user, handle, &next, client_id, record.expires_ms)
            }
            Err(Rotation::Reused) => Err(AuthError::TokenReused),
            Err(Rotation::Expired) => Err(AuthError::TokenExpired),
            Err(_) => Err(AuthError::Ended),
        }
    }

    async fn logout(&self, who: &Principal, request: api::LogoutRequest) -> Result<api::Done, AuthError> {
        let user = own_account(who)?;
        if request.everywhere {
            self.state.change(user, move |tx| end_everything(tx, user)).await?;
            return Ok(api::Done {});
        }
        let Some(family) = who.credential else {
            // A password opens no session beside the connection itself.
            return Ok(api::Done {});
        };
        let decide = move |tx: &mut dyn Transaction| {
            let found = tx.get(Table::UserIndex, &index_key(user, Index::Family, &family.0));
            if found.map_err(parlance_plugin_api::ledger::LedgerError::from)?.is_none() {
                return Err(AuthError::WrongKind(
                    "this token belongs to no session: log out everywhere to end it",
                ));
            }
            families::end(tx, user, family);
            Ok(api::Done {})
        };
        self.state.create(decide).await
    }

    async fn change_password(
        &self,
        who: &Principal,
        request: api::ChangePasswordRequest,
        from: IpAddr,
    ) -> Result<api::Done, AuthError> {
        let state = &self.state;
        let (old, new) = (password::take(request.old_password), password::take(request.new_password));
        let user = own_account(who)?;
        password::check(&new)?;
        let (_, verified) = state.by_password(&user.to_string(), old, from).await?;
        let turn = state.hasher.turn().await?;
        let hashed = state.hasher.hash(turn, new).await?;
        let keep = who.credential;
        let decide = move |tx: &mut dyn Transaction| {
            let mut record = account::require(tx, user)?;
            if record.password != verified.password {
                return Err(AuthError::BadCredentials);
            }
            record.password = hashed;
            record.epoch += 1;
            account::save(tx, user, &record);
            families::forget_all(tx, user, keep)?;
            tx.emit(Event::CredentialsEnded { user, credential: None });
            Ok(api::Done {})
        };
        state.change(user, decide).await
    }

    async fn remove_device(
        &self,
        who: &Principal,
        request: api::RemoveDeviceRequest,
    ) -> Result<api::Done, AuthError> {
        let user = own_account(who)?;
        let client_id = request.client_id;
        sessions::check_client_id(Some(&client_id))?;
        let device = DeviceId::of(&*self.state.vault, user, client_id.as_bytes());
        let decide = move |tx: &mut dyn Transaction| {
            families::end_bound(tx, user, &client_id)?;
            mark_removed(tx, user, device)?;
            tx.emit(Event::DeviceRemoved { user, client_id });
            Ok(api::Done {})
        };
        self.state.change(user, decide).await
    }
}

/// The account that a principal may change: its own, with a credential that allows it.
fn own_account(who: &Principal) -> Result<UserId, AuthError> {
    if who.kind == AccountKind::Admin {
        return Err(AuthError::WrongKind("the operator has no account of its own"));
    }
    if !who.allows(Action::ManageAccount, None) {
        return Err(AuthError::WrongKind("an API key does not manage its account"));
    }
    Ok(who.user)
}

/// Ends every session and every minted token of a user. API keys stay: the operator revokes them.
fn end_everything(tx: &mut dyn Transaction, user: UserId) -> Result<(), AuthError> {
    let mut record = account::require(tx, user)?;
    record.epoch += 1;
    account::save(tx, user, &record);
    families::forget_all(tx, user, None)?;
    tx.emit(Event::CredentialsEnded { user, credential: None });
    Ok(())
}

/// Ends the tokens that were minted for a device until now. Marks are bounded: too many become one raised epoch, which
/// ends all minted tokens of the user.
fn mark_removed(tx: &mut dyn Transaction, user: UserId, device: DeviceId) -> Result<(), AuthError> {
    let marks = families::indexed(tx, user, Index::RemovedDevice)?;
    if marks.len() < REMOVED_DEVICES_MAX {
        let now = tx.now();
        tx.put(Table::UserIndex, &index_key(user, Index::RemovedDevice, &device.0), &now.to_be_bytes());
        return Ok(());
    }
    for mark in marks {
        tx.delete(Table::UserIndex, &index_key(user, Index::RemovedDevice, &mark));
    }
    let mut record = account::require(tx, user)?;
    record.epoch += 1;
    account::save(tx, user, &record);
    tx.emit(Event::CredentialsEnded { user, credential: None });
    Ok(())
}
