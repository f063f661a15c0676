//! Listings: my conversations with heads, positions and unread counts; the members of one; my devices.

use super::{
    error::ApiError,
    records::{self, or_default},
};
use parlance_plugin_api::{
    ConversationId, ConversationKind, UserId,
    identity::{Action, Directory, Principal},
    ledger::View,
    record::{
        ConversationRecord, DeviceRecord, MemberRecord, Role, decode, member_key, parse_member_key,
        prefix_end, user_conversation_key,
    },
    store::{Direction, Entry, Scan, StoreError, Table},
};
use parlance_schema::api::{Conversation, Conversations, Device, Devices, Member, Members};

/// Most conversations of a page.
pub const PAGE_CONVERSATIONS_MAX: u32 = 500;
/// How many without being asked.
pub const PAGE_CONVERSATIONS_DEFAULT: u32 = 100;
/// Most devices that are listed.
const DEVICES_MAX: usize = 1_000;

/// A page of the caller's conversations, in the order of their ids. Those that its credential may not read are left out.
pub fn conversations(
    view: &dyn View,
    directory: &dyn Directory,
    who: &Principal,
    after: Option<ConversationId>,
    limit: u32,
) -> Result<Conversations, ApiError> {
    let limit = limit.clamp(1, PAGE_CONVERSATIONS_MAX) as usize;
    let from = match after {
        Some(after) => prefix_end(&user_conversation_key(who.user, after)),
        None => who.user.0.to_vec(),
    };
    let ids = conversation_ids(view, who.user, from, limit + 1)?;
    let next = if ids.len() > limit { Some(ids[limit - 1]) } else { None };
    let mut page = Vec::with_capacity(ids.len().min(limit));
    for id in ids.into_iter().take(limit) {
        if who.allows(Action::Read, Some(id)) {
            page.extend(conversation(view, directory, who.user, id)?);
        }
    }
    Ok(Conversations { conversations: page, next })
}

/// The next ids of a user's index. A stretch may come short of its limit (damaged records are left out of it): the end
/// is where nothing comes.
fn conversation_ids(
    view: &dyn View,
    user: UserId,
    mut from: Vec<u8>,
    limit: usize,
) -> Result<Vec<ConversationId>, StoreError> {
    let to = prefix_end(&user.0);
    let mut ids = Vec::new();
    while ids.len() < limit {
        let entries = view.scan(Scan {
            table: Table::UserConversations,
            from: &from,
            to: &to,
            direction: Direction::Forward,
            limit: limit - ids.len(),
        })?;
        let Some((last, _)) = entries.last() else { break };
        from = last.to_vec();
        from.push(0);
        ids.extend(entries.iter().filter_map(|(key, _)| conversation_of(key)));
    }
    Ok(ids)
}

/// From the key of the index `user ‖ conversation`.
fn conversation_of(key: &[u8]) -> Option<ConversationId> {
    Some(ConversationId(key.get(16..)?.try_into().ok()?))
}

/// A conversation as its member sees it; `None` when it is no member any more.
fn conversation(
    view: &dyn View,
    directory: &dyn Directory,
    me: UserId,
    id: ConversationId,
) -> Result<Option<Conversation>, StoreError> {
    let Some(member) = or_default(records::member(view, id, me))? else { return Ok(None) };
    let record = or_default(records::conversation(view, id))?.unwrap_or_default();
    let cursor = or_default(records::cursor(view, id, me))?;
    let head = or_default(records::head(view, id))?;
    let (kind, name, handle) = called(&record, directory, me, id);
    Ok(Some(Conversation {
        id,
        kind: kind.to_owned(),
        name,
        handle,
        head: head.seq,
        joined_seq: member.joined_seq,
        delivered: cursor.delivered,
        read: cursor.read,
        unread: records::unread(head, member, cursor),
        time_ms: head.time_ms,
    }))
}

