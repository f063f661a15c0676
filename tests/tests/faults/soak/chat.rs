//! People: they write, read, come and go, with a session that stays.

use super::{Stage, count, order::Order};
use crate::rng::Rng;
use parlance_tests::{Client, Device, Message, User};
use std::time::Duration;
use tokio::time::Instant;

/// How long somebody stays, and stays away, milliseconds.
const STAYS_MS: std::ops::Range<u64> = 5_000..60_000;
const AWAY_MS: std::ops::Range<u64> = 100..10_000;
/// Between two messages of a person, milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 50..600;
/// A text, characters.
const TEXT: std::ops::Range<u64> = 10..300;
/// Nothing more is there to be read.
const QUIET: Duration = Duration::from_millis(20);

pub(super) async fn person(stage: Stage, user: User, targets: Vec<String>, mut rng: Rng) {
    let device = Device::new("phone");
    // Half of them speak 3.1.1 in between: the session is the same.
    let old = device.clone().v3();
    let mut order = Order::default();
    let mut first = true;
    let mut number = 0;
    while !stage.is_over() {
        let five = first || rng.within(0..4) > 0;
        let mut client = if five { &device } else { &old }.connect(&stage.broker, &user).await;
        count(&stage.totals.connections);
        assert!(first || client.session_present(), "the session of {} was lost", user.handle);
        if std::mem::take(&mut first) {
            client.subscribe("me/json/inbox/#").await;
        }
        order.reconnected();
        let leaves = Instant::now() + rng.millis(STAYS_MS);
        while Instant::now() < leaves && !stage.is_over() {
            // A PUBACK of 3.1.1 does not tell the seq, without which a hole cannot be told from an own message.
            if five {
                number += 1;
                write(&stage, &mut client, &targets, number, &mut order, &mut rng).await;
            }
            read(&stage, &mut client, &mut order, rng.millis(PAUSE_MS)).await;
        }
        match rng.within(0..2) {
            0 => client.vanish(),
            _ => client.disconnect().await,
        }
        stage.rest(rng.millis(AWAY_MS)).await;
    }
}

async fn write(
    stage: &Stage,
    client: &mut Client,
    targets: &[String],
    number: u64,
    order: &mut Order,
    rng: &mut Rng,
) {
    let target = &targets[rng.within(0..targets.len() as u64) as usize];
    let text = format!("{number} {}", "y".repeat(rng.within(TEXT) as usize));
    let message = Message::new(target, text).property("id", &format!("m{number}"));
    let ack = client.publish_message(&message).await;
    order.sent(ack.conversation().expect("a conversation"), ack.seq());
    count(&stage.totals.acknowledged);
}

/// Reads what comes for some time.
async fn read(stage: &Stage, client: &mut Client, order: &mut Order, time: Duration) {
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now()).max(QUIET);
        let Some(delivery) = client.next_within(left).await else { return };
        let message = delivery.json();
        let conversation = message["conversation"].as_str().expect("a conversation");
        order.came(conversation, message["seq"].as_u64().expect("a seq"));
        count(&stage.totals.delivered);
        if Instant::now() >= until {
            return;
        }
    }
}
