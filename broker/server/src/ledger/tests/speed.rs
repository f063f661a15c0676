//! What a publish costs the decider, and what a start costs: measured when asked for (`cargo test --release -- --ignored
//! --nocapture`), told in the ADR.

use super::rig::*;
use crate::{
    config::Topics as Settings,
    ledger::{load::load, now_ms},
    topics::Topics,
};
use parlance_mqtt::QoS;
use parlance_plugin_api::{
    record::{
        DeviceRecord, QueueHeadRecord, QueueRecord, SessionKey, SessionRecord, StoredSubscription, queue_key,
    },
    store::{Position, Table, Write},
};
use prost::Message as _;
use std::{sync::Arc, time::Instant};

#[test]
#[ignore = "a measurement"]
fn a_publish() {
    let mut rig = Rig::new(Settings { queue_messages_max: 10_000_000, ..Settings::default() });
    let durable = rig.durable(1);
    rig.subscribe(&durable, &["durable"]);
    let live: Vec<_> = (2..102).map(|number| rig.enter(session(number), false)).collect();
    for who in &live {
        rig.subscribe(who, &["live"]);
    }
    for (topic, rounds) in [("durable", 200), ("live", 50)] {
        let peers: Vec<_> = live.iter().map(connect).collect();
        let mut number = 0;
        let (mut deciding, mut all) = (std::time::Duration::ZERO, std::time::Duration::ZERO);
        for _ in 0..rounds {
            let messages: Vec<_> =
                (0..256).map(|_| publish(&sized(topic, vec![7; 256], QoS::AtLeastOnce, false))).collect();
            let began = Instant::now();
            for message in messages {
                rig.decider.decide(message);
            }
            deciding += began.elapsed();
            rig.decider.commit();
            all += began.elapsed();
            number += 256;
            rig.acknowledge(&durable, number);
            peers.iter().for_each(|peer| drop(arrived(peer)));
        }
        let each = |time: std::time::Duration| time.as_nanos() / u128::from(number);
        println!("{topic}: {} ns to decide, {} ns with commit and hand-out", each(deciding), each(all));
    }
}

/// What a start reads: sessions with one subscription each, and the entries of their queues.
#[test]
#[ignore = "a measurement"]
fn a_start() {
    let (sessions, entries_each) = (100_000u32, 10u64);
    let view = view_over(Arc::default());
    let mut rows = Vec::new();
    let mut put = |table, key: &[u8], value: Vec<u8>| {
        rows.push(Write { table, key: key.to_vec().into(), value: Some(value.into()) });
    };
    let message = sized("fleet/device/alarm", vec![7; 100], QoS::AtLeastOnce, false);
    for number in 0..sessions {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let key = SessionKey {
            user: parlance_plugin_api::UserId(id),
            device: parlance_plugin_api::record::DeviceId(id),
        };
        let subscription = StoredSubscription {
            filter: format!("fleet/{number}/#"),
            qos: 1,
            ..StoredSubscription::default()
        };
        let session = SessionRecord {
            expiry_s: u32::MAX,
            subscriptions: vec![subscription],
            ..SessionRecord::default()
        };
        put(Table::Sessions, &key.bytes(), session.encode_to_vec());
        put(Table::Devices, &key.bytes(), DeviceRecord::default().encode_to_vec());
        let head = QueueHeadRecord { reserved: 1024, dropped: 0 };
        put(Table::Queue, &queue_key(key, 0), head.encode_to_vec());
        for number in 1..=entries_each {
            let row = QueueRecord {
                message: Some(message.record.clone()),
                qos: 1,
                bytes: 400,
                ..QueueRecord::default()
            };
            put(Table::Queue, &queue_key(key, number), row.encode_to_vec());
        }
    }
    view.overlay.publish(rows, Position(1));
    let topics = Arc::new(Topics::new(&Settings::default()));
    let began = Instant::now();
    let loaded = load(&view, topics.clone(), now_ms()).unwrap();
    println!("{} sessions and {} entries: {:?}", sessions, loaded.free.queues.messages(), began.elapsed());
    assert_eq!(topics.counts().subscriptions, u64::from(sessions));
}
