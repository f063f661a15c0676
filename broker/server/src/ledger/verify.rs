//! Reading every record and opening its seal, a stretch at a time. Of the log it is also known what should be there.

use super::{LedgerHandle, around::scan_around};
use bytes::Bytes;
use parlance_plugin_api::{
    record,
    store::{Direction, Scan, StoreError, Table, hex},
};

/// Missing entries of the log that are named one by one where a stretch of it is gone.
const MISSING_NAMED_MAX: u64 = 1_000;

/// A stretch of verification.
#[derive(Debug, Clone)]
pub struct VerifyPage {
    /// Records read.
    pub records: u64,
    /// Table, key and problem of what did not open.
    pub damage: Vec<(Table, Bytes, String)>,
    /// Where to continue.
    pub next: Option<(Table, Vec<u8>)>,
}

const NOT_THERE: &str = "it is not there, or cannot be read";

/// The keys that should be between two of the log: seqs are dense, from 1.
fn missing(before: &[u8], key: &[u8]) -> impl Iterator<Item = Bytes> + use<> {
    let last = record::parse_log_key(before);
    let seqs = record::parse_log_key(key).map(|(conversation, seq)| {
        let first = last.filter(|(same, _)| *same == conversation).map_or(1, |(_, last)| last + 1);
        (conversation, first..seq.min(first + MISSING_NAMED_MAX))
    });
    let keys = seqs.map(|(conversation, seqs)| {
        seqs.map(move |seq| Bytes::copy_from_slice(&record::log_key(conversation, seq)))
    });
    keys.into_iter().flatten()
}

impl LedgerHandle {
    /// Opens up to `limit` records behind `cursor`, over all tables in tag order.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read at all.
    pub fn verify(&self, cursor: Option<(Table, Vec<u8>)>, limit: usize) -> Result<VerifyPage, StoreError> {
        let (table, from) = cursor.unwrap_or((Table::ALL[0], Vec::new()));
        let scan = Scan { table, from: &from, to: &[], direction: Direction::Forward, limit: limit.max(1) };
        let (entries, gap) = scan_around(&self.view.overlay, scan)?;
        let mut damage = Vec::new();
        // The cursor is the last key of the stretch before, and a zero.
        let mut before = from.strip_suffix(&[0]).unwrap_or_default();
        for (key, sealed) in &entries {
            if table == Table::Log {
                damage.extend(missing(before, key).map(|key| (table, key, NOT_THERE.to_owned())));
                before = key;
            }
            if let Err(error) = self.view.unsealed(table, key, sealed) {
                damage.push((table, key.clone(), error.to_string()));
            }
        }
        if let Some(gap) = gap.filter(|_| table != Table::Log || damage.is_empty()) {
            let problem = format!("what lies between this key and {} cannot be read", hex(&gap.before));
            damage.push((table, gap.after, problem));
        }
        let next = match entries.last() {
            Some((last, _)) => {
                let mut from = last.to_vec();
                from.push(0);
                Some((table, from))
            }
            None => {
                let following = Table::ALL.iter().position(|known| *known == table).map(|at| at + 1);
                following.and_then(|at| Table::ALL.get(at)).map(|table| (*table, Vec::new()))
            }
        };
        Ok(VerifyPage { records: entries.len() as u64, damage, next })
    }
}
