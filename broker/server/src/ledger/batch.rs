//! The running batch: writes that become durable together, and the form they have in the journal.
//!
//! A journal entry is a row of writes: table tag (1) ‖ key length (2) ‖ value length + 1, or 0 to delete (4) ‖ key ‖ value,
//! big-endian, values sealed.

use bytes::Bytes;
use parlance_plugin_api::store::{Table, Vault, VaultError, Write};

const HEAD_BYTES: usize = 7;

/// Why a journal entry does not parse. It passed its checksum: this is a bug or another program's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a journal entry is malformed")]
pub(crate) struct Malformed;

/// Sealed writes in the order decided.
#[derive(Default)]
pub(crate) struct Batch {
    writes: Vec<Write>,
    bytes: usize,
}

impl Batch {
    /// Seals and adds a write.
    pub(crate) fn put(
        &mut self,
        vault: &dyn Vault,
        table: Table,
        key: &[u8],
        plain: &[u8],
    ) -> Result<(), VaultError> {
        let mut sealed = Vec::with_capacity(plain.len() + 40);
        vault.seal(table, key, plain, &mut sealed)?;
        self.push(Write { table, key: Bytes::copy_from_slice(key), value: Some(sealed.into()) });
        Ok(())
    }

    /// Adds a deletion.
    pub(crate) fn delete(&mut self, table: Table, key: &[u8]) {
        self.push(Write { table, key: Bytes::copy_from_slice(key), value: None });
    }

    fn push(&mut self, write: Write) {
        self.bytes += HEAD_BYTES + write.key.len() + write.value.as_ref().map_or(0, Bytes::len);
        self.writes.push(write);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Length of the journal entry.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The journal entry.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        out.reserve(self.bytes);
        for Write { table, key, value } in &self.writes {
            out.push(table.tag());
            // Keys are at most 256 bytes, values far below 4 GiB: both are bounded before they get here.
            out.extend_from_slice(&(key.len() as u16).to_be_bytes());
            out.extend_from_slice(&value.as_ref().map_or(0, |value| value.len() as u32 + 1).to_be_bytes());
            out.extend_from_slice(key);
            out.extend_from_slice(value.as_deref().unwrap_or_default());
        }
    }

    /// The writes, to be published.
    pub(crate) fn take(&mut self) -> Vec<Write> {
        self.bytes = 0;
        std::mem::take(&mut self.writes)
    }
}

/// Reads a journal entry back.
pub(crate) fn decode(mut entry: &[u8]) -> Result<Vec<Write>, Malformed> {
    let mut writes = Vec::new();
    while !entry.is_empty() {
        let (head, rest) = entry.split_first_chunk::<HEAD_BYTES>().ok_or(Malformed)?;
        let table = Table::from_tag(head[0]).ok_or(Malformed)?;
        let key_len = usize::from(u16::from_be_bytes([head[1], head[2]]));
        let value_len = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        let (key, rest) = rest.split_at_checked(key_len).ok_or(Malformed)?;
        let (value, rest) = rest.split_at_checked(value_len.saturating_sub(1)).ok_or(Malformed)?;
        let value = (value_len > 0).then(|| Bytes::copy_from_slice(value));
        writes.push(Write { table, key: Bytes::copy_from_slice(key), value });
        entry = rest;
    }
    Ok(writes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(rows: Vec<(u8, Vec<u8>, Option<Vec<u8>>)>) {
            let mut batch = Batch::default();
            for (table, key, value) in rows {
                let table = Table::ALL[usize::from(table) % Table::ALL.len()];
                batch.push(Write { table, key: key.into(), value: value.map(Bytes::from) });
            }
            let mut entry = Vec::new();
            batch.encode(&mut entry);
            prop_assert_eq!(entry.len(), batch.bytes());
            prop_assert_eq!(decode(&entry), Ok(batch.take()));
        }

        #[test]
        fn no_bytes_panic(entry: Vec<u8>) {
            let _ = decode(&entry);
        }
    }
}
