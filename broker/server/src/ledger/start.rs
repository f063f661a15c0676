//! Opening: the store, the journal replayed over it, and the two threads.

use super::{
    Health, LedgerHandle,
    applier::{Applier, ApplierOptions},
    batch,
    conversations::Conversations,
    decider::{Decider, Limits, Shared},
    load::{Loaded, load},
    now_ms,
    overlay::Overlay,
    queue::{Queue, queue},
    view::OpenView,
};
use crate::{hub::Hub, topics::Topics};
use parlance_journal::{Disk, Journal, JournalError, JournalOptions};
use parlance_plugin_api::store::{Position, Store, StoreError, Vault};
use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64},
        mpsc::{Receiver, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};
use thiserror::Error;
use tokio::time::Instant;

/// What the ledger needs to start.
pub struct LedgerOptions {
    /// Where everything lies; free space is watched here.
    pub data_dir: PathBuf,
    /// The disk below the journal.
    pub disk: Arc<dyn Disk>,
    /// A thread makes the journal's next segment ahead of need.
    pub journal_prepares_ahead: bool,
    /// Size of a journal segment, bytes.
    pub journal_segment_bytes: u64,
    /// Commands that may wait.
    pub queue_max: usize,
    /// Bytes of the messages among them.
    pub queue_bytes_max: usize,
    /// Greatest size of a message's content, bytes.
    pub message_bytes_max: usize,
    /// Members up to which receipts are told live.
    pub receipts_live_members_max: usize,
    /// Conversations kept in memory.
    pub conversations_cached_max: usize,
    /// Size of a run in memory before it is applied, bytes.
    pub run_bytes_max: usize,
    /// Free space kept in reserve, bytes.
    pub min_free_bytes: u64,
}

/// Why the ledger did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A thread could not be started.
    #[error("a thread could not be started")]
    Thread(#[from] io::Error),
}

/// The threads, to be joined after the ledger was told to stop.
pub struct LedgerThreads {
    decider: JoinHandle<()>,
    applier: JoinHandle<()>,
}

impl LedgerThreads {
    /// Waits until everything is applied and synced.
    pub fn join(self) {
        for (name, thread) in [("decider", self.decider), ("applier", self.applier)] {
            if thread.join().is_err() {
                tracing::error!("the {name} thread panicked");
            }
        }
    }
}

/// Commands decided in one batch at most.
const BATCH_COMMANDS_MAX: usize = 4096;
/// Size of a batch at most, bytes. One command may go beyond it.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Largest journal entry: a full batch, and a job that wrote much.
const ENTRY_BYTES_MAX: usize = 64 << 20;
/// Idle journal segments kept for reuse.
const SEGMENTS_SPARE_MAX: usize = 2;
/// How many runs' worth of memory the overlay may hold while the store catches up.
const OVERLAY_RUNS_MAX: usize = 8;

/// A ledger whose threads are not started.
pub(crate) struct Opened {
    pub(crate) handle: Arc<LedgerHandle>,
    pub(crate) decider: Decider,
    pub(crate) queue: Queue,
    pub(crate) applier: Applier,
    /// What the decider tells the applier; closed when the decider is gone.
    pub(crate) nudges: Receiver<()>,
}

/// Opens everything, reads what free topics need in memory, and starts the threads.
///
/// # Errors
/// [`StartError`] names what failed.
pub fn start(
    store: Arc<dyn Store>,
    vault: Arc<dyn Vault>,
    hub: Arc<Hub>,
    topics: Arc<Topics>,
    options: LedgerOptions,
) -> Result<(Arc<LedgerHandle>, LedgerThreads), StartError> {
    let Opened { handle, decider, queue, applier, nudges } = open(store, vault, hub, topics, options)?;
    let threads = LedgerThreads {
        decider: std::thread::Builder::new().name("decider".into()).spawn(move || decider.run(queue))?,
        applier: std::thread::Builder::new().name("applier".into()).spawn(move || applier.run(&nudges))?,
    };
    Ok((handle, threads))
}

