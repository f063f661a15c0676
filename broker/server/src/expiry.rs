//! Forgetting what nobody needs any more: message ids after their time, sessions that have expired.
//!
//! A slow walk over two tables, a page at a time, all day long: its cost does not depend on how much expires at once.

use crate::{context::Context, ledger::now_ms, sessions};
use bytes::Bytes;
use parlance_plugin_api::{
    ledger::{Transaction, View, transact},
    record::{self, IdRecord, SessionRecord},
    store::{Direction, Scan, StoreError, Table},
};
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
        for table in [Table::Ids, Table::Sessions] {
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
    let expired: Vec<Bytes> =
        page.into_iter().filter(|(_, value)| is_expired(table, value, now)).map(|(key, _)| key).collect();
    if expired.is_empty() {
        return Ok(Some(next));
    }
    metrics::counter!("parlance_expired_records_total", "table" => table.name())
        .increment(expired.len() as u64);
    let delete = move |tx: &mut dyn Transaction| -> Result<(), StoreError> {
        for key in expired {
            // Looked at again where it is decided: it may have been renewed since.
            if tx.get(table, &key)?.is_some_and(|value| is_expired(table, &value, now)) {
                tx.delete(table, &key);
            }
        }
        Ok(())
    };
    if let Err(error) = transact(&*context.ledger, delete).await {
        tracing::warn!(%table, %error, "expired records were not deleted; the next walk does");
    }
    Ok(Some(next))
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
    use prost::Message as _;

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
    fn a_session_expires_after_its_connection_not_during_it() {
        let session = |ended_ms, expiry_s| {
            entry(SessionRecord { ended_ms, expiry_s, ..SessionRecord::default() }.encode_to_vec())
        };
        let entries = [session(0, 10), session(1_000, 10), session(1_000, u32::MAX)];
        assert_eq!(expired_of(Table::Sessions, &entries, 11_000), 1);
        assert_eq!(expired_of(Table::Sessions, &entries, 10_999), 0);
    }
}
