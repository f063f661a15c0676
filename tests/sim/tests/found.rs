//! Faults that seeds have found, each told once more by itself.

use parlance_plugin_api::ConversationId;
use parlance_sim::{
    people::user_id,
    probe::{Probe, Told},
    quiet,
    stage::Stage,
};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

fn direct() -> ConversationId {
    ConversationId::direct(user_id(0), user_id(1))
}

async fn alice(stage: &Arc<Stage>) -> Probe {
    Probe::connect(stage, 0, 0).await.expect("alice is let in")
}

async fn bob(stage: &Arc<Stage>, device: usize) -> Probe {
    Probe::connect(stage, 1, device).await.expect("bob is let in")
}

async fn says(alice: &mut Probe, seqs: impl IntoIterator<Item = u64>) {
    for seq in seqs {
        let draft = alice.draft("user/@user1", direct(), 10);
        assert_eq!(alice.publish(&draft).await, Told::Stored(direct(), seq));
    }
}

async fn hears(bob: &mut Probe, seqs: impl IntoIterator<Item = u64>) {
    for wanted in seqs {
        let seq = loop {
            let (conversation, seq) = bob.receive().await.expect("a message is sent");
            if conversation == direct() {
                break seq;
            }
        };
        assert_eq!(seq, wanted);
    }
}

/// UNSUBSCRIBE was in the queue when SUBSCRIBE came, which found everything written down as it should be and was answered;
/// then the end of the subscription was written down.
#[test]
fn a_subscription_that_is_made_before_its_end_is_written_down_stays() {
    quiet(
        |_| {},
        async |stage: Arc<Stage>| {
            let (mut alice, mut bob) = (alice(&stage).await, bob(&stage, 0).await);
            // Twice: the second time it is written down in the same order as before.
            for _ in 0..2 {
                bob.unsubscribe();
                bob.subscribe().await.expect("it is granted");
            }
            drop(bob);
            says(&mut alice, 1..=3).await;
            let mut bob = Probe::resume(&stage, 1, 0).await.expect("bob is let in");
            hears(&mut bob, 1..=3).await;
        },
    );
}

/// A page of the log that came when nobody subscribed any more counted as delivered: to this device, and so to all others of
/// its user.
#[test]
fn what_is_read_while_nobody_subscribes_is_still_owed() {
    quiet(
        |config| {
            config.limits.page_messages_max = 1;
            config.limits.ready_messages_max = 1;
            config.limits.inflight_messages_max = 1;
        },
        async |stage: Arc<Stage>| {
            let (mut alice, first) = (alice(&stage).await, bob(&stage, 0).await);
            drop(first);
            says(&mut alice, 1..=20).await;
            let mut bob = Probe::resume(&stage, 1, 0).await.expect("bob is let in");
            hears(&mut bob, 1..=1).await;
            bob.unsubscribe();
            bob.listen(Duration::from_secs(3)).await;
            bob.subscribe().await.expect("it is granted");
            hears(&mut bob, 2..=20).await;
        },
    );
}

/// A device that is slow, and had no position of its own yet, was put where another device of its user was: when it
/// subscribed anew, when its outbox had overflowed, or when it resumed.
#[test]
fn a_faster_device_takes_nothing_from_a_slow_one() {
    quiet(
        |config| config.limits.inflight_messages_max = 2,
        async |stage: Arc<Stage>| {
            let (mut alice, mut slow, mut fast) =
                (alice(&stage).await, bob(&stage, 0).await, bob(&stage, 1).await);
            slow.set_acknowledges(false);
            says(&mut alice, 1..=6).await;
            hears(&mut slow, 1..=1).await;
            hears(&mut fast, 1..=6).await;
            fast.listen(Duration::from_secs(1)).await;
            slow.subscribe().await.expect("it is granted");
            drop(slow);
            sleep(Duration::from_secs(1)).await;
            let mut slow = bob(&stage, 0).await;
            // Those in flight come again.
            let mut seen = Vec::new();
            while seen.last() != Some(&6) {
                let (conversation, seq) = slow.receive().await.expect("a message is sent");
                seen.extend((conversation == direct()).then_some(seq));
            }
            seen.dedup();
            assert!(seen.ends_with(&[2, 3, 4, 5, 6]), "{seen:?}");
        },
    );
}
