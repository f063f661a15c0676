//! Medians, and figures of several rounds.

use super::results::Results;
use crate::{Case, peers::Peer};

/// A figure of several rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) rounds: usize,
}

impl Summary {
    /// None of no values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, min, max, rounds: values.len() })
    }

    /// How often the other goes into this one; none if that means nothing.
    pub(crate) fn ratio_to(&self, other: &Self) -> Option<f64> {
        let ratio = self.median / other.median;
        ratio.is_finite().then_some(ratio)
    }
}

impl Results {
    /// A figure of a case on a broker, over the rounds.
    pub(crate) fn summary(&self, case: Case, peer: Peer, metric: &str) -> Option<Summary> {
        Summary::of(self.outcomes(case, peer).filter_map(|outcome| outcome.get(metric)))
    }

    /// Its median.
    pub(crate) fn median(&self, case: Case, peer: Peer, metric: &str) -> Option<f64> {
        self.summary(case, peer, metric).map(|summary| summary.median)
    }
}
