//! Groups. Names are resolved here; who may do what is for the groups plugin to say.

use super::{ApiError, Caller, address::Resolver, permit};
use crate::context::Context;
use parlance_plugin_api::{UserId, identity::Action};
use parlance_schema::api::{
    AddMembersRequest, CreateGroupRequest, Done, Group, LeaveGroupRequest, MembersAdded, RemoveMemberRequest,
};
use std::collections::HashSet;

/// Most users named in one call.
const USERS_PER_CALL_MAX: usize = 1_000;

/// A resolver for the caller.
fn resolver<'a>(context: &'a Context, caller: Caller<'a>) -> Result<Resolver<'a>, ApiError> {
    Ok(Resolver::new(&*context.ledger, &*context.directory, caller.who()?))
}

pub(super) async fn create(
    context: &Context,
    caller: Caller<'_>,
    request: CreateGroupRequest,
) -> Result<Group, ApiError> {
    let who = caller.who()?;
    permit(who, Action::ManageGroups)?;
    let members = users(resolver(context, caller)?, &request.members, "members")?;
    Ok(context.groups.create(who, &request.name, request.handle.as_deref(), members).await?)
}

pub(super) async fn add(
    context: &Context,
    caller: Caller<'_>,
    request: AddMembersRequest,
) -> Result<MembersAdded, ApiError> {
    let group = resolver(context, caller)?.group(&request.group)?;
    let users = users(resolver(context, caller)?, &request.users, "users")?;
    Ok(context.groups.add(caller.who()?, group, users).await?)
}

pub(super) async fn remove(
    context: &Context,
    caller: Caller<'_>,
    request: RemoveMemberRequest,
) -> Result<Done, ApiError> {
    let group = resolver(context, caller)?.group(&request.group)?;
    let user = resolver(context, caller)?.user(&request.user)?;
    Ok(context.groups.remove(caller.who()?, group, user).await?)
}

pub(super) async fn leave(
    context: &Context,
    caller: Caller<'_>,
    request: LeaveGroupRequest,
) -> Result<Done, ApiError> {
    let group = resolver(context, caller)?.group(&request.group)?;
    Ok(context.groups.leave(caller.who()?, group).await?)
}

/// Each user once, in the order named.
fn users(resolver: Resolver<'_>, named: &[String], field: &'static str) -> Result<Vec<UserId>, ApiError> {
    if named.len() > USERS_PER_CALL_MAX {
        return Err(ApiError::Field { field, expected: "at most 1,000 in one call" });
    }
    let mut seen = HashSet::new();
    let mut users = Vec::with_capacity(named.len());
    for name in named {
        let user = resolver.enabled_user(name)?;
        if seen.insert(user) {
            users.push(user);
        }
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Code, testing::World};

    #[test]
    fn each_user_once_and_not_too_many() {
        let mut world = World::default();
        let (alice, bob) = (world.user("alice"), world.user("bob"));
        let who = world.principal(alice);
        let resolver = Resolver::new(&world, &world, &who);
        let named = ["@bob".to_owned(), bob.to_string(), "alice".to_owned()];
        assert_eq!(users(resolver, &named, "users").unwrap(), [bob, alice]);
        let unknown = users(resolver, &["@nobody".to_owned()], "users").unwrap_err();
        assert_eq!(unknown.code(), Code::UnknownRecipient);
        let many = vec!["@bob".to_owned(); USERS_PER_CALL_MAX + 1];
        assert_eq!(users(resolver, &many, "users").unwrap_err().code(), Code::BadRequest);
    }
}
