//! Those who must not be disturbed, and those who try.

use parlance_tests::{Broker, Client, Device, PATIENCE, Server, User, eventually};
use serde_json::{Value, json};
use std::time::Duration;

/// Who tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// A registered user who knows nobody.
    Mallory,
    /// Was a member of `@secrets` until it was removed.
    Removed,
    /// A bot that is a member of `@secrets` and of `@bots`, with a key that reads and writes in `@bots` only.
    Narrow,
    /// The same bot with a key that only reads in `@bots`.
    Reader,
    /// The same bot with a key that only writes in `@bots`.
    Writer,
    /// The operator, who is a member of nothing.
    Operator,
}

/// Each of them.
pub(crate) const ALL: [Who; 6] =
    [Who::Mallory, Who::Removed, Who::Narrow, Who::Reader, Who::Writer, Who::Operator];

/// A server on which Alice and Bob talk: to each other, in the group `@secrets`, and Alice with a bot in `@bots`.
/// Both watch everything that reaches them.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) alice: User,
    pub(crate) bob: User,
    pub(crate) group: String,
    pub(crate) direct: String,
    pub(crate) bots: String,
    actors: Vec<User>,
    witnesses: [Client; 2],
    clock: Client,
    before: Vec<Value>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let server = Server::start(Server::options()).await;
        let mut users = server.users(&["alice", "bob", "mallory", "removed", "clock"]).await.into_iter();
        let mut user = || users.next().expect("asked for");
        let (alice, bob, mallory, removed, clock) = (user(), user(), user(), user(), user());
        let bot = service(&server, "bot").await;
        let group = server.group(&alice, "secrets", &[&bob, &removed, &bot]).await;
        let bots = server.group(&alice, "bots", &[&bot]).await;
        send(&server, &alice, &group, "the first secret").await;
        send(&server, &alice, &bots, "for the bot").await;
        let sent = send(&server, &alice, "@bob", "between us").await;
        let direct = sent["conversation"].as_str().expect("an id").to_owned();
        let remove = json!({"group": group, "user": "@removed"});
        server.call(&alice.token, "removeMember", remove).await;

        let read = format!("messages.read:{bots}");
        let write = format!("messages.send:{bots}");
        let operator =
            User { handle: "admin".into(), token: server.admin_token().to_owned(), ..clock.clone() };
        let actors = vec![
            mallory,
            removed,
            key(&server, &bot, &[&read, &write]).await,
            key(&server, &bot, &[&read]).await,
            key(&server, &bot, &[&write]).await,
            operator,
        ];
        let witnesses = [witness(&server, &alice).await, witness(&server, &bob).await];
        let clock = Device::new("clock").connect(&server, &clock).await;
        let before = Vec::new();
        let mut world = Self { server, alice, bob, group, direct, bots, actors, witnesses, clock, before };
        world.settle().await;
        world
    }

    /// An account or key of somebody who tries.
    pub(crate) fn user(&self, who: Who) -> &User {
        &self.actors[ALL.iter().position(|it| *it == who).expect("one of all")]
    }

    /// A text with the ids of this world in the place of their names in braces.
    pub(crate) fn fill(&self, text: &str) -> String {
        text.replace("{group}", &self.group)
            .replace("{direct}", &self.direct)
            .replace("{bots}", &self.bots)
            .replace("{alice}", &self.alice.id.to_string())
            .replace("{bob}", &self.bob.id.to_string())
            .replace("{long}", &"s".repeat(60_000))
    }

    /// Waits until Alice and Bob have everything, and remembers how it is then.
    pub(crate) async fn settle(&mut self) {
        let Self { server, alice, bob, witnesses, .. } = self;
        eventually(PATIENCE, "Alice and Bob have everything", async || {
            for witness in &mut *witnesses {
                while witness.next_within(Duration::ZERO).await.is_some() {}
            }
            for user in [&*alice, &*bob] {
                let page = server.call(&user.token, "conversations", json!({})).await;
                let all = page["conversations"].as_array().expect("a list");
                if all.iter().any(|conversation| conversation["delivered"] != conversation["head"]) {
                    return None;
                }
            }
            Some(())
        })
        .await;
        self.barrier().await;
        for witness in &mut self.witnesses {
            while witness.next_within(Duration::ZERO).await.is_some() {}
        }
        self.before = self.now().await;
    }

    /// Nothing was stored, nobody's position moved, and Alice and Bob heard nothing since [`World::settle`].
    pub(crate) async fn unchanged(&mut self, attempt: &str) {
        self.barrier().await;
        assert_eq!(self.now().await, self.before, "{attempt}: something changed");
        for witness in &mut self.witnesses {
            let heard = witness.next_within(Duration::ZERO).await;
            assert_eq!(heard, None, "{attempt}: a witness heard something");
        }
    }

    /// What was asked of the ledger before is decided, and what came of it has reached the witnesses' sockets.
    async fn barrier(&mut self) {
        // Commands are decided in their order: when this is acknowledged, so are those before it.
        let ticked = self.clock.publish("user/@clock/text", "tick").await;
        assert!(!ticked.reason().is_error());
        for witness in &mut self.witnesses {
            // The first answer may overtake what waited behind it in the same round; the second does not.
            witness.ping().await;
            witness.ping().await;
        }
    }

    /// All that Alice and Bob can see of their conversations: heads, members, positions.
    async fn now(&self) -> Vec<Value> {
        let mut seen = Vec::new();
        for user in [&self.alice, &self.bob] {
            seen.push(self.server.call(&user.token, "conversations", json!({})).await);
        }
        for conversation in [&self.group, &self.direct, &self.bots] {
            let request = json!({"conversation": conversation});
            seen.push(self.server.call(&self.alice.token, "members", request).await);
        }
        seen
    }
}

/// A device that hears everything of its user.
async fn witness(server: &Broker, user: &User) -> Client {
    let mut client = Device::new("witness").connect(server, user).await;
    for channel in ["inbox", "receipts", "typing", "events"] {
        client.subscribe(&format!("me/json/{channel}/#")).await;
    }
    client
}

/// Sends over HTTP.
pub(crate) async fn send(server: &Broker, from: &User, to: &str, text: &str) -> Value {
    server.call(&from.token, "sendMessage", json!({"to": to, "text": text})).await
}

/// A service account; without a key it can do nothing.
pub(crate) async fn service(server: &Broker, handle: &str) -> User {
    let made = server.admin("addUsers", json!({"users": [{"handle": handle, "service": true}]})).await;
    let id = made["outcomes"][0]["user"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    User { handle: handle.to_owned(), id, password: None, token: String::new() }
}

/// A service account with a key.
pub(crate) async fn key(server: &Broker, account: &User, scopes: &[&str]) -> User {
    let request = json!({"user": account.id, "name": "test", "scopes": scopes});
    let made = server.admin("createApiKey", request).await;
    User { token: made["key"].as_str().expect("a key").to_owned(), ..account.clone() }
}
