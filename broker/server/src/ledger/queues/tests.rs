use super::*;
use parlance_plugin_api::{UserId, access::Subject, identity::AccountKind, record::DeviceId};
use proptest::prelude::*;

fn subscriber(user: u8) -> Arc<Subscriber> {
    let user = UserId([user; 16]);
    let key = SessionKey { user, device: DeviceId([0; 16]) };
    let subject = Subject { user, handle: None, kind: AccountKind::Person, client_id: "".into() };
    Arc::new(Subscriber::new(key, subject, true, true))
}

fn entry(bytes: u32, body: Option<BodySlot>) -> Entry {
    Entry { number: 0, bytes, body, exact: true, released: false, shared: false }
}

/// Everything that can be seen.
fn seen(queues: &Queues) -> impl PartialEq + std::fmt::Debug + use<> {
    let mut all: Vec<_> = queues
        .queues
        .iter()
        .map(|(key, queue)| (*key, queue.state(), queue.reserved, queue.entries.clone()))
        .collect();
    all.sort_by_key(|(key, ..)| *key);
    let bodies: Vec<_> = queues.bodies.iter().map(|body| body.refs).filter(|refs| *refs > 0).collect();
    (all, bodies, queues.messages, queues.bytes)
}

#[derive(Debug, Clone)]
enum Change {
    Push(u8, u32, bool),
    First(u8, u64),
    Number(u8, u64),
    Drop(u8),
    Release(u8, u64),
    End(u8),
    Body,
}

fn change() -> impl Strategy<Value = Change> {
    let (who, number) = (0u8..3, 1u64..12);
    prop_oneof![
        4 => (who.clone(), 0u32..9, any::<bool>()).prop_map(|(who, bytes, body)| Change::Push(who, bytes, body)),
        1 => (who.clone(), number.clone()).prop_map(|(who, number)| Change::First(who, number)),
        1 => (who.clone(), number.clone()).prop_map(|(who, number)| Change::Number(who, number)),
        1 => who.clone().prop_map(Change::Drop),
        2 => (who.clone(), number).prop_map(|(who, number)| Change::Release(who, number)),
        1 => who.prop_map(Change::End),
        1 => Just(Change::Body),
    ]
}

proptest! {
    #[test]
    fn what_is_undone_never_was(
        kept in prop::collection::vec(change(), 0..40),
        undone in prop::collection::vec(change(), 0..40),
    ) {
        let who = [subscriber(0), subscriber(1), subscriber(2)];
        let mut queues = Queues::default();
        let mut body = None;
        let mut carry_out = |queues: &mut Queues, changes: Vec<Change>| {
            // A body is referred to in the batch that made it only.
            body = None;
            for change in changes {
                let key = |of: u8| who[usize::from(of)].key;
                match change {
                    Change::Push(of, bytes, shared) => {
                        let body = body.filter(|_| shared);
                        queues.push(&who[usize::from(of)], entry(bytes, body));
                    }
                    Change::First(of, up_to) => drop(queues.take_first(key(of), up_to)),
                    Change::Number(of, number) => drop(queues.take_number(key(of), number)),
                    Change::Drop(of) => drop(queues.drop_oldest(key(of))),
                    Change::Release(of, number) => drop(queues.release(key(of), number)),
                    Change::End(of) => drop(queues.end(key(of))),
                    Change::Body => body = Some(queues.make_body(BodyId([7; 16]))),
                }
                if body.is_some_and(|body| queues.freed.contains(&body)) {
                    body = None;
                }
            }
        };
        carry_out(&mut queues, kept);
        queues.settle();
        let before = seen(&queues);
        carry_out(&mut queues, undone);
        queues.undo();
        prop_assert_eq!(seen(&queues), before);
        let counted: u64 = queues.queues.values().map(|queue| queue.bytes).sum();
        prop_assert_eq!(queues.bytes, counted);
        for queue in queues.queues.values() {
            let exact = queue.entries.iter().filter(|entry| entry.exact).count();
            prop_assert_eq!(queue.exact, exact);
        }
    }
}

#[test]
fn what_was_sent_is_dropped_last_and_what_the_client_has_never() {
    let who = subscriber(1);
    let mut queues = Queues::default();
    for _ in 0..4 {
        queues.push(&who, entry(1, None));
    }
    queues.release(who.key, 1).unwrap();
    who.set_sent(2);
    let mut dropped = || queues.drop_oldest(who.key).map(|removed| removed.number);
    assert_eq!([dropped(), dropped(), dropped(), dropped()], [Some(3), Some(4), Some(2), None]);
}

#[test]
fn numbers_are_reserved_in_advance_and_go_on_behind_them() {
    let who = subscriber(1);
    let mut queues = Queues::default();
    assert_eq!(queues.push(&who, entry(1, None)), (1, true));
    assert_eq!(queues.push(&who, entry(1, None)), (2, false));
    let reserved = queues.get(who.key).unwrap().reserved();
    let mut again = Queue::new(who.clone());
    again.load_reserved(reserved);
    assert_eq!(again.state(), QueueState { done: reserved, last: reserved, ..QueueState::default() });
    let mut queues = Queues::default();
    queues.load(who.key, again);
    assert_eq!(queues.push(&who, entry(1, None)), (reserved + 1, true));
}

#[test]
fn no_two_of_qos_2_have_the_same_packet_id() {
    let who = subscriber(1);
    let mut queues = Queues::default();
    let mut push = |exact| queues.push(&who, Entry { exact, ..entry(1, None) }).0;
    assert_eq!((push(true), push(false), push(true)), (1, 2, 3));
    let mut last = 3;
    while last < POSITIONS_PER_ID {
        last = push(false);
    }
    assert_eq!(push(true), POSITIONS_PER_ID + 2, "the number behind has the id of the first");
    assert_eq!(push(true), POSITIONS_PER_ID + 4);
    queues.settle();
    queues.push(&who, Entry { exact: true, ..entry(1, None) });
    queues.undo();
    assert_eq!(queues.get(who.key).unwrap().state().last, POSITIONS_PER_ID + 4);
}

#[test]
fn there_are_no_more_of_qos_2_than_packet_ids() {
    let who = subscriber(1);
    let mut queues = Queues::default();
    let most = Room { messages: u64::MAX, bytes: u64::MAX, exact: true };
    let has_room =
        |queues: &Queues, exact| queues.has_room(who.key, Room { messages: 1, bytes: 1, exact }, most);
    for _ in 0..EXACT_MAX {
        assert!(has_room(&queues, true));
        queues.push(&who, entry(1, None));
    }
    assert_eq!((has_room(&queues, true), has_room(&queues, false)), (false, true));
    queues.drop_oldest(who.key);
    assert!(has_room(&queues, true));
}

#[test]
fn a_body_goes_with_the_last_that_refers_to_it() {
    let (one, other) = (subscriber(1), subscriber(2));
    let mut queues = Queues::default();
    let body = queues.make_body(BodyId([9; 16]));
    queues.push(&one, entry(1, Some(body)));
    queues.push(&other, entry(1, Some(body)));
    assert_eq!(queues.take_first(one.key, 9).unwrap().body, None);
    assert_eq!(queues.release(other.key, 1).unwrap().body, Some(BodyId([9; 16])));
    queues.settle();
    assert_eq!(queues.make_body(BodyId([8; 16])), body, "its place is used again");
}
