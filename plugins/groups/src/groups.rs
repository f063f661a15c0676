//! [`Groups`]: each call is one transaction.

use crate::{
    change::{self, Action as Change, Open},
    succession::{self, Succession},
};
use async_trait::async_trait;
use parlance_plugin_api::{
    ConversationId, Handle, UserId,
    groups::{GroupError, Groups},
    identity::{AccountKind, Action, Directory, Named, Principal},
    ledger::{Ledger, LedgerError, TransactError, Transaction, transact},
    record::{ConversationRecord, NameRecord, Role, handle_pseudonym, member_key},
    store::{Table, Vault},
};
use parlance_schema::api;
use prost::Message;
use std::{collections::HashSet, sync::Arc};

/// Most characters of a group's name.
const NAME_CHARS_MAX: usize = 100;
/// How often a leaving owner's heir is chosen again when it left meanwhile.
const SUCCESSION_TRIES: usize = 5;

/// How large groups and calls may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupLimits {
    /// Members of a group.
    pub members_max: u32,
    /// Users in one call: it is one transaction, and messages wait for it.
    pub batch_max: usize,
}

impl Default for GroupLimits {
    fn default() -> Self {
        Self { members_max: 100_000, batch_max: 2_000 }
    }
}

/// The groups port over a ledger.
pub struct GroupPlugin {
    ledger: Arc<dyn Ledger>,
    vault: Arc<dyn Vault>,
    directory: Arc<dyn Directory>,
    limits: GroupLimits,
}

impl GroupPlugin {
    /// Opens it over a ledger.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        vault: Arc<dyn Vault>,
        directory: Arc<dyn Directory>,
        limits: GroupLimits,
    ) -> Self {
        Self { ledger, vault, directory, limits }
    }

    async fn transact<T, F>(&self, decide: F) -> Result<T, GroupError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Transaction) -> Result<T, GroupError> + Send + 'static,
    {
        transact(&*self.ledger, decide).await.map_err(|error| match error {
            TransactError::Ledger(error) => GroupError::Ledger(error),
            TransactError::Refused(error) => error,
        })
    }

    /// Each user once, in the order given; all must exist and be able to take part.
    fn check_users(&self, users: Vec<UserId>) -> Result<Vec<UserId>, GroupError> {
        if users.len() > self.limits.batch_max {
            return Err(GroupError::BatchTooLarge(self.limits.batch_max));
        }
        let mut seen = HashSet::with_capacity(users.len());
        let once: Vec<UserId> = users.into_iter().filter(|user| seen.insert(*user)).collect();
        for user in &once {
            if self.directory.profile(*user).is_none_or(|profile| profile.disabled) {
                return Err(GroupError::UnknownUser(user.to_string()));
            }
        }
        Ok(once)
    }

    /// How a user is named in an error.
    fn name_of(&self, user: UserId) -> String {
        self.directory
            .profile(user)
            .map_or_else(|| user.to_string(), |profile| format!("@{}", profile.handle))
    }
}

fn check_scope(who: &Principal, group: Option<ConversationId>) -> Result<(), GroupError> {
    if who.allows(Action::ManageGroups, group) { Ok(()) } else { Err(GroupError::NotAllowed) }
}

