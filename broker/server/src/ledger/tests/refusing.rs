//! While nothing may be written: what lives in memory goes on.

use super::rig::{Rig, arrived, connect, live, message, session};
use crate::{config, ledger::Command};
use parlance_mqtt::QoS;
use parlance_plugin_api::ledger::LedgerError;
use tokio::sync::oneshot;

#[test]
fn a_full_disk_keeps_no_session_of_memory_from_coming_and_going() {
    let mut rig = Rig::new(config::Topics::default());
    let (here, durable) = (rig.enter(session(1), false), rig.durable(2));
    let peer = connect(&here);
    rig.decider.refusal = Some(LedgerError::Full);
    rig.subscribe(&here, &["app/#"]);
    rig.topics.route_live(&message("app/a", "hello", QoS::AtMostOnce, false), None);
    assert_eq!(live(&arrived(&peer)), ["hello"]);

    let (done, mut left) = oneshot::channel();
    rig.run(Command::Leave { subscriber: here, whole: true, done: Some(done) });
    assert_eq!(left.try_recv(), Ok(Ok(())));
    assert_eq!(rig.topics.counts().subscriptions, 0);

    // What must be written is refused.
    let (done, mut left) = oneshot::channel();
    rig.run(Command::Leave { subscriber: durable, whole: true, done: Some(done) });
    assert_eq!(left.try_recv(), Ok(Err(LedgerError::Full)));
}
