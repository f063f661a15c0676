//! Everybody who does not chat: programs that log in, readers of histories, hosts of groups, devices, displays, an archive.

use super::{Stage, count};
use crate::rng::Rng;
use parlance_tests::{Device, Message, User, mqtt::QoS};
use serde_json::{Value, json};
use std::{ops::Range, time::Duration};
use tokio::time::Instant;

const LOGIN_PAUSE_MS: Range<u64> = 500..3_000;
const PAGE_PAUSE_MS: Range<u64> = 100..500;
const CHANGE_PAUSE_MS: Range<u64> = 2_000..6_000;
const FREE_PAUSE_MS: Range<u64> = 20..200;
const DISPLAY_MS: Range<u64> = 2_000..15_000;
const ARCHIVE_MS: Range<u64> = 5_000..20_000;
/// Topics with a retained message.
const TOPICS: u64 = 100;
/// Nothing more is there to be read.
const QUIET: Duration = Duration::from_millis(50);

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("expected text, got {value}")).to_owned()
}

/// Logs in with its password, renews the token, connects with it, logs out.
pub(super) async fn program(stage: Stage, user: User, mut rng: Rng) {
    while !stage.is_over() {
        let login = json!({"handle": user.handle, "password": user.password});
        let tokens = stage.broker.call("", "login", login).await;
        let renew = json!({"refreshToken": text(&tokens["refreshToken"])});
        let token = text(&stage.broker.call("", "refresh", renew).await["accessToken"]);
        let device = Device::new("program").clean().expiry_s(0).login(None, Some(&token));
        device.connect(&stage.broker, &user).await.ping().await;
        stage.broker.call(&token, "logout", json!({})).await;
        count(&stage.totals.logins);
        count(&stage.totals.connections);
        stage.rest(rng.millis(LOGIN_PAUSE_MS)).await;
    }
}

/// Reads pages somewhere in the past.
pub(super) async fn reader(stage: Stage, user: User, conversations: Vec<String>, mut rng: Rng) {
    while !stage.is_over() {
        let name = &conversations[rng.within(0..conversations.len() as u64) as usize];
        let before = rng.within(2..2_000);
        let request = json!({"conversation": name, "before": before, "limit": 50});
        // Nobody may have written there yet.
        if stage.broker.try_call(&user.token, "messages", request).await.is_ok() {
            count(&stage.totals.pages);
        }
        stage.rest(rng.millis(PAGE_PAUSE_MS)).await;
    }
}

/// Lets a guest into the group, and out again.
pub(super) async fn host(stage: Stage, host: User, group: String, guest: User, mut rng: Rng) {
    while !stage.is_over() {
        let add = json!({"group": group, "users": [guest.at()]});
        stage.broker.call(&host.token, "addMembers", add).await;
        stage.rest(rng.millis(CHANGE_PAUSE_MS)).await;
        let remove = json!({"group": group, "user": guest.at()});
        stage.broker.call(&host.token, "removeMember", remove).await;
        count(&stage.totals.changes);
        stage.rest(rng.millis(CHANGE_PAUSE_MS)).await;
    }
}

/// Publishes with each QoS, retained half of the time.
pub(super) async fn device(stage: Stage, number: usize, mut rng: Rng) {
    while !stage.is_over() {
        let device = Device::new(format!("device{number}")).at(stage.open).clean().expiry_s(0);
        let mut client = device.will("soak/gone", "gone").connect_open().await;
        count(&stage.totals.connections);
        let leaves = Instant::now() + rng.millis(DISPLAY_MS);
        while Instant::now() < leaves && !stage.is_over() {
            let topic = format!("soak/{}", rng.within(0..TOPICS));
            let value = format!("{} {}", rng.next(), "z".repeat(rng.within(0..100) as usize));
            let message = Message::new(&topic, value);
            let message = if rng.within(0..2) == 0 { message.retain() } else { message };
            match rng.within(0..3) {
                0 => drop(client.send(&message.qos0()).await.expect("the connection stays")),
                1 => drop(client.publish_message(&message).await),
                _ => drop(client.publish_message(&message.qos2()).await),
            }
            count(&stage.totals.free_published);
            stage.rest(rng.millis(FREE_PAUSE_MS)).await;
        }
        client.vanish();
    }
}

/// Looks at what is retained and what comes, without a session.
pub(super) async fn display(stage: Stage, number: usize, mut rng: Rng) {
    while !stage.is_over() {
        let device = Device::new(format!("display{number}")).at(stage.open).clean().expiry_s(0);
        take_for(&stage, &device, rng.millis(DISPLAY_MS)).await;
        stage.rest(rng.millis(FREE_PAUSE_MS)).await;
    }
}

/// Collects everything, also what was published while it was away.
pub(super) async fn archive(stage: Stage, mut rng: Rng) {
    while !stage.is_over() {
        let device = Device::new("archive").at(stage.open);
        take_for(&stage, &device, rng.millis(ARCHIVE_MS)).await;
        stage.rest(rng.millis(ARCHIVE_MS)).await;
    }
}

async fn take_for(stage: &Stage, device: &Device, time: Duration) {
    let mut client = device.connect_open().await;
    count(&stage.totals.connections);
    client.try_subscribe("soak/#", QoS::ExactlyOnce).await;
    let until = Instant::now() + time;
    while Instant::now() < until && !stage.is_over() {
        if client.next_within(QUIET).await.is_some() {
            count(&stage.totals.free_delivered);
        }
    }
    client.disconnect().await;
}
