//! Forgetting what nobody needs any more: message ids after their time, sessions and retained messages that have expired.
//!
//! A slow walk over three tables, a page at a time, all day long: its cost does not depend on how much expires at once.

use crate::{
    context::Context,
    hub::Hub,
    ledger::{Command, now_ms},
    places, sessions,
};
use bytes::Bytes;
use parlance_mqtt::TopicName;
use parlance_plugin_api::{
    UserId,
    ledger::{Transaction, View, transact},
    record::{self, DeviceId, FreeRecord, IdRecord, SessionKey, SessionRecord},
    store::{Direction, Scan, StoreError, Table},
};
use prost::Message as _;
use std::{sync::Arc, time::Duration};

/// How long a message id is remembered, milliseconds: 30 days are promised, this is a little more.
const ID_LIFE_MS: u64 = 32 * 24 * 3600 * 1000;
/// Records looked at in one step.
const PAGE: usize = 1000;
/// Rest between two steps.
const STEP_REST: Duration = Duration::from_secs(1);
/// Rest after a whole walk.
const WALK_REST: Duration = Duration::from_secs(3600);

/// Walks until the server stops.
pub(crate) async fn run(context: Arc<Context>) {
    loop {
        for table in [Table::Ids, Table::Sessions, Table::Retained] {
            walk(&context, table).await;
        }
        tokio::time::sleep(WALK_REST).await;
    }
}

async fn walk(context: &Context, table: Table) {
    let mut from = Vec::new();
    loop {
        match step(context, table, &from).await {
            Ok(Some(next)) => from = next,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%table, %error, "expired records were not looked for; the next walk does");
                return;
            }
        }
        tokio::time::sleep(STEP_REST).await;
    }
}

/// Deletes what has expired in one page; answers where the next begins.
async fn step(context: &Context, table: Table, from: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let now = now_ms();
    let scan = Scan { table, from, to: &[], direction: Direction::Forward, limit: PAGE };
    let page = context.ledger.scan(scan)?;
    let Some((last, _)) = page.last() else { return Ok(None) };
    let mut next = last.to_vec();
    next.push(0);
    if table == Table::Retained {
        expire_retained(context, page, now).await;
        return Ok(Some(next));
    }
    let hub = context.hub.clone();
    let end_abandoned = move |key: &[u8], value: &Bytes| abandoned(table, &hub, key, value, now);
    let due: Vec<Bytes> = page
        .into_iter()
        .filter(|(key, value)| is_expired(table, value, now) || end_abandoned(key, value).is_some())
        .map(|(key, _)| key)
        .collect();
    if due.is_empty() {
        return Ok(Some(next));
    }
    metrics::counter!("parlance_expired_records_total", "table" => table.name()).increment(due.len() as u64);
    let delete = move |tx: &mut dyn Transaction| -> Result<Vec<Bytes>, StoreError> {
        let mut deleted = Vec::new();
        for key in due {
            // Looked at again where it is decided: it may have been renewed since.
            let Some(value) = tx.get(table, &key)? else { continue };
            if is_expired(table, &value, now) {
                tx.delete(table, &key);
                deleted.push(key);
            } else if let Some(session) = end_abandoned(&key, &value) {
                tx.put(table, &key, &session.encode_to_vec());
            }
        }
        Ok(deleted)
    };
    match transact(&*context.ledger, delete).await {
        Ok(deleted) if table == Table::Sessions => {
            for session in deleted.iter().filter_map(|key| SessionKey::parse(key)) {
                places::clear_away(context, session).await;
            }
        }
        Ok(_) => {}
        Err(error) => {
            tracing::warn!(%table, %error, "expired records were not deleted; the next walk does");
        }
    }
    Ok(Some(next))
}

/// Tells the ledger, which has them in memory too, which retained messages are over.
async fn expire_retained(context: &Context, page: Vec<(Bytes, Bytes)>, now: u64) {
    let due: Vec<TopicName> = page.into_iter().filter_map(|(_, value)| expired_topic(value, now)).collect();
    if due.is_empty() {
        return;
    }
    let table = Table::Retained;
    metrics::counter!("parlance_expired_records_total", "table" => table.name()).increment(due.len() as u64);
    // It fails only when the ledger stops.
    let _ = context.ledger.push(Command::ExpireRetained(due)).await;
}

