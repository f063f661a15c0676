//! The running batch: writes that become durable together, and the form they have in the journal.
//!
//! A journal entry is a row of writes: table tag (1) ‖ key length (2) ‖ value length + 1, or 0 to delete (4) ‖ key ‖ value,
//! big-endian, values sealed. Tag 0 is the *group*: a row of writes in the same form, sealed together. In it is what many
//! batches write again (heads, positions): sealed one by one only when a run goes to the store, where the last write of
//! each key counts. Until then their values are in memory as they are, marked with [`OPEN`].
//!
//! Keys and values are slices of the entry: a batch is one allocation, however many writes it has.

use bytes::Bytes;
use parlance_plugin_api::store::{Table, Vault, VaultError, Write};

const HEAD_BYTES: usize = 7;
/// Tag of the group.
const GROUP: u8 = 0;
/// What the group is sealed as: no record has this key.
const GROUP_TABLE: Table = Table::Heads;
const GROUP_KEY: &[u8] = b"parlance/journal group";
/// First byte of a value that is not sealed. Sealed ones begin with the version of the seal, which is never 0.
pub(crate) const OPEN: u8 = 0;
/// Room that a batch begins with, bytes.
const ROOM_BYTES: usize = 4 * 1024;

/// Why a journal entry cannot be read. It passed its checksum: this is a bug, another program's file, or another key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EntryError {
    #[error("a journal entry is malformed")]
    Malformed,
    #[error("a group of a journal entry does not open: {0}")]
    Sealed(#[from] VaultError),
}

/// Where a write lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    table: Table,
    /// Where its key begins.
    key: u32,
    key_bytes: u16,
    /// `None`: a deletion.
    value_bytes: Option<u32>,
}

/// Rows of writes with the places of each.
#[derive(Default)]
struct Rows {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

impl Rows {
    /// Adds a write whose value is what `value` appends.
    fn add<E>(
        &mut self,
        table: Table,
        key: &[u8],
        value: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let begin = self.bytes.len();
        self.head(table.tag(), key);
        let value_begin = self.bytes.len();
        if let Err(error) = value(&mut self.bytes) {
            self.bytes.truncate(begin);
            return Err(error);
        }
        let value_bytes = (self.bytes.len() - value_begin) as u32;
        self.bytes[begin + 3..begin + HEAD_BYTES].copy_from_slice(&(value_bytes + 1).to_be_bytes());
        self.place(table, begin, key, Some(value_bytes));
        Ok(())
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        let begin = self.bytes.len();
        self.head(table.tag(), key);
        self.place(table, begin, key, None);
    }

    /// Keys are at most 256 bytes, values far below 4 GiB: both are bounded before they get here.
    fn head(&mut self, tag: u8, key: &[u8]) {
        self.bytes.push(tag);
        self.bytes.extend_from_slice(&(key.len() as u16).to_be_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(key);
    }

    fn place(&mut self, table: Table, begin: usize, key: &[u8], value_bytes: Option<u32>) {
        let key_begin = (begin + HEAD_BYTES) as u32;
        self.places.push(Place { table, key: key_begin, key_bytes: key.len() as u16, value_bytes });
    }

    /// The writes, sharing the memory that they lie in.
    fn take(&mut self) -> impl Iterator<Item = Write> + use<> {
        let next = Self { bytes: Vec::with_capacity(ROOM_BYTES), places: Vec::new() };
        let Self { bytes, places } = std::mem::replace(self, next);
        let bytes = exact(bytes);
        places.into_iter().map(move |place| {
            let key = place.key as usize..place.key as usize + usize::from(place.key_bytes);
            let value = place.value_bytes.map(|length| bytes.slice(key.end..key.end + length as usize));
            Write { table: place.table, key: bytes.slice(key), value }
        })
    }
}

/// Without much room that nobody counts: the bytes may be kept for long.
fn exact(mut bytes: Vec<u8>) -> Bytes {
    if bytes.capacity() / 4 > bytes.len() / 3 {
        bytes.shrink_to_fit();
    }
    bytes.into()
}

/// Writes in the order decided.
#[derive(Default)]
pub(crate) struct Batch {
    sealed: Rows,
    group: Rows,
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
        self.sealed.add(table, key, |out| vault.seal(table, key, plain, out))
    }

    /// Adds a write to the group: of a record that is written again and again. It comes behind all others of the batch.
    pub(crate) fn put_again(&mut self, table: Table, key: &[u8], plain: impl prost::Message) {
        self.put_again_bytes(table, key, &plain.encode_to_vec());
    }