/// Kind, name and handle of a conversation, as `me` calls it.
fn called(
    record: &ConversationRecord,
    directory: &dyn Directory,
    me: UserId,
    id: ConversationId,
) -> (&'static str, String, Option<String>) {
    match id.kind() {
        ConversationKind::Group => {
            let handle = (!record.handle.is_empty()).then(|| record.handle.clone());
            ("group", record.name.clone(), handle)
        }
        ConversationKind::Direct => {
            let peer = records::other_peer(record, me);
            let handle = peer
                .and_then(|peer| directory.profile(peer))
                .map(|profile| profile.handle.as_str().to_owned());
            let name = handle.clone().or_else(|| peer.map(|peer| peer.to_string()));
            ("direct", name.unwrap_or_default(), handle)
        }
    }
}

/// Most members of a page.
pub const PAGE_MEMBERS_MAX: u32 = 1_000;
/// How many without being asked.
pub const PAGE_MEMBERS_DEFAULT: u32 = 500;

/// A page of the members of a conversation, in the order of their ids. `None`: the caller is not one of them.
pub fn members(
    view: &dyn View,
    directory: &dyn Directory,
    me: UserId,
    id: ConversationId,
    after: Option<UserId>,
    limit: u32,
) -> Result<Option<Members>, StoreError> {
    if records::member(view, id, me)?.is_none() {
        return Ok(None);
    }
    let limit = limit.clamp(1, PAGE_MEMBERS_MAX) as usize;
    let from = after.map_or_else(|| id.0.to_vec(), |after| prefix_end(&member_key(id, after)));
    let to = prefix_end(&id.0);
    let scan =
        Scan { table: Table::Members, from: &from, to: &to, direction: Direction::Forward, limit: limit + 1 };
    let mut found: Vec<(UserId, MemberRecord)> = view
        .scan(scan)?
        .into_iter()
        .filter_map(|(key, value)| Some((parse_member_key(&key)?.1, decode(value)?)))
        .collect();
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(user, _)| *user);
    let member = |(user, record): (UserId, MemberRecord)| {
        let cursor = or_default(records::cursor(view, id, user))?;
        Ok(Member {
            user,
            handle: directory
                .profile(user)
                .map(|profile| profile.handle.as_str().to_owned())
                .unwrap_or_default(),
            role: Role::from_number(record.role).as_str().to_owned(),
            joined_seq: record.joined_seq,
            delivered: cursor.delivered,
            read: cursor.read,
        })
    };
    let members = found.into_iter().map(member).collect::<Result<_, StoreError>>()?;
    Ok(Some(Members { conversation: id, members, next }))
}

