//! Sealed values: AES-256-GCM under a key for each domain (the first 16 bytes of the record's key), derived with
//! HKDF-SHA256 from a master key of the key file.
//!
//! ```text
//! version (1) ‖ master key id (4, big-endian) ‖ nonce (12, random) ‖ ciphertext ‖ tag (16)
//! ```
//!
//! Table and record key are authenticated with the value, so that it opens in its own place only. Nonces are random:
//! safe for 2³² values of one domain under one master key.

use crate::{
    keyring::{Key, Keyring, KeyringError},
    nonce::Nonces,
};
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Prk, Salt},
    hmac,
};
use bytes::Bytes;
use lru::LruCache;
use parlance_plugin_api::store::{Table, Vault, VaultError};
use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
};
use zeroize::Zeroizing;

/// Derived keys kept in memory (about 700 bytes each); deriving one anew takes some microseconds.
pub const DERIVED_KEYS_MAX: usize = 8192;
/// Bytes that sealing adds to a value.
pub const SEAL_OVERHEAD: usize = HEADER_BYTES + TAG_BYTES;

/// Parts of the cache that lock separately.
const SHARDS: usize = 16;
const SHARD_KEYS_MAX: NonZeroUsize =
    NonZeroUsize::new(DERIVED_KEYS_MAX / SHARDS).expect("more keys than shards");

/// Persisted, with the layout above and the labels below.
const VERSION: u8 = 1;
const SALT: &[u8] = b"parlance history 1";
const VALUE_LABEL: &[u8] = b"value";
const PSEUDONYM_LABEL: &[u8] = b"pseudonym";

const DOMAIN_BYTES: usize = 16;
const TAG_BYTES: usize = 16;
const ID_BYTES: usize = size_of::<u32>();
const HEADER_BYTES: usize = 1 + ID_BYTES + NONCE_LEN;
/// Table tag and the longest key of the store port; longer ones go to the heap.
const AAD_BYTES: usize = 1 + 256;

type Domain = [u8; DOMAIN_BYTES];
type Shard = Mutex<LruCache<(u32, Domain), Arc<LessSafeKey>>>;

/// The [`Vault`] over a [`Keyring`].
pub struct SealedVault {
    keyring: Mutex<Keyring>,
    /// Read for every value; `masters` only for a domain whose key is not in `derived`.
    current: AtomicU32,
    masters: RwLock<BTreeMap<u32, Prk>>,
    derived: [Shard; SHARDS],
    /// By the shard of the domain, so that threads seldom meet.
    nonces: [Mutex<Nonces>; SHARDS],
    pseudonym: hmac::Key,
}

impl SealedVault {
    /// A vault with these keys.
    pub fn new(keyring: Keyring) -> Result<Self, VaultError> {
        let masters = keyring.ids().filter_map(|id| Some((id, extract(keyring.master(id)?)))).collect();
        let pseudonym = derive(&extract(keyring.pseudonym()), &[PSEUDONYM_LABEL])?;
        Ok(Self {
            current: AtomicU32::new(keyring.current()),
            masters: RwLock::new(masters),
            derived: std::array::from_fn(|_| Mutex::new(LruCache::unbounded())),
            nonces: std::array::from_fn(|_| Mutex::new(Nonces::new())),
            pseudonym: hmac::Key::new(hmac::HMAC_SHA256, pseudonym.as_slice()),
            keyring: Mutex::new(keyring),
        })
    }

    /// Adds a master key to the key file and seals with it from now on; returns its id. Old values stay as they are,
    /// and readable.
    pub fn rotate(&self) -> Result<u32, KeyringError> {
        let mut keyring = self.keyring.lock().unwrap_or_else(PoisonError::into_inner);
        let id = keyring.rotate()?;
        if let Some(master) = keyring.master(id) {
            self.masters.write().unwrap_or_else(PoisonError::into_inner).insert(id, extract(master));
        }
        self.current.store(id, Ordering::Release);
        Ok(id)
    }

    /// Id of the master key that new values are sealed with.
    pub fn current_key(&self) -> u32 {
        self.current.load(Ordering::Acquire)
    }

    fn nonce(&self, domain: &Domain) -> Result<[u8; NONCE_LEN], VaultError> {
        let mut nonces = self.nonces[shard_of(domain)].lock().unwrap_or_else(PoisonError::into_inner);
        nonces.next().map_err(|_| VaultError::Provider)
    }

    fn key(&self, master: u32, domain: Domain) -> Result<Arc<LessSafeKey>, VaultError> {
        let shard = &self.derived[shard_of(&domain)];
        let lock = || shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = lock().get(&(master, domain)) {
            return Ok(key.clone());
        }
        let secret = {
            let masters = self.masters.read().unwrap_or_else(PoisonError::into_inner);
            let master = masters.get(&master).ok_or(VaultError::UnknownKey(master))?;
            derive(master, &[VALUE_LABEL, &domain])?
        };
        let unbound = UnboundKey::new(&AES_256_GCM, secret.as_slice()).map_err(|_| VaultError::Provider)?;
        let key = Arc::new(LessSafeKey::new(unbound));
        let mut keys = lock();
        keys.put((master, domain), key.clone());
        if keys.len() > SHARD_KEYS_MAX.get() {
            keys.pop_lru();
        }
        Ok(key)
    }
}

