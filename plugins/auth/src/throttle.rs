//! Slows down who guesses passwords, by account and by address, and who registers accounts, by address.
//!
//! An attempt is charged when it begins and the charge is taken back when it succeeds, so that many attempts at once
//! cost as much as one after another. Only passwords are charged: tokens and API keys have 256 random bits, there is
//! nothing to guess, and a device with an old token must not lock out its neighbours behind the same address.
//! An account that somebody else guesses at waits, too, but never longer than `longest_ms`; its tokens serve meanwhile.

use crate::options::{AuthOptions, Backoff};
use lru::LruCache;
use parlance_plugin_api::{UnixMillis, identity::AuthError};
use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Whom an attempt is counted against: a keyed hash of the account or of the name that was tried.
pub(crate) type Subject = [u8; 32];

/// See the module. Each map is bounded; what was not touched for longest is forgotten first.
pub(crate) struct Throttle {
    accounts: Mutex<LruCache<Subject, Failures>>,
    addresses: Mutex<LruCache<IpAddr, Failures>>,
    /// When the address would have used up what it registered.
    registering: Mutex<LruCache<IpAddr, UnixMillis>>,
    account: Backoff,
    address: Backoff,
    registrations_per_minute: u32,
}

/// An attempt that was charged. Dropped, it stays a failure.
#[must_use]
pub(crate) struct Attempt {
    subject: Subject,
    address: IpAddr,
    /// The address as it was, and its count with this attempt.
    before: Failures,
    charged: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Failures {
    count: u32,
    last: UnixMillis,
    blocked_until: UnixMillis,
}

impl Failures {
    fn wait_ms(&self, now: UnixMillis, policy: &Backoff) -> u64 {
        // The second bound: a clock that was set back must not lock anybody out.
        self.blocked_until.saturating_sub(now).min(policy.longest_ms)
    }

