//! Random calls against a model: who is in, who owns, how many there are, and what each may see.

use crate::world::{World, user, who};
use parlance_plugin_api::{ConversationId, UserId, groups::Groups, record::Role};
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Debug, Clone)]
enum Step {
    Add(u8, Vec<u8>),
    Remove(u8, u8),
    Leave(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let number = || 1..8_u8;
    prop_oneof![
        3 => (number(), prop::collection::vec(number(), 1..4)).prop_map(|(by, who)| Step::Add(by, who)),
        2 => (number(), number()).prop_map(|(by, who)| Step::Remove(by, who)),
        1 => number().prop_map(Step::Leave),
    ]
}

/// Who is in, and who owns it.
struct Model {
    owner: Option<u8>,
    members: BTreeSet<u8>,
}

impl Model {
    /// Whether the call is allowed; then it is done.
    fn take(&mut self, step: &Step) -> bool {
        match step {
            Step::Add(by, users) if self.owner == Some(*by) => self.members.extend(users),
            Step::Remove(by, target) if by != target => {
                return self.owner == Some(*by) && self.members.remove(target);
            }
            Step::Leave(leaving) | Step::Remove(leaving, _) => return self.members.remove(leaving),
            Step::Add(..) => return false,
        }
        true
    }
}

async fn call(world: &World, group: ConversationId, step: &Step) -> bool {
    match step {
        Step::Add(by, users) => {
            world.groups.add(&who(*by), group, users.iter().copied().map(user).collect()).await.is_ok()
        }
        Step::Remove(by, target) => world.groups.remove(&who(*by), group, user(*target)).await.is_ok(),
        Step::Leave(leaving) => world.groups.leave(&who(*leaving), group).await.is_ok(),
    }
}

fn check(world: &World, group: ConversationId, model: &mut Model) {
    let members = world.members(group);
    let expected: BTreeSet<UserId> = model.members.iter().copied().map(user).collect();
    assert_eq!(members.keys().copied().collect::<BTreeSet<_>>(), expected);
    assert_eq!(world.record(group).members as usize, expected.len());
    let owners: Vec<u8> = members
        .iter()
        .filter(|(_, member)| member.role == Role::Owner as u32)
        .map(|(user, _)| user.0[0])
        .collect();
    assert_eq!(owners.len(), usize::from(!members.is_empty()), "one owner, always");
    if model.owner.is_none_or(|owner| !model.members.contains(&owner)) {
        model.owner = owners.first().copied();
    }
    assert_eq!(model.owner, owners.first().copied());
    let log = world.changes(group);
    for (user, member) in members {
        // Numbered from 1: the first entry that a member sees is its own addition, or the creation.
        let (action, _, whom) = &log[member.joined_seq as usize - 1];
        assert!(action == "group_created" || (action == "member_added" && *whom == user.0[0]), "{log:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn groups_do_what_the_model_does(steps in prop::collection::vec(step(), 1..32)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let group = world.groups.create(&who(1), "Model", None, vec![user(2)]).await.unwrap().id;
            let mut model = Model { owner: Some(1), members: BTreeSet::from([1, 2]) };
            for step in steps {
                world.clock.advance(1);
                let allowed = model.take(&step);
                assert_eq!(call(&world, group, &step).await, allowed, "{step:?}");
                check(&world, group, &mut model);
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn when_all_leave_at_once_all_are_gone_and_there_was_always_an_owner() {
    for _ in 0..20 {
        let world = World::new();
        let group =
            world.groups.create(&who(1), "Model", None, (2..=8).map(user).collect()).await.unwrap().id;
        let mut tasks = tokio::task::JoinSet::new();
        for number in 1..=8 {
            let groups = world.groups.clone();
            tasks.spawn(async move { groups.leave(&who(number), group).await });
        }
        tasks.join_all().await;
        // Whose heirs kept leaving was told to try again.
        for number in 1..=8 {
            if world.member(group, number).is_some() {
                world.groups.leave(&who(number), group).await.unwrap();
            }
        }
        assert_eq!(world.record(group).members, 0);
        assert_eq!(world.changes(group).len(), 9);
    }
}