impl Vault for SealedVault {
    fn seal(&self, table: Table, key: &[u8], plain: &[u8], out: &mut Vec<u8>) -> Result<(), VaultError> {
        let master = self.current_key();
        let domain = domain_of(key);
        let sealing = self.key(master, domain)?;
        let nonce = self.nonce(&domain)?;
        let begin = out.len();
        out.reserve(plain.len() + SEAL_OVERHEAD);
        out.push(VERSION);
        out.extend_from_slice(&master.to_be_bytes());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plain);
        let body = &mut out[begin + HEADER_BYTES..];
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = with_aad(table, key, |aad| sealing.seal_in_place_separate_tag(nonce, aad, body));
        match sealed {
            Ok(tag) => out.extend_from_slice(tag.as_ref()),
            Err(_) => {
                out.truncate(begin);
                return Err(VaultError::Provider);
            }
        }
        Ok(())
    }

    fn open(&self, table: Table, key: &[u8], sealed: &[u8]) -> Result<Bytes, VaultError> {
        let (master, nonce, ciphertext, tag) = parse(sealed).ok_or(VaultError::Malformed)?;
        let opening = self.key(master, domain_of(key))?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let mut plain = vec![0; ciphertext.len()];
        with_aad(table, key, |aad| opening.open_separate_gather(nonce, aad, ciphertext, tag, &mut plain))
            .map_err(|_| VaultError::Broken)?;
        Ok(plain.into())
    }

    fn pseudonym(&self, purpose: &str, name: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.pseudonym);
        // The length keeps ("ab", "c") apart from ("a", "bc").
        context.update(&(purpose.len() as u64).to_be_bytes());
        context.update(purpose.as_bytes());
        context.update(name);
        let mut hash = [0; 32];
        hash.copy_from_slice(context.sign().as_ref());
        hash
    }
}

type Parts<'a> = (u32, [u8; NONCE_LEN], &'a [u8], &'a [u8]);

fn parse(sealed: &[u8]) -> Option<Parts<'_>> {
    let (&VERSION, rest) = sealed.split_first()? else { return None };
    let (master, rest) = rest.split_first_chunk::<ID_BYTES>()?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>()?;
    let (ciphertext, tag) = rest.split_at_checked(rest.len().checked_sub(TAG_BYTES)?)?;
    Some((u32::from_be_bytes(*master), *nonce, ciphertext, tag))
}

/// Shorter keys are filled with zeros: domains may be shared, records not, for the whole key is authenticated.
fn domain_of(key: &[u8]) -> Domain {
    let mut domain = Domain::default();
    let length = key.len().min(DOMAIN_BYTES);
    domain[..length].copy_from_slice(&key[..length]);
    domain
}

fn shard_of(domain: &Domain) -> usize {
    usize::from(domain.iter().fold(0_u8, |sum, byte| sum.rotate_left(3) ^ byte)) % SHARDS
}

fn with_aad<T>(table: Table, key: &[u8], act: impl FnOnce(Aad<&[u8]>) -> T) -> T {
    if key.len() < AAD_BYTES {
        let mut aad = [0; AAD_BYTES];
        aad[0] = table.tag();
        aad[1..=key.len()].copy_from_slice(key);
        act(Aad::from(&aad[..=key.len()]))
    } else {
        let mut aad = Vec::with_capacity(1 + key.len());
        aad.push(table.tag());
        aad.extend_from_slice(key);
        act(Aad::from(aad.as_slice()))
    }
}

fn extract(secret: &Key) -> Prk {
    Salt::new(HKDF_SHA256, SALT).extract(secret.as_slice())
}