fn expired_topic(value: Bytes, now: u64) -> Option<TopicName> {
    let record: FreeRecord = record::decode(value)?;
    record.expires_ms().filter(|at| *at <= now)?;
    record.topic_name().ok()
}

/// A session whose connection ended together with the server that would have written it down: its time begins now.
fn abandoned(table: Table, hub: &Hub, key: &[u8], value: &Bytes, now: u64) -> Option<SessionRecord> {
    if table != Table::Sessions {
        return None;
    }
    let session: SessionRecord =
        record::decode(value.clone()).filter(|session: &SessionRecord| session.ended_ms == 0)?;
    let (user, device) = key.split_at_checked(16)?;
    let (user, device) = (UserId(user.try_into().ok()?), DeviceId(device.try_into().ok()?));
    // A device takes its place in the hub before its session is opened.
    let connected = hub.peers(user).iter().any(|peer| peer.device == device);
    // Nobody wrote down what was sent: all of it may have been.
    (!connected).then_some(SessionRecord { ended_ms: now, queue_sent: u64::MAX, ..session })
}

fn is_expired(table: Table, value: &Bytes, now: u64) -> bool {
    match table {
        Table::Ids => record::decode::<IdRecord>(value.clone())
            .is_some_and(|record| record.time_ms.saturating_add(ID_LIFE_MS) < now),
        Table::Sessions => record::decode::<SessionRecord>(value.clone())
            .is_some_and(|session| sessions::is_over(&session, now)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_plugin_api::record::device_key;
    use std::num::NonZeroUsize;

    fn entry(value: Vec<u8>) -> Bytes {
        value.into()
    }

    fn expired_of(table: Table, entries: &[Bytes], now: u64) -> usize {
        entries.iter().filter(|value| is_expired(table, value, now)).count()
    }

    #[test]
    fn ids_are_remembered_for_their_life() {
        let at = |time_ms| entry(IdRecord { time_ms, ..IdRecord::default() }.encode_to_vec());
        let entries = [at(0), at(1_000)];
        assert_eq!(expired_of(Table::Ids, &entries, ID_LIFE_MS), 0);
        assert_eq!(expired_of(Table::Ids, &entries, ID_LIFE_MS + 500), 1);
    }

    #[test]
    fn a_retained_message_expires_at_its_time_and_one_without_never() {
        let retained = |expiry_s| {
            let record =
                FreeRecord { topic: "a/b".into(), time_ms: 1_000, expiry_s, ..FreeRecord::default() };
            entry(record.encode_to_vec())
        };
        assert_eq!(expired_topic(retained(Some(1)), 1_999), None);
        assert_eq!(expired_topic(retained(Some(1)), 2_000).unwrap().as_str(), "a/b");
        assert_eq!(expired_topic(retained(None), u64::MAX), None);
    }

    #[test]
    fn a_session_expires_after_its_connection_not_during_it() {
        let session = |ended_ms, expiry_s| {
            entry(SessionRecord { ended_ms, expiry_s, ..SessionRecord::default() }.encode_to_vec())
        };
        let entries = [session(0, 10), session(1_000, 10), session(1_000, u32::MAX)];
        assert_eq!(expired_of(Table::Sessions, &entries, 11_000), 1);
        assert_eq!(expired_of(Table::Sessions, &entries, 10_999), 0);
    }

    #[test]
    fn a_session_that_a_crash_left_open_begins_to_expire() {
        let hub = Hub::new(NonZeroUsize::MIN);
        let key = device_key(UserId([1; 16]), DeviceId([2; 16]));
        let open = entry(SessionRecord { expiry_s: 10, ..SessionRecord::default() }.encode_to_vec());
        let ended = abandoned(Table::Sessions, &hub, &key, &open, 5_000).unwrap();
        assert_eq!((ended.ended_ms, ended.expiry_s), (5_000, 10));
        let closed = entry(ended.encode_to_vec());
        assert_eq!(abandoned(Table::Sessions, &hub, &key, &closed, 6_000), None);
    }
}
