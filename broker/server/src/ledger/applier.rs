//! The applier thread: takes filled runs from memory to the store, syncs it now and then, and watches the free space.

use super::{Health, decider::Shared, overlay::Overlay};
use parlance_journal::Disk;
use parlance_plugin_api::store::{Position, StoreError, Vault};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};
use tokio::time::Instant;

/// When runs are applied and the store is synced.
#[derive(Clone)]
pub(crate) struct ApplierOptions {
    /// A run this large is applied at once.
    pub(crate) run_bytes: usize,
    /// A smaller run waits this long.
    pub(crate) run_age: Duration,
    /// Applied data is synced, and the journal trimmed, this often.
    pub(crate) sync_every: Duration,
    /// Free space below which writes are refused.
    pub(crate) min_free_bytes: u64,
    /// Where free space is looked up.
    pub(crate) data_dir: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
}

/// How often the thread looks around without being told to.
pub(crate) const TICK: Duration = Duration::from_millis(250);
/// How long a store or a journal that failed is left alone before it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The store refused the last run or sync.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failing {
    /// For want of space.
    full: bool,
    retry_at: Instant,
}

/// The one thread that writes to the store.
pub(crate) struct Applier {
    pub(crate) overlay: Arc<Overlay>,
    pub(crate) vault: Arc<dyn Vault>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) options: ApplierOptions,
    pub(crate) applied: Position,
    pub(crate) synced: Position,
    pub(crate) last_run: Instant,
    pub(crate) last_sync: Instant,
    pub(crate) last_look: Option<Instant>,
    pub(crate) failing: Option<Failing>,
    /// The journal found no space: writes are refused until then, so that not each of them tries the disk again.
    pub(crate) journal_rests_until: Option<Instant>,
}

impl Applier {
    /// Runs until the decider is gone, then applies what is left and syncs.
    pub(crate) fn run(mut self, nudges: &Receiver<()>) {
        // Until the decider is gone.
        while let Ok(()) | Err(RecvTimeoutError::Timeout) = nudges.recv_timeout(TICK) {
            self.turn();
        }
        self.finish();
    }

    /// Does what is due.
    pub(crate) fn turn(&mut self) {
        self.watch_space();
        self.apply_if_due();
        self.sync_if_due();
    }

    /// Applies everything and syncs.
    pub(crate) fn finish(&mut self) {
        // Twice: the run that was frozen, and the one that filled behind it.
        self.apply();
        self.apply();
        self.sync();
    }

    fn watch_space(&mut self) {
        if self.last_look.is_some_and(|at| at.elapsed() < TICK) {
            return;
        }
        self.last_look = Some(Instant::now());
        let free = match self.options.disk.free_bytes(&self.options.data_dir) {
            Ok(free) => free,
            Err(error) => {
                tracing::warn!(%error, "free space cannot be looked up");
                return;
            }
        };
        metrics::gauge!("parlance_disk_free_bytes").set(free as f64);
        if self.shared.journal_full.swap(false, Ordering::AcqRel) {
            self.journal_rests_until = Some(Instant::now() + RETRY);
        }
        let journal_full = self.journal_rests_until.is_some_and(|until| Instant::now() < until);
        let reserved = self.options.min_free_bytes;
        let low = free < reserved || journal_full || self.failing.is_some_and(|failing| failing.full);
        let was_low = self.shared.low_space.swap(low, Ordering::AcqRel);
        // Also where a batch that had begun before has just said that all is well.
        if low && (!was_low || self.shared.is_ready()) {
            let reason = format!(
                "the disk is full: {free} bytes are free, {reserved} are kept in reserve (store.min_free_bytes); free some space"
            );
            self.shared.set_health(Health::ReadOnly { reason });
        } else if was_low && !low && self.failing.is_none() {
            self.shared.set_health(Health::Ready);
        }
    }

    /// Whether the store failed a moment ago.
    fn store_rests(&self) -> bool {
        self.failing.is_some_and(|failing| Instant::now() < failing.retry_at)
    }

    fn apply_if_due(&mut self) {
        if self.store_rests() {
            return;
        }
        let (active, frozen) = self.overlay.bytes();
        if frozen > 0
            || active >= self.options.run_bytes
            || (active > 0 && self.last_run.elapsed() >= self.options.run_age)
        {
            self.apply();
        }
    }

    fn apply(&mut self) {
        let Some(run) = self.overlay.freeze() else { return };
        self.last_run = Instant::now();
        match self.overlay.apply(&run, &*self.vault) {
            Ok(()) => {
                self.works();
                self.applied = run.reaches;
                self.overlay.applied();
                metrics::histogram!("parlance_run_bytes").record(run.layer.bytes() as f64);
                metrics::histogram!("parlance_run_apply_seconds")
                    .record(self.last_run.elapsed().as_secs_f64());
            }
            // The run stays in memory, where reads find it, and is tried again.
            Err(error) => self.report(&error, "a run could not be applied to the store; it is tried again"),
        }
    }

    fn sync_if_due(&mut self) {
        let due = self.failing.is_some() || self.last_sync.elapsed() >= self.options.sync_every;
        if due && self.applied > self.synced && !self.store_rests() {
            self.sync();
        }
    }

    fn sync(&mut self) {
        self.last_sync = Instant::now();
        match self.overlay.store().sync() {
            Ok(position) => {
                self.works();
                self.synced = position;
                self.shared.safe.store(position.0, Ordering::Release);
            }
            Err(error) => self.report(&error, "the store could not be synced; the journal keeps what it has"),
        }
    }

    /// The store takes what it is given (again).
    fn works(&mut self) {
        self.failing = None;
        if self.shared.store_fails.swap(false, Ordering::AcqRel)
            && !self.shared.low_space.load(Ordering::Acquire)
        {
            self.shared.set_health(Health::Ready);
        }
    }

    fn report(&mut self, error: &StoreError, what: &str) {
        metrics::counter!("parlance_store_failures_total").increment(1);
        let full = matches!(error, StoreError::Full);
        if self.failing.is_none_or(|failing| failing.full != full) {
            tracing::error!(%error, "{what}");
        }
        self.failing = Some(Failing { full, retry_at: Instant::now() + RETRY });
        if full {
            self.shared.low_space.store(true, Ordering::Release);
            self.shared.set_health(Health::ReadOnly { reason: "the disk is full".into() });
        } else {
            self.shared.store_fails.store(true, Ordering::Release);
            self.shared.set_health(Health::Failed { reason: error.to_string() });
        }
    }
}
