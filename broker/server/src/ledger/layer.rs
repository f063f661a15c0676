//! A layer of writes that lies over something slower: the running batch over the view, the runs in memory over the store.

use super::batch::OPEN;
use bytes::Bytes;
use parlance_plugin_api::store::{Direction, Entry, Scan, StoreError, Table, Vault, VaultError, Write};
use std::{collections::BTreeMap, ops::Bound};

/// Writes by table and key; `None` is a deletion.
#[derive(Debug, Default, Clone)]
pub(crate) struct Layer {
    tables: [BTreeMap<Bytes, Option<Bytes>>; Table::ALL.len()],
    bytes: usize,
    writes: usize,
}

/// What a map node costs beside key and value; a round figure, for bounding memory.
const ENTRY_OVERHEAD_BYTES: usize = 96;

fn index(table: Table) -> usize {
    usize::from(table.tag()) - 1
}

impl Layer {
    /// Puts or deletes.
    pub(crate) fn insert(&mut self, table: Table, key: Bytes, value: Option<Bytes>) {
        let added = ENTRY_OVERHEAD_BYTES + key.len() + value.as_ref().map_or(0, Bytes::len);
        match self.tables[index(table)].insert(key, value) {
            Some(old) => {
                self.bytes =
                    (self.bytes + added).saturating_sub(ENTRY_OVERHEAD_BYTES + old.map_or(0, |v| v.len()))
            }
            None => {
                self.bytes += added;
                self.writes += 1;
            }
        }
    }

    /// What this layer says of a key: nothing, deleted (`Some(None)`), or a value.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Option<Option<Bytes>> {
        self.tables[index(table)].get(key).cloned()
    }

    /// Memory held, roughly, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Nothing was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.writes == 0
    }

    /// Everything, sorted by table and key.
    pub(crate) fn sorted(&self) -> Vec<Write> {
        let tables = Table::ALL.iter().zip(&self.tables);
        let mut run = Vec::with_capacity(self.writes);
        for (&table, entries) in tables {
            run.extend(entries.iter().map(|(key, value)| Write {
                table,
                key: key.clone(),
                value: value.clone(),
            }));
        }
        run
    }

    /// Everything, sorted by table and key, as the store gets it: what is open yet is sealed.
    pub(crate) fn sealed(&self, vault: &dyn Vault) -> Result<Vec<Write>, VaultError> {
        let mut run = self.sorted();
        for write in &mut run {
            if let Some(plain) = write.value.as_ref().and_then(|value| value.strip_prefix(&[OPEN])) {
                let mut sealed = Vec::new();
                vault.seal(write.table, &write.key, plain, &mut sealed)?;
                write.value = Some(sealed.into());
            }
        }
        Ok(run)
    }

    /// The first entries of a stretch in scan order: until `scan.limit` live ones, with the deletions among them.
    fn page(&self, scan: &Scan<'_>) -> LayerPage {
        let to = if scan.to.is_empty() { Bound::Unbounded } else { Bound::Excluded(scan.to) };
        if !scan.to.is_empty() && scan.from >= scan.to {
            return LayerPage::default();
        }
        let range = self.tables[index(scan.table)].range::<[u8], _>((Bound::Included(scan.from), to));
        let mut page = LayerPage::default();
        let mut take = |(key, value): (&Bytes, &Option<Bytes>)| {
            page.deletions += usize::from(value.is_none());
            page.live += usize::from(value.is_some());
            page.entries.push((key.clone(), value.clone()));
            page.live < scan.limit
        };
        let whole = match scan.direction {
            Direction::Forward => range.into_iter().all(&mut take),
            Direction::Backward => range.into_iter().rev().all(&mut take),
        };
        page.truncated = !whole;
        page
    }

    /// A page of this layer over what lies `below`.
    pub(crate) fn scan_over(
        &self,
        scan: Scan<'_>,
        below: impl FnOnce(Scan<'_>) -> Result<Vec<Entry>, StoreError>,
    ) -> Result<Vec<Entry>, StoreError> {
        let page = self.page(&scan);
        if page.entries.is_empty() {
            return below(scan);
        }
        // So many more are asked for below that the deletions here cannot leave the page short.
        let lower = below(Scan { limit: scan.limit + page.deletions, ..scan })?;
        Ok(merge(page, lower, &scan))
    }
}

#[derive(Default)]
struct LayerPage {
    entries: Vec<(Bytes, Option<Bytes>)>,
    deletions: usize,
    live: usize,
    truncated: bool,
}

/// Merges in scan order; the layer wins. Where the layer's page was cut short, nothing beyond its last key is taken from below.
fn merge(page: LayerPage, lower: Vec<Entry>, scan: &Scan<'_>) -> Vec<Entry> {
    let before = |a: &Bytes, b: &Bytes| match scan.direction {
        Direction::Forward => a < b,
        Direction::Backward => a > b,
    };
    let last = page.entries.last().map(|(key, _)| key.clone());
    let mut merged = Vec::with_capacity(scan.limit.min(page.live + lower.len()));
    let mut upper = page.entries.into_iter().peekable();
    let mut lower = lower.into_iter().peekable();
    while merged.len() < scan.limit {
        let take_upper = match (upper.peek(), lower.peek()) {
            (Some((a, _)), Some((b, _))) => !before(b, a),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => break,
        };
        if take_upper {
            let Some((key, value)) = upper.next() else { break };
            lower.next_if(|(below, _)| *below == key);
            merged.extend(value.map(|value| (key, value)));
        } else {
            let Some(entry) = lower.next() else { break };
            if page.truncated && last.as_ref().is_some_and(|last| before(last, &entry.0)) {
                break;
            }
            merged.push(entry);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map_scan(map: &BTreeMap<Bytes, Bytes>, scan: &Scan<'_>) -> Vec<Entry> {
        let inside = |key: &Bytes| &key[..] >= scan.from && (scan.to.is_empty() || &key[..] < scan.to);
        let mut all: Vec<Entry> =
            map.iter().filter(|(key, _)| inside(key)).map(|(k, v)| (k.clone(), v.clone())).collect();
        if scan.direction == Direction::Backward {
            all.reverse();
        }
        all.truncate(scan.limit);
        all
    }

    proptest! {
        #[test]
        fn a_layer_over_a_map_reads_like_the_merged_map(
            below in prop::collection::btree_map(0u8..40, any::<u8>(), 0..30),
            above in prop::collection::vec((0u8..40, prop::option::of(any::<u8>())), 0..40),
            from in 0u8..40, to in 0u8..41, limit in 1usize..12, backward: bool,
        ) {
            let key = |k: u8| Bytes::copy_from_slice(&[k]);
            let below: BTreeMap<Bytes, Bytes> = below.into_iter().map(|(k, v)| (key(k), key(v))).collect();
            let mut merged = below.clone();
            let mut layer = Layer::default();
            for (k, v) in above {
                layer.insert(Table::Log, key(k), v.map(key));
                match v {
                    Some(v) => merged.insert(key(k), key(v)),
                    None => merged.remove(&key(k)),
                };
            }
            let (from, to) = ([from], [to]);
            let to: &[u8] = if to[0] == 40 { &[] } else { &to };
            let direction = if backward { Direction::Backward } else { Direction::Forward };
            let scan = Scan { table: Table::Log, from: &from, to, direction, limit };
            let got = layer.scan_over(scan, |scan| Ok(map_scan(&below, &scan))).unwrap();
            prop_assert_eq!(got, map_scan(&merged, &scan));
        }
    }
}
