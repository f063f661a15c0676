//! Groups, and users who are there because they were named.

use parlance_groups::{GroupLimits, GroupPlugin};
use parlance_plugin_api::{
    ConversationId, Handle, UserId,
    identity::{AccountKind, Directory, Named, Principal, Profile, Scopes},
    ledger::{View, read},
    record::{ConversationRecord, LogRecord, MemberRecord, decode, member_key, parse_member_key},
    store::Table,
    testing::{ManualClock, MemoryLedger, PlainVault},
};
use std::{collections::BTreeMap, sync::Arc};

/// Users 1 to 254 exist; 200 is disabled.
pub(crate) struct Users;

pub(crate) const DISABLED: u8 = 200;

pub(crate) fn user(number: u8) -> UserId {
    UserId([number; 16])
}

impl Directory for Users {
    fn resolve(&self, _: &Handle) -> Option<Named> {
        None
    }

    fn profile(&self, user: UserId) -> Option<Arc<Profile>> {
        let number = user.0[0];
        let handle = format!("user{number}").parse().unwrap();
        let profile = Profile { handle, kind: AccountKind::Person, disabled: number == DISABLED };
        (1..=254).contains(&number).then(|| Arc::new(profile))
    }
}

pub(crate) fn principal(user: UserId) -> Principal {
    Principal {
        user,
        handle: "somebody".parse().unwrap(),
        kind: AccountKind::Person,
        scopes: Scopes::Everything,
        credential: None,
        bound_client_id: None,
        expires_ms: None,
        epoch: None,
    }
}

pub(crate) fn who(number: u8) -> Principal {
    principal(user(number))
}

pub(crate) fn operator() -> Principal {
    Principal { kind: AccountKind::Admin, ..principal(UserId([0; 16])) }
}

pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) groups: Arc<GroupPlugin>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(GroupLimits::default())
    }

    pub(crate) fn with(limits: GroupLimits) -> Self {
        let clock = ManualClock::at(1_800_000_000_000);
        let ledger = Arc::new(MemoryLedger::new(clock.clone()));
        let groups = GroupPlugin::new(ledger.clone(), Arc::new(PlainVault), Arc::new(Users), limits);
        Self { clock, ledger, groups: Arc::new(groups) }
    }

    pub(crate) fn record(&self, group: ConversationId) -> ConversationRecord {
        read(&*self.ledger, Table::Conversations, &group.0).unwrap().unwrap()
    }

    pub(crate) fn members(&self, group: ConversationId) -> BTreeMap<UserId, MemberRecord> {
        let rows = self.ledger.table(Table::Members).into_iter();
        rows.filter_map(|(key, value)| {
            let (of, user) = parse_member_key(&key)?;
            (of == group).then_some((user, decode(value)?))
        })
        .collect()
    }

    pub(crate) fn member(&self, group: ConversationId, number: u8) -> Option<MemberRecord> {
        let value = self.ledger.get(Table::Members, &member_key(group, user(number))).unwrap();
        value.and_then(decode)
    }

    /// The log as (action, who did it, whom it concerns).
    pub(crate) fn changes(&self, group: ConversationId) -> Vec<(String, u8, u8)> {
        let told = |entry: LogRecord| {
            let change = entry.change.unwrap();
            (change.action, entry.sender[0], change.user[0])
        };
        self.ledger.log(group).into_iter().map(told).collect()
    }
}
