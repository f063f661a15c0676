//! The table of methods.

use super::{ApiError, Caller, Input, access, accounts, groups, messages, operators, verify};
use crate::context::Context;
use futures_util::future::BoxFuture;
use parlance_plugin_api::identity::Action;
use parlance_schema::api::*;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, time::Instant};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

/// The HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Reads: the request's fields are query parameters.
    Get,
    /// Changes: the request is a JSON body.
    Post,
}

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Anybody,
    /// Whoever is logged in.
    Account,
    /// Whose credential allows the action somewhere; where, the method checks.
    Allowed(Action),
}

type Run = for<'a> fn(&'a Context, Caller<'a>, Input<'a>) -> BoxFuture<'a, Result<Vec<u8>, ApiError>>;

/// The form of a request or answer, for the OpenAPI document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) name: fn() -> Cow<'static, str>,
    pub(crate) schema: fn() -> RefOr<Schema>,
    /// Adds the schemas that this one refers to.
    pub(crate) parts: fn(&mut Vec<(String, RefOr<Schema>)>),
}

impl Shape {
    const fn of<T: ToSchema>() -> Self {
        Self { name: T::name, schema: <T as PartialSchema>::schema, parts: T::schemas }
    }
}

/// A method.
#[derive(Debug)]
pub struct Method {
    /// Its name: `rpc/{name}`, and the HTTP path with `.` as `/`.
    pub name: &'static str,
    /// The HTTP method.
    pub verb: Verb,
    /// Who may call it.
    pub access: Access,
    /// What it does, for a person.
    pub summary: &'static str,
    /// An example of its request, JSON.
    pub example: &'static str,
    pub(crate) request: Shape,
    pub(crate) answer: Shape,
    run: Run,
    #[cfg(test)]
    parses: fn(&str) -> Result<(), ApiError>,
}

impl Method {
    /// The HTTP path.
    pub fn path(&self) -> String {
        format!("/{}", self.name.replace('.', "/"))
    }

    /// Whether `caller` may call this at all.
    ///
    /// # Errors
    /// [`ApiError::NotAuthenticated`] or [`ApiError::NotAllowed`].
    pub fn admit(&self, caller: Caller<'_>) -> Result<(), ApiError> {
        match self.access {
            Access::Anybody => Ok(()),
            Access::Account => caller.who().map(|_| ()),
            Access::Allowed(action) if caller.who()?.allows_somewhere(action) => Ok(()),
            Access::Allowed(action) => Err(ApiError::NotAllowed(action)),
        }
    }

    /// Calls it. Counted and, where the broker is at fault, logged.
    ///
    /// # Errors
    /// Why it was refused.
    pub async fn call(
        &self,
        context: &Context,
        caller: Caller<'_>,
        input: Input<'_>,
    ) -> Result<Vec<u8>, ApiError> {
        let begun = Instant::now();
        let outcome = match self.admit(caller) {
            Ok(()) => (self.run)(context, caller, input).await,
            Err(refused) => Err(refused),
        };
        let code = match &outcome {
            Ok(_) => "ok",
            Err(error) => error.code().as_str(),
        };
        metrics::counter!("parlance_api_calls_total", "method" => self.name, "code" => code).increment(1);
        metrics::histogram!("parlance_api_call_seconds", "method" => self.name).record(begun.elapsed());
        outcome.inspect_err(|error| error.log(self.name))
    }
}

/// A request that says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NoRequest {}

fn encode<T: Serialize>(answer: &T) -> Vec<u8> {
    serde_json::to_vec(answer).expect("strings, numbers and lists always serialise")
}

macro_rules! method {
    ($name:literal, $verb:ident, $access:expr, $run:path, $request:ty => $answer:ty, $summary:literal, $example:literal) => {
        Method {
            name: $name,
            verb: Verb::$verb,
            access: $access,
            summary: $summary,
            example: $example,
            request: Shape::of::<$request>(),
            answer: Shape::of::<$answer>(),
            run: |context, caller, input| {
                Box::pin(async move {
                    let request: $request = input.parse()?;
                    let answer: $answer = $run(context, caller, request).await?;
                    Ok(encode(&answer))
                })
            },
            #[cfg(test)]
            parses: |example| Input::Json(example.as_bytes()).parse::<$request>().map(|_| ()),
        }
    };
}

use Access::{Account, Allowed, Anybody};
use Action::{Administer, ManageAccount, ManageGroups, Read, Send};

