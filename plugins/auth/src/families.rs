//! Token families in transactions: begin, rotate, end. A family exists exactly while its session does.

use crate::{
    record::{FamilyRecord, Index, index_key, index_prefix, parse_index_key},
    secret,
    token::Refresh,
};
use parlance_plugin_api::{
    UnixMillis, UserId,
    event::Event,
    identity::CredentialId,
    ledger::{LedgerError, Transaction, View, read},
    record::prefix_end,
    store::{Direction, Scan, Table},
};
use prost::Message;

/// Entries of one kind of index that are read at most: all limits are below it.
const SCAN_MAX: usize = 2_048;

/// The ids behind one kind of index of a user, oldest first.
pub(crate) fn indexed(view: &dyn View, user: UserId, index: Index) -> Result<Vec<[u8; 16]>, LedgerError> {
    let from = index_prefix(user, index);
    let to = prefix_end(&from);
    let scan = Scan {
        table: Table::UserIndex,
        from: &from,
        to: &to,
        direction: Direction::Forward,
        limit: SCAN_MAX,
    };
    Ok(view.scan(scan)?.into_iter().filter_map(|(key, _)| parse_index_key(&key)).collect())
}

/// How sessions are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionRules {
    /// Life of a refresh token, milliseconds.
    pub(crate) ttl_ms: u64,
    /// Sessions of one user.
    pub(crate) per_user_max: usize,
}

/// Begins a session. Returns when its refresh token expires.
pub(crate) fn begin(
    tx: &mut dyn Transaction,
    user: UserId,
    client_id: Option<&str>,
    refresh: &Refresh,
    rules: SessionRules,
) -> Result<UnixMillis, LedgerError> {
    make_room(tx, user, rules.per_user_max)?;
    let record = FamilyRecord {
        user: user.0.to_vec(),
        refresh_hash: refresh.hash().to_vec(),
        client_id: client_id.unwrap_or_default().to_owned(),
        created_ms: tx.now(),
        expires_ms: tx.now() + rules.ttl_ms,
    };
    let family = refresh.family;
    tx.put(Table::TokenFamilies, &family.0, &record.encode_to_vec());
    tx.put(Table::UserIndex, &index_key(user, Index::Family, &family.0), &[]);
    Ok(record.expires_ms)
}

/// Ends the sessions that were refreshed longest ago, expired ones first, until there is room for one more.
fn make_room(tx: &mut dyn Transaction, user: UserId, max: usize) -> Result<(), LedgerError> {
    let families = indexed(tx, user, Index::Family)?;
    if families.len() < max {
        return Ok(());
    }
    let excess = families.len() + 1 - max;
    let mut by_use = Vec::with_capacity(families.len());
    for id in families {
        let record: Option<FamilyRecord> = read(tx, Table::TokenFamilies, &id)?;
        by_use.push((record.map_or(0, |record| record.expires_ms), CredentialId(id)));
    }
    by_use.sort_unstable();
    for (_, family) in by_use.into_iter().take(excess) {
        end(tx, user, family);
    }
    Ok(())
}

/// What became of a refresh token.
pub(crate) enum Rotation {
    /// It was exchanged.
    Done {
        /// The session, with its new expiry.
        record: FamilyRecord,
    },
    /// It had been exchanged before: somebody else has it, too. The session is ended.
    Reused,
    /// Its time was over. The session is ended.
    Expired,
    /// Its session has ended.
    Gone,
}

/// Exchanges a refresh token for the next.
pub(crate) fn rotate(
    tx: &mut dyn Transaction,
    presented: &Refresh,
    next: &Refresh,
    ttl_ms: u64,
) -> Result<Rotation, LedgerError> {
    let family = presented.family;
    let found: Option<FamilyRecord> = read(tx, Table::TokenFamilies, &family.0)?;
    let Some((mut record, user)) = found.and_then(|record| Some((record.clone(), record.user()?))) else {
        return Ok(Rotation::Gone);
    };
    if !secret::same(&presented.hash(), &record.refresh_hash) {
        end(tx, user, family);
        return Ok(Rotation::Reused);
    }
    if record.expires_ms <= tx.now() {
        end(tx, user, family);
        return Ok(Rotation::Expired);
    }
    record.refresh_hash = next.hash().to_vec();
    record.expires_ms = tx.now() + ttl_ms;
    tx.put(Table::TokenFamilies, &family.0, &record.encode_to_vec());
    Ok(Rotation::Done { record })
}

/// Ends one session and says so.
pub(crate) fn end(tx: &mut dyn Transaction, user: UserId, family: CredentialId) {
    forget(tx, user, family);
    tx.emit(Event::CredentialsEnded { user, credential: Some(family) });
}

fn forget(tx: &mut dyn Transaction, user: UserId, family: CredentialId) {
    tx.delete(Table::TokenFamilies, &family.0);
    tx.delete(Table::UserIndex, &index_key(user, Index::Family, &family.0));
}

/// Ends all sessions but one, without an event: the caller's event covers them.
pub(crate) fn forget_all(
    tx: &mut dyn Transaction,
    user: UserId,
    keep: Option<CredentialId>,
) -> Result<(), LedgerError> {
    for id in indexed(tx, user, Index::Family)?.into_iter().map(CredentialId) {
        if Some(id) != keep {
            forget(tx, user, id);
        }
    }
    Ok(())
}

/// Ends the sessions that are bound to a client id.
pub(crate) fn end_bound(tx: &mut dyn Transaction, user: UserId, client_id: &str) -> Result<(), LedgerError> {
    for id in indexed(tx, user, Index::Family)? {
        let record: Option<FamilyRecord> = read(tx, Table::TokenFamilies, &id)?;
        if record.is_some_and(|record| record.client_id == client_id) {
            end(tx, user, CredentialId(id));
        }
    }
    Ok(())
}
