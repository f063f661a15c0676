//! The users, and the ports that know them. Logins here are what the simulation says they are: no passwords, no tokens.

use crate::{random::Random, store::SimStore};
use async_trait::async_trait;
use parlance_groups::{GroupLimits, GroupPlugin};
use parlance_plugin_api::{
    ConversationId, Handle, UserId,
    access::{AccessError, AccessRules, Subject, TopicFilter, TopicRight, TopicRights},
    event::Event,
    identity::{
        AccountKind, Accounts, AuthError, Authenticator, Credential, Directory, Named, Operators, Principal,
        Profile, Scopes,
    },
    ledger::Ledger,
    store::Vault,
    testing::PlainVault,
};
use parlance_schema::api;
use parlance_server::{
    config::Config,
    serve::{PluginError, Plugins, Services, Storage},
};
use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// Most time that a login takes, milliseconds.
const LOGIN_MS_MAX: u64 = 40;

/// The id of a user.
pub fn user_id(number: usize) -> UserId {
    let mut id = [0x11; 16];
    id[15] = number as u8;
    UserId(id)
}

/// The number of a user.
pub fn user_number(id: UserId) -> usize {
    usize::from(id.0[15])
}

/// The id of a group.
pub fn group_id(number: usize) -> ConversationId {
    let mut id = [0x01; 16];
    id[15] = number as u8;
    ConversationId(id)
}

/// The handle of a user.
pub fn handle(number: usize) -> Handle {
    format!("user{number}").parse().expect("letters and digits are a handle")
}

/// Somebody who has logged in.
pub fn principal(number: usize) -> Principal {
    Principal {
        user: user_id(number),
        handle: handle(number),
        kind: AccountKind::Person,
        scopes: Scopes::Everything,
        credential: None,
        bound_client_id: None,
        expires_ms: None,
        epoch: None,
    }
}

/// Everybody there is.
#[derive(Debug)]
pub struct People {
    users: usize,
    random: Mutex<Random>,
}

impl People {
    /// So many.
    pub fn new(users: usize, random: Random) -> Self {
        Self { users, random: Mutex::new(random) }
    }

    fn number(&self, name: &str) -> Option<usize> {
        let number = name.trim_start_matches('@').strip_prefix("user")?.parse().ok()?;
        (number < self.users).then_some(number)
    }
}

#[async_trait]
impl Authenticator for People {
    async fn authenticate(
        &self,
        credential: Credential<'_>,
        _: Option<&str>,
        _: IpAddr,
    ) -> Result<Principal, AuthError> {
        let Credential::NameAndSecret { name, .. } = credential else {
            return Err(AuthError::BadCredentials);
        };
        let takes = self.random.lock().unwrap_or_else(PoisonError::into_inner).millis(0..LOGIN_MS_MAX);
        tokio::time::sleep(takes).await;
        self.number(name).map(principal).ok_or(AuthError::BadCredentials)
    }

    fn still_holds(&self, _: &Principal) -> Result<(), AuthError> {
        Ok(())
    }
}

impl Directory for People {
    fn resolve(&self, handle: &Handle) -> Option<Named> {
        self.number(handle.as_str()).map(|number| Named::User(user_id(number)))
    }

    fn profile(&self, user: UserId) -> Option<Arc<Profile>> {
        let number = user_number(user);
        let known = number < self.users && user == user_id(number);
        known
            .then(|| Arc::new(Profile { handle: handle(number), kind: AccountKind::Person, disabled: false }))
    }
}

/// Calls about accounts: nobody makes them here.
struct NoAccounts;

