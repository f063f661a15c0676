//! Publishing, acknowledging, and the steps of QoS 2.

use super::rig::*;
use crate::{
    config::{QueueFull, Topics as Settings},
    ledger::{Command, Done, FreePublish, Published, SendRefusal},
    peer::Step,
};
use parlance_engine::SubscriptionOptions;
use parlance_mqtt::{PacketId, QoS, RetainHandling};
use parlance_plugin_api::{ledger::LedgerError, record::received_key, store::Table};
use std::time::Duration;
use tokio::sync::oneshot;

const ONCE: QoS = QoS::AtLeastOnce;

fn id(packet_id: u16) -> PacketId {
    PacketId::new(packet_id).unwrap()
}

#[test]
fn a_durable_session_is_owed_what_it_was_away_for_also_after_a_restart() {
    let mut rig = Rig::new(Settings::default());
    let who = rig.durable(1);
    rig.subscribe(&who, &["a/+"]);
    for text in ["one", "two", "three"] {
        assert_eq!(rig.outcome(&message("a/b", text, ONCE, false)), Ok(Published::Free { matched: true }));
    }
    assert_eq!(rig.outcome(&message("b", "no", ONCE, false)), Ok(Published::Free { matched: false }));
    rig.acknowledge(&who, 1);
    let owed = [(2, "two".to_owned()), (3, "three".to_owned())];
    assert_eq!(rig.owed(&who), owed);
    drop(who);
    let mut rig = rig.restarted();
    let who = rig.topics.find(session(1)).expect("its subscriptions hold it");
    assert_eq!(rig.owed(&who), owed);
    // Its subscription is there, and numbers are not given again.
    rig.run(publish(&message("a/b", "four", ONCE, false)));
    let (number, text) = rig.owed(&who).pop().unwrap();
    assert_eq!(text, "four");
    assert!(number > 3);
}

#[test]
fn numbers_are_not_given_again_after_a_restart_with_an_empty_queue() {
    let mut rig = Rig::new(Settings::default());
    let who = rig.durable(1);
    rig.subscribe(&who, &["a"]);
    rig.run(publish(&message("a", "x", ONCE, false)));
    rig.acknowledge(&who, 1);
    assert_eq!(rig.owed(&who), []);
    drop(who);
    let mut rig = rig.restarted();
    rig.run(publish(&message("a", "y", ONCE, false)));
    let who = rig.topics.find(session(1)).unwrap();
    assert!(rig.owed(&who)[0].0 > 1);
}

#[test]
fn a_connection_is_handed_its_entries_in_order_with_the_lesser_qos() {
    let mut rig = Rig::new(Settings::default());
    let (durable, other) = (rig.durable(1), rig.enter(session(2), false));
    rig.subscribe(&durable, &["a"]);
    rig.subscribe(&other, &["a"]);
    let (peer, other) = (connect(&durable), connect(&other));
    rig.batch([
        publish(&message("a", "1", ONCE, false)),
        publish(&message("a", "2", QoS::ExactlyOnce, false)),
        publish(&message("a", "3", QoS::AtMostOnce, true)),
    ]);
    let got = arrived(&peer);
    let queued: Vec<_> = got.queued.iter().map(|(number, it)| (*number, it.qos, it.retain)).collect();
    assert_eq!(queued, [(1, ONCE, false), (2, QoS::ExactlyOnce, false)]);
    assert_eq!(live(&got), ["3"], "QoS 0 is not queued");
    let got = arrived(&other);
    assert_eq!(live(&got), ["1", "2", "3"]);
    assert_eq!(got.live[1].qos, QoS::ExactlyOnce);
}

#[test]
fn overlapping_subscriptions_are_one_delivery_with_all_identifiers() {
    let mut rig = Rig::new(Settings::default());
    let who = rig.enter(session(1), false);
    let peer = connect(&who);
    let mut subscribing = Rig::subscribing(&who, &[], &[]);
    for (text, id, retain_as_published) in [("#", 1, false), ("a/+", 2, true)] {
        let options = SubscriptionOptions { qos: ONCE, no_local: false, retain_as_published, id };
        subscribing.begin.push((filter(text), options, RetainHandling::DoNotSend));
    }
    rig.run(Command::Subscribe(Box::new(subscribing)));
    rig.run(publish(&message("a/b", "x", ONCE, true)));
    let got = arrived(&peer);
    assert_eq!(got.live.len(), 1);
    assert_eq!((&*got.live[0].subscription_ids, got.live[0].retain), (&[1, 2][..], true));
}

