//! Events, receipts, typing and replies beside the messages.

use parlance_engine::{NoteFate, Output, Session, SessionConfig};
use parlance_mqtt::{QoS, Version};

use crate::support::*;

/// A round as a line: notes by name, messages by number.
fn line(session: &mut TestSession) -> String {
    let sent: Vec<_> = round(session)
        .into_iter()
        .filter_map(|output| match output {
            Output::Note { note, .. } => Some(note.to_owned()),
            Output::Deliver { message, .. } => Some(message.to_string()),
            _ => None,
        })
        .collect();
    sent.join(" ")
}

#[test]
fn notes_go_first_and_then_take_turns_with_messages() {
    let mut session = session();
    session.track(1, 0, 0);
    for seq in 1..=3 {
        announce(&mut session, 1, seq);
    }
    for note in ["a", "b", "c"] {
        assert_eq!(session.note(note, QoS::AtLeastOnce), NoteFate::Queued);
    }
    assert_eq!(line(&mut session), "a 1001 b 1002");
    ack(&mut session, 1..=4);
    assert_eq!(line(&mut session), "c 1003");
}

#[test]
fn the_queue_is_bounded_and_says_so() {
    let mut session = session();
    for note in ["a", "b", "c", "d"] {
        session.note(note, QoS::AtMostOnce);
    }
    assert_eq!(session.note("e", QoS::AtMostOnce), NoteFate::Dropped);
    assert_eq!(session.counters().dropped_notes, 1);
    assert_eq!(line(&mut session), "a b c d");
}

#[test]
fn qos_0_notes_do_not_wait_for_the_window() {
    let mut session: TestSession = Session::new(SessionConfig { send_window: 1, ..config(Version::V5) }, NOW);
    session.track(1, 0, 0);
    announce(&mut session, 1, 1);
    announce(&mut session, 1, 2);
    assert_eq!(line(&mut session), "1001");
    session.note("typing", QoS::AtMostOnce);
    assert_eq!(line(&mut session), "typing");
    session.note("event", QoS::AtLeastOnce);
    assert_eq!(line(&mut session), "");
    ack(&mut session, [1]);
    assert_eq!(line(&mut session), "1002", "it is the message's turn");
    ack(&mut session, [2]);
    assert_eq!(line(&mut session), "event");
}