/// All methods.
#[rustfmt::skip]
pub const METHODS: &[Method] = &[
    method!("register", Post, Anybody, accounts::register, RegisterRequest => Tokens,
        "Makes an account and logs it in.", r#"{"handle": "alice", "password": "correct horse battery"}"#),
    method!("login", Post, Anybody, accounts::login, LoginRequest => Tokens,
        "Logs in with handle and password.", r#"{"handle": "alice", "password": "correct horse battery"}"#),
    method!("refresh", Post, Anybody, accounts::refresh, RefreshRequest => Tokens,
        "Exchanges a refresh token for a new pair of tokens.", r#"{"refreshToken": "…"}"#),
    method!("logout", Post, Allowed(ManageAccount), accounts::logout, LogoutRequest => Done,
        "Ends this session, or every session of the account.", r#"{"everywhere": false}"#),
    method!("changePassword", Post, Allowed(ManageAccount), accounts::change_password, ChangePasswordRequest => Done,
        "Changes the password and ends all other sessions.",
        r#"{"oldPassword": "correct horse battery", "newPassword": "staple of many words"}"#),
    method!("me", Get, Account, accounts::me, NoRequest => Me,
        "Who I am and what this credential may do.", "{}"),
    method!("devices", Get, Allowed(ManageAccount), accounts::devices, NoRequest => Devices,
        "My devices.", "{}"),
    method!("removeDevice", Post, Allowed(ManageAccount), accounts::remove_device, RemoveDeviceRequest => Done,
        "Disconnects a device and forgets it.", r#"{"clientId": "phone-1"}"#),

    method!("sendMessage", Post, Allowed(Send), messages::send, SendMessageRequest => Sent,
        "Sends a message. It is durable when this is answered.", r#"{"to": "@bob", "text": "hello", "id": "m-1"}"#),
    method!("messages", Get, Allowed(Read), messages::messages, MessagesRequest => Messages,
        "A page of history.", r#"{"conversation": "@bob", "limit": 20}"#),
    method!("markRead", Post, Allowed(Send), messages::mark_read, MarkReadRequest => Position,
        "Says that everything up to a seq was read.", r#"{"conversation": "@bob", "seq": 7}"#),
    method!("conversations", Get, Allowed(Read), messages::conversations, ConversationsRequest => Conversations,
        "My conversations with heads, positions and unread counts.", r#"{"limit": 100}"#),
    method!("members", Get, Allowed(Read), messages::members, MembersRequest => Members,
        "The members of a conversation and how far each has come.", r#"{"conversation": "@team"}"#),

    method!("createGroup", Post, Allowed(ManageGroups), groups::create, CreateGroupRequest => Group,
        "Makes a group.", r#"{"name": "The team", "handle": "team", "members": ["@bob"]}"#),
    method!("addMembers", Post, Allowed(ManageGroups), groups::add, AddMembersRequest => MembersAdded,
        "Adds members to a group.", r#"{"group": "@team", "users": ["@carol"]}"#),
    method!("removeMember", Post, Allowed(ManageGroups), groups::remove, RemoveMemberRequest => Done,
        "Removes a member from a group.", r#"{"group": "@team", "user": "@carol"}"#),
    method!("leaveGroup", Post, Allowed(ManageGroups), groups::leave, LeaveGroupRequest => Done,
        "Leaves a group.", r#"{"group": "@team"}"#),

    method!("admin.addUsers", Post, Allowed(Administer), operators::add_users, AddUsersRequest => Outcomes,
        "Makes accounts.", r#"{"users": [{"handle": "bob", "password": "correct horse battery"}, {"handle": "bot", "service": true}]}"#),
    method!("admin.users", Get, Allowed(Administer), operators::users, UsersRequest => Users,
        "Lists accounts.", r#"{"limit": 100}"#),
    method!("admin.setDisabled", Post, Allowed(Administer), operators::set_disabled, SetDisabledRequest => Done,
        "Disables an account (disconnected at once) or enables it.", r#"{"user": "@bob", "disabled": true}"#),
    method!("admin.mintTokens", Post, Allowed(Administer), operators::mint_tokens, MintTokensRequest => MintedTokens,
        "Makes access tokens without a login, for provisioning.",
        r#"{"items": [{"user": "@bot", "clientId": "sensor-1"}], "ttlS": 86400}"#),
    method!("admin.createApiKey", Post, Allowed(Administer), operators::create_api_key, CreateApiKeyRequest => ApiKey,
        "Makes an API key for a service account.",
        r#"{"user": "@bot", "name": "build server", "scopes": ["messages.send"]}"#),
    method!("admin.apiKeys", Get, Allowed(Administer), operators::api_keys, ApiKeysRequest => ApiKeys,
        "Lists the API keys of a service account.", r#"{"user": "@bot"}"#),
    method!("admin.revokeApiKey", Post, Allowed(Administer), operators::revoke_api_key, RevokeApiKeyRequest => Done,
        "Ends an API key; connections that use it are closed.", r#"{"id": "…"}"#),
    method!("admin.accessRules", Get, Allowed(Administer), access::rules, AccessRulesRequest => AccessRules,
        "The access rules of free topics: those of the file, then those that calls have set.", "{}"),
    method!("admin.setAccessRules", Post, Allowed(Administer), access::set, SetAccessRulesRequest => AccessRules,
        "Replaces the access rules that calls have set. Live at once, for connected clients too.",
        r#"{"rules": [{"who": "service", "action": "publish", "topic": "app/sensors/%u/#"}], "revision": 3}"#),
    method!("admin.checkAccess", Get, Allowed(Administer), access::check, CheckAccessRequest => AccessChecked,
        "What the access rules say about somebody and a topic.",
        r#"{"user": "@sensor-1", "action": "publish", "topic": "app/sensors/sensor-1/temperature"}"#),
    method!("admin.verifyStore", Post, Allowed(Administer), verify::verify_store, VerifyStoreRequest => Verified,
        "Opens every record of a stretch of the store and reports what is damaged.", "{}"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::World;
    use parlance_plugin_api::{
        ConversationId,
        identity::{AccountKind, Principal, Scope, Scopes},
    };
    use std::{collections::HashSet, net::Ipv4Addr};

    #[test]
    fn names_are_distinct_and_every_example_parses() {
        let names: HashSet<&str> = METHODS.iter().map(|method| method.name).collect();
        assert_eq!(names.len(), METHODS.len());
        for method in METHODS {
            assert!(
                (method.parses)(method.example).is_ok(),
                "{}: {:?}",
                method.name,
                (method.parses)(method.example)
            );
            assert!((method.parses)(r#"{"noSuchField": 1}"#).is_err(), "{}", method.name);
        }
    }

    /// Requirement: every request and answer of the schema has its method.
    #[test]
    fn every_method_of_the_contract_is_there() {
        for name in [
            "register",
            "login",
            "refresh",
            "logout",
            "changePassword",
            "me",
            "devices",
            "removeDevice",
            "sendMessage",
            "messages",
            "markRead",
            "conversations",
            "createGroup",
            "addMembers",
            "removeMember",
            "leaveGroup",
            "members",
            "admin.addUsers",
            "admin.users",
            "admin.setDisabled",
            "admin.mintTokens",
            "admin.createApiKey",
            "admin.apiKeys",
            "admin.revokeApiKey",
            "admin.accessRules",
            "admin.setAccessRules",
            "admin.checkAccess",
            "admin.verifyStore",
        ] {
            assert!(METHODS.iter().any(|method| method.name == name), "{name}");
        }
        assert_eq!(METHODS.len(), 28);
    }

    fn admitted(principal: Option<&Principal>) -> HashSet<&'static str> {
        let caller = Caller { principal, from: Ipv4Addr::LOCALHOST.into(), device: None };
        METHODS.iter().filter(|method| method.admit(caller).is_ok()).map(|method| method.name).collect()
    }

    #[test]
    fn who_may_call_what() {
        let mut world = World::default();
        let alice = world.user("alice");
        assert_eq!(admitted(None), HashSet::from(["register", "login", "refresh"]));

        let person = world.principal(alice);
        let everything_of_a_person = admitted(Some(&person));
        assert!(!everything_of_a_person.iter().any(|name| name.starts_with("admin.")));
        assert_eq!(
            everything_of_a_person.len(),
            METHODS.iter().filter(|m| !m.name.starts_with("admin.")).count()
        );

        let scope = Scope { action: Action::Send, conversation: Some(ConversationId::fresh_group()) };
        let key =
            Principal { scopes: Scopes::Only([scope].into()), kind: AccountKind::Service, ..person.clone() };
        let open = ["register", "login", "refresh", "me"];
        assert_eq!(admitted(Some(&key)), open.into_iter().chain(["sendMessage", "markRead"]).collect());

        let operator = Principal { kind: AccountKind::Admin, ..person };
        assert!(admitted(Some(&operator)).contains("admin.verifyStore"));
    }
}
