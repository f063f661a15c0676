//! From counters to the figures of an outcome.

use super::{CaseError, world::World};
use crate::{
    Outcome,
    load::{Crew, Stats, histogram::Histogram},
    measure::{Disk, ThreadTimes, Tree},
};
use std::time::Duration;

/// What the broker uses, from the beginning of a case on.
#[derive(Debug)]
pub(super) struct Gauge {
    tree: Option<Tree>,
    disk: Option<Disk>,
    written_bytes: u64,
    sent: u64,
    settle: Duration,
}

/// CPU seconds and context switches up to a moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) broker_s: Option<f64>,
    pub(super) broker_switches: Option<u64>,
    pub(super) generator_s: f64,
}

impl Usage {
    pub(super) fn since(self, before: &Self) -> Self {
        Self {
            broker_s: self.broker_s.zip(before.broker_s).map(|(now, before)| now - before),
            broker_switches: self
                .broker_switches
                .zip(before.broker_switches)
                .map(|(now, before)| now.saturating_sub(before)),
            generator_s: self.generator_s - before.generator_s,
        }
    }
}

impl Gauge {
    /// Bytes that are written and messages that are sent from now on count.
    pub(super) fn begin(world: &World<'_>, crew: &Crew) -> Result<Self, CaseError> {
        let disk = world.disk();
        let written = disk.as_ref().map_or(Ok(0), Disk::written_with_caches_bytes);
        let written_bytes = written.map_err(CaseError::io("the block device"))?;
        let sent = crew.losses().sent;
        Ok(Self { tree: world.tree(), disk, written_bytes, sent, settle: world.settings.settle })
    }

    pub(super) fn usage(&self) -> Result<Usage, CaseError> {
        let failed = CaseError::io("CPU of the broker");
        let broker_s = self.tree.map(Tree::cpu_s).transpose().map_err(failed)?;
        let generator_s = Tree::own().cpu_s().map_err(CaseError::io("CPU of the generator"))?;
        let failed = CaseError::io("context switches of the broker");
        let broker_switches = self.tree.map(Tree::context_switches).transpose().map_err(failed)?;
        Ok(Usage { broker_s, broker_switches, generator_s })
    }

    /// CPU of the broker in fine steps, for what takes less than a tick; empty if its process is not known.
    pub(super) fn threads(&self) -> Result<ThreadTimes, CaseError> {
        self.tree
            .map_or(Ok(ThreadTimes::default()), Tree::threads)
            .map_err(CaseError::io("CPU of the broker"))
    }

    pub(super) fn rss_bytes(&self) -> Result<Option<u64>, CaseError> {
        self.tree.map(Tree::rss_bytes).transpose().map_err(CaseError::io("memory of the broker"))
    }

    /// Memory, and bytes at the device for each message: at once, and when the broker has tidied up.
    pub(super) fn end(&self, crew: &Crew, outcome: &mut Outcome) -> Result<(), CaseError> {
        if let Some(rss) = self.rss_bytes()? {
            outcome.set("rss_bytes", rss as f64);
        }
        let messages = crew.losses().sent - self.sent;
        let Some(disk) = self.disk.as_ref().filter(|_| messages > 0) else { return Ok(()) };
        let failed = || CaseError::io("the block device");
        let per_message = |written: u64| (written - self.written_bytes) as f64 / messages as f64;
        let at_once = disk.written_with_caches_bytes().map_err(failed())?;
        outcome.set("written_bytes_per_message", per_message(at_once));
        let settled = disk.settled_bytes(self.settle).map_err(failed())?;
        outcome.set("written_bytes_per_message_compacted", per_message(settled));
        Ok(())
    }
}

impl Outcome {
    /// `messages_per_s` and `acknowledged_per_s`.
    pub(super) fn rates(&mut self, stats: &Stats, time: Duration) {
        self.set("messages_per_s", stats.delivered as f64 / time.as_secs_f64());
        self.set("acknowledged_per_s", stats.acked as f64 / time.as_secs_f64());
    }

    /// `{name}_p50_ms`, `{name}_p99_ms` and `{name}_max_ms`, if there was anything.
    pub(super) fn times(&mut self, name: &str, histogram: &Histogram) {
        let quantiles = [("p50", histogram.quantile_ms(0.5)), ("p99", histogram.quantile_ms(0.99))];
        for (quantile, ms) in quantiles {
            if let Some(ms) = ms {
                self.set(&format!("{name}_{quantile}_ms"), ms);
            }
        }
        if histogram.total() > 0 {
            self.set(&format!("{name}_max_ms"), histogram.longest_ms());
        }
    }

    /// `cpu_s_per_million`, `context_switches_per_thousand` and `generator_cpu_s_per_million`, of so many deliveries.
    pub(super) fn used(&mut self, used: &Usage, deliveries: u64) {
        if deliveries == 0 {
            return;
        }
        let millions = deliveries as f64 / 1e6;
        if let Some(broker_s) = used.broker_s {
            self.set("cpu_s_per_million", broker_s / millions);
        }
        if let Some(switches) = used.broker_switches {
            self.set("context_switches_per_thousand", switches as f64 / millions / 1e3);
        }
        self.set("generator_cpu_s_per_million", used.generator_s / millions);
    }

    /// What went wrong, and what is missing.
    pub(super) fn judge(&mut self, crew: &Crew) {
        self.faults.extend(crew.faults().describe());
        let losses = crew.losses();
        if losses.lost > 0 {
            self.faults.push(format!("{} messages lost", losses.lost));
        }
        let retries = crew.stats().retries;
        if retries > 0 {
            self.notes.push(format!("{retries} connections failed at first and were made again"));
        }
        self.set("lost", losses.lost as f64);
        self.set("sent", losses.sent as f64);
    }
}
