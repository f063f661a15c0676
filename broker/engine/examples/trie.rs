//! What the tries of subscriptions and retained messages cost, in time and in memory:
//! `cargo run --release -p parlance-engine --example trie [devices]`.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a measurement has a clock and may stop")]

use parlance_engine::{Found, Retained, SubscriptionOptions, Subscriptions};
use parlance_mqtt::{QoS, TopicFilter, TopicName};
use std::hint::black_box;
use std::time::Instant;

const OPTIONS: SubscriptionOptions =
    SubscriptionOptions { qos: QoS::AtLeastOnce, no_local: false, retain_as_published: false, id: 0 };

fn timed<T>(what: &str, times: u32, work: impl FnOnce() -> T) -> T {
    let (begun, memory) = (Instant::now(), resident_bytes());
    let done = work();
    let took = begun.elapsed() / times.max(1);
    let grown = resident_bytes().saturating_sub(memory) / u64::from(times.max(1));
    println!("{what:<50} {took:>12.1?} each {grown:>6} bytes each");
    done
}

/// Linux only; 0 elsewhere.
fn resident_bytes() -> u64 {
    let status =
        std::fs::File::open("/proc/self/statm").and_then(std::io::read_to_string).unwrap_or_default();
    status.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

fn main() {
    let devices: u32 = std::env::args().nth(1).map_or(1_000_000, |count| count.parse().unwrap());
    let rounds = 1_000_000;
    let topic = |device: u32| TopicName::try_from(format!("app/fleet/d{device:07}/command")).unwrap();
    let filters: Vec<_> =
        (0..devices).map(|device| TopicFilter::try_from(topic(device).as_str()).unwrap()).collect();
    let topics: Vec<_> =
        (0..rounds).map(|n: u32| topic(n.wrapping_mul(2_654_435_761) % devices.max(1))).collect();

    let mut subscriptions = Subscriptions::new();
    timed("insert, a filter for each device", devices, || {
        for (filter, device) in filters.iter().zip(0u32..) {
            subscriptions.insert(filter, device, OPTIONS);
        }
    });
    let mut found = Found::default();
    let mut matching = |subscriptions: &Subscriptions<u32>, what: &str| {
        timed(what, rounds, || {
            for topic in &topics {
                subscriptions.matching(topic, Some(&1), &mut found);
                black_box(&found);
            }
        });
    };
    matching(&subscriptions, "match one of them");
    for (n, text) in ["app/#", "app/+/+/command", "#", "$share/g/app/fleet/+/command"].iter().enumerate() {
        let who = devices + u32::try_from(n).unwrap();
        subscriptions.insert(&TopicFilter::try_from(*text).unwrap(), who, OPTIONS);
    }
    matching(&subscriptions, "match one and four with wildcards");
    timed("remove", devices, || {
        for (filter, device) in filters.iter().zip(0u32..) {
            subscriptions.remove(filter, &device);
        }
    });

    let mut wide = Subscriptions::new();
    for device in 0..100_000 {
        wide.insert(&TopicFilter::try_from("news").unwrap(), device, OPTIONS);
        wide.insert(&TopicFilter::try_from("+").unwrap(), device, OPTIONS);
    }
    timed("match 100,000 with two subscriptions each", 100_000, || {
        wide.matching(&TopicName::try_from("news").unwrap(), None, &mut Found::default());
    });

    let mut retained = Retained::new();
    timed("retain one for each device", devices, || {
        for device in 0..devices {
            retained.insert(&topic(device), device);
        }
    });
    for filter in ["app/fleet/d0000001/command", "app/#", "app/+/+/none"] {
        let mut count = 0;
        timed(&format!("retained of {filter}, the whole walk"), 1, || {
            retained.matching(&TopicFilter::try_from(filter).unwrap(), &mut |_| {
                count += 1;
                true
            });
        });
        println!("{count:>50} found");
    }
}
