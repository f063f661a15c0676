//! Typed point reads of the records that the methods need.

use parlance_plugin_api::{
    ConversationId, UserId,
    ledger::View,
    record::{
        ConversationRecord, CursorRecord, HeadRecord, MemberRecord, conversation_key, decode, member_key,
    },
    store::{StoreError, Table},
};

/// The record of a key, if there is one.
fn read<T: prost::Message + Default>(
    view: &dyn View,
    table: Table,
    key: &[u8],
) -> Result<Option<T>, StoreError> {
    let Some(value) = view.get(table, key)? else { return Ok(None) };
    let damaged = || StoreError::Damaged {
        table,
        key: bytes::Bytes::copy_from_slice(key),
        problem: "the value is no record of this kind",
    };
    decode(value).map(Some).ok_or_else(damaged)
}

/// A membership that holds now.
pub(crate) fn member(
    view: &dyn View,
    conversation: ConversationId,
    user: UserId,
) -> Result<Option<MemberRecord>, StoreError> {
    read(view, Table::Members, &member_key(conversation, user))
}

/// The newest entry of a conversation; seq 0 when there is none. Where its record is damaged, the log itself is asked.
pub(crate) fn head(view: &dyn View, conversation: ConversationId) -> Result<HeadRecord, StoreError> {
    match read(view, Table::Heads, &conversation_key(conversation)) {
        Ok(head) => Ok(head.unwrap_or_default()),
        Err(StoreError::Damaged { .. }) => {
            Ok(HeadRecord { seq: crate::ledger::head(view, conversation)?, time_ms: 0 })
        }
        Err(error) => Err(error),
    }
}

/// How far a member has come.
pub(crate) fn cursor(
    view: &dyn View,
    conversation: ConversationId,
    user: UserId,
) -> Result<CursorRecord, StoreError> {
    Ok(read(view, Table::Cursors, &member_key(conversation, user))?.unwrap_or_default())
}

/// What a conversation is.
pub(crate) fn conversation(
    view: &dyn View,
    conversation: ConversationId,
) -> Result<Option<ConversationRecord>, StoreError> {
    read(view, Table::Conversations, &conversation_key(conversation))
}

/// A damaged record must not stop the rest of a listing: it counts as the default. (The view has reported it.)
pub(crate) fn or_default<T: Default>(result: Result<T, StoreError>) -> Result<T, StoreError> {
    match result {
        Err(StoreError::Damaged { .. }) => Ok(T::default()),
        other => other,
    }
}

/// How many entries a member has not read. Whoever writes has read up to there; nobody owes what was before it joined.
pub(crate) fn unread(head: HeadRecord, member: MemberRecord, cursor: CursorRecord) -> u64 {
    head.seq.saturating_sub(cursor.read.max(member.joined_seq.saturating_sub(1)))
}

/// The two users of a direct conversation, seen from one of them: the other one (oneself for notes to self).
/// `None`: it is not one of this user's.
pub(crate) fn other_peer(record: &ConversationRecord, me: UserId) -> Option<UserId> {
    let peers: Vec<UserId> =
        record.peers.iter().filter_map(|peer| Some(UserId(peer.as_slice().try_into().ok()?))).collect();
    if !peers.contains(&me) {
        return None;
    }
    Some(peers.into_iter().find(|peer| *peer != me).unwrap_or(me))
}