fn check_name(name: &str) -> Result<String, GroupError> {
    let name = name.trim();
    let good = (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if good { Ok(name.to_owned()) } else { Err(GroupError::BadName) }
}

/// A group about to be made.
struct NewGroup {
    id: ConversationId,
    name: String,
    handle: Option<(Handle, [u8; 32])>,
    owner: UserId,
    /// Without the owner.
    members: Vec<UserId>,
}

impl NewGroup {
    fn create(self, tx: &mut dyn Transaction) -> Result<api::Group, GroupError> {
        let Self { id, name, handle, owner, members } = self;
        let count = 1 + u32::try_from(members.len()).unwrap_or(u32::MAX);
        if let Some((_, key)) = &handle {
            if tx.get(Table::Names, key).map_err(LedgerError::from)?.is_some() {
                return Err(GroupError::HandleTaken);
            }
            tx.put(Table::Names, key, &NameRecord::from(Named::Group(id)).encode_to_vec());
        }
        let handle = handle.map(|(handle, _)| handle.as_str().to_owned());
        let record = ConversationRecord {
            name: name.clone(),
            handle: handle.clone().unwrap_or_default(),
            created_ms: tx.now(),
            peers: Vec::new(),
            members: count,
        };
        tx.put(Table::Conversations, &id.0, &record.encode_to_vec());
        tx.add_member(id, owner, Role::Owner as u32).map_err(LedgerError::from)?;
        for member in members {
            tx.add_member(id, member, Role::Member as u32).map_err(LedgerError::from)?;
        }
        // After its first members, so that it is the first entry that each of them sees.
        change::append(tx, id, Change::Created, owner, owner, &name)?;
        Ok(api::Group { id, name, handle, members: count })
    }
}

#[async_trait]
impl Groups for GroupPlugin {
    /// The operator is no member: when it creates a group, the first member becomes owner.
    async fn create(
        &self,
        who: &Principal,
        name: &str,
        handle: Option<&str>,
        members: Vec<UserId>,
    ) -> Result<api::Group, GroupError> {
        check_scope(who, None)?;
        let name = check_name(name)?;
        let handle: Option<Handle> = handle.map(str::parse).transpose()?;
        let mut members = self.check_users(members)?;
        let owner = match who.kind {
            AccountKind::Admin => *members.first().ok_or(GroupError::NotAllowed)?,
            AccountKind::Person | AccountKind::Service => who.user,
            AccountKind::Anonymous => return Err(GroupError::NotAllowed),
        };
        members.retain(|member| *member != owner);
        if members.len() >= self.limits.members_max as usize {
            return Err(GroupError::TooMany(self.limits.members_max));
        }
        let handle = handle.map(|handle| {
            let key = handle_pseudonym(&*self.vault, &handle);
            (handle, key)
        });
        let new = NewGroup { id: ConversationId::fresh_group(), name, handle, owner, members };
        self.transact(move |tx| new.create(tx)).await
    }

    async fn add(
        &self,
        who: &Principal,
        group: ConversationId,
        users: Vec<UserId>,
    ) -> Result<api::MembersAdded, GroupError> {
        check_scope(who, Some(group))?;
        let users = self.check_users(users);
        let (who, members_max) = (who.clone(), self.limits.members_max);
        let decide = move |tx: &mut dyn Transaction| {
            let open = Open::find(tx, group)?;
            change::require_manager(tx, &who, group)?;
            // Only now: who is no member learns nothing of the users it named.
            let users = users?;
            let (mut added, mut already) = (Vec::new(), Vec::new());
            for user in users {
                if !tx.add_member(group, user, Role::Member as u32).map_err(LedgerError::from)? {
                    already.push(user);
                    continue;
                }
                // After the addition, so that it is the first entry that the added one sees.
                change::append(tx, group, Change::Added, who.user, user, "")?;
                added.push(user);
            }
            let count = open.record.members.saturating_add(u32::try_from(added.len()).unwrap_or(u32::MAX));
            if count > members_max {
                return Err(GroupError::TooMany(members_max));
            }
            open.count(tx, group, count);
            Ok(api::MembersAdded { added, already })
        };
        self.transact(decide).await
    }

    /// Removing oneself is leaving.
    async fn remove(
        &self,
        who: &Principal,
        group: ConversationId,
        user: UserId,
    ) -> Result<api::Done, GroupError> {
        check_scope(who, Some(group))?;
        if user == who.user {
            return self.leave(who, group).await;
        }
        let (who, name) = (who.clone(), self.name_of(user));
        let decide = move |tx: &mut dyn Transaction| {
            let open = Open::find(tx, group)?;
            change::require_manager(tx, &who, group)?;
            let target = change::member(tx, group, user)?.ok_or(GroupError::NotMember(name))?;
            if Role::from_number(target.role) == Role::Owner {
                return Err(GroupError::NotAllowed);
            }
            tx.remove_member(group, user).map_err(LedgerError::from)?;
            // After the removal, so that the removed one does not get it.
            change::append(tx, group, Change::Removed, who.user, user, "")?;
            let count = open.record.members.saturating_sub(1);
            open.count(tx, group, count);
            Ok(api::Done {})
        };
        self.transact(decide).await
    }

    async fn leave(&self, who: &Principal, group: ConversationId) -> Result<api::Done, GroupError> {
        check_scope(who, Some(group))?;
        let user = who.user;
        // Only an owner's leaving needs an heir, and choosing one reads every member: outside of the transaction,
        // which checks that the choice still stands.
        let mut chosen = None;
        for _ in 0..SUCCESSION_TRIES {
            match self.transact(move |tx| leave(tx, group, user, chosen)).await? {
                Left::Done => return Ok(api::Done {}),
                Left::ChooseHeir => chosen = Some(self.choose_heir(group, user).await?),
            }
        }
        Err(LedgerError::Busy.into())
    }
}

impl GroupPlugin {
    async fn choose_heir(&self, group: ConversationId, leaving: UserId) -> Result<Succession, GroupError> {
        let ledger = self.ledger.clone();
        let find = move || succession::find(&*ledger, group, leaving);
        let found = tokio::task::spawn_blocking(find).await;
        Ok(found.map_err(|_| LedgerError::Stopping)??)
    }
}

/// Whether a member left, or an heir must be chosen first.
enum Left {
    Done,
    ChooseHeir,
}

fn leave(
    tx: &mut dyn Transaction,
    group: ConversationId,
    user: UserId,
    chosen: Option<Succession>,
) -> Result<Left, GroupError> {
    let open = Open::find(tx, group)?;
    let leaving = change::member(tx, group, user)?.ok_or(GroupError::NotFound)?;
    if Role::from_number(leaving.role) == Role::Owner && !succeed(tx, group, &open, chosen)? {
        return Ok(Left::ChooseHeir);
    }
    tx.remove_member(group, user).map_err(LedgerError::from)?;
    change::append(tx, group, Change::Left, user, user, "")?;
    let count = open.record.members.saturating_sub(1);
    open.count(tx, group, count);
    Ok(Left::Done)
}

/// Makes the chosen heir the owner. `false`: the choice does not stand (any more), choose again. Those who joined since
/// the choice do not matter: they have been members for less long.
fn succeed(
    tx: &mut dyn Transaction,
    group: ConversationId,
    open: &Open,
    chosen: Option<Succession>,
) -> Result<bool, GroupError> {
    match chosen {
        None | Some(Succession::Nobody) => Ok(open.record.members == 1),
        Some(Succession::Heir { user, role }) => {
            let Some(mut heir) = change::member(tx, group, user)? else { return Ok(false) };
            if Role::from_number(heir.role) != role {
                return Ok(false);
            }
            heir.role = Role::Owner as u32;
            tx.put(Table::Members, &member_key(group, user), &heir.encode_to_vec());
            Ok(true)
        }
    }
}