#[test]
fn large_bodies_are_stored_once_and_go_with_the_last_entry() {
    let mut rig = Rig::new(Settings::default());
    let (one, other) = (rig.durable(1), rig.durable(2));
    rig.subscribe(&one, &["a"]);
    rig.subscribe(&other, &["a"]);
    rig.run(publish(&message("a", "small", ONCE, false)));
    assert_eq!(rig.rows(Table::Bodies), 0);
    let large = "large".repeat(200);
    rig.run(publish(&message("a", &large, ONCE, false)));
    assert_eq!(rig.rows(Table::Bodies), 1);
    assert_eq!(rig.owed(&other)[1], (2, large));
    rig.acknowledge(&one, 2);
    assert_eq!(rig.rows(Table::Bodies), 1);
    drop((one, other));
    let mut rig = rig.restarted();
    let other = rig.topics.find(session(2)).unwrap();
    rig.acknowledge(&other, 2);
    assert_eq!(rig.rows(Table::Bodies), 0, "who refers to it was counted anew");
}

#[test]
fn released_entries_are_kept_as_markers_until_they_are_complete() {
    let mut rig = Rig::new(Settings::default());
    let who = rig.durable(1);
    rig.subscribe(&who, &["a"]);
    let peer = connect(&who);
    for text in ["one", "two"] {
        rig.run(publish(&message("a", text, QoS::ExactlyOnce, false)));
    }
    let release = |number, packet_id| Command::Release {
        session: who.key,
        number,
        packet_id: id(packet_id),
        peer: peer.clone(),
    };
    arrived(&peer);
    rig.batch([release(1, 7), release(1, 7), release(99, 8)]);
    let steps = [Step::Released(id(7)), Step::Released(id(7)), Step::Released(id(8))];
    assert_eq!(arrived(&peer).steps, steps, "also where nothing is left to be written");
    assert_eq!(rig.owed(&who), [(1, "-".into()), (2, "two".into())]);
    let (_, packets) = rig.handle().recovered(&who, 10).unwrap();
    assert_eq!(packets.iter().map(|it| (it.seq, it.released)).collect::<Vec<_>>(), [(1, true), (2, false)]);
    assert_eq!(who.queue().released, 1);
    rig.fail([release(2, 9)]);
    assert_eq!(arrived(&peer).steps, [Step::Failed]);
    assert_eq!(rig.owed(&who)[1], (2, "two".into()));
    rig.acknowledge(&who, 1);
    assert_eq!(rig.owed(&who), [(2, "two".into())]);
}

#[test]
fn what_may_have_been_sent_reaches_to_the_last_that_the_client_has() {
    let mut rig = Rig::new(Settings::default());
    let who = rig.durable(1);
    rig.subscribe(&who, &["a"]);
    let peer = connect(&who);
    rig.batch((0..10).map(|n| publish(&message("a", &n.to_string(), QoS::ExactlyOnce, false))));
    rig.run(Command::Release { session: who.key, number: 7, packet_id: id(7), peer });
    drop(who);
    let rig = rig.restarted();
    let who = rig.topics.find(session(1)).unwrap();
    let recovered = |max| rig.handle().recovered(&who, max).unwrap().1.len();
    assert!((7..10).contains(&recovered(2)));
    assert_eq!((recovered(9), recovered(100)), (9, 10));
}

#[test]
fn a_qos_2_publish_that_comes_again_after_a_restart_is_published_once() {
    let mut rig = Rig::new(Settings::default());
    let (publisher, who) = (rig.durable(1), rig.durable(2));
    rig.subscribe(&who, &["a"]);
    let sent = message("a", "x", QoS::ExactlyOnce, false);
    rig.run(received(&sent, Some((publisher.key, id(5)))));
    drop(who);
    let mut rig = rig.restarted();
    let who = rig.topics.find(session(2)).unwrap();
    assert_eq!(rig.handle().recovered(&publisher, 10).unwrap().0, [id(5)]);
    rig.batch([received(&sent, Some((publisher.key, id(5)))), received(&sent, Some((publisher.key, id(5))))]);
    assert_eq!(rig.owed(&who).len(), 1);
    // Released, its packet id is that of another message.
    let peer = connect(&publisher);
    let complete = Command::Complete { session: publisher.key, packet_id: id(5), peer: peer.clone() };
    rig.batch([complete, received(&sent, Some((publisher.key, id(5))))]);
    assert_eq!(arrived(&peer).steps, [Step::Completed(id(5))]);
    assert_eq!(rig.owed(&who).len(), 2);
}

