//! Each call: what it does, and what it refuses.

use crate::world::{DISABLED, World, operator, user, who};
use parlance_groups::GroupLimits;
use parlance_plugin_api::{
    ConversationId,
    event::Event,
    groups::{GroupError, Groups},
    identity::{Action, Named, Principal, Scope, Scopes},
    ledger::{Decision, Job, Ledger, LedgerError},
    record::{NameRecord, Role, decode, handle_pseudonym, member_key},
    store::Table,
    testing::PlainVault,
};
use prost::Message;

/// A group of users 1 (owner) to `count`.
async fn group(world: &World, count: u8) -> ConversationId {
    let members = (2..=count).map(user).collect();
    world.groups.create(&who(1), "Friends", None, members).await.unwrap().id
}

/// As a later version may: roles are stored, there is no call yet that gives them.
async fn make_admin(world: &World, group: ConversationId, number: u8) {
    let mut member = world.member(group, number).unwrap();
    member.role = Role::Admin as u32;
    let job: Job = Box::new(move |tx| {
        tx.put(Table::Members, &member_key(group, user(number)), &member.encode_to_vec());
        Decision::Commit
    });
    world.ledger.submit(job).await.unwrap();
}

fn scoped(number: u8, action: Action, conversation: Option<ConversationId>) -> Principal {
    Principal { scopes: Scopes::Only([Scope { action, conversation }].into()), ..who(number) }
}

#[tokio::test]
async fn the_first_members_see_the_creation_first() {
    let world = World::new();
    let made =
        world.groups.create(&who(1), " Friends ", Some("@Crew"), vec![user(2), user(1), user(2)]).await;
    let made = made.unwrap();
    assert_eq!((made.name.as_str(), made.handle.as_deref(), made.members), ("Friends", Some("crew"), 2));
    assert_eq!(world.changes(made.id), [("group_created".into(), 1, 1)]);
    assert_eq!(world.ledger.log(made.id)[0].change.as_ref().unwrap().name, "Friends");
    for (number, role) in [(1, Role::Owner), (2, Role::Member)] {
        let member = world.member(made.id, number).unwrap();
        assert_eq!((member.role, member.joined_seq), (role as u32, 1));
    }
    let record = world.record(made.id);
    assert_eq!((record.name.as_str(), record.handle.as_str(), record.members), ("Friends", "crew", 2));
    let key = handle_pseudonym(&PlainVault, &"crew".parse().unwrap());
    let (_, name) = world.ledger.table(Table::Names).into_iter().find(|(found, _)| *found == key).unwrap();
    assert_eq!(decode::<NameRecord>(name).unwrap().named(), Some(Named::Group(made.id)));
}

#[tokio::test]
async fn bad_groups_are_not_made() {
    let world = World::new();
    world.groups.create(&who(1), "First", Some("crew"), vec![]).await.unwrap();
    let unknown = |number| GroupError::UnknownUser(user(number).to_string());
    let long = "x".repeat(101);
    for (name, handle, member, expected) in [
        ("", None, 2, GroupError::BadName),
        ("   ", None, 2, GroupError::BadName),
        ("a\nb", None, 2, GroupError::BadName),
        (&long, None, 2, GroupError::BadName),
        ("Second", Some("a b"), 2, GroupError::HandleInvalid(parlance_schema::HandleError)),
        ("Second", Some("@CREW"), 2, GroupError::HandleTaken),
        ("Second", None, 255, unknown(255)),
        ("Second", None, DISABLED, unknown(DISABLED)),
    ] {
        let refused = world.groups.create(&who(1), name, handle, vec![user(member)]).await;
        assert_eq!(refused.err(), Some(expected), "{name}");
    }
    world.ledger.fail_with(Some(LedgerError::Full));
    let refused = world.groups.create(&who(1), "Second", None, vec![]).await;
    assert_eq!(refused.err(), Some(GroupError::Ledger(LedgerError::Full)));
    assert_eq!(world.ledger.table(Table::Conversations).len(), 1);
}

#[tokio::test]
async fn of_many_groups_that_want_a_handle_at_once_one_gets_it() {
    let world = World::new();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 1..=16 {
        let groups = world.groups.clone();
        tasks.spawn(async move { groups.create(&who(number), "Crew", Some("crew"), vec![]).await });
    }
    let answers = tasks.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(answers.iter().all(|a| matches!(a, Ok(_) | Err(GroupError::HandleTaken))));
}

#[tokio::test]
async fn an_added_member_sees_its_own_addition_first() {
    let world = World::new();
    let group = group(&world, 2).await;
    world.ledger.take_events();
    let added = world.groups.add(&who(1), group, vec![user(3), user(2), user(4)]).await.unwrap();
    assert_eq!((added.added, added.already), (vec![user(3), user(4)], vec![user(2)]));
    assert_eq!(world.member(group, 3).unwrap().joined_seq, 2);
    assert_eq!(world.member(group, 4).unwrap().joined_seq, 3);
    assert_eq!(world.changes(group)[1..], [("member_added".into(), 1, 3), ("member_added".into(), 1, 4)]);
    let told =
        |number, joined_seq| Event::MemberAdded { conversation: group, user: user(number), joined_seq };
    assert_eq!(world.ledger.take_events(), [told(3, 2), told(4, 3)]);
    assert_eq!(world.record(group).members, 4);
}

