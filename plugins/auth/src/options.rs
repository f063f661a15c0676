//! What the operator may set, with its defaults and ranges, and the limits that are not for setting.

use parlance_plugin_api::UnixMillis;
use std::{
    fmt,
    ops::RangeInclusive,
    sync::Arc,
    thread,
    time::{SystemTime, UNIX_EPOCH},
};
use thiserror::Error;

/// Fewest characters of a password.
pub(crate) const PASSWORD_CHARS_MIN: usize = 8;
/// Most characters of a password.
pub(crate) const PASSWORD_CHARS_MAX: usize = 256;
/// Longest client id that tokens are bound to, bytes.
pub(crate) const BOUND_CLIENT_ID_BYTES_MAX: usize = 256;
/// Longest token that is looked at, bytes.
pub(crate) const TOKEN_BYTES_MAX: usize = 4096;
/// Most accounts in one `admin.addUsers`.
pub(crate) const ADD_USERS_MAX: usize = 500;
/// Most accounts created by one transaction: the decider thread stays free for messages in between.
pub(crate) const ADD_USERS_PER_TRANSACTION: usize = 100;
/// Most tokens in one `admin.mintTokens`.
pub(crate) const MINT_TOKENS_MAX: usize = 2_000;
/// Longest life of a minted token, seconds: ten years.
pub(crate) const MINT_TTL_S_MAX: u64 = 10 * 366 * 86_400;
/// Accounts on one page, unless asked otherwise.
pub(crate) const USERS_PAGE: u32 = 100;
/// Most accounts on one page.
pub(crate) const USERS_PAGE_MAX: u32 = 500;
/// Most scopes of an API key.
pub(crate) const SCOPES_MAX: usize = 64;
/// Most characters of an API key's name.
pub(crate) const KEY_NAME_CHARS_MAX: usize = 100;
/// Most API keys of one account.
pub(crate) const API_KEYS_MAX: usize = 100;
/// Most marks of removed devices kept for one user; past it they become one raised epoch.
pub(crate) const REMOVED_DEVICES_MAX: usize = 256;
/// Most logins that wait for a turn to be hashed.
pub(crate) const HASHES_WAITING_MAX: usize = 4_096;

/// The time, so that tests need not wait.
pub type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// The system's clock.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis::try_from(since.as_millis()).unwrap_or(UnixMillis::MAX)
    })
}

/// How much work a password hash is (argon2id, one lane). The default is what OWASP recommends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory, KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Default for PasswordCost {
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2 }
    }
}

/// How failures slow down the next attempt: `free` cost nothing, then the wait doubles from `first_ms` to `longest_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Failures that cost nothing.
    pub free: u32,
    /// The first wait, milliseconds.
    pub first_ms: u64,
    /// The longest wait, milliseconds.
    pub longest_ms: u64,
    /// Failures are forgotten after so long without one, milliseconds.
    pub forget_ms: u64,
}

/// What the operator may set.
#[derive(Clone)]
pub struct AuthOptions {
    /// Life of an access token, seconds.
    pub access_ttl_s: u64,
    /// Life of a refresh token, seconds: a session that is not used for so long ends.
    pub refresh_ttl_s: u64,
    /// Sessions (token families) of one user; past it, the one that was refreshed longest ago ends.
    pub sessions_per_user_max: usize,
    /// Registrations from one address per minute; 0 for no limit.
    pub registrations_per_minute: u32,
    /// Failed logins of one account.
    pub account_backoff: Backoff,
    /// Failed logins from one address (IPv6: one /64).
    pub address_backoff: Backoff,
    /// Accounts, addresses and registering addresses that the throttle remembers, each.
    pub throttle_entries_max: usize,
    /// Accounts and names kept in memory, each.
    pub directory_entries_max: usize,
    /// Work of a password hash.
    pub password_cost: PasswordCost,
    /// Passwords hashed at once (each takes `password_cost.memory_kib`).
    pub hashes_at_once: usize,
    /// How long a login waits for its turn to be hashed, milliseconds.
    pub hash_wait_ms: u64,
    /// The time.
    pub clock: Clock,
}

impl Default for AuthOptions {
    fn default() -> Self {
        const MINUTE_MS: u64 = 60_000;
        Self {
            access_ttl_s: 15 * 60,
            refresh_ttl_s: 60 * 86_400,
            sessions_per_user_max: 100,
            registrations_per_minute: 600,
            account_backoff: Backoff {
                free: 5,
                first_ms: 1_000,
                longest_ms: 5 * MINUTE_MS,
                forget_ms: 60 * MINUTE_MS,
            },
            address_backoff: Backoff {
                free: 50,
                first_ms: 1_000,
                longest_ms: 15 * MINUTE_MS,
                forget_ms: 60 * MINUTE_MS,
            },
            throttle_entries_max: 65_536,
            directory_entries_max: 131_072,
            password_cost: PasswordCost::default(),
            hashes_at_once: thread::available_parallelism().map_or(1, usize::from).min(8),
            hash_wait_ms: 10_000,
            clock: system_clock(),
        }
    }
}

impl fmt::Debug for AuthOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthOptions")
            .field("access_ttl_s", &self.access_ttl_s)
            .field("refresh_ttl_s", &self.refresh_ttl_s)
            .field("sessions_per_user_max", &self.sessions_per_user_max)
            .field("registrations_per_minute", &self.registrations_per_minute)
            .field("password_cost", &self.password_cost)
            .field("hashes_at_once", &self.hashes_at_once)
            .finish_non_exhaustive()
    }
}

/// An option out of its range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("auth option {name} is {value}; it must be {} to {}", .range.start(), .range.end())]
pub struct OptionsError {
    /// Which.
    pub name: &'static str,
    /// What it is.
    pub value: u64,
    /// What it may be.
    pub range: RangeInclusive<u64>,
}

impl AuthOptions {
    /// Checks every range.
    ///
    /// # Errors
    /// Names the first option that is out of its range.
    pub fn check(&self) -> Result<(), OptionsError> {
        const YEAR_S: u64 = 366 * 86_400;
        let size = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let rules = [
            ("access_ttl_s", self.access_ttl_s, 1..=86_400),
            ("refresh_ttl_s", self.refresh_ttl_s, 60..=2 * YEAR_S),
            ("sessions_per_user_max", size(self.sessions_per_user_max), 1..=1_000),
            ("throttle_entries_max", size(self.throttle_entries_max), 16..=10_000_000),
            ("directory_entries_max", size(self.directory_entries_max), 16..=100_000_000),
            ("password_cost.memory_kib", self.password_cost.memory_kib.into(), 8..=1_048_576),
            ("password_cost.passes", self.password_cost.passes.into(), 1..=100),
            ("hashes_at_once", size(self.hashes_at_once), 1..=256),
            ("hash_wait_ms", self.hash_wait_ms, 1..=600_000),
        ];
        for (name, value, range) in rules {
            if !range.contains(&value) {
                return Err(OptionsError { name, value, range });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range_and_a_wrong_one_is_named() {
        assert_eq!(AuthOptions::default().check(), Ok(()));
        let wrong = AuthOptions { access_ttl_s: 0, ..AuthOptions::default() };
        let error = wrong.check().unwrap_err();
        assert_eq!(error.to_string(), "auth option access_ttl_s is 0; it must be 1 to 86400");
    }
}
