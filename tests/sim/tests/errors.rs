//! Disk and store fail one operation at a time. Nothing that was acknowledged is lost, refusals have reasons, reading goes on
//! where it can, and everything works again when they do. Each test ends with a power cut and an audit of what is left
//! (`quiet`).

use parlance_mqtt::ReasonCode;
use parlance_plugin_api::ConversationId;
use parlance_server::ledger::Health;
use parlance_sim::{
    faults::Operation,
    people::{group_id, user_id},
    probe::{Probe, Told},
    quiet,
    stage::Stage,
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

const TO_BOB: &str = "user/@user1";
/// How long things may take to work again.
const SOON: Duration = Duration::from_secs(10);

fn direct() -> ConversationId {
    ConversationId::direct(user_id(0), user_id(1))
}

async fn connected(stage: &Arc<Stage>, user: usize) -> Probe {
    Probe::connect(stage, user, 0).await.unwrap_or_else(|refused| panic!("not let in: {refused:?}"))
}

async fn say(probe: &mut Probe, bytes: usize) -> Told {
    let draft = probe.draft(TO_BOB, direct(), bytes);
    probe.publish(&draft).await
}

/// Says something until it is stored; answers its seq.
async fn say_soon(probe: &mut Probe) -> u64 {
    let until = Instant::now() + SOON;
    loop {
        match say(probe, 10).await {
            Told::Stored(_, seq) => return seq,
            other => assert!(Instant::now() < until, "it does not work again: {other:?}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn health(stage: &Stage) -> Health {
    stage.machine.server().expect("the server runs").ledger().health()
}

async fn ready_soon(stage: &Stage) {
    let until = Instant::now() + SOON;
    while health(stage) != Health::Ready {
        assert!(Instant::now() < until, "{:?}", health(stage));
        sleep(Duration::from_millis(50)).await;
    }
}

async fn up_soon(stage: &Stage) {
    let until = Instant::now() + SOON;
    while !stage.machine.lives() {
        assert!(Instant::now() < until, "the server does not come up");
        sleep(Duration::from_millis(50)).await;
    }
}

/// The next message of the conversation that is looked at.
async fn next_of_direct(probe: &mut Probe) -> u64 {
    loop {
        let (conversation, seq) = probe.receive().await.expect("a message is sent");
        if conversation == direct() {
            return seq;
        }
    }
}

async fn receives(probe: &mut Probe, seqs: impl IntoIterator<Item = u64>) {
    for seq in seqs {
        assert_eq!(next_of_direct(probe).await, seq);
    }
}

#[test]
fn an_append_that_fails_is_refused_and_leaves_no_hole() {
    for operation in [Operation::Write, Operation::Sync] {
        quiet(
            |_| {},
            async |stage: Arc<Stage>| {
                let (mut alice, mut bob) = (connected(&stage, 0).await, connected(&stage, 1).await);
                assert_eq!(say(&mut alice, 10).await, Told::Stored(direct(), 1));
                stage.machine.faults().fail(operation, 1000);
                let refused = alice.draft(TO_BOB, direct(), 10);
                for _ in 0..3 {
                    let told = alice.publish(&refused).await;
                    assert_eq!(told, Told::Refused(ReasonCode::UnspecifiedError, "internal".into()));
                }
                assert!(matches!(health(&stage), Health::Failed { .. }));
                stage.machine.faults().heal();
                assert_eq!(alice.publish(&refused).await, Told::Stored(direct(), 2), "{operation:?}");
                assert_eq!(say(&mut alice, 10).await, Told::Stored(direct(), 3));
                assert_eq!(health(&stage), Health::Ready);
                // What was refused was told to nobody.
                receives(&mut bob, 1..=3).await;
            },
        );
    }
}

#[test]
fn a_journal_that_cannot_begin_a_file_refuses_and_goes_on_later() {
    quiet(
        |_| {},
        async |stage: Arc<Stage>| {
            let mut alice = connected(&stage, 0).await;
            stage.machine.faults().fail(Operation::Name, 1000);
            // A file has 64 KiB: what fits is taken, what needs another one is not.
            let mut stored = 0;
            let refused = loop {
                match say(&mut alice, 8_000).await {
                    Told::Stored(_, seq) => stored = seq,
                    refused => break refused,
                }
            };
            assert!((4..=8).contains(&stored), "{stored}");
            assert_eq!(refused, Told::Refused(ReasonCode::UnspecifiedError, "internal".into()));
            stage.machine.faults().heal();
            assert_eq!(say_soon(&mut alice).await, stored + 1);
        },
    );
}

#[test]
fn a_full_disk_refuses_writes_and_serves_reads() {
    quiet(
        |_| {},
        async |stage: Arc<Stage>| {
            let mut alice = connected(&stage, 0).await;
            for seq in 1..=3 {
                assert_eq!(say(&mut alice, 10).await, Told::Stored(direct(), seq));
            }
            stage.machine.faults().set_full(true);
            // It is looked up now and then; until then what has its place already is used.
            let until = Instant::now() + SOON;
            let refused = loop {
                match say(&mut alice, 10).await {
                    Told::Stored(..) => assert!(Instant::now() < until),
                    refused => break refused,
                }
                sleep(Duration::from_millis(50)).await;
            };
            assert_eq!(refused, Told::Refused(ReasonCode::QuotaExceeded, "disk_full".into()));
            assert!(matches!(health(&stage), Health::ReadOnly { .. }));
            // Who reads is let in, but cannot begin a subscription that would have to be written down.
            let refused = Probe::connect(&stage, 1, 0).await.err();
            assert_eq!(refused, Some(Some(ReasonCode::UnspecifiedError)));
            stage.machine.faults().set_full(false);
            let newest = say_soon(&mut alice).await;
            let mut bob = connected(&stage, 1).await;
            receives(&mut bob, 1..=newest).await;
        },
    );
}

#[test]
fn a_subscriber_of_before_reads_on_while_the_disk_is_full() {
    quiet(
        |_| {},
        async |stage: Arc<Stage>| {
            let (mut alice, mut bob) = (connected(&stage, 0).await, connected(&stage, 1).await);
            assert_eq!(say(&mut alice, 10).await, Told::Stored(direct(), 1));
            receives(&mut bob, 1..=1).await;
            drop(bob);
            assert_eq!(say(&mut alice, 10).await, Told::Stored(direct(), 2));
            stage.machine.faults().set_full(true);
            stage.note_full();
            sleep(Duration::from_secs(1)).await;
            let mut bob = connected(&stage, 1).await;
            // Also again: its position may not have been written down.
            while next_of_direct(&mut bob).await != 2 {}
        },
    );
}

#[test]
fn a_store_that_takes_no_runs_costs_nothing_until_memory_is_full() {
    quiet(
        |config| config.store.run_bytes_max = 4_000,
        async |stage: Arc<Stage>| {
            let (mut alice, mut bob) = (connected(&stage, 0).await, connected(&stage, 1).await);
            stage.machine.faults().fail(Operation::StoreApply, 1000);
            let mut stored = 0;
            let refused = loop {
                match say(&mut alice, 1_000).await {
                    Told::Stored(_, seq) => stored = seq,
                    refused => break refused,
                }
                // What is in memory is read from there.
                receives(&mut bob, [stored]).await;
            };
            // Eight runs of 4,000 bytes fit.
            assert!((15..=40).contains(&stored), "{stored}");
            assert_eq!(refused, Told::Refused(ReasonCode::UnspecifiedError, "internal".into()));
            assert!(matches!(health(&stage), Health::Failed { .. }));
            stage.machine.faults().heal();
            assert_eq!(say_soon(&mut alice).await, stored + 1);
            ready_soon(&stage).await;
        },
    );
}

#[test]
fn a_store_that_does_not_sync_keeps_its_journal() {
    quiet(
        |config| config.store.run_bytes_max = 4_000,
        async |stage: Arc<Stage>| {
            let mut alice = connected(&stage, 0).await;
            stage.machine.faults().fail(Operation::StoreSync, 1000);
            for seq in 1..=40 {
                assert_eq!(say(&mut alice, 4_000).await, Told::Stored(direct(), seq));
                sleep(Duration::from_millis(500)).await;
            }
            // Some runs are lost by that, and the journal has all of them.
            stage.machine.power().cut();
            stage.machine.faults().heal();
            sleep(Duration::from_millis(1)).await;
            up_soon(&stage).await;
            let mut bob = connected(&stage, 1).await;
            receives(&mut bob, 1..=40).await;
        },
    );
}

#[test]
fn a_store_that_cannot_be_read_delays_and_loses_nothing() {
    quiet(
        |config| {
            config.store.run_bytes_max = 1_000;
            config.limits.conversations_cached_max = 1;
        },
        async |stage: Arc<Stage>| {
            let (mut alice, bob) = (connected(&stage, 0).await, connected(&stage, 1).await);
            drop(bob);
            for seq in 1..=30 {
                assert_eq!(say(&mut alice, 100).await, Told::Stored(direct(), seq));
            }
            // Everything is in the store, and another conversation is what the decider remembers.
            sleep(Duration::from_secs(3)).await;
            let group = alice.draft(&format!("group/{}", group_id(0)), group_id(0), 10);
            assert!(matches!(alice.publish(&group).await, Told::Stored(..)));
            stage.machine.faults().fail(Operation::StoreRead, 1000);
            let refused = say(&mut alice, 100).await;
            assert_eq!(refused, Told::Refused(ReasonCode::UnspecifiedError, "internal".into()));
            let refused = Probe::connect(&stage, 1, 0).await.err();
            assert_eq!(refused, Some(Some(ReasonCode::UnspecifiedError)), "no session can be opened");
            stage.machine.faults().heal();
            assert_eq!(say_soon(&mut alice).await, 31);
            let mut bob = connected(&stage, 1).await;
            receives(&mut bob, 1..=31).await;
        },
    );
}

#[test]
fn a_server_does_not_start_on_what_it_cannot_read_and_starts_when_it_can() {
    for operation in [Operation::Read, Operation::StoreRead] {
        quiet(
            |_| {},
            async |stage: Arc<Stage>| {
                let mut alice = connected(&stage, 0).await;
                for seq in 1..=5 {
                    assert_eq!(say(&mut alice, 10).await, Told::Stored(direct(), seq));
                }
                stage.machine.faults().fail(operation, 1000);
                stage.machine.power().cut();
                sleep(Duration::from_secs(30)).await;
                assert!(!stage.machine.lives(), "{operation:?}");
                stage.machine.faults().heal();
                up_soon(&stage).await;
                let mut bob = connected(&stage, 1).await;
                receives(&mut bob, 1..=5).await;
            },
        );
    }
}

/// The power goes in the middle of each change of the disk that so many messages make, one after the other.
#[test]
fn a_power_cut_in_the_middle_of_any_change_of_the_disk_loses_nothing() {
    let mut survived = 0;
    for changes in 0..40 {
        survived += quiet(
            |_| {},
            async |stage: Arc<Stage>| {
                let mut alice = connected(&stage, 0).await;
                stage.machine.faults().cut_power_in(changes);
                let mut stored = 0;
                // Large enough that the journal begins a file on the way.
                while let Told::Stored(_, seq) = say(&mut alice, 8_000).await {
                    stored = seq;
                }
                up_soon(&stage).await;
                let mut alice = connected(&stage, 0).await;
                // The last one may be there though nobody was told.
                let next = say_soon(&mut alice).await;
                assert!((stored + 1..=stored + 2).contains(&next), "{stored} were stored, then {next}");
                let mut bob = connected(&stage, 1).await;
                receives(&mut bob, 1..=next).await;
                stored
            },
        );
    }
    assert!(survived > 200, "{survived}");
}
