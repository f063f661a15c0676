//! Reading from the log what was not seen live (architecture §1, rules 5 and 6).

use parlance_engine::{Channels, Entry, Millis, Session, SessionConfig};
use parlance_mqtt::Version;

use crate::support::*;

fn wide() -> TestSession {
    Session::new(SessionConfig { send_window: 100, ..config(Version::V5) }, NOW)
}

#[test]
fn what_a_device_missed_is_read_page_by_page() {
    let mut session = wide();
    session.track(1, 2, 8);
    assert_eq!(words(&mut session), ["ReadLog(1 after 2 limit 4)"]);
    session.page(1, 2, entries(1, 3..=6), 8);
    let told = words(&mut session);
    assert_eq!(told.len(), 5);
    assert_eq!(told[4], "ReadLog(1 after 6 limit 4)");
    session.page(1, 6, entries(1, 7..=8), 8);
    assert_eq!(deliveries(&mut session).len(), 2);
    ack(&mut session, 1..=6);
    assert_eq!(words(&mut session), ["Delivered(1/8)"]);
}

#[test]
fn live_messages_go_on_where_the_log_ends() {
    let mut session = wide();
    session.track(1, 0, 1);
    assert_eq!(words(&mut session), ["ReadLog(1 after 0 limit 4)"]);
    announce(&mut session, 1, 2);
    session.page(1, 0, entries(1, 1..=1), 1);
    assert_eq!(
        words(&mut session),
        ["Deliver(1/1 channel 0 AtLeastOnce Some(1) dup false)", "ReadLog(1 after 1 limit 4)"]
    );
    session.page(1, 1, entries(1, 2..=2), 2);
    assert_eq!(deliveries(&mut session), [(1002, 2, false)]);
    announce(&mut session, 1, 3);
    assert_eq!(deliveries(&mut session), [(1003, 3, false)]);
}

#[test]
fn a_gap_in_what_is_announced_is_read() {
    let mut session = wide();
    session.track(1, 0, 0);
    announce(&mut session, 1, 1);
    announce(&mut session, 1, 3);
    assert_eq!(
        words(&mut session),
        ["Deliver(1/1 channel 0 AtLeastOnce Some(1) dup false)", "ReadLog(1 after 1 limit 4)"]
    );
    session.page(1, 1, entries(1, 2..=3), 3);
    assert_eq!(deliveries(&mut session), [(1002, 2, false), (1003, 3, false)]);
}

#[test]
fn what_is_announced_twice_is_sent_once() {
    let mut session = wide();
    session.track(1, 0, 0);
    for seq in [1, 1, 2, 1, 2] {
        assert!(announce(&mut session, 1, seq));
    }
    assert_eq!(deliveries(&mut session).len(), 2);
    assert!(announce(&mut session, 1, 2));
    assert!(deliveries(&mut session).is_empty());
}

#[test]
fn a_page_may_repeat_what_was_sent() {
    let mut session = wide();
    session.track(1, 0, 2);
    round(&mut session);
    // Seq 1 arrives live while the page is under way.
    announce(&mut session, 1, 1);
    session.page(1, 0, entries(1, 1..=2), 2);
    assert_eq!(deliveries(&mut session), [(1001, 1, false), (1002, 2, false)]);
}

#[test]
fn records_that_are_gone_are_passed_over() {
    let mut session = wide();
    session.track(1, 0, 7);
    round(&mut session);
    session.page(1, 0, entries(1, [2, 5]), 7);
    let told = words(&mut session);
    assert_eq!(told[2], "ReadLog(1 after 5 limit 4)");
    ack(&mut session, [1]);
    assert_eq!(words(&mut session), ["Delivered(1/4)"]);
    session.page(1, 5, Vec::new(), 7);
    ack(&mut session, [2]);
    assert_eq!(words(&mut session), ["Delivered(1/7)"]);
}

#[test]
fn what_nobody_wants_in_a_page_takes_no_room() {
    let mut session = wide();
    session.track(1, 0, 4);
    round(&mut session);
    let page = (1..=4).map(|seq| Entry { seq, message: message(1, seq), channels: Channels::NONE }).collect();
    session.page(1, 0, page, 4);
    assert_eq!(words(&mut session), ["Delivered(1/4)"]);
}

#[test]
fn a_vain_read_is_asked_again_a_little_later() {
    let mut session = wide();
    session.track(1, 0, 3);
    round(&mut session);
    session.page(1, 0, Vec::new(), 0);
    assert!(words(&mut session).is_empty(), "no spinning");
    let at = session.next_timeout().unwrap();
    assert!(at > NOW && at < NOW + 1_000);
    session.handle_timeout(at);
    assert_eq!(words(&mut session), ["ReadLog(1 after 0 limit 4)"], "and no stall");
    session.page(1, 0, entries(1, 1..=3), 3);
    assert_eq!(deliveries(&mut session).len(), 3);
    assert_eq!(session.next_timeout(), Some(NOW + 90_000));
}

#[test]
fn an_announcement_ends_the_wait_after_a_vain_read() {
    let mut session = wide();
    session.track(1, 0, 3);
    round(&mut session);
    session.page(1, 0, Vec::new(), 0);
    announce(&mut session, 1, 4);
    assert_eq!(words(&mut session), ["ReadLog(1 after 0 limit 4)"]);
}

