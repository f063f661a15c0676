//! The key file: what opens everything that is stored. Whoever loses it has lost the data; whoever has it and the
//! disk reads all of it.
//!
//! ```text
//! parlance keys 1
//! pseudonym <64 hexadecimal digits>
//! current <id>
//! key <id> <64 hexadecimal digits>      one line for each master key
//! check <SHA-256 of all lines before>
//! ```
//!
//! The file is replaced as a whole, synced with its folder, and never readable by others. Keys are wiped from memory
//! when they are dropped.

use crate::open::sync_folder;
use aws_lc_rs::{constant_time::verify_slices_are_equal, digest, rand};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

const HEADER: &str = "parlance keys 1";
/// A key file with many rotations is a few kilobytes; a longer one is something else.
const FILE_BYTES_MAX: u64 = 1 << 20;
const KEY_BYTES: usize = 32;

/// A key; wiped when dropped.
pub(crate) type Key = Zeroizing<[u8; KEY_BYTES]>;

/// Why the key file cannot be used.
#[derive(Debug, Error)]
pub enum KeyringError {
    /// Others could have read it.
    #[error("the key file {} can be read by others (mode {mode:o}): run `chmod 600 {}`", .path.display(), .path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not what was written. Nothing that is stored can be read without it.
    #[error("the key file {} is damaged ({problem}): restore it from a backup", .path.display())]
    Damaged {
        /// The key file.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// Another process changed the file, or is changing it.
    #[error("the key file {} was changed by another process: restart to read it", .0.display())]
    Changed(PathBuf),
    /// The file cannot be read or written.
    #[error("the key file {} cannot be used", .path.display())]
    Io {
        /// The key file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No random bytes.
    #[error("the cryptographic provider failed")]
    Provider,
}

/// The master keys, of which one is current, and the key of pseudonyms, which never changes.
pub struct Keyring {
    path: PathBuf,
    pseudonym: Key,
    current: u32,
    masters: BTreeMap<u32, Key>,
}

impl Keyring {
    /// Makes a new key file; fails if there is one.
    pub fn create(path: &Path) -> Result<Self, KeyringError> {
        let keyring = Self {
            path: path.to_path_buf(),
            pseudonym: random_key()?,
            current: 1,
            masters: BTreeMap::from([(1, random_key()?)]),
        };
        keyring.write(|new| {
            fs::hard_link(new, path)?; // Unlike a rename, this fails if `path` exists.
            fs::remove_file(new)
        })?;
        Ok(keyring)
    }

    /// Reads the key file.
    pub fn load(path: &Path) -> Result<Self, KeyringError> {
        let mut file = File::open(path).map_err(|source| io_error(path, source))?;
        Self::read(path, &mut file)
    }

    /// Reads the key file, or makes one if there is none. Not for a store that holds data already
    /// ([`holds_store`](crate::holds_store)): new keys do not open it.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyringError> {
        match Self::load(path) {
            Err(KeyringError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Self::create(path)
            }
            loaded => loaded,
        }
    }

    /// Adds a master key and makes it the current one; returns its id. What was sealed before stays readable.
    pub fn rotate(&mut self) -> Result<u32, KeyringError> {
        let _lock = self.lock_unchanged()?;
        let id = self.masters.keys().next_back().map_or(1, |last| last + 1);
        let before = self.current;
        self.masters.insert(id, random_key()?);
        self.current = id;
        let written = self.write(|new| fs::rename(new, &self.path));
        if written.is_err() {
            self.masters.remove(&id);
            self.current = before;
        }
        written.map(|()| id)
    }

    /// Id of the key that new values are sealed with.
    pub fn current(&self) -> u32 {
        self.current
    }

    /// Ids of all master keys, oldest first.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.masters.keys().copied()
    }

    pub(crate) fn master(&self, id: u32) -> Option<&Key> {
        self.masters.get(&id)
    }

    pub(crate) fn pseudonym(&self) -> &Key {
        &self.pseudonym
    }

    /// Locks the file, once it is sure to be the one that this keyring was read from.
    fn lock_unchanged(&self) -> Result<File, KeyringError> {
        let fail = |source| io_error(&self.path, source);
        let mut file = File::open(&self.path).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(KeyringError::Changed(self.path.clone())),
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
        let (held, named) = (file.metadata().map_err(fail)?, fs::metadata(&self.path).map_err(fail)?);
        let found = Self::read(&self.path, &mut file)?;
        let same = verify_slices_are_equal(found.encode().as_bytes(), self.encode().as_bytes()).is_ok();
        if (held.dev(), held.ino()) != (named.dev(), named.ino()) || !same {
            return Err(KeyringError::Changed(self.path.clone()));
        }
        Ok(file)
    }

    /// Writes a whole new file beside the key file, and has `publish` put it in place.
    fn write(&self, publish: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), KeyringError> {
        let mut suffix = [0; 8];
        rand::fill(&mut suffix).map_err(|_| KeyringError::Provider)?;
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{:016x}.new", u64::from_ne_bytes(suffix)));
        let new = PathBuf::from(name);
        let written = write_new(&new, self.encode().as_bytes()).and_then(|()| publish(&new)).and_then(|()| {
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            sync_folder(folder.unwrap_or(Path::new(".")))
        });
        if written.is_err() {
            let _ = fs::remove_file(&new); // It may not have come to be; the error that counts is the first.
        }
        written.map_err(|source| io_error(&self.path, source))
    }