    /// The same, encoded already.
    pub(crate) fn put_again_bytes(&mut self, table: Table, key: &[u8], plain: &[u8]) {
        let added = self.group.add(table, key, |out| {
            out.push(OPEN);
            out.extend_from_slice(plain);
            Ok::<_, std::convert::Infallible>(())
        });
        match added {
            Ok(()) => {}
            Err(never) => match never {},
        }
    }

    /// Adds a deletion.
    pub(crate) fn delete(&mut self, table: Table, key: &[u8]) {
        self.sealed.delete(table, key);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sealed.places.is_empty() && self.group.places.is_empty()
    }

    /// About the length of the journal entry.
    pub(crate) fn bytes(&self) -> usize {
        self.sealed.bytes.len() + self.group.bytes.len()
    }

    /// Closes the batch: the journal entry.
    pub(crate) fn close(&mut self, vault: &dyn Vault) -> Result<&[u8], VaultError> {
        if !self.group.places.is_empty() {
            let out = &mut self.sealed.bytes;
            let begin = out.len();
            out.extend_from_slice(&[GROUP, 0, 0, 0, 0, 0, 0]);
            vault.seal(GROUP_TABLE, GROUP_KEY, &self.group.bytes, out)?;
            let length = (out.len() - begin - HEAD_BYTES) as u32;
            out[begin + 3..begin + HEAD_BYTES].copy_from_slice(&(length + 1).to_be_bytes());
        }
        Ok(&self.sealed.bytes)
    }

    /// The writes, to be published.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Write> + use<> {
        self.sealed.take().chain(self.group.take())
    }
}

/// Reads a journal entry back.
pub(crate) fn decode(entry: &[u8], vault: &dyn Vault) -> Result<Vec<Write>, EntryError> {
    let mut writes = Vec::new();
    rows(&Bytes::copy_from_slice(entry), &mut |tag, key, value| match (Table::from_tag(tag), value) {
        (Some(table), value) => {
            writes.push(Write { table, key, value });
            Ok(())
        }
        (None, Some(sealed)) if tag == GROUP => {
            let group = vault.open(GROUP_TABLE, GROUP_KEY, &sealed)?;
            rows(&group, &mut |tag, key, value| {
                let table = Table::from_tag(tag).ok_or(EntryError::Malformed)?;
                writes.push(Write { table, key, value });
                Ok(())
            })
        }
        _ => Err(EntryError::Malformed),
    })?;
    Ok(writes)
}

type Visit<'a> = &'a mut dyn FnMut(u8, Bytes, Option<Bytes>) -> Result<(), EntryError>;

fn rows(bytes: &Bytes, visit: Visit<'_>) -> Result<(), EntryError> {
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (head, row) = rest.split_first_chunk::<HEAD_BYTES>().ok_or(EntryError::Malformed)?;
        let key_len = usize::from(u16::from_be_bytes([head[1], head[2]]));
        let value_len = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        let (key, row) = row.split_at_checked(key_len).ok_or(EntryError::Malformed)?;
        let (value, row) = row.split_at_checked(value_len.saturating_sub(1)).ok_or(EntryError::Malformed)?;
        let value = (value_len > 0).then(|| bytes.slice_ref(value));
        visit(head[0], bytes.slice_ref(key), value)?;
        rest = row;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_plugin_api::testing::PlainVault;
    use proptest::prelude::*;

    fn table(number: u8) -> Table {
        Table::ALL[usize::from(number) % Table::ALL.len()]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            rows: Vec<(u8, Vec<u8>, Option<Vec<u8>>)>,
            group: Vec<(u8, Vec<u8>, Vec<u8>)>,
        ) {
            let mut batch = Batch::default();
            for (number, key, value) in &rows {
                match value {
                    Some(value) => batch.put(&PlainVault, table(*number), key, value).unwrap(),
                    None => batch.delete(table(*number), key),
                }
            }
            for (number, key, value) in &group {
                batch.put_again_bytes(table(*number), key, value);
            }
            let entry = batch.close(&PlainVault).unwrap().to_vec();
            let written: Vec<Write> = batch.take().collect();
            prop_assert_eq!(written.len(), rows.len() + group.len());
            prop_assert!(batch.is_empty() && batch.bytes() == 0);
            prop_assert_eq!(decode(&entry, &PlainVault), Ok(written));
        }

        #[test]
        fn no_bytes_panic(entry: Vec<u8>) {
            let _ = decode(&entry, &PlainVault);
        }
    }
}
