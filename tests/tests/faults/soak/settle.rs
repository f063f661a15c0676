//! Whether something settles: computed from the second half of the samples, by a straight line through it (least squares).
//!
//! | what | settles if, over the second half, the line rises by |
//! | --- | --- |
//! | memory | at most 10 % of its mean |
//! | descriptors | at most 10 % of their mean |
//! | threads | at most 10 % of their mean, or 2: those that block come and go |
//! | disk | at most 1,000 bytes for each message that was stored meanwhile, and a segment of the journal |
//!
//! Messages are kept: the disk grows with them, and with nothing else.

use super::sample::Sample;
use serde::Serialize;

/// How much of its mean something may rise over the second half.
const RISE_MAX: f64 = 0.1;
const THREADS_RISE_MAX: f64 = 2.0;
const BYTES_PER_MESSAGE_MAX: f64 = 1_000.0;
const SEGMENT_BYTES: f64 = (32 << 20) as f64;

/// A straight line: its value at 0 and its slope.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    pub(super) at_0: f64,
    pub(super) slope: f64,
}

impl Line {
    /// Through points, so that the squares of what it misses them by are least.
    pub(super) fn through(points: &[(f64, f64)]) -> Self {
        let count = points.len().max(1) as f64;
        let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
        let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
        let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
        let together: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
        let slope = if spread > 0.0 { together / spread } else { 0.0 };
        Self { at_0: mean_y - slope * mean_x, slope }
    }

    pub(super) fn at(self, x: f64) -> f64 {
        self.at_0 + self.slope * x
    }
}

/// A verdict.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verdict {
    pub(super) what: &'static str,
    /// Of the second half.
    pub(super) mean: f64,
    /// By how much the line rises over the second half.
    pub(super) rise: f64,
    /// By how much it may.
    pub(super) rise_max: f64,
    pub(super) settled: bool,
    pub(super) line: Line,
}

/// The samples of the second half.
pub(super) fn second_half(samples: &[Sample]) -> &[Sample] {
    let middle = samples.last().map_or(0.0, |last| last.at_s / 2.0);
    &samples[samples.partition_point(|sample| sample.at_s < middle)..]
}

fn judge(what: &'static str, half: &[Sample], value: impl Fn(&Sample) -> u64, least_max: f64) -> Verdict {
    let points: Vec<(f64, f64)> = half.iter().map(|sample| (sample.at_s, value(sample) as f64)).collect();
    let line = Line::through(&points);
    let mean = points.iter().map(|(_, y)| y).sum::<f64>() / points.len().max(1) as f64;
    let rise = line.slope * span(half, |sample| sample.at_s);
    let rise_max = (mean * RISE_MAX).max(least_max);
    Verdict { what, mean, rise, rise_max, settled: rise <= rise_max, line }
}

fn span(half: &[Sample], value: impl Fn(&Sample) -> f64) -> f64 {
    half.last().map_or(0.0, &value) - half.first().map_or(0.0, &value)
}

/// All verdicts.
pub(super) fn verdicts(samples: &[Sample]) -> Vec<Verdict> {
    let half = second_half(samples);
    let mut disk = judge("disk", half, |sample| sample.disk_bytes, 0.0);
    disk.rise_max = BYTES_PER_MESSAGE_MAX * span(half, |sample| sample.messages as f64) + SEGMENT_BYTES;
    disk.settled = disk.rise <= disk.rise_max;
    vec![
        judge("memory", half, |sample| sample.resident_bytes, 0.0),
        judge("descriptors", half, |sample| sample.descriptors, 0.0),
        judge("threads", half, |sample| sample.threads, THREADS_RISE_MAX),
        disk,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(memory: impl Fn(u64) -> u64) -> Vec<Sample> {
        (0..100)
            .map(|number| Sample {
                at_s: number as f64 * 5.0,
                resident_bytes: memory(number),
                descriptors: 100 + number % 3,
                threads: 8,
                disk_bytes: 1_000_000 + number * 900 * 50,
                messages: number * 50,
                connections: 50,
            })
            .collect()
    }

    fn settled(memory: impl Fn(u64) -> u64) -> Vec<(&'static str, bool)> {
        verdicts(&samples(memory)).into_iter().map(|verdict| (verdict.what, verdict.settled)).collect()
    }

    #[test]
    fn a_line_goes_through_its_points() {
        let line = Line::through(&[(1.0, 3.0), (2.0, 5.0), (3.0, 7.0)]);
        assert!((line.slope - 2.0).abs() < 1e-9 && (line.at(10.0) - 21.0).abs() < 1e-9, "{line:?}");
        assert_eq!(Line::through(&[(4.0, 8.0)]).slope, 0.0);
    }

    #[test]
    fn what_rises_first_and_then_stays_has_settled() {
        let all = [("memory", true), ("descriptors", true), ("threads", true), ("disk", true)];
        assert_eq!(settled(|number| 100_000_000 + number.min(40) * 1_000_000 + number % 7 * 1_000_000), all);
        assert!(
            !settled(|number| 100_000_000 + number * 1_000_000)[0].1,
            "it rises by half in the second half"
        );
    }

    #[test]
    fn a_disk_may_grow_by_what_is_stored_alone() {
        let mut growing = samples(|_| 1);
        growing.iter_mut().for_each(|sample| sample.disk_bytes *= 30);
        assert!(!verdicts(&growing)[3].settled);
    }
}
