//! Times, in buckets that are fixed: recording allocates nothing and takes a few nanoseconds.

/// Buckets in each doubling: a value is known to 1/128.
const STEPS_BITS: u32 = 7;
const STEPS: usize = 1 << STEPS_BITS;
/// Times from here on count as this (18 minutes).
const LONGEST_NS: u64 = (1 << 40) - 1;
const BUCKETS: usize = (40 - STEPS_BITS as usize + 1) * STEPS;

/// How often which time was seen.
#[derive(Clone)]
pub struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    total: u64,
    longest_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), total: 0, longest_ns: 0 }
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histogram").field("total", &self.total).finish_non_exhaustive()
    }
}

impl Histogram {
    /// One more of this time.
    pub fn record(&mut self, ns: u64) {
        self.counts[bucket(ns)] += 1;
        self.total += 1;
        self.longest_ns = self.longest_ns.max(ns);
    }

    /// All that the other has seen.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts.iter()) {
            *count += more;
        }
        self.total += other.total;
        self.longest_ns = self.longest_ns.max(other.longest_ns);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
        self.longest_ns = 0;
    }

    /// How many times were recorded.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The longest, in milliseconds.
    pub fn longest_ms(&self) -> f64 {
        self.longest_ns as f64 / 1e6
    }

    /// The time that this share (0 to 1) does not exceed, in milliseconds; `None` if nothing was recorded.
    pub fn quantile_ms(&self, share: f64) -> Option<f64> {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Some(middle_ns(bucket) / 1e6);
            }
        }
        None
    }
}

/// Below 128 ns each value has its own; then 128 to each doubling.
fn bucket(ns: u64) -> usize {
    let ns = ns.min(LONGEST_NS);
    let doublings = (u64::BITS - ns.leading_zeros()).saturating_sub(STEPS_BITS + 1);
    (doublings as usize) * STEPS + (ns >> doublings) as usize
}

fn middle_ns(bucket: usize) -> f64 {
    if bucket < 2 * STEPS {
        return bucket as f64;
    }
    let doublings = bucket / STEPS - 1;
    let from = ((STEPS + bucket % STEPS) as u64) << doublings;
    from as f64 + (1_u64 << doublings) as f64 / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_found_again_to_one_percent() {
        let mut ns = 1_u64;
        while ns < LONGEST_NS {
            let mut histogram = Histogram::default();
            histogram.record(ns);
            let found = histogram.quantile_ms(0.5).expect("one was recorded") * 1e6;
            assert!((found - ns as f64).abs() <= ns as f64 / 100.0, "{ns}: {found}");
            ns += 1 + ns / 7;
        }
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let mut histogram = Histogram::default();
        for ms in 1..=1_000_u64 {
            histogram.record(ms * 1_000_000);
        }
        for (share, ms) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1_000.0)] {
            let found = histogram.quantile_ms(share).expect("not empty");
            assert!((found - ms).abs() < ms / 100.0, "{share}: {found}");
        }
        assert_eq!(histogram.longest_ms(), 1_000.0);
    }

    #[test]
    fn merged_is_as_recorded_together_and_cleared_is_empty() {
        let (mut low, mut high) = (Histogram::default(), Histogram::default());
        low.record(1_000);
        high.record(1_000_000);
        high.record(u64::MAX);
        low.merge(&high);
        assert_eq!(low.total(), 3);
        assert!((low.quantile_ms(0.6).expect("not empty") - 1.0).abs() < 0.01);
        low.clear();
        assert_eq!((low.total(), low.quantile_ms(0.5)), (0, None));
    }
}
