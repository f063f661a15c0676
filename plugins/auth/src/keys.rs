//! The keys that sign access tokens, and the operator's token.
//!
//! `token.keys` has a line for each key, `{key id} {PKCS #8, base64url}`: the last signs, every one verifies. To rotate,
//! add a line ([`AuthKeys::rotate`]) and restart; take an old line away when nothing it signed is needed any more.
//! `admin.token` is the operator's bearer token.

use crate::{
    keys_file::{self, KeysError},
    secret,
};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, EncodingKey};
use parlance_plugin_api::store::hex;
use std::{fmt, path::Path};
use zeroize::Zeroizing;

/// What every operator's token begins with.
pub(crate) const ADMIN_PREFIX: &str = "pladm_";
const SIGNING_FILE: &str = "token.keys";
const ADMIN_FILE: &str = "admin.token";
/// Keys that verify at once.
const KEYS_MAX: usize = 16;

/// The signing keys and the operator's token of one broker.
pub struct AuthKeys {
    /// Oldest first; never empty.
    verifying: Vec<(String, DecodingKey)>,
    signing: EncodingKey,
    admin_token: Zeroizing<String>,
}

impl fmt::Debug for AuthKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.verifying.iter().map(|(id, _)| id).collect();
        f.debug_struct("AuthKeys").field("key_ids", &ids).finish_non_exhaustive()
    }
}

impl AuthKeys {
    /// Loads the keys from the data folder; makes those that are not there yet.
    ///
    /// # Errors
    /// When a file cannot be read or written, is damaged, or may be read by others.
    pub fn load_or_create(folder: &Path) -> Result<Self, KeysError> {
        let path = folder.join(SIGNING_FILE);
        let lines = match keys_file::read(&path)? {
            Some(lines) => lines,
            None => {
                let line = fresh_line()?;
                keys_file::write(&path, &line)?;
                line
            }
        };
        let damaged = |problem| KeysError::Damaged { path: path.clone(), problem };
        let mut keys = lines.lines().filter(|line| !line.trim().is_empty()).map(parse_line);
        let first = keys.next().ok_or(damaged("it holds no key"))?.map_err(damaged)?;
        let (mut verifying, mut signing) = (vec![first.0], first.1);
        for key in keys {
            let (public, private) = key.map_err(damaged)?;
            verifying.push(public);
            signing = private;
        }
        if verifying.len() > KEYS_MAX {
            return Err(damaged("it holds more than 16 keys: take the oldest away"));
        }
        Ok(Self { verifying, signing, admin_token: admin_token(folder)? })
    }

    /// Adds a signing key to the folder's file. Tokens of the keys before it stay valid. Serves from the next load on.
    ///
    /// # Errors
    /// As [`AuthKeys::load_or_create`].
    pub fn rotate(folder: &Path) -> Result<(), KeysError> {
        let path = folder.join(SIGNING_FILE);
        let mut lines = keys_file::read(&path)?.unwrap_or_default();
        lines.push_str(&fresh_line()?);
        keys_file::write(&path, &lines)
    }

    /// Whether it is the operator's token, in a time that does not tell where it differs.
    pub(crate) fn is_admin(&self, token: &[u8]) -> bool {
        secret::same(token, self.admin_token.as_bytes())
    }

    /// The key that signs, and its id.
    pub(crate) fn signing(&self) -> (&str, &EncodingKey) {
        (self.verifying.last().map_or("", |(id, _)| id), &self.signing)
    }

    /// The key of an id.
    pub(crate) fn verifying(&self, id: &str) -> Option<&DecodingKey> {
        self.verifying.iter().find(|(known, _)| known == id).map(|(_, key)| key)
    }
}

fn fresh_line() -> Result<Zeroizing<String>, KeysError> {
    let pair = Ed25519KeyPair::generate().map_err(|_| KeysError::Provider)?;
    let private = pair.to_pkcs8().map_err(|_| KeysError::Provider)?;
    let text = Zeroizing::new(secret::encode(private.as_ref()));
    Ok(Zeroizing::new(format!("{} {}\n", key_id(&pair), *text)))
}

