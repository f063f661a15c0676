//! How fast one connection speaks: counted by the second, in few bytes.

/// What a connection may send in a second; 0 for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rates {
    pub(crate) packets_max: u32,
    pub(crate) bytes_max: u32,
    /// Seconds in a row that it may be held back.
    pub(crate) over_s_max: u32,
}

impl Rates {
    /// No limits.
    pub(crate) const NONE: Self = Self { packets_max: 0, bytes_max: 0, over_s_max: u32::MAX };
}

/// What a connection sent in the current second.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace {
    second: u32,
    packets: u32,
    bytes: u32,
    /// Seconds before this one, in a row, that were used up.
    over_s: u32,
}

impl Pace {
    /// A packet came.
    pub(crate) fn packet(&mut self, rates: Rates, now_ms: u64) {
        self.turn(rates, now_ms);
        self.packets = self.packets.saturating_add(1);
    }

    /// Bytes came.
    pub(crate) fn bytes(&mut self, count: usize, rates: Rates, now_ms: u64) {
        self.turn(rates, now_ms);
        self.bytes = self.bytes.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// Nothing more is heard before this time (milliseconds, as `now_ms`), if the second is used up.
    pub(crate) fn held_until(&self, rates: Rates, now_ms: u64) -> Option<u64> {
        let held = self.second == second(now_ms) && self.is_used_up(rates);
        held.then(|| (u64::from(self.second) + 1) * 1_000)
    }

    /// It used up so many seconds in a row that it does not mean to stop.
    pub(crate) fn is_out_of_patience(&self, rates: Rates) -> bool {
        self.over_s >= rates.over_s_max
    }

    fn is_used_up(&self, rates: Rates) -> bool {
        (rates.packets_max > 0 && self.packets >= rates.packets_max)
            || (rates.bytes_max > 0 && self.bytes >= rates.bytes_max)
    }

    fn turn(&mut self, rates: Rates, now_ms: u64) {
        let now = second(now_ms);
        if now != self.second {
            let again = self.is_used_up(rates) && now == self.second.wrapping_add(1);
            let over_s = if again { self.over_s.saturating_add(1) } else { 0 };
            *self = Self { second: now, over_s, ..Self::default() };
        }
    }
}

/// The second of a connection's life. Wraps after 136 years.
fn second(now_ms: u64) -> u32 {
    (now_ms / 1_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates { packets_max: 2, bytes_max: 100, over_s_max: 3 };

    #[test]
    fn a_second_that_is_used_up_holds_until_it_is_over() {
        let mut pace = Pace::default();
        pace.packet(RATES, 5_100);
        assert_eq!(pace.held_until(RATES, 5_100), None);
        pace.packet(RATES, 5_200);
        assert_eq!(pace.held_until(RATES, 5_200), Some(6_000));
        assert_eq!(pace.held_until(RATES, 6_000), None);
        pace.bytes(99, RATES, 6_000);
        assert_eq!(pace.held_until(RATES, 6_001), None);
        pace.bytes(1, RATES, 6_000);
        assert_eq!(pace.held_until(RATES, 6_001), Some(7_000));
        assert_eq!(pace.held_until(Rates::NONE, 6_001), None);
    }

    #[test]
    fn patience_ends_after_seconds_in_a_row() {
        let mut pace = Pace::default();
        for second in 0..3 {
            pace.bytes(100, RATES, second * 1_000);
            assert!(!pace.is_out_of_patience(RATES), "{second}");
        }
        pace.bytes(1, RATES, 3_000);
        assert!(pace.is_out_of_patience(RATES));
        pace.bytes(1, RATES, 4_000);
        assert!(!pace.is_out_of_patience(RATES), "it slowed down");
    }

    #[test]
    fn a_pause_forgives() {
        let mut pace = Pace::default();
        for second in [0, 1, 3, 4, 6, 7, 9] {
            pace.bytes(100, RATES, second * 1_000);
            assert!(!pace.is_out_of_patience(RATES));
        }
    }

    #[test]
    fn it_is_small() {
        assert_eq!(size_of::<Pace>(), 16);
    }
}