#[test]
fn an_answer_to_no_question_is_ignored() {
    let mut session = wide();
    session.track(1, 0, 0);
    session.page(1, 0, entries(1, 1..=2), 2);
    session.page(2, 0, entries(2, 1..=2), 2);
    assert!(words(&mut session).is_empty());
    // Of a read that began before the conversation was untracked:
    session.track(1, 0, 3);
    assert_eq!(words(&mut session), ["ReadLog(1 after 0 limit 4)"]);
    session.untrack(1);
    session.track(1, 3, 4);
    assert_eq!(words(&mut session), ["ReadLog(1 after 3 limit 4)"]);
    session.page(1, 0, entries(1, 1..=3), 3);
    assert!(words(&mut session).is_empty());
    session.page(1, 3, entries(1, 4..=4), 4);
    assert_eq!(deliveries(&mut session), [(1004, 1, false)]);
}

#[test]
fn rule_6_memory_is_bounded_and_nothing_is_lost() {
    let mut session: TestSession = Session::new(SessionConfig { send_window: 1, ..config(Version::V5) }, NOW);
    session.track(1, 0, 0);
    for seq in 1..=20 {
        announce(&mut session, 1, seq);
    }
    let (mut seen, mut packet_id, mut asked) = (Vec::new(), 0, 0);
    while seen.len() < 20 {
        for output in round(&mut session) {
            match output {
                parlance_engine::Output::Deliver { seq, .. } => seen.push(seq),
                parlance_engine::Output::ReadLog { after, limit, .. } => {
                    asked += 1;
                    session.page(1, after, entries(1, (after + 1..=20).take(limit)), 20);
                }
                _ => {}
            }
        }
        packet_id += 1;
        ack(&mut session, [packet_id]);
    }
    assert_eq!(seen, (1..=20).collect::<Vec<_>>());
    assert_eq!(asked, 3, "8 of 20 were kept, 12 read by pages of 4");
}

#[test]
fn rule_6_memory_is_bounded_by_bytes_too() {
    let config = SessionConfig { send_window: 1, ready_bytes_max: 3 * MESSAGE_BYTES, ..config(Version::V5) };
    let mut session: TestSession = Session::new(config, NOW);
    session.track(1, 0, 0);
    announce(&mut session, 1, 1);
    assert_eq!(deliveries(&mut session), [(1001, 1, false)]);
    // The window is shut: three find room, the others are left to the log.
    for seq in 2..=6 {
        announce(&mut session, 1, seq);
    }
    for packet_id in 1..=2 {
        assert!(!words(&mut session).iter().any(|word| word.starts_with("ReadLog")), "half full");
        ack(&mut session, [packet_id]);
    }
    let told = words(&mut session);
    assert_eq!(told[1], "ReadLog(1 after 4 limit 4)", "less than half is left: {told:?}");
    session.page(1, 4, entries(1, 5..=6), 6);
    let mut seen = Vec::new();
    for packet_id in 3..=6 {
        ack(&mut session, [packet_id]);
        seen.extend(deliveries(&mut session).iter().map(|(message, ..)| *message));
    }
    assert_eq!(seen, [1004, 1005, 1006]);
}

#[test]
fn reads_under_way_are_bounded() {
    let config = SessionConfig { ready_messages_max: 100, ..config(Version::V5) };
    let mut session: TestSession = Session::new(config, NOW);
    for conversation in 1..=4 {
        session.track(conversation, 0, 1);
    }
    assert_eq!(words(&mut session), ["ReadLog(1 after 0 limit 4)", "ReadLog(2 after 0 limit 4)"]);
    session.page(2, 0, entries(2, 1..=1), 1);
    assert_eq!(words(&mut session).last().unwrap(), "ReadLog(3 after 0 limit 4)");
}

#[test]
fn lagging_asks_for_the_heads_once() {
    let mut session = wide();
    session.track(1, 0, 0);
    session.lagging();
    session.lagging();
    assert_eq!(words(&mut session), ["Resync"]);
    session.track(1, 0, 2);
    assert_eq!(words(&mut session), ["ReadLog(1 after 0 limit 4)"]);
}

#[test]
fn rule_7_tracking_again_never_moves_back() {
    let mut session = wide();
    session.track(1, 0, 0);
    announce(&mut session, 1, 1);
    announce(&mut session, 1, 2);
    round(&mut session);
    ack(&mut session, [1]);
    round(&mut session);
    session.track(1, 0, 1);
    assert!(words(&mut session).is_empty());
    session.track(1, 5, 6);
    assert_eq!(words(&mut session), ["ReadLog(1 after 5 limit 4)"]);
    ack(&mut session, [2]);
    session.page(1, 5, entries(1, 6..=6), 6);
    assert_eq!(deliveries(&mut session), [(1006, 3, false)]);
    ack(&mut session, [3]);
    assert_eq!(words(&mut session), ["Delivered(1/6)"]);
}

#[test]
fn what_is_not_tracked_is_not_taken() {
    let mut session = wide();
    assert!(!announce(&mut session, 1, 1));
    assert!(words(&mut session).is_empty());
}

#[test]
fn idle_conversations_are_forgotten_and_come_back() {
    let mut session = wide();
    session.track(1, 0, 0);
    session.track(2, 0, 0);
    announce(&mut session, 1, 1);
    announce(&mut session, 2, 1);
    round(&mut session);
    ack(&mut session, [1]);
    assert_eq!(session.forget_idle(), 0, "nobody was told of the cursor of 1 yet");
    round(&mut session);
    assert_eq!(session.forget_idle(), 1);
    assert!(!session.is_tracked(1) && session.is_tracked(2));
    assert!(!announce(&mut session, 1, 2));
    session.track(1, 1, 2);
    assert_eq!(words(&mut session), ["ReadLog(1 after 1 limit 4)"]);
    assert_eq!(session.tracked(), 2);
    session.handle_timeout(Millis(NOW.0 + 1));
}