/// Opens everything, and reads what free topics need in memory.
///
/// # Errors
/// [`StartError`] names what failed.
pub(crate) fn open(
    store: Arc<dyn Store>,
    vault: Arc<dyn Vault>,
    hub: Arc<Hub>,
    topics: Arc<Topics>,
    options: LedgerOptions,
) -> Result<Opened, StartError> {
    let applied = store.applied()?;
    let overlay = Arc::new(Overlay::new(store, applied));
    let journal = open_journal(&options, &overlay, &*vault, applied)?;
    let health = Arc::new(Mutex::new(Health::Ready));
    let shared = Arc::new(Shared {
        health: health.clone(),
        low_space: AtomicBool::new(false),
        journal_full: AtomicBool::new(false),
        store_fails: AtomicBool::new(false),
        safe: AtomicU64::new(0),
        stopped: AtomicBool::new(false),
    });
    let view = OpenView { overlay: overlay.clone(), vault };
    let (entrance, queue) = queue(options.queue_max, options.queue_bytes_max);
    let (nudge, nudges) = sync_channel(1);
    let limits = Limits {
        batch_commands_max: BATCH_COMMANDS_MAX,
        batch_bytes_max: BATCH_BYTES_MAX,
        run_bytes_max: options.run_bytes_max,
        overlay_bytes_max: options.run_bytes_max.saturating_mul(OVERLAY_RUNS_MAX),
        message_bytes_max: options.message_bytes_max,
        receipts_live_members_max: options.receipts_live_members_max,
    };
    let conversations = Conversations::new(options.conversations_cached_max);
    let Loaded { free, wills } = load(&view, topics.clone(), now_ms())?;
    let decider =
        Decider::new(view.clone(), conversations, free, limits, hub, journal, shared.clone(), nudge);
    let applier = Applier {
        overlay,
        vault: view.vault.clone(),
        shared,
        options: ApplierOptions {
            run_bytes: options.run_bytes_max,
            run_age: Duration::from_secs(5),
            sync_every: Duration::from_secs(5),
            min_free_bytes: options.min_free_bytes,
            data_dir: options.data_dir,
            disk: options.disk,
        },
        applied,
        synced: applied,
        last_run: Instant::now(),
        last_sync: Instant::now(),
        last_look: None,
        failing: None,
        journal_rests_until: None,
    };
    let handle = LedgerHandle { queue: entrance, view, health, topics, wills: Mutex::new(wills) };
    Ok(Opened { handle: Arc::new(handle), decider, queue, applier, nudges })
}

/// Opens the journal and replays what the store has not got.
fn open_journal(
    options: &LedgerOptions,
    overlay: &Overlay,
    vault: &dyn Vault,
    applied: Position,
) -> Result<Journal, StartError> {
    let journal_options = JournalOptions {
        segment_bytes: options.journal_segment_bytes,
        segments_spare_max: SEGMENTS_SPARE_MAX,
        batch_bytes_max: ENTRY_BYTES_MAX,
        prepare_ahead: options.journal_prepares_ahead,
    };
    let dir = options.data_dir.join("journal");
    let mut replayed = 0u64;
    let replay = |position, entry: &[u8]| -> Result<(), batch::EntryError> {
        overlay.publish(batch::decode(entry, vault)?, Position(position));
        drain(overlay, vault, options.run_bytes_max);
        replayed += 1;
        Ok(())
    };
    let (journal, recovery) =
        Journal::open_on(options.disk.clone(), &dir, journal_options, applied.0, replay)?;
    if replayed > 0 || recovery.torn_bytes > 0 {
        tracing::info!(batches = replayed, torn_bytes = recovery.torn_bytes, "the journal was replayed");
    }
    for damage in &recovery.damaged {
        tracing::error!(
            ?damage,
            "a stretch of the journal is damaged: what was in it and not yet in the store is lost"
        );
    }
    Ok(journal)
}

/// Keeps memory bounded while a long journal is replayed.
fn drain(overlay: &Overlay, vault: &dyn Vault, run_bytes_max: usize) {
    let (active, _) = overlay.bytes();
    if active < run_bytes_max {
        return;
    }
    let Some(run) = overlay.freeze() else { return };
    match overlay.apply(&run, vault) {
        Ok(()) => overlay.applied(),
        Err(error) => {
            tracing::error!(%error, "a run could not be applied while replaying; it stays in memory")
        }
    }
}
