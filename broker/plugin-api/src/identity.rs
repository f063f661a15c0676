//! The identity port: who somebody is, and what a credential allows.

use crate::{ConversationId, Handle, UnixMillis, UserId, ledger::LedgerError};
use async_trait::async_trait;
use parlance_schema::api;
use std::{net::IpAddr, sync::Arc};
use thiserror::Error;

/// Names a credential so that what was opened with it can be closed: a token family or an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialId(pub [u8; 16]);

/// What kind of account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountKind {
    /// A person.
    Person,
    /// A bot or a device: logs in with an API key, a token, or a certificate that a listener trusts.
    Service,
    /// The operator (admin token). Not a member of anything.
    Admin,
    /// A client without an account, on a listener that is open to all: free topics only.
    Anonymous,
}

impl AccountKind {
    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Service => "service",
            Self::Admin => "admin",
            Self::Anonymous => "anonymous",
        }
    }
}

/// Something that a scope may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send messages, mark read, type.
    Send,
    /// Receive messages, read history, members, presence.
    Read,
    /// Create groups, change members.
    ManageGroups,
    /// Change the account: password, devices, sessions.
    ManageAccount,
    /// Operate the broker.
    Administer,
}

/// One thing that a scoped credential may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// What.
    pub action: Action,
    /// Only there; `None` for everywhere.
    pub conversation: Option<ConversationId>,
}

/// What a credential allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scopes {
    /// All that the account may (never [`Action::Administer`] unless it is the operator's).
    Everything,
    /// Only these.
    Only(Arc<[Scope]>),
}

/// Who is at the other end, established once for a connection or request.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The account.
    pub user: UserId,
    /// Its handle at login.
    pub handle: Handle,
    /// Person, bot or operator.
    pub kind: AccountKind,
    /// What this credential allows.
    pub scopes: Scopes,
    /// The credential, to be closed with it. `None` for a password.
    pub credential: Option<CredentialId>,
    /// The only MQTT client id that it serves, if bound.
    pub bound_client_id: Option<Arc<str>>,
    /// When the credential expires; the connection is closed then.
    pub expires_ms: Option<UnixMillis>,
    /// The account's epoch, where the login lives by it (password, minted token); `None` where the credential's own
    /// record is what it lives by.
    pub epoch: Option<u64>,
}

impl Principal {
    /// Whether this credential allows an action, in a conversation where that matters. Deny by default.
    pub fn allows(&self, action: Action, conversation: Option<ConversationId>) -> bool {
        if action == Action::Administer || self.kind == AccountKind::Admin {
            return self.kind == AccountKind::Admin;
        }
        if self.kind == AccountKind::Anonymous {
            return false;
        }
        match &self.scopes {
            Scopes::Everything => true,
            Scopes::Only(scopes) => scopes.iter().any(|scope| {
                scope.action == action && (scope.conversation.is_none() || scope.conversation == conversation)
            }),
        }
    }

    /// Whether it allows the action somewhere at least.
    pub fn allows_somewhere(&self, action: Action) -> bool {
        match &self.scopes {
            Scopes::Only(scopes) if self.kind != AccountKind::Admin => {
                scopes.iter().any(|s| s.action == action)
            }
            _ => self.allows(action, None),
        }
    }
}

/// Why somebody was not let in, or an account call was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuthError {
    /// Wrong handle or password: the same for both, so that neither is told.
    #[error("wrong handle or password")]
    BadCredentials,
    /// The token is not one of ours or was changed.
    #[error("the token is not valid")]
    TokenInvalid,
    /// The token's time is over.
    #[error("the token has expired: refresh it or log in again")]
    TokenExpired,
    /// The refresh token was used before; its family is ended.
    #[error("the refresh token was used before; log in again")]
    TokenReused,
    /// It was logged out, revoked, or its account disabled.
    #[error("the session has ended: log in again")]
    Ended,
    /// The account is disabled.
    #[error("the account is disabled")]
    Disabled,
    /// The token serves another client id.
    #[error("the token is bound to another client id")]
    WrongDevice,
    /// Too many attempts.
    #[error("too many attempts: try again in {retry_after_s} s")]
    Throttled {
        /// When to come back, seconds.
        retry_after_s: u64,
    },
    /// The handle is taken.
    #[error("the handle is taken")]
    HandleTaken,
    /// The handle is not well formed.
    #[error("{0}")]
    HandleInvalid(#[from] parlance_schema::HandleError),
    /// The password is too short or too long.
    #[error("a password has {min} to {max} characters")]
    PasswordLength {
        /// Fewest characters.
        min: usize,
        /// Most characters.
        max: usize,
    },
    /// No such account, key or device.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The account's kind does not allow this.
    #[error("{0}")]
    WrongKind(&'static str),
    /// A scope that does not parse.
    #[error(
        "{0} is no scope: use messages.send, messages.read or groups.manage, each with an optional :{{conversation id}}"
    )]
    BadScope(String),
    /// A limit is reached.
    #[error("{0}")]
    Limit(&'static str),
    /// The ledger did not commit.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Cryptography or hashing failed.
    #[error("the broker could not do this")]
    Internal,
}

