//! A broker's worth of identity in memory.

use parlance_auth::{Auth, AuthKeys, AuthOptions, PasswordCost};
use parlance_plugin_api::{
    UserId,
    identity::{Accounts, AuthError, Authenticator, Credential, Operators, Principal},
    testing::{ManualClock, MemoryLedger, PlainVault},
};
use parlance_schema::api::{self, Secret};
use std::{net::IpAddr, sync::Arc};

pub(crate) const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
pub(crate) const PASSWORD: &str = "correct horse";
pub(crate) const SECOND: u64 = 1_000;
pub(crate) const DAY: u64 = 86_400 * SECOND;

pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) auth: Arc<Auth>,
    pub(crate) admin_token: String,
}

/// Hashes that cost next to nothing: what they cost is not under test here.
pub(crate) fn quick() -> AuthOptions {
    AuthOptions {
        password_cost: PasswordCost { memory_kib: 8, passes: 1 },
        hashes_at_once: 2,
        ..AuthOptions::default()
    }
}

pub(crate) fn secret(text: &str) -> Secret {
    Secret(text.to_owned())
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(quick())
    }

    pub(crate) fn with(options: AuthOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = AuthKeys::load_or_create(folder.path()).unwrap();
        let admin_token = std::fs::read_to_string(folder.path().join("admin.token")).unwrap();
        let clock = ManualClock::at(1_800_000_000_000);
        let ledger = Arc::new(MemoryLedger::new(clock.clone()));
        let time = clock.clone();
        let options = AuthOptions { clock: Arc::new(move || time.now()), ..options };
        let auth = Auth::open(ledger.clone(), Arc::new(PlainVault), keys, options).unwrap();
        Self { clock, ledger, auth, admin_token: admin_token.trim().to_owned() }
    }

    pub(crate) async fn register(&self, handle: &str) -> api::Tokens {
        let request = api::RegisterRequest { handle: handle.into(), password: secret(PASSWORD) };
        self.auth.register(request, HERE).await.unwrap()
    }

    pub(crate) async fn login(
        &self,
        handle: &str,
        password: &str,
        client_id: Option<&str>,
    ) -> Result<api::Tokens, AuthError> {
        let request = api::LoginRequest {
            handle: handle.into(),
            password: secret(password),
            client_id: client_id.map(Into::into),
        };
        self.auth.login(request, HERE).await
    }

    pub(crate) async fn refresh(&self, token: &Secret) -> Result<api::Tokens, AuthError> {
        self.auth.refresh(api::RefreshRequest { refresh_token: token.clone() }, HERE).await
    }

    /// Over HTTP: a bearer token.
    pub(crate) async fn bearer(&self, token: &Secret) -> Result<Principal, AuthError> {
        self.auth.authenticate(Credential::Token(token.0.as_bytes()), None, HERE).await
    }

    /// Over MQTT: user name, password field, client id.
    pub(crate) async fn connect(
        &self,
        name: &str,
        secret: &str,
        client_id: &str,
    ) -> Result<Principal, AuthError> {
        let credential = Credential::NameAndSecret { name, secret: secret.as_bytes() };
        self.auth.authenticate(credential, Some(client_id), HERE).await
    }

    pub(crate) async fn add_service(&self, handle: &str) -> UserId {
        let user = api::NewUser { handle: handle.into(), password: None, service: true };
        let added = self.auth.add_users(api::AddUsersRequest { users: vec![user] }).await.unwrap();
        added.outcomes[0].user.unwrap()
    }

    pub(crate) async fn mint(&self, user: &str, client_id: Option<&str>, ttl_s: u64) -> Secret {
        let item = api::MintItem { user: user.into(), client_id: client_id.map(Into::into) };
        let request = api::MintTokensRequest { items: vec![item], ttl_s };
        let minted = self.auth.mint_tokens(request).await.unwrap().tokens.remove(0);
        minted.token.unwrap_or_else(|| panic!("{:?}", minted.error))
    }

    pub(crate) async fn set_disabled(&self, user: &str, disabled: bool) {
        let request = api::SetDisabledRequest { user: user.into(), disabled };
        self.auth.set_disabled(request).await.unwrap();
    }
}
