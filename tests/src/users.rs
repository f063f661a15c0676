//! Accounts.

use crate::Broker;
use parlance_schema::UserId;
use serde_json::{Value, json};

/// Accounts or tokens that are asked for in one call.
const BATCH: usize = 500;
/// Life of minted tokens, seconds.
const TTL_S: u64 = 86_400;

/// An account.
#[derive(Debug, Clone)]
pub struct User {
    /// Without `@`.
    pub handle: String,
    /// Its id.
    pub id: UserId,
    /// Only of users that were registered.
    pub password: Option<String>,
    /// An access token that serves on every device.
    pub token: String,
}

impl User {
    /// `@handle`.
    pub fn at(&self) -> String {
        format!("@{}", self.handle)
    }
}

impl Broker {
    /// Registers an account with a password, as people do. Hashing passwords takes its time:
    /// [`user`](Self::user) is the fast way to an account.
    pub async fn register(&self, handle: &str) -> User {
        let password = format!("correct horse {handle}");
        let request = json!({"handle": handle, "password": password});
        let tokens = self.call("", "register", request).await;
        User {
            handle: handle.to_owned(),
            id: id(&tokens["user"]),
            password: Some(password),
            token: text(&tokens["accessToken"]),
        }
    }

    /// An account without a password, with a minted token.
    pub async fn user(&self, handle: &str) -> User {
        let mut users = self.users(&[handle]).await;
        users.pop().expect("one was asked for")
    }

    /// Many of those at once, in the order of their handles.
    pub async fn users(&self, handles: &[impl AsRef<str>]) -> Vec<User> {
        let mut users = Vec::with_capacity(handles.len());
        for handles in handles.chunks(BATCH) {
            let wanted: Vec<Value> =
                handles.iter().map(|handle| json!({"handle": handle.as_ref()})).collect();
            let made = self.admin("addUsers", json!({"users": wanted})).await;
            for outcome in made["outcomes"].as_array().expect("a list") {
                assert!(!outcome["user"].is_null(), "addUsers: {outcome}");
            }
            let items: Vec<Value> =
                handles.iter().map(|h| json!({"user": format!("@{}", h.as_ref())})).collect();
            let minted = self.admin("mintTokens", json!({"items": items, "ttlS": TTL_S})).await;
            let outcomes = made["outcomes"].as_array().into_iter().flatten();
            for (outcome, minted) in outcomes.zip(minted["tokens"].as_array().expect("a list")) {
                let token = text(&minted["token"]);
                users.push(User {
                    handle: text(&outcome["handle"]),
                    id: id(&outcome["user"]),
                    password: None,
                    token,
                });
            }
        }
        users
    }

    /// `count` users with handles `{prefix}0`, `{prefix}1` …
    pub async fn many_users(&self, prefix: &str, count: usize) -> Vec<User> {
        let handles: Vec<String> = (0..count).map(|number| format!("{prefix}{number}")).collect();
        self.users(&handles).await
    }

    /// A group, made by `owner`, with `members` beside them; answers its id.
    pub async fn group(&self, owner: &User, handle: &str, members: &[&User]) -> String {
        let members: Vec<String> = members.iter().map(|member| member.id.to_string()).collect();
        let request = json!({"name": format!("The {handle}"), "handle": handle, "members": members});
        let group = self.call(&owner.token, "createGroup", request).await;
        text(&group["id"])
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("expected text, got {value}")).to_owned()
}

fn id(value: &Value) -> UserId {
    text(value).parse().unwrap_or_else(|error| panic!("{value}: {error:?}"))
}