/// The known devices of a user, newest first.
pub fn devices(
    view: &dyn View,
    user: UserId,
    is_online: impl Fn(&str) -> bool,
) -> Result<Devices, StoreError> {
    let entries = view.scan(Scan {
        table: Table::Devices,
        from: &user.0,
        to: &prefix_end(&user.0),
        direction: Direction::Forward,
        limit: DEVICES_MAX,
    })?;
    let device = |(_, value): Entry| {
        let record: DeviceRecord = decode(value)?;
        Some(Device {
            online: is_online(&record.client_id),
            client_id: record.client_id,
            created_ms: record.created_ms,
            last_seen_ms: record.last_seen_ms,
        })
    };
    let mut devices: Vec<Device> = entries.into_iter().filter_map(device).collect();
    devices.sort_by_key(|device| std::cmp::Reverse(device.created_ms));
    Ok(Devices { devices })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::World;
    use parlance_plugin_api::{
        identity::{Scope, Scopes},
        record::{DeviceId, device_key, member_key},
    };

    #[test]
    fn unread_counts_from_what_was_read_or_joined() {
        let mut world = World::default();
        let (alice, bob) = (world.user("alice"), world.user("bob"));
        let group = world.group("team", &[(alice, 4), (bob, 1)]);
        world.log(group, bob, 10, 0);
        let who = world.principal(alice);
        let get =
            |world: &World| conversations(world, world, &who, None, 10).unwrap().conversations.remove(0);
        assert_eq!((get(&world).unread, get(&world).joined_seq), (7, 4));
        world.read_up_to(group, alice, 9);
        let seen = get(&world);
        assert_eq!((seen.unread, seen.read, seen.head, seen.time_ms), (1, 9, 10, 10));
        assert_eq!(
            (seen.kind, seen.name, seen.handle),
            ("group".into(), "The team".into(), Some("team".into()))
        );
        world.read_up_to(group, alice, 11);
        assert_eq!(get(&world).unread, 0);
    }

    #[test]
    fn pages_join_and_scopes_leave_out() {
        let mut world = World::default();
        let alice = world.user("alice");
        let peers: Vec<UserId> = (0..5).map(|n| world.user(&format!("peer{n}"))).collect();
        let mut ids: Vec<ConversationId> = peers.iter().map(|peer| world.direct(alice, *peer)).collect();
        ids.sort();
        let mut who = world.principal(alice);
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page = conversations(&world, &world, &who, after, 2).unwrap();
            seen.extend(page.conversations.iter().map(|conversation| conversation.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, ids);
        who.scopes = Scopes::Only([Scope { action: Action::Read, conversation: Some(ids[3]) }].into());
        let page = conversations(&world, &world, &who, None, 10).unwrap();
        assert_eq!(page.conversations.len(), 1);
        assert!(page.conversations[0].name.starts_with("peer"));
    }

    #[test]
    fn a_damaged_record_does_not_hide_the_other_conversations() {
        let mut world = World::default();
        let (alice, bob, carol) = (world.user("alice"), world.user("bob"), world.user("carol"));
        let (with_bob, with_carol) = (world.direct(alice, bob), world.direct(alice, carol));
        world.damage(Table::Members, &member_key(with_bob, alice));
        world.damage(Table::Cursors, &member_key(with_carol, alice));
        let page = conversations(&world, &world, &world.principal(alice), None, 10).unwrap();
        let ids: Vec<ConversationId> =
            page.conversations.iter().map(|conversation| conversation.id).collect();
        assert_eq!(ids, [with_carol]);
    }

    #[test]
    fn members_are_told_to_members_only() {
        let mut world = World::default();
        let (alice, bob, mallory) = (world.user("alice"), world.user("bob"), world.user("mallory"));
        let group = world.group("team", &[(bob, 5), (alice, 1)]);
        world.read_up_to(group, bob, 6);
        let members_of = |me| members(&world, &world, me, group, None, PAGE_MEMBERS_DEFAULT).unwrap();
        let handles: Vec<String> =
            members_of(alice).unwrap().members.into_iter().map(|member| member.handle).collect();
        assert_eq!(handles, ["alice", "bob"]);
        assert_eq!(members_of(bob).unwrap().members[1].read, 6);
        assert_eq!(members_of(mallory), None);
    }

    #[test]
    fn a_crowd_is_read_in_pages() {
        let mut world = World::default();
        let mut all: Vec<(UserId, u64)> = (1..=2_100).map(|seq| (UserId::fresh(), seq)).collect();
        let group = world.group("crowd", &all);
        let (mut users, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = members(&world, &world, all[0].0, group, after, PAGE_MEMBERS_MAX).unwrap().unwrap();
            users.extend(page.members.into_iter().map(|member| member.user));
            (after, pages) = (page.next, pages + 1);
            if after.is_none() {
                break;
            }
        }
        all.sort();
        assert_eq!((users, pages), (all.into_iter().map(|(user, _)| user).collect(), 3));
    }

    #[test]
    fn devices_are_newest_first_and_only_mine() {
        let mut world = World::default();
        let (alice, bob) = (world.user("alice"), world.user("bob"));
        for (user, id, created_ms) in [(alice, 1, 10), (alice, 2, 30), (alice, 3, 20), (bob, 4, 40)] {
            let record =
                DeviceRecord { client_id: format!("device-{id}"), created_ms, last_seen_ms: created_ms };
            world.put(Table::Devices, &device_key(user, DeviceId([id; 16])), &record);
        }
        let list = devices(&world, alice, |client_id| client_id == "device-3").unwrap().devices;
        let seen: Vec<(&str, bool)> = list.iter().map(|d| (d.client_id.as_str(), d.online)).collect();
        assert_eq!(seen, [("device-2", false), ("device-3", true), ("device-1", false)]);
    }
}
