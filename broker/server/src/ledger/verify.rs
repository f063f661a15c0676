//! Reading every record and opening its seal, a stretch at a time.

use super::LedgerHandle;
use bytes::Bytes;
use parlance_plugin_api::store::{Direction, Scan, StoreError, Table};

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

impl LedgerHandle {
    /// Opens up to `limit` records behind `cursor`, over all tables in tag order.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read at all.
    pub fn verify(&self, cursor: Option<(Table, Vec<u8>)>, limit: usize) -> Result<VerifyPage, StoreError> {
        let (table, from) = cursor.unwrap_or((Table::ALL[0], Vec::new()));
        let scan = Scan { table, from: &from, to: &[], direction: Direction::Forward, limit: limit.max(1) };
        let entries = self.view.overlay.scan(scan)?;
        let mut damage = Vec::new();
        for (key, sealed) in &entries {
            if let Err(error) = self.view.vault.open(table, key, sealed) {
                damage.push((table, key.clone(), error.to_string()));
            }
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
