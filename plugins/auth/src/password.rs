//! Passwords: argon2id on other threads, a bounded number at once.

use crate::{
    options::{HASHES_WAITING_MAX, PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, PasswordCost},
    secret,
};
use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use parlance_plugin_api::identity::AuthError;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::timeout,
};
use zeroize::Zeroizing;

/// A password on its way to be hashed.
pub(crate) type Password = Zeroizing<Vec<u8>>;

/// Takes a password out of a request, so that it is wiped.
pub(crate) fn take(secret: parlance_schema::api::Secret) -> Password {
    Zeroizing::new(secret.0.into_bytes())
}

/// Checks the length of a password that is to be set.
pub(crate) fn check(password: &Password) -> Result<(), AuthError> {
    let range = PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX;
    let characters = str::from_utf8(password).map_err(|_| AuthError::BadCredentials)?.chars().count();
    if range.contains(&characters) {
        return Ok(());
    }
    Err(AuthError::PasswordLength { min: PASSWORD_CHARS_MIN, max: PASSWORD_CHARS_MAX })
}

/// Hashes and verifies.
pub(crate) struct Hasher {
    argon: Argon2<'static>,
    turns: Arc<Semaphore>,
    at_once: usize,
    waiting: AtomicUsize,
    wait: Duration,
    /// What a password is compared with where there is none.
    dummy: String,
}

/// Leave to hash one password. Held while it is hashed.
pub(crate) struct Turn(OwnedSemaphorePermit);

/// Counts a waiting login for as long as it waits, however that ends.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hasher {
    pub(crate) fn new(cost: PasswordCost, at_once: usize, wait_ms: u64) -> Result<Self, AuthError> {
        let params = Params::new(cost.memory_kib, cost.passes, 1, None).map_err(|_| AuthError::Internal)?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let dummy = hash(&argon, &secret::random_secret()?[..])?;
        Ok(Self {
            argon,
            turns: Arc::new(Semaphore::new(at_once)),
            at_once,
            waiting: AtomicUsize::new(0),
            wait: Duration::from_millis(wait_ms),
            dummy,
        })
    }

    /// How many are hashed at once.
    pub(crate) fn at_once(&self) -> usize {
        self.at_once
    }

    /// Waits for a turn, not for ever: who would wait too long is told to come back.
    pub(crate) async fn turn(&self) -> Result<Turn, AuthError> {
        let busy = || AuthError::Throttled { retry_after_s: self.wait.as_secs().max(1) };
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= HASHES_WAITING_MAX {
            return Err(busy());
        }
        match timeout(self.wait, self.turns.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn(permit)),
            Ok(Err(_)) => Err(AuthError::Internal),
            Err(_) => Err(busy()),
        }
    }

    /// Waits for a turn however long that takes: for the operator's batches, which ask for few at a time.
    pub(crate) async fn patient_turn(&self) -> Result<Turn, AuthError> {
        self.turns.clone().acquire_owned().await.map(Turn).map_err(|_| AuthError::Internal)
    }

    /// The hash to store.
    pub(crate) async fn hash(&self, turn: Turn, password: Password) -> Result<String, AuthError> {
        let argon = self.argon.clone();
        let job = move || {
            let hashed = hash(&argon, &password);
            drop(turn.0);
            hashed
        };
        spawn_blocking(job).await.map_err(|_| AuthError::Internal)?
    }

    /// Whether the password is the stored one's. Takes as long when nothing is stored.
    pub(crate) async fn verify(
        &self,
        turn: Turn,
        password: Password,
        stored: Option<&str>,
    ) -> Result<bool, AuthError> {
        let argon = self.argon.clone();
        let compared = stored.unwrap_or(&self.dummy).to_owned();
        let job = move || {
            let same = PasswordHash::new(&compared)
                .is_ok_and(|compared| argon.verify_password(&password, &compared).is_ok());
            drop(turn.0);
            same
        };
        let same = spawn_blocking(job).await.map_err(|_| AuthError::Internal)?;
        Ok(same && stored.is_some())
    }
}

fn hash(argon: &Argon2<'_>, password: &[u8]) -> Result<String, AuthError> {
    let hashed: PasswordHash = argon.hash_password(password).map_err(|_| AuthError::Internal)?;
    Ok(hashed.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Zeroizing::new(text.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn the_default_cost_is_in_the_hash_and_only_the_password_verifies() {
        let hasher = Hasher::new(PasswordCost::default(), 1, 1_000).unwrap();
        let stored = hasher.hash(hasher.turn().await.unwrap(), password("correct horse")).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        for (tried, against, expected) in [
            ("correct horse", Some(&*stored), true),
            ("correct house", Some(&*stored), false),
            ("correct horse", None, false),
            ("correct horse", Some("damaged"), false),
        ] {
            let turn = hasher.turn().await.unwrap();
            assert_eq!(hasher.verify(turn, password(tried), against).await, Ok(expected), "{tried}");
        }
    }

    #[tokio::test]
    async fn who_would_wait_too_long_is_told_to_come_back() {
        let hasher = Hasher::new(PasswordCost { memory_kib: 8, passes: 1 }, 1, 1).unwrap();
        let turn = hasher.turn().await.unwrap();
        assert_eq!(hasher.turn().await.err(), Some(AuthError::Throttled { retry_after_s: 1 }));
        drop(turn);
        assert!(hasher.turn().await.is_ok());
        assert_eq!(hasher.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn lengths_count_characters() {
        for (text, good) in [
            ("1234567".to_owned(), false),
            ("12345678".to_owned(), true),
            ("ääääääää".to_owned(), true),
            ("ä".repeat(256), true),
            ("ä".repeat(257), false),
        ] {
            assert_eq!(check(&password(&text)).is_ok(), good, "{text}");
        }
    }
}
