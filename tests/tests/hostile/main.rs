//! Ten thousand connections that mean harm, of many kinds and at once, while a hundred pairs of people go on talking.
//!
//! What must hold: every message of the pairs arrives once and in order, every connection that breaks a rule is closed by
//! the broker, memory stays within a bound, and afterwards nothing is left open. How long the pairs' messages took, before
//! and during the storm, is printed (`--nocapture`) and not asserted.

mod kinds;
mod pairs;
mod process;

use kinds::{KINDS, Kind, Outcome, Target};
use pairs::{Pairs, Report};
use parlance_tests::{Server, eventually, resident_bytes};
use std::{sync::Arc, time::Duration};
use tokio::{runtime::Builder, sync::watch, task::JoinSet};

/// Connections that mean harm.
const CONNECTIONS: usize = 10_000;
/// Pairs of people.
const PAIRS: usize = 100;
/// Messages that each pair exchanges before the storm, for comparison.
const CALM_MESSAGES: u64 = 30;
/// Messages that each pair exchanges at least while the storm is on.
const STORM_MESSAGES: u64 = 50;
/// How long a connection may take to be closed by the broker: its handshake time-out and a busy machine.
const CLOSED_WITHIN: Duration = Duration::from_secs(90);
/// From the first packet to a CONNECT that is let in, milliseconds: short, so that the test is.
const CONNECT_TIMEOUT_MS: u64 = 4_000;
/// What one attacker may say in a second, packets and bytes, and for how long it may want to say more.
const PACKETS_PER_SECOND_MAX: u32 = 50;
const BYTES_PER_SECOND_MAX: u32 = 65_536;
const OVER_RATE_S_MAX: u32 = 5;
/// What the storm may add to the broker's memory, bytes.
const MEMORY_ADDED_MAX: u64 = 512 << 20;
/// Descriptors that are open for other reasons than connections may come and go (segments of the store).
const FILES_SLACK: usize = 64;

#[tokio::test]
async fn ten_thousand_hostile_connections_cost_the_others_nothing() {
    let connections = process::connections_that_fit(CONNECTIONS);
    let server = Server::start(
        Server::options()
            .set("LIMITS__CONNECT_TIMEOUT_MS", CONNECT_TIMEOUT_MS)
            .set("LIMITS__WRITE_TIMEOUT_MS", 5_000)
            // The pairs come from an address that is trusted, the attackers do not.
            .set("LIMITS__TRUSTED_ADDRESSES", "127.0.0.1/32")
            .set("LIMITS__PACKETS_PER_SECOND_MAX", PACKETS_PER_SECOND_MAX)
            .set("LIMITS__BYTES_PER_SECOND_MAX", BYTES_PER_SECOND_MAX)
            .set("LIMITS__OVER_RATE_S_MAX", OVER_RATE_S_MAX),
    )
    .await;
    let target = Arc::new(Target::prepare(&server).await);
    let mut pairs = Pairs::start(&server, PAIRS).await;
    let calm = pairs.until_each_has(CALM_MESSAGES).await;
    let (memory, files) = (resident_bytes(server.pid()), process::open_files(server.pid()));

    let (over, storm) = watch::channel(false);
    // On threads of their own, as they would be on machines of their own: the pairs' clocks do not wait for them.
    let elsewhere = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let mut attacks = JoinSet::new();
    for index in 0..connections {
        let kind = KINDS[index % KINDS.len()];
        let (target, storm) = (target.clone(), storm.clone());
        let attack = async move { (kind, kinds::attack(kind, &target, index, storm).await) };
        attacks.spawn_on(attack, elsewhere.handle());
    }
    // The storm lasts until every connection that must be closed is, and the pairs have talked through it.
    let during = pairs.until_each_has(CALM_MESSAGES + STORM_MESSAGES).await;
    let mut outcomes = Vec::with_capacity(connections);
    let must_close = (0..connections).filter(|index| KINDS[index % KINDS.len()].must_be_closed()).count();
    let mut peak = memory;
    while outcomes.iter().filter(|(kind, _): &&(Kind, Outcome)| kind.must_be_closed()).count() < must_close {
        let ended = tokio::time::timeout(CLOSED_WITHIN, attacks.join_next()).await;
        let ended = ended.unwrap_or_else(|_| panic!("left open: {:?}", still_open(&outcomes, connections)));
        outcomes.push(ended.expect("attacks are left").expect("an attack does not panic"));
        if outcomes.len() % 256 == 0 {
            peak = peak.max(resident_bytes(server.pid()));
        }
    }
    over.send_replace(true);
    while let Some(ended) = attacks.join_next().await {
        outcomes.push(ended.expect("an attack does not panic"));
    }
    peak = peak.max(resident_bytes(server.pid()));
    let after = pairs.stop().await;

    eventually(CLOSED_WITHIN, "the broker to let go of every connection", async || {
        (process::open_files(server.pid()) <= files + FILES_SLACK).then_some(())
    })
    .await;
    print(&calm, &during, &after, connections, memory, peak);
    for (kind, outcome) in &outcomes {
        assert!(
            !kind.must_be_closed() || *outcome == Outcome::ClosedByBroker,
            "{kind:?} ended with {outcome:?}"
        );
    }
    assert!(peak < memory + MEMORY_ADDED_MAX, "memory grew from {memory} to {peak} bytes");
    assert_eq!(server.metric("parlance_connections").await, 0.0, "connections are left");
    elsewhere.shutdown_background();
}

/// Which kinds have connections that did not end.
fn still_open(outcomes: &[(Kind, Outcome)], connections: usize) -> Vec<(Kind, usize)> {
    let of = |kind: Kind| outcomes.iter().filter(|(ended, _)| *ended == kind).count();
    let share = connections / KINDS.len();
    let open =
        KINDS.iter().filter(|kind| kind.must_be_closed()).map(|&kind| (kind, share.saturating_sub(of(kind))));
    open.filter(|(_, left)| *left > 0).collect()
}

fn print(calm: &Report, during: &Report, after: &Report, connections: usize, memory: u64, peak: u64) {
    println!("{connections} hostile connections of {} kinds, {PAIRS} pairs", KINDS.len());
    for (what, report) in [("before", calm), ("during", during), ("in all", after)] {
        println!("  {what:<7} {report}");
    }
    println!("  resident memory {} MiB before, {} MiB at most", memory >> 20, peak >> 20);
}
