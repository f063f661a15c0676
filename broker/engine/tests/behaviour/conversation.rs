//! The rules of a conversation (architecture §1, rules 2, 3, 7 and 8).

use std::sync::Arc;

use parlance_engine::{Conversation, Cursor, Cursors, Known, Member, NotMember, Refusal, Role, Verdict};

const ANN: u32 = 1;
const BOB: u32 = 2;

fn pair() -> Conversation<u32> {
    let mut conversation = Conversation::new();
    conversation.add(BOB, Role(0)).unwrap();
    conversation.add(ANN, Role(1)).unwrap();
    conversation
}

fn known(same_conversation: bool, same_body: bool) -> Option<Known> {
    Some(Known { same_conversation, seq: 7, same_body })
}

#[test]
fn rule_3_seq_is_dense() {
    let mut conversation = pair();
    assert_eq!(conversation.send(&ANN, None), Ok(Verdict::Append { seq: 1 }));
    assert_eq!(conversation.append_system(), 2);
    assert_eq!(conversation.send(&BOB, None), Ok(Verdict::Append { seq: 3 }));
    assert_eq!(conversation.head(), 3);
}

#[test]
fn rule_2_a_retry_gets_its_first_seq_and_another_body_is_refused() {
    let mut conversation = pair();
    assert_eq!(conversation.send(&ANN, known(true, true)), Ok(Verdict::Repeat { seq: 7 }));
    assert_eq!(conversation.send(&ANN, known(true, false)), Err(Refusal::IdReused { seq: 7 }));
    assert_eq!(conversation.send(&ANN, known(false, true)), Err(Refusal::IdReused { seq: 7 }));
    assert_eq!(conversation.head(), 0);
}

#[test]
fn rule_8_who_is_no_member_may_only_learn_that_its_own_message_was_taken() {
    let mut conversation = pair();
    conversation.remove(&ANN).unwrap();
    assert_eq!(conversation.send(&ANN, None), Err(Refusal::NotMember));
    assert_eq!(conversation.send(&ANN, known(true, true)), Ok(Verdict::Repeat { seq: 7 }));
    assert_eq!(conversation.send(&ANN, known(true, false)), Err(Refusal::NotMember));
    assert_eq!(conversation.send(&ANN, known(false, true)), Err(Refusal::NotMember));
    assert_eq!(conversation.advance(&ANN, Cursor::Read, 1), Err(NotMember));
    assert_eq!(conversation.unread(&ANN), 0);
}

#[test]
fn who_writes_has_read() {
    let mut conversation = pair();
    conversation.send(&ANN, None).unwrap();
    conversation.send(&BOB, None).unwrap();
    assert_eq!((conversation.unread(&ANN), conversation.unread(&BOB)), (1, 0));
    let bob = conversation.member(&BOB).unwrap();
    assert_eq!((bob.read, bob.delivered), (2, 2));
}

#[test]
fn rule_7_cursors_merge_by_maximum_below_the_head() {
    let mut conversation = pair();
    for _ in 0..5 {
        conversation.append_system();
    }
    let advance = |it: &mut Conversation<u32>, cursor, seq| it.advance(&ANN, cursor, seq).unwrap();
    assert_eq!(advance(&mut conversation, Cursor::Delivered, 3), Some(Cursors { delivered: 3, read: 0 }));
    assert_eq!(advance(&mut conversation, Cursor::Delivered, 2), None);
    assert_eq!(advance(&mut conversation, Cursor::Read, 2), Some(Cursors { delivered: 3, read: 2 }));
    assert_eq!(advance(&mut conversation, Cursor::Read, 4), Some(Cursors { delivered: 4, read: 4 }));
    assert_eq!(conversation.unread(&ANN), 1);
    assert_eq!(advance(&mut conversation, Cursor::Read, 99), Some(Cursors { delivered: 5, read: 5 }));
    assert_eq!(advance(&mut conversation, Cursor::Read, 99), None);
    assert_eq!(conversation.unread(&ANN), 0);
}

#[test]
fn a_member_sees_from_its_joined_seq_on() {
    let mut conversation = pair();
    conversation.append_system();
    conversation.append_system();
    assert_eq!(conversation.add(3, Role(0)), Ok(3));
    assert!(conversation.add(3, Role(0)).is_err());
    assert_eq!(conversation.unread(&3), 0);
    conversation.append_system();
    assert_eq!(conversation.unread(&3), 1);
    let member = *conversation.member(&3).unwrap();
    assert!(!member.sees(2) && member.sees(3));
    assert_eq!(conversation.remove(&3), Ok(member));
    assert_eq!(conversation.remove(&3), Err(NotMember));
    assert_eq!(conversation.add(3, Role(0)), Ok(4));
}

#[test]
fn the_audience_is_shared_until_membership_changes() {
    let mut conversation = pair();
    let (first, epoch) = (conversation.audience(), conversation.epoch());
    assert_eq!(*first, [ANN, BOB]);
    conversation.send(&ANN, None).unwrap();
    assert_eq!(conversation.set_role(&BOB, Role(2)), Ok(Role(0)));
    assert!(Arc::ptr_eq(&first, &conversation.audience()));
    conversation.remove(&ANN).unwrap();
    assert_ne!(conversation.epoch(), epoch);
    assert_eq!(*conversation.audience(), [BOB]);
    assert_eq!(*first, [ANN, BOB]);
}

#[test]
fn a_restored_conversation_goes_on() {
    let member = |read, delivered| Member { role: Role(0), joined_seq: 1, read, delivered };
    let mut conversation = Conversation::restore(4, [(BOB, member(9, 2)), (ANN, member(1, 3))]);
    assert_eq!(conversation.members().map(|(user, _)| *user).collect::<Vec<_>>(), [ANN, BOB]);
    // A cursor beyond the log cannot be right.
    assert_eq!(conversation.member(&BOB).map(|it| (it.read, it.delivered)), Some((4, 4)));
    assert_eq!(conversation.unread(&ANN), 3);
    assert_eq!(conversation.send(&ANN, None), Ok(Verdict::Append { seq: 5 }));
}
