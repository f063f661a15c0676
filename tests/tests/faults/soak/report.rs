//! What came of a soak.

use super::{
    Totals,
    sample::Sample,
    settle::{self, Verdict},
};
use serde::Serialize;
use std::{fmt, sync::atomic::Ordering::Relaxed, time::Duration};

/// The report, as it is kept in `soak.json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) seconds: u64,
    totals: Vec<(&'static str, u64)>,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) samples: Vec<Sample>,
}

impl Report {
    pub(super) fn new(seed: u64, lasts: Duration, totals: &Totals, samples: Vec<Sample>) -> Self {
        let all = [
            ("messages acknowledged", &totals.acknowledged),
            ("messages delivered", &totals.delivered),
            ("connections made", &totals.connections),
            ("logins, renewals and logouts", &totals.logins),
            ("pages of history", &totals.pages),
            ("free messages published", &totals.free_published),
            ("free messages delivered", &totals.free_delivered),
            ("changes of groups", &totals.changes),
        ];
        let totals = all.map(|(what, count)| (what, count.load(Relaxed))).to_vec();
        let verdicts = settle::verdicts(&samples);
        Self { seed, seconds: lasts.as_secs(), totals, verdicts, samples }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.settled)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "soak of {} s:", self.seconds)?;
        self.totals.iter().try_for_each(|(what, count)| write!(f, " {count} {what},"))?;
        writeln!(f, " {} samples", self.samples.len())?;
        for Verdict { what, mean, rise, rise_max, settled, .. } in &self.verdicts {
            let word = if *settled { "settled" } else { "NOT SETTLED" };
            writeln!(f, "  {what:<12}{word}: mean {mean:.0}, rises by {rise:.0}, may by {rise_max:.0}")?;
        }
        Ok(())
    }
}