/// The first 8 bytes of the public key's SHA-256, so that an id never names two keys.
fn key_id(pair: &Ed25519KeyPair) -> String {
    hex(&secret::sha256(pair.public_key().as_ref())[..8])
}

type Line = ((String, DecodingKey), EncodingKey);

fn parse_line(line: &str) -> Result<Line, &'static str> {
    let (id, private) = line.trim().split_once(' ').ok_or("a line is not a key id and a key")?;
    let private = BASE64_URL_SAFE_NO_PAD.decode(private).map_err(|_| "a key is not base64url")?;
    let private = Zeroizing::new(private);
    let pair = Ed25519KeyPair::from_pkcs8(&private).map_err(|_| "a key is not an Ed25519 key")?;
    if key_id(&pair) != id {
        return Err("a key id does not belong to its key");
    }
    let public = DecodingKey::from_ed_der(pair.public_key().as_ref());
    Ok(((id.to_owned(), public), EncodingKey::from_ed_der(&private)))
}

fn admin_token(folder: &Path) -> Result<Zeroizing<String>, KeysError> {
    let path = folder.join(ADMIN_FILE);
    let Some(text) = keys_file::read(&path)? else {
        let bits = secret::random_secret().map_err(|_| KeysError::Provider)?;
        let token = Zeroizing::new(format!("{ADMIN_PREFIX}{}", secret::encode(&bits[..])));
        keys_file::write(&path, &format!("{}\n", *token))?;
        return Ok(token);
    };
    let token = text.trim();
    let bits = token.strip_prefix(ADMIN_PREFIX).and_then(|bits| secret::decode::<32>(bits.as_bytes()));
    if bits.is_none() {
        return Err(KeysError::Damaged {
            path,
            problem: "it is no operator's token; remove it for a new one",
        });
    }
    Ok(Zeroizing::new(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    #[test]
    fn keys_are_made_once_for_their_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let made = AuthKeys::load_or_create(folder.path()).unwrap();
        let loaded = AuthKeys::load_or_create(folder.path()).unwrap();
        assert_eq!(made.signing().0, loaded.signing().0);
        assert!(loaded.is_admin(made.admin_token.as_bytes()) && !loaded.is_admin(b"pladm_"));
        for file in [SIGNING_FILE, ADMIN_FILE] {
            let mode = fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no leftovers");
        let shown = format!("{made:?}");
        assert!(!shown.contains(ADMIN_PREFIX), "{shown}");
    }

    #[test]
    fn a_rotated_key_signs_and_the_old_one_still_verifies() {
        let folder = tempfile::tempdir().unwrap();
        let old = AuthKeys::load_or_create(folder.path()).unwrap();
        AuthKeys::rotate(folder.path()).unwrap();
        let new = AuthKeys::load_or_create(folder.path()).unwrap();
        assert_ne!(new.signing().0, old.signing().0);
        assert!(new.verifying(old.signing().0).is_some() && old.verifying(new.signing().0).is_none());
    }

    #[test]
    fn bad_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        AuthKeys::load_or_create(folder.path()).unwrap();
        let refused = || AuthKeys::load_or_create(folder.path()).unwrap_err().to_string();
        let path = folder.path().join(SIGNING_FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(refused().contains("(mode 640)"), "{}", refused());
        for (text, problem) in
            [("", "no key"), ("x", "not a key id"), ("x !", "not base64url"), ("x AA", "Ed25519")]
        {
            keys_file::write(&path, text).unwrap();
            assert!(refused().contains(problem), "{}", refused());
        }
        fs::remove_file(&path).unwrap();
        keys_file::write(&folder.path().join(ADMIN_FILE), "pladm_short").unwrap();
        assert!(refused().contains("no operator's token"), "{}", refused());
    }
}