#[async_trait]
impl Accounts for NoAccounts {
    async fn register(&self, _: api::RegisterRequest, _: IpAddr) -> Result<api::Tokens, AuthError> {
        Err(AuthError::Internal)
    }
    async fn login(&self, _: api::LoginRequest, _: IpAddr) -> Result<api::Tokens, AuthError> {
        Err(AuthError::Internal)
    }
    async fn refresh(&self, _: api::RefreshRequest, _: IpAddr) -> Result<api::Tokens, AuthError> {
        Err(AuthError::Internal)
    }
    async fn logout(&self, _: &Principal, _: api::LogoutRequest) -> Result<api::Done, AuthError> {
        Err(AuthError::Internal)
    }
    async fn change_password(
        &self,
        _: &Principal,
        _: api::ChangePasswordRequest,
        _: IpAddr,
    ) -> Result<api::Done, AuthError> {
        Err(AuthError::Internal)
    }
    async fn remove_device(
        &self,
        _: &Principal,
        _: api::RemoveDeviceRequest,
    ) -> Result<api::Done, AuthError> {
        Err(AuthError::Internal)
    }
}

#[async_trait]
impl Operators for NoAccounts {
    async fn add_users(&self, _: api::AddUsersRequest) -> Result<api::Outcomes, AuthError> {
        Err(AuthError::Internal)
    }
    async fn users(&self, _: api::UsersRequest) -> Result<api::Users, AuthError> {
        Err(AuthError::Internal)
    }
    async fn set_disabled(&self, _: api::SetDisabledRequest) -> Result<api::Done, AuthError> {
        Err(AuthError::Internal)
    }
    async fn mint_tokens(&self, _: api::MintTokensRequest) -> Result<api::MintedTokens, AuthError> {
        Err(AuthError::Internal)
    }
    async fn create_api_key(&self, _: api::CreateApiKeyRequest) -> Result<api::ApiKey, AuthError> {
        Err(AuthError::Internal)
    }
    async fn api_keys(&self, _: api::ApiKeysRequest) -> Result<api::ApiKeys, AuthError> {
        Err(AuthError::Internal)
    }
    async fn revoke_api_key(&self, _: api::RevokeApiKeyRequest) -> Result<api::Done, AuthError> {
        Err(AuthError::Internal)
    }
}

/// Free topics: everybody may use those below `app/`.
struct FreeTopics;

#[async_trait]
impl AccessRules for FreeTopics {
    fn version(&self, _: UserId) -> u64 {
        0
    }
    fn rights(&self, _: &Subject) -> Arc<TopicRights> {
        let filter = TopicFilter::try_from("app/#").expect("it is a filter");
        let right = TopicRight { number: 1, allow: true, publish: true, subscribe: true, filter };
        Arc::new(TopicRights { rules: vec![right] })
    }
    fn allows_filter(&self, _: &TopicRights, filter: &TopicFilter) -> bool {
        filter.as_str().starts_with("app/")
    }
    fn happened(&self, _: &Event) {}
    fn list(&self) -> api::AccessRules {
        api::AccessRules { revision: 0, file: Vec::new(), rules: Vec::new() }
    }
    async fn set(&self, _: api::SetAccessRulesRequest) -> Result<api::AccessRules, AccessError> {
        Err(AccessError::Internal)
    }
    fn reload(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}

/// What the server is put together with.
pub struct World {
    /// The store.
    pub store: SimStore,
    /// The users.
    pub people: Arc<People>,
}

impl Plugins for World {
    fn storage(&self, _: &Config) -> Result<Storage, PluginError> {
        let store = Arc::new(self.store.open());
        Ok(Storage { store, vault: Arc::new(PlainVault), created: Vec::new() })
    }

    fn services(
        &self,
        _: &Config,
        ledger: Arc<dyn Ledger>,
        vault: Arc<dyn Vault>,
    ) -> Result<Services, PluginError> {
        let directory: Arc<dyn Directory> = self.people.clone();
        let groups = GroupPlugin::new(ledger, vault, directory.clone(), GroupLimits::default());
        Ok(Services {
            authenticator: self.people.clone(),
            directory,
            accounts: Arc::new(NoAccounts),
            operators: Arc::new(NoAccounts),
            groups: Arc::new(groups),
            access: Arc::new(FreeTopics),
            created: Vec::new(),
        })
    }

    fn rotate_master_key(&self, _: &Config) -> Result<u32, PluginError> {
        Err("there is no master key".into())
    }
}