#[test]
fn a_full_queue_drops_its_oldest_and_says_so() {
    let settings = Settings { queue_messages_max: 3, ..Settings::default() };
    let mut rig = Rig::new(settings);
    let who = rig.durable(1);
    rig.subscribe(&who, &["a"]);
    for text in ["1", "2", "3", "4", "5"] {
        rig.run(publish(&message("a", text, ONCE, false)));
    }
    assert_eq!(rig.owed(&who), [(3, "3".into()), (4, "4".into()), (5, "5".into())]);
    assert_eq!(rig.topics.counts().queue_dropped, 2);
    drop(who);
    let rig = rig.restarted();
    let who = rig.topics.find(session(1)).unwrap();
    assert_eq!((who.take_dropped(), who.take_dropped()), (2, 0));
}

#[test]
fn a_message_larger_than_a_queue_is_dropped_and_counted_alone() {
    let settings = Settings { queue_bytes_max: 2_000, ..Settings::default() };
    let mut rig = Rig::new(settings);
    let who = rig.durable(1);
    rig.subscribe(&who, &["a"]);
    rig.run(publish(&message("a", "small", ONCE, false)));
    rig.run(publish(&message("a", &"x".repeat(2_000), ONCE, false)));
    assert_eq!(rig.owed(&who), [(1, "small".into())]);
    assert_eq!(who.take_dropped(), 1);
}

#[test]
fn where_publishers_are_refused_nobody_gets_anything() {
    let settings = Settings { queue_messages_max: 1, queue_full: QueueFull::Refuse, ..Settings::default() };
    let mut rig = Rig::new(settings);
    let (full, free) = (rig.durable(1), rig.durable(2));
    rig.subscribe(&full, &["a", "full"]);
    rig.subscribe(&free, &["a"]);
    rig.run(publish(&message("full", "1", ONCE, false)));
    let before = rig.rows(Table::Queue);
    assert_eq!(rig.outcome(&message("a", "2", ONCE, true)), Err(SendRefusal::QueueFull));
    assert_eq!((rig.rows(Table::Queue), rig.rows(Table::Retained)), (before, 0));
    assert_eq!(rig.owed(&free), []);
    rig.acknowledge(&full, 1);
    assert!(rig.outcome(&message("a", "2", ONCE, true)).is_ok());
}

#[test]
fn what_has_expired_is_passed_over() {
    let mut rig = Rig::new(Settings::default());
    let who = rig.durable(1);
    rig.subscribe(&who, &["a"]);
    rig.run(publish(&expiring("a", "old", Duration::ZERO)));
    rig.run(publish(&message("a", "new", ONCE, false)));
    assert_eq!(rig.owed(&who), [(1, "-".into()), (2, "new".into())]);
    assert!(rig.handle().queue_entry(who.key, 1).unwrap().is_some(), "what was begun is ended");
}

#[test]
fn a_page_ends_where_its_bytes_end_and_knows_the_newest_number() {
    let mut rig = Rig::new(Settings::default());
    let who = rig.durable(1);
    rig.subscribe(&who, &["a"]);
    for text in ["1", "2", "3"] {
        rig.run(publish(&message("a", text, ONCE, false)));
    }
    let (page, head) = rig.handle().queue_page(&who, 0, 2, usize::MAX).unwrap();
    assert_eq!((page.len(), head), (2, 3));
    let (page, head) = rig.handle().queue_page(&who, 1, 10, 1).unwrap();
    assert_eq!((page.len(), page[0].0, head), (1, 2, 3));
}

#[test]
fn a_batch_that_fails_has_changed_nothing_and_is_answered() {
    let mut rig = Rig::new(Settings::default());
    let who = rig.durable(1);
    rig.subscribe(&who, &["a"]);
    rig.run(publish(&message("a", "kept", ONCE, true)));
    let peer = connect(&who);
    let (reply, mut outcome) = oneshot::channel();
    let lost = Box::new(FreePublish { message: message("a", "lost", ONCE, true), received: None });
    rig.fail([
        Command::Publish(lost, Done::Reply(reply)),
        Command::Subscribe(Box::new(Rig::subscribing(&who, &["b"], &["a"]))),
    ]);
    assert_eq!(outcome.try_recv().unwrap(), Err(SendRefusal::Ledger(LedgerError::Full)));
    let got = arrived(&peer);
    assert!(got.queued.is_empty() && got.live.is_empty());
    assert!(got.settled[0].codes[0].is_error());
    assert_eq!((rig.owed(&who), who.filters()), (vec![(1, "kept".into())], vec![filter("a")]));
    rig.run(publish(&message("b", "nobody's", ONCE, false)));
    rig.run(publish(&message("a", "next", ONCE, false)));
    assert_eq!(rig.owed(&who), [(1, "kept".into()), (2, "next".into())]);
}