    fn charge(&mut self, now: UnixMillis, policy: &Backoff) {
        if now.saturating_sub(self.last) > policy.forget_ms {
            *self = Self::default();
        }
        self.count = self.count.saturating_add(1);
        self.last = now;
        if let Some(doublings) = self.count.checked_sub(policy.free.saturating_add(1)) {
            let wait = policy.first_ms.saturating_mul(1 << doublings.min(32));
            self.blocked_until = now + wait.min(policy.longest_ms);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What counts as one address: an IPv4 address, or the /64 of an IPv6 address, which is one customer's.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

fn refuse(wait_ms: u64) -> Result<(), AuthError> {
    match wait_ms.div_ceil(1_000) {
        0 => Ok(()),
        retry_after_s => Err(AuthError::Throttled { retry_after_s }),
    }
}

impl Throttle {
    pub(crate) fn new(options: &AuthOptions) -> Self {
        let entries = NonZeroUsize::new(options.throttle_entries_max).unwrap_or(NonZeroUsize::MIN);
        Self {
            accounts: Mutex::new(LruCache::new(entries)),
            addresses: Mutex::new(LruCache::new(entries)),
            registering: Mutex::new(LruCache::new(entries)),
            account: options.account_backoff,
            address: options.address_backoff,
            registrations_per_minute: options.registrations_per_minute,
        }
    }

    /// Whether an attempt may begin now. Costs nothing.
    pub(crate) fn check(&self, subject: &Subject, from: IpAddr, now: UnixMillis) -> Result<(), AuthError> {
        let account = lock(&self.accounts).peek(subject).map_or(0, |f| f.wait_ms(now, &self.account));
        let address = lock(&self.addresses).peek(&counted(from)).map_or(0, |f| f.wait_ms(now, &self.address));
        refuse(account.max(address))
    }

    /// Begins an attempt: a failure until [`Throttle::succeeded`].
    pub(crate) fn begin(
        &self,
        subject: Subject,
        from: IpAddr,
        now: UnixMillis,
    ) -> Result<Attempt, AuthError> {
        self.check(&subject, from, now)?;
        let address = counted(from);
        lock(&self.accounts).get_or_insert_mut(subject, Failures::default).charge(now, &self.account);
        let mut addresses = lock(&self.addresses);
        let failures = addresses.get_or_insert_mut(address, Failures::default);
        let before = *failures;
        failures.charge(now, &self.address);
        Ok(Attempt { subject, address, before, charged: failures.count })
    }

    /// The password was right: the account's failures are forgotten, the address is as if it had not tried.
    pub(crate) fn succeeded(&self, attempt: &Attempt) {
        lock(&self.accounts).pop(&attempt.subject);
        if let Some(failures) = lock(&self.addresses).get_mut(&attempt.address) {
            if failures.count == attempt.charged {
                *failures = attempt.before;
            } else {
                // Others failed meanwhile: their wait stays.
                failures.count = failures.count.saturating_sub(1);
            }
        }
    }

    /// Counts a registration.
    pub(crate) fn register(&self, from: IpAddr, now: UnixMillis) -> Result<(), AuthError> {
        const MINUTE_MS: u64 = 60_000;
        if self.registrations_per_minute == 0 {
            return Ok(());
        }
        let each = MINUTE_MS.div_ceil(self.registrations_per_minute.into());
        let mut registering = lock(&self.registering);
        let until = registering.get_or_insert_mut(counted(from), || now);
        let next = (*until).clamp(now, now + MINUTE_MS) + each;
        refuse(next.saturating_sub(now + MINUTE_MS))?;
        *until = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const SECOND: u64 = 1_000;
    const START: u64 = 1_000_000_000;

    fn throttle() -> Throttle {
        Throttle::new(&AuthOptions::default())
    }

    fn subject(number: u16) -> Subject {
        let mut subject = [0; 32];
        subject[..2].copy_from_slice(&number.to_be_bytes());
        subject
    }

    fn retry_after(result: Result<Attempt, AuthError>) -> u64 {
        match result {
            Ok(_) => 0,
            Err(AuthError::Throttled { retry_after_s }) => retry_after_s,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn failures_of_an_account_double_the_wait_up_to_a_bound() {
        let throttle = throttle();
        for _ in 0..5 {
            assert_eq!(retry_after(throttle.begin(subject(1), HERE, START)), 0);
        }
        let mut now = START;
        for expected in [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert_eq!(throttle.check(&subject(1), HERE, now).is_ok(), expected == 0);
            now += expected * SECOND;
            assert_eq!(retry_after(throttle.begin(subject(1), HERE, now)), 0, "after {expected} s");
        }
        assert_eq!(retry_after(throttle.begin(subject(2), HERE, now)), 0, "another account");
        assert_eq!(retry_after(throttle.begin(subject(1), HERE, now + 3_601 * SECOND)), 0, "forgotten");
    }

    #[test]
    fn success_resets_the_account_but_not_the_address() {
        let throttle = throttle();
        for number in 0..50 {
            assert_eq!(retry_after(throttle.begin(subject(number), HERE, START)), 0);
        }
        let attempt = throttle.begin(subject(0), HERE, START).unwrap();
        throttle.succeeded(&attempt);
        let failed = throttle.begin(subject(0), HERE, START);
        assert_eq!(retry_after(failed), 0);
        assert_eq!(retry_after(throttle.begin(subject(99), HERE, START)), 1, "sprayed over accounts");
        assert_eq!(retry_after(throttle.begin(subject(99), "10.0.0.1".parse().unwrap(), START)), 0);
    }

    #[test]
    fn ones_own_success_does_not_lift_the_wait_for_a_failure_meanwhile() {
        let throttle = throttle();
        for number in 0..49 {
            assert_eq!(retry_after(throttle.begin(subject(number), HERE, START)), 0);
        }
        let mine = throttle.begin(subject(100), HERE, START).unwrap();
        assert_eq!(retry_after(throttle.begin(subject(101), HERE, START)), 0);
        throttle.succeeded(&mine);
        assert_eq!(retry_after(throttle.begin(subject(102), HERE, START)), 1);
    }

    #[test]
    fn an_ipv6_customer_is_one_address_and_a_mapped_one_is_ipv4() {
        let same = |a: &str, b: &str| counted(a.parse().unwrap()) == counted(b.parse().unwrap());
        assert!(same("2001:db8::1", "2001:db8::ffff:2") && !same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("::ffff:10.0.0.1", "10.0.0.1"));
    }

    #[test]
    fn hundreds_register_in_a_minute_but_not_without_end() {
        let throttle = throttle();
        let registered = (0..2_000).filter(|_| throttle.register(HERE, START).is_ok()).count();
        assert_eq!(registered, 600);
        assert_eq!(throttle.register(HERE, START), Err(AuthError::Throttled { retry_after_s: 1 }));
        assert_eq!(throttle.register(HERE, START + 100), Ok(()));
        let off = AuthOptions { registrations_per_minute: 0, ..AuthOptions::default() };
        let throttle = Throttle::new(&off);
        assert!((0..2_000).all(|_| throttle.register(HERE, START).is_ok()));
    }

    proptest! {
        #[test]
        fn nobody_waits_longer_than_the_bound_whatever_the_clock_does(times: Vec<u64>) {
            let throttle = throttle();
            for now in times {
                let wait = retry_after(throttle.begin(subject(1), HERE, now / 2));
                prop_assert!(wait <= 15 * 60);
                let _ = throttle.register(HERE, now / 2);
            }
        }
    }
}