/// A credential as it came.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// Handle and password, or handle and token: MQTT's user name and password fields.
    NameAndSecret {
        /// Handle (with or without `@`) or user id.
        name: &'a str,
        /// Password, access token or API key.
        secret: &'a [u8],
    },
    /// A token or API key alone (HTTP bearer, or MQTT with a password and no user name).
    Token(&'a [u8]),
    /// A client certificate that an authority of the operator's vouches for (mutual TLS).
    Certificate {
        /// What it calls its owner: the common name, or else the first DNS name or URI.
        name: &'a str,
        /// SHA-256 of the certificate.
        fingerprint: [u8; 32],
    },
}

/// Establishes who somebody is. Slow and async: passwords are hashed on other threads, bounded in number.
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// `client_id` is the MQTT client id, if there is one: a bound token serves no other.
    async fn authenticate(
        &self,
        credential: Credential<'_>,
        client_id: Option<&str>,
        from: IpAddr,
    ) -> Result<Principal, AuthError>;

    /// Whether what was established still holds, from memory or with point reads: the account is enabled, the
    /// credential has not ended. Its time is the connection's matter ([`Principal::expires_ms`]).
    ///
    /// Asked once a connection is registered: what ended before that was told to nobody, what ends later is an event.
    ///
    /// # Errors
    /// As [`Self::authenticate`].
    fn still_holds(&self, who: &Principal) -> Result<(), AuthError>;
}

/// What is known of an account, from memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its handle.
    pub handle: Handle,
    /// Person or bot.
    pub kind: AccountKind,
    /// Cannot log in or be written to.
    pub disabled: bool,
}

/// Whose a handle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// A user's.
    User(UserId),
    /// A group's.
    Group(ConversationId),
}

/// Names and accounts, answered from memory or with one point read.
pub trait Directory: Send + Sync + 'static {
    /// Whose handle this is. Users and groups share one name space.
    fn resolve(&self, handle: &Handle) -> Option<Named>;

    /// An account.
    fn profile(&self, user: UserId) -> Option<Arc<Profile>>;

    /// While this stays the same number, whoever and whatever was found would be found the same: an answer that was asked for
    /// after the number may be kept as long as the number. `None`: nothing may be kept now.
    fn version(&self) -> Option<u64> {
        None
    }
}

/// What people do with their own accounts.
#[async_trait]
pub trait Accounts: Send + Sync + 'static {
    /// A new account, logged in.
    async fn register(&self, request: api::RegisterRequest, from: IpAddr) -> Result<api::Tokens, AuthError>;
    /// Tokens for a password.
    async fn login(&self, request: api::LoginRequest, from: IpAddr) -> Result<api::Tokens, AuthError>;
    /// New tokens for a refresh token.
    async fn refresh(&self, request: api::RefreshRequest, from: IpAddr) -> Result<api::Tokens, AuthError>;
    /// Ends this token's family, or all of them.
    async fn logout(&self, who: &Principal, request: api::LogoutRequest) -> Result<api::Done, AuthError>;
    /// Changes the password and ends all other sessions.
    async fn change_password(
        &self,
        who: &Principal,
        request: api::ChangePasswordRequest,
        from: IpAddr,
    ) -> Result<api::Done, AuthError>;
    /// Ends the tokens bound to a device and tells the rest of the program that it is gone.
    async fn remove_device(
        &self,
        who: &Principal,
        request: api::RemoveDeviceRequest,
    ) -> Result<api::Done, AuthError>;
}

/// What the operator does with accounts.
#[async_trait]
pub trait Operators: Send + Sync + 'static {
    /// Creates accounts.
    async fn add_users(&self, request: api::AddUsersRequest) -> Result<api::Outcomes, AuthError>;
    /// Lists accounts.
    async fn users(&self, request: api::UsersRequest) -> Result<api::Users, AuthError>;
    /// Disables or enables one.
    async fn set_disabled(&self, request: api::SetDisabledRequest) -> Result<api::Done, AuthError>;
    /// Mints access tokens.
    async fn mint_tokens(&self, request: api::MintTokensRequest) -> Result<api::MintedTokens, AuthError>;
    /// Makes an API key for a service account.
    async fn create_api_key(&self, request: api::CreateApiKeyRequest) -> Result<api::ApiKey, AuthError>;
    /// Lists the keys of one.
    async fn api_keys(&self, request: api::ApiKeysRequest) -> Result<api::ApiKeys, AuthError>;
    /// Ends a key.
    async fn revoke_api_key(&self, request: api::RevokeApiKeyRequest) -> Result<api::Done, AuthError>;
}