    fn read(path: &Path, file: &mut File) -> Result<Self, KeyringError> {
        let fail = |source| io_error(path, source);
        let metadata = file.metadata().map_err(fail)?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyringError::Exposed { path: path.to_path_buf(), mode });
        }
        let damaged = |problem| KeyringError::Damaged { path: path.to_path_buf(), problem };
        if metadata.len() > FILE_BYTES_MAX {
            return Err(damaged("too long"));
        }
        // Room for all of it: growing would leave copies of the keys in freed memory.
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1));
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(fail)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| damaged("not text"))?;
        Self::decode(path, text).map_err(damaged)
    }

    fn encode(&self) -> Zeroizing<String> {
        const LINE_BYTES_MAX: usize = 96;
        let mut text = Zeroizing::new(String::with_capacity(LINE_BYTES_MAX * (self.masters.len() + 4)));
        text.push_str(HEADER);
        text.push_str("\npseudonym ");
        push_hex(&mut text, self.pseudonym.as_slice());
        text.push_str(&format!("\ncurrent {}\n", self.current));
        for (id, key) in &self.masters {
            text.push_str(&format!("key {id} "));
            push_hex(&mut text, key.as_slice());
            text.push('\n');
        }
        let check = digest::digest(&digest::SHA256, text.as_bytes());
        text.push_str("check ");
        push_hex(&mut text, check.as_ref());
        text.push('\n');
        text
    }

    fn decode(path: &Path, text: &str) -> Result<Self, &'static str> {
        let (body, check) = text.rsplit_once("check ").ok_or("its end is missing")?;
        let check = parse_key(check.strip_suffix('\n').ok_or("its end is missing")?).ok_or("checksum")?;
        let expected = digest::digest(&digest::SHA256, body.as_bytes());
        verify_slices_are_equal(check.as_slice(), expected.as_ref()).map_err(|_| "checksum")?;
        let mut lines = body.lines();
        if lines.next() != Some(HEADER) {
            return Err("of another version");
        }
        let mut field = |name| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let pseudonym = field("pseudonym").and_then(parse_key).ok_or("pseudonym key")?;
        let current = field("current").and_then(|id| id.parse().ok()).ok_or("current id")?;
        let masters = lines.map(parse_master).collect::<Option<BTreeMap<_, _>>>().ok_or("master key")?;
        if !masters.contains_key(&current) {
            return Err("its current key is missing");
        }
        Ok(Self { path: path.to_path_buf(), pseudonym, current, masters })
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn parse_master(line: &str) -> Option<(u32, Key)> {
    let (id, key) = line.strip_prefix("key ")?.split_once(' ')?;
    Some((id.parse().ok()?, parse_key(key)?))
}

fn parse_key(text: &str) -> Option<Key> {
    let digits = text.as_bytes();
    if digits.len() != KEY_BYTES * 2 {
        return None;
    }
    let mut key = Key::default();
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(key)
}

/// Without the copies in freed memory that formatting would leave.
fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('?'));
        }
    }
}

fn random_key() -> Result<Key, KeyringError> {
    let mut key = Key::default();
    if rand::fill(key.as_mut_slice()).is_err() {
        key.zeroize();
        return Err(KeyringError::Provider);
    }
    Ok(key)
}

fn io_error(path: &Path, source: io::Error) -> KeyringError {
    KeyringError::Io { path: path.to_path_buf(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        (folder, path)
    }

    #[test]
    fn it_is_made_once_for_the_owner_only() {
        let (folder, path) = fresh();
        let made = Keyring::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Keyring::load_or_create(&path).unwrap();
        assert_eq!(*made.encode(), *read.encode());
        assert!(matches!(Keyring::create(&path), Err(KeyringError::Io { .. })));
        assert_eq!(*Keyring::load(&path).unwrap().encode(), *made.encode());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn one_that_others_can_read_is_refused() {
        let (_folder, path) = fresh();
        drop(Keyring::create(&path).unwrap());
        for mode in [0o640, 0o604, 0o644, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let Err(error @ KeyringError::Exposed { .. }) = Keyring::load_or_create(&path) else {
                panic!("{mode:o} was read")
            };
            assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        Keyring::load(&path).unwrap();
    }

    #[test]
    fn rotation_keeps_the_old_keys() {
        let (folder, path) = fresh();
        let mut keyring = Keyring::create(&path).unwrap();
        let first = keyring.master(1).unwrap().clone();
        assert_eq!(keyring.rotate().unwrap(), 2);
        assert_eq!(keyring.rotate().unwrap(), 3);
        let read = Keyring::load(&path).unwrap();
        assert_eq!(read.current(), 3);
        assert_eq!(read.ids().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(*read.master(1).unwrap(), first);
        assert_ne!(*read.master(3).unwrap(), first);
        assert_eq!(*read.pseudonym(), keyring.pseudonym);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_rotation_elsewhere_is_not_overwritten() {
        let (_folder, path) = fresh();
        let mut one = Keyring::create(&path).unwrap();
        let mut other = Keyring::load(&path).unwrap();
        one.rotate().unwrap();
        assert!(matches!(other.rotate(), Err(KeyringError::Changed(_))));
        assert_eq!(other.current(), 1);
        assert_eq!(*Keyring::load(&path).unwrap().encode(), *one.encode());
    }

    #[test]
    fn no_damage_goes_unnoticed() {
        let (_folder, path) = fresh();
        let mut keyring = Keyring::create(&path).unwrap();
        keyring.rotate().unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert!(matches!(Keyring::load(&path), Err(KeyringError::Damaged { .. })), "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert!(matches!(Keyring::load(&path), Err(KeyringError::Damaged { .. })), "cut at {at}");
        }
    }
}