#[test]
fn one_does_not_get_its_own_where_it_asked_for_none() {
    let mut rig = Rig::new(Settings::default());
    let who = rig.enter(session(1), false);
    let peer = connect(&who);
    let mut subscribing = Rig::subscribing(&who, &[], &[]);
    let options = SubscriptionOptions { no_local: true, ..EXACTLY };
    subscribing.begin.push((filter("a"), options, RetainHandling::Send));
    rig.run(Command::Subscribe(Box::new(subscribing)));
    let own = |key: &[u8]| {
        let record = message("a", "x", ONCE, false).record.clone();
        let publisher = bytes::Bytes::copy_from_slice(key);
        std::sync::Arc::new(
            crate::topics::FreeMessage::new(parlance_plugin_api::record::FreeRecord { publisher, ..record })
                .unwrap(),
        )
    };
    rig.run(publish(&own(&who.key.bytes())));
    rig.run(publish(&own(&session(2).bytes())));
    rig.run(publish(&own(&[])));
    assert_eq!(arrived(&peer).live.len(), 2);
}

#[test]
fn a_session_that_ends_leaves_nothing() {
    let mut rig = Rig::new(Settings::default());
    let (who, other) = (rig.durable(1), rig.durable(2));
    rig.subscribe(&who, &["a"]);
    rig.subscribe(&other, &["a"]);
    for n in 0..3000 {
        rig.run(publish(&message("a", &n.to_string(), ONCE, false)));
    }
    rig.run(received(&message("a", "x", QoS::ExactlyOnce, false), Some((who.key, id(1)))));
    let key = who.key;
    rig.job(move |tx| tx.delete(Table::Sessions, &key.bytes()));
    let (done, mut left) = oneshot::channel();
    rig.run(Command::Leave { subscriber: who.clone(), whole: true, done: Some(done) });
    assert!(left.try_recv().is_err(), "not in one slice");
    rig.work();
    assert_eq!(left.try_recv(), Ok(Ok(())));
    assert_eq!(rig.rows(Table::Queue), 3001 + 1, "the entries and the head of the other one");
    assert_eq!(rig.rows(Table::Received), 0);
    assert_eq!((who.queue().last, who.filters()), (0, vec![]));
    assert_eq!(rig.topics.counts().subscriptions, 1);
    rig.run(publish(&message("a", "after", ONCE, false)));
    assert_eq!((rig.owed(&who), rig.owed(&other).len()), (vec![], 3002));
}

#[test]
fn what_a_crash_left_of_a_session_is_cleared_away_at_the_next_start() {
    let mut rig = Rig::new(Settings::default());
    let who = rig.durable(1);
    rig.subscribe(&who, &["a"]);
    rig.run(received(&message("a", "x", QoS::ExactlyOnce, false), Some((who.key, id(1)))));
    let key = who.key;
    rig.job(move |tx| tx.delete(Table::Sessions, &key.bytes()));
    drop(who);
    let mut rig = rig.restarted();
    rig.work();
    assert_eq!((rig.rows(Table::Queue), rig.rows(Table::Received), rig.topics.known()), (0, 0, 0));
}

#[test]
fn a_qos_2_message_of_a_conversation_is_stored_once_until_its_packet_id_is_released() {
    use crate::ledger::SendIntent;
    use parlance_plugin_api::{ConversationId, UserId};
    let mut rig = Rig::new(Settings::default());
    let key = session(1);
    let (sender, other) = (key.user, UserId([9; 16]));
    let send = |rig: &mut Rig| {
        let (reply, mut outcome) = oneshot::channel();
        let intent = SendIntent {
            sender,
            device: Some(key.device),
            conversation: ConversationId::direct(sender, other),
            peer: Some(other),
            id: None,
            retry: None,
            received: Some((key, id(3))),
            content: parlance_schema::Content::Text("hello".into()),
        };
        rig.run(Command::Send(Box::new(intent), Done::Reply(reply)));
        match outcome.try_recv().unwrap().unwrap() {
            Published::Stored(stored) => stored,
            Published::Free { .. } => panic!("it is a message of a conversation"),
        }
    };
    let first = send(&mut rig);
    let mut rig = rig.restarted();
    let again = send(&mut rig);
    assert_eq!((again.seq, again.time_ms, again.repeated), (first.seq, first.time_ms, true));
    rig.job(move |tx| tx.delete(Table::Received, &received_key(key, id(3))));
    assert_eq!(send(&mut rig).seq, first.seq + 1);
}
