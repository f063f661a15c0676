//! Parlance itself: two users, who may do everything under `app/`.

use super::Login;
use parlance_tests::{Server, User};
use serde_json::{Value, json};
use std::net::SocketAddr;

pub(crate) struct Parlance {
    server: Server,
    running: bool,
    fleet: User,
    peer: User,
}

impl Parlance {
    pub(super) async fn start() -> Self {
        let server = Server::start(Server::options()).await;
        let users = server.users(&["fleet", "peer"]).await;
        let rule = |user: &User| json!({"who": user.at(), "action": "both", "topic": "app/#"});
        let rules: Vec<Value> = users.iter().map(rule).collect();
        server.admin("setAccessRules", json!({"rules": rules})).await;
        let [fleet, peer] = <[User; 2]>::try_from(users).expect("two were asked for");
        Self { server, running: true, fleet, peer }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.server.mqtt()
    }

    pub(super) fn client_login(&self) -> Login {
        login(&self.fleet)
    }

    pub(super) fn peer_login(&self) -> Login {
        login(&self.peer)
    }

    pub(super) fn kill(&mut self) {
        self.server.kill();
        self.running = false;
    }

    pub(super) async fn ensure_running(&mut self) {
        if !self.running {
            self.server.restart().await;
            self.running = true;
        }
    }
}

fn login(user: &User) -> Login {
    Login { user: user.handle.clone(), password: user.token.clone() }
}
