//! What the broker does on its sockets: one small test for each behaviour, in both protocol versions where both have it.

mod accounts;
mod conversations;
mod flow;
mod free;
mod free_clients;
mod free_qos2;
mod free_queues;
mod free_renewal;
mod free_retained;
mod free_rights;
mod free_shared;
mod free_wills;
mod idempotence;
mod refusals;
mod second_device;
mod sessions;
mod stopping;

use parlance_tests::{Broker, Client, Device, Server, User, mqtt::Version};
use std::time::Duration;

/// Both protocol versions.
const VERSIONS: [Version; 2] = [Version::V3, Version::V5];

/// How long nothing must come where nothing should.
const QUIET: Duration = Duration::from_millis(300);

/// A server with two users.
async fn pair() -> (Server, User, User) {
    let server = Server::start(Server::options()).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    (server, alice, bob)
}

/// A connected device of `user` that has subscribed to its inbox in JSON.
async fn listening(device: &Device, broker: &Broker, user: &User) -> Client {
    let mut client = device.connect(broker, user).await;
    client.subscribe("me/json/inbox/#").await;
    client
}

/// The texts of the next `count` messages.
async fn texts(client: &mut Client, count: usize) -> Vec<String> {
    let deliveries = client.next_many(count).await;
    deliveries
        .iter()
        .map(|delivery| delivery.json()["text"].as_str().unwrap_or_default().to_owned())
        .collect()
}
