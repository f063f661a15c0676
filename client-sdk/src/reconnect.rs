//! How long to wait before the next attempt: exponential, with decorrelated jitter.
//!
//! Each pause is drawn between the shortest and three times the pause before, so that thousands of clients that
//! lost the same broker do not come back together, however long it was away.

use std::time::Duration;

/// The pauses between attempts to connect.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    last: Duration,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, last: min }
    }

    /// The next pause; `random` is evenly drawn from 0.0 to 1.0.
    pub(crate) fn next(&mut self, random: f64) -> Duration {
        let highest = (self.last * 3).min(self.max).max(self.min);
        self.last = self.min + (highest - self.min).mul_f64(random.clamp(0.0, 1.0));
        self.last
    }

    /// A connection held: begins anew.
    pub(crate) fn reset(&mut self) {
        self.last = self.min;
    }
}

/// A number from 0.0 to 1.0.
pub(crate) fn random() -> f64 {
    // The low 62 bits of a version 4 UUID are random in full.
    const BITS: u128 = (1 << 62) - 1;
    (uuid::Uuid::new_v4().as_u128() & BITS) as f64 / BITS as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIN: Duration = Duration::from_millis(250);
    const MAX: Duration = Duration::from_secs(60);

    #[test]
    fn grows_to_the_longest_and_begins_anew() {
        let mut backoff = Backoff::new(MIN, MAX);
        let pauses: Vec<_> = (0..8).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(pauses, [750, 2_250, 6_750, 20_250, 60_000, 60_000, 60_000, 60_000]);
        backoff.reset();
        assert_eq!(backoff.next(1.0).as_millis(), 750);
    }

    proptest! {
        #[test]
        fn stays_within_its_bounds(randoms in prop::collection::vec(0.0f64..=1.0, 1..50)) {
            let mut backoff = Backoff::new(MIN, MAX);
            for random in randoms {
                let pause = backoff.next(random);
                prop_assert!((MIN..=MAX).contains(&pause));
            }
        }

        #[test]
        fn random_is_between_0_and_1(_ in 0..100u8) {
            prop_assert!((0.0..=1.0).contains(&random()));
        }
    }

    #[test]
    fn two_clients_do_not_wait_alike() {
        let pauses = || {
            let mut backoff = Backoff::new(MIN, MAX);
            (0..5).map(|_| backoff.next(random())).collect::<Vec<_>>()
        };
        assert_ne!(pauses(), pauses());
    }
}
