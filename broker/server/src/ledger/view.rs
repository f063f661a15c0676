//! The opened view: reads through the overlay, opens the seal of what it finds, and reports what does not open.

use super::{around::scan_around, batch::OPEN, overlay::Overlay};
use bytes::Bytes;
use parlance_plugin_api::{
    ledger::View,
    store::{Direction, Entry, Scan, StoreError, Table, Vault, VaultError, hex},
};
use std::sync::Arc;

/// Reads of everything durable, in plain.
#[derive(Clone)]
pub(crate) struct OpenView {
    pub(crate) overlay: Arc<Overlay>,
    pub(crate) vault: Arc<dyn Vault>,
}

impl OpenView {
    /// What a value of the overlay says: it is sealed, unless it was written so lately that only memory has it.
    pub(crate) fn unsealed(&self, table: Table, key: &[u8], value: &Bytes) -> Result<Bytes, VaultError> {
        match value.first() {
            Some(&OPEN) => Ok(value.slice(1..)),
            _ => self.vault.open(table, key, value),
        }
    }

    fn open(&self, table: Table, key: &[u8], value: &Bytes) -> Result<Bytes, StoreError> {
        self.unsealed(table, key, value).map_err(|error| {
            metrics::counter!("parlance_damaged_records_total", "table" => table.name()).increment(1);
            tracing::error!(%table, key = hex(key), %error, "a record is damaged: run `parlance store verify`");
            StoreError::Damaged { table, key: Bytes::copy_from_slice(key), problem: "its seal does not open" }
        })
    }
}

impl View for OpenView {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.overlay.get(table, key)?.map(|sealed| self.open(table, key, &sealed)).transpose()
    }

    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError> {
        let mut opened = Vec::new();
        let (mut from, mut to) = (scan.from.to_vec(), scan.to.to_vec());
        loop {
            let limit = scan.limit - opened.len();
            let (sealed, _) = scan_around(&self.overlay, Scan { from: &from, to: &to, limit, ..scan })?;
            let whole = sealed.len() < limit;
            // Damaged records are left out and others take their place: a short page means the end, never damage.
            match (scan.direction, sealed.last()) {
                (_, None) => return Ok(opened),
                (Direction::Forward, Some((last, _))) => {
                    from = last.to_vec();
                    from.push(0);
                }
                (Direction::Backward, Some((last, _))) => to = last.to_vec(),
            }
            let open = |(key, value): Entry| Some((key.clone(), self.open(scan.table, &key, &value).ok()?));
            opened.extend(sealed.into_iter().filter_map(open));
            if whole || opened.len() >= scan.limit {
                return Ok(opened);
            }
        }
    }
}