fn derive(secret: &Prk, info: &[&[u8]]) -> Result<Key, VaultError> {
    let mut key = Zeroizing::new([0; 32]);
    let expanded = secret.expand(info, HKDF_SHA256).map_err(|_| VaultError::Provider)?;
    expanded.fill(key.as_mut_slice()).map_err(|_| VaultError::Provider)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::PathBuf;

    const KEY: &[u8] = b"sixteen bytes...and a seq";

    fn vault() -> (SealedVault, PathBuf, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        (SealedVault::new(Keyring::create(&path).unwrap()).unwrap(), path, folder)
    }

    fn seal(vault: &SealedVault, plain: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::new();
        vault.seal(Table::Log, KEY, plain, &mut sealed).unwrap();
        sealed
    }

    #[test]
    fn values_round_trip_and_are_appended() {
        let (vault, ..) = vault();
        let mut out = b"before".to_vec();
        vault.seal(Table::Log, KEY, b"hello", &mut out).unwrap();
        assert!(out.starts_with(b"before"));
        assert_eq!(out.len(), 6 + 5 + SEAL_OVERHEAD);
        assert_eq!(vault.open(Table::Log, KEY, &out[6..]).unwrap(), "hello");
        assert_ne!(seal(&vault, b"hello"), seal(&vault, b"hello"), "nonces differ");
    }

    #[test]
    fn the_layout_is_persisted() {
        let (vault, ..) = vault();
        let sealed = seal(&vault, b"");
        assert_eq!(sealed.len(), 33);
        assert_eq!(sealed[..5], [1, 0, 0, 0, 1]);
    }

    #[test]
    fn no_changed_byte_opens() {
        let (vault, ..) = vault();
        let whole = seal(&vault, b"some words");
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            let error = vault.open(Table::Log, KEY, &changed).unwrap_err();
            match at {
                0 => assert_eq!(error, VaultError::Malformed),
                1..=4 => assert!(matches!(error, VaultError::UnknownKey(_))),
                _ => assert_eq!(error, VaultError::Broken),
            }
            let cut = vault.open(Table::Log, KEY, &whole[..at]).unwrap_err();
            assert!(matches!(cut, VaultError::Malformed | VaultError::Broken));
        }
    }

    #[test]
    fn a_moved_record_does_not_open() {
        let (vault, ..) = vault();
        let sealed = seal(&vault, b"some words");
        let within_the_domain = b"sixteen bytes...and a sea";
        for (table, key) in [
            (Table::Log, &within_the_domain[..]),
            (Table::Log, &KEY[..24]),
            (Table::Ids, KEY),
            (Table::Log, b""),
        ] {
            assert_eq!(vault.open(table, key, &sealed), Err(VaultError::Broken));
        }
    }

    #[test]
    fn keys_of_any_length_seal() {
        let (vault, ..) = vault();
        for length in [0, 1, 15, 16, 17, 255, 256, 257, 1000] {
            let key = vec![7; length];
            let mut sealed = Vec::new();
            vault.seal(Table::Meta, &key, b"x", &mut sealed).unwrap();
            assert_eq!(vault.open(Table::Meta, &key, &sealed).unwrap(), "x");
        }
    }

    #[test]
    fn rotation_leaves_old_values_readable() {
        let (vault, path, _folder) = vault();
        let old = seal(&vault, b"old");
        assert_eq!(vault.rotate().unwrap(), 2);
        let new = seal(&vault, b"new");
        assert_eq!((old[4], new[4]), (1, 2));
        let again = SealedVault::new(Keyring::load(&path).unwrap()).unwrap();
        for vault in [vault, again] {
            assert_eq!(vault.current_key(), 2);
            assert_eq!(vault.open(Table::Log, KEY, &old).unwrap(), "old");
            assert_eq!(vault.open(Table::Log, KEY, &new).unwrap(), "new");
        }
    }

    #[test]
    fn another_key_file_opens_nothing() {
        let ((mine, _, _mine), (other, ..)) = (vault(), vault());
        assert_eq!(other.open(Table::Log, KEY, &seal(&mine, b"x")), Err(VaultError::Broken));
        mine.rotate().unwrap();
        assert_eq!(other.open(Table::Log, KEY, &seal(&mine, b"x")), Err(VaultError::UnknownKey(2)));
    }

    #[test]
    fn pseudonyms_are_stable_and_separate() {
        let (vault, path, _folder) = vault();
        let alice = vault.pseudonym("handle", b"alice");
        vault.rotate().unwrap();
        let again = SealedVault::new(Keyring::load(&path).unwrap()).unwrap();
        assert_eq!(again.pseudonym("handle", b"alice"), alice);
        assert_ne!(vault.pseudonym("handle", b"alicf"), alice);
        assert_ne!(vault.pseudonym("handl", b"ealice"), alice);
        assert_ne!(self::vault().0.pseudonym("handle", b"alice"), alice);
    }

    #[test]
    fn derived_keys_are_bounded() {
        let (vault, ..) = vault();
        let mut sealed = Vec::new();
        for domain in 0..DERIVED_KEYS_MAX as u64 * 3 {
            sealed.clear();
            vault.seal(Table::Log, &u128::from(domain).to_be_bytes(), b"x", &mut sealed).unwrap();
        }
        let kept: usize = vault.derived.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!((1..=DERIVED_KEYS_MAX).contains(&kept), "{kept}");
    }

    proptest! {
        #[test]
        fn any_value_round_trips(key: Vec<u8>, plain: Vec<u8>) {
            let (vault, ..) = vault();
            let mut sealed = Vec::new();
            vault.seal(Table::Users, &key, &plain, &mut sealed).unwrap();
            prop_assert_eq!(vault.open(Table::Users, &key, &sealed).unwrap(), plain);
        }

        #[test]
        fn no_bytes_panic(sealed: Vec<u8>) {
            let (vault, ..) = vault();
            prop_assert!(vault.open(Table::Users, KEY, &sealed).is_err());
        }
    }
}