#[tokio::test]
async fn only_owner_admins_and_operator_change_members() {
    let world = World::new();
    let group = group(&world, 5).await;
    make_admin(&world, group, 2).await;
    let elsewhere = ConversationId::fresh_group();
    let direct = ConversationId::direct(user(1), user(2));
    for (actor, of, expected) in [
        (who(3), group, Some(GroupError::NotAllowed)),
        (who(9), group, Some(GroupError::NotFound)),
        (who(1), elsewhere, Some(GroupError::NotFound)),
        (who(1), direct, Some(GroupError::NotFound)),
        (operator(), direct, Some(GroupError::NotFound)),
        (scoped(1, Action::Send, None), group, Some(GroupError::NotAllowed)),
        (scoped(1, Action::ManageGroups, Some(elsewhere)), group, Some(GroupError::NotAllowed)),
        (scoped(1, Action::ManageGroups, Some(group)), group, None),
        (who(1), group, None),
        (who(2), group, None),
        (operator(), group, None),
    ] {
        assert_eq!(world.groups.add(&actor, of, vec![user(20)]).await.err(), expected, "{actor:?}");
        let removed = world.groups.remove(&actor, of, user(20)).await.err();
        assert_eq!(removed, expected, "{actor:?}");
    }
    assert_eq!(world.record(group).members, 5);
}

#[tokio::test]
async fn who_is_no_member_learns_nothing_of_the_users_it_names() {
    let world = World::new();
    let group = group(&world, 2).await;
    assert_eq!(world.groups.add(&who(9), group, vec![user(255)]).await.err(), Some(GroupError::NotFound));
    let refused = world.groups.add(&who(1), group, vec![user(3), user(255)]).await;
    assert_eq!(refused.err(), Some(GroupError::UnknownUser(user(255).to_string())));
    assert!(world.member(group, 3).is_none(), "all or none");
}

#[tokio::test]
async fn a_removed_member_gets_not_even_its_removal() {
    let world = World::new();
    let group = group(&world, 3).await;
    make_admin(&world, group, 2).await;
    world.ledger.take_events();
    world.groups.remove(&who(2), group, user(3)).await.unwrap();
    assert!(world.member(group, 3).is_none());
    assert_eq!(world.changes(group)[1..], [("member_removed".into(), 2, 3)]);
    assert_eq!(world.ledger.take_events(), [Event::MemberRemoved { conversation: group, user: user(3) }]);
    let gone = Some(GroupError::NotMember("@user3".into()));
    assert_eq!(world.groups.remove(&who(2), group, user(3)).await.err(), gone);
    assert_eq!(world.groups.remove(&who(2), group, user(1)).await.err(), Some(GroupError::NotAllowed));
    assert_eq!(world.groups.leave(&who(3), group).await.err(), Some(GroupError::NotFound));
    world.clock.advance(1);
    world.groups.add(&who(1), group, vec![user(3)]).await.unwrap();
    assert_eq!(world.member(group, 3).unwrap().joined_seq, 3, "sees nothing of before");
}

#[tokio::test]
async fn the_longest_standing_admin_follows_the_last_owner_or_else_the_member() {
    let world = World::new();
    let group = group(&world, 1).await;
    for number in [9, 5, 7] {
        world.clock.advance(1);
        world.groups.add(&who(1), group, vec![user(number)]).await.unwrap();
    }
    make_admin(&world, group, 7).await;
    for (leaving, heir) in [(1, 7), (7, 9), (9, 5)] {
        let before = world.member(group, heir).unwrap();
        world.groups.leave(&who(leaving), group).await.unwrap();
        let after = world.member(group, heir).unwrap();
        assert_eq!(after.role, Role::Owner as u32, "{heir} after {leaving}");
        assert_eq!((after.joined_seq, after.joined_ms), (before.joined_seq, before.joined_ms));
    }
    world.groups.remove(&who(5), group, user(5)).await.unwrap();
    assert_eq!((world.members(group).len(), world.record(group).members), (0, 0));
    let log = world.changes(group);
    assert_eq!(log.last().unwrap(), &("member_left".to_owned(), 5, 5));
}

#[tokio::test]
async fn limits_are_kept_and_a_refused_call_changes_nothing() {
    let world = World::with(GroupLimits { members_max: 4, batch_max: 3 });
    let group = group(&world, 2).await;
    let batch = world.groups.add(&who(1), group, vec![user(3); 4]).await;
    assert_eq!(batch.err(), Some(GroupError::BatchTooLarge(3)));
    let too_many = world.groups.add(&who(1), group, vec![user(3), user(4), user(5)]).await;
    assert_eq!(too_many.err(), Some(GroupError::TooMany(4)));
    assert_eq!((world.members(group).len(), world.changes(group).len()), (2, 1));
    world.groups.add(&who(1), group, vec![user(3), user(4)]).await.unwrap();
    assert_eq!(world.groups.add(&who(1), group, vec![user(5)]).await.err(), Some(GroupError::TooMany(4)));
    let small = World::with(GroupLimits { members_max: 2, batch_max: 3 });
    let refused = small.groups.create(&who(1), "Big", None, vec![user(2), user(3)]).await;
    assert_eq!(refused.err(), Some(GroupError::TooMany(2)));
}

#[tokio::test]
async fn what_the_operator_creates_is_the_first_members() {
    let world = World::new();
    let made = world.groups.create(&operator(), "Ops", None, vec![user(4), user(5)]).await.unwrap();
    assert_eq!(world.member(made.id, 4).unwrap().role, Role::Owner as u32);
    assert_eq!(world.changes(made.id), [("group_created".into(), 4, 4)]);
    let nobody = world.groups.create(&operator(), "Ops", None, vec![]).await;
    assert_eq!(nobody.err(), Some(GroupError::NotAllowed));
}
