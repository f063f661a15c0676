//! The server for a simulation: the same parts, put together by the same code, with one difference. Nothing here has a
//! thread. What the program's threads do are futures, driven on one runtime whose time stands still until everybody
//! waits, so that the same inputs give the same run.
//!
//! Not here: listeners, and what the program does before and behind them. A connection begins with its byte stream.

use crate::{
    config::{Config, Profile},
    connection,
    context::Context,
    door::{Door, Transport},
    expiry,
    hub::Hub,
    ledger::{self, Applier, Decider, Gathered, LedgerHandle, LedgerOptions, Opened, Queue, TICK},
    serve::{self, PluginError, Plugins},
    topics::Topics,
    wills::Wills,
};
use metrics_exporter_prometheus::PrometheusBuilder;
use parlance_journal::Disk;
use parlance_plugin_api::UnixMillis;
use std::{
    cell::Cell,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{
        Arc,
        mpsc::{Receiver, TryRecvError},
    },
    time::Duration,
};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep},
};

thread_local! {
    static CLOCK: Cell<Option<Clock>> = const { Cell::new(None) };
}

/// A wall clock that goes with the runtime's time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// When it showed `unix_ms`.
    pub at: Instant,
    /// What it showed.
    pub unix_ms: UnixMillis,
}

/// Gives this thread's server its wall clock; `None`: the system's.
pub fn set_clock(clock: Option<Clock>) {
    CLOCK.set(clock);
}

/// What this thread's clock shows, if it has one.
pub fn now_ms() -> Option<UnixMillis> {
    let Clock { at, unix_ms } = CLOCK.get()?;
    let since = Instant::now().saturating_duration_since(at).as_millis();
    Some(unix_ms.saturating_add(u64::try_from(since).unwrap_or(u64::MAX)))
}

/// Why a server did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] ledger::StartError),
    /// A plugin.
    #[error("{0}")]
    Plugin(PluginError),
}

/// A point of the decider's round, before which it may be held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Commands are taken out of the queue and decided.
    Gather,
    /// The batch is written and synced; readers see it.
    Sync,
    /// Everybody hears.
    Tell,
    /// The round is over.
    Over,
}

/// A server that was opened and does nothing by itself: its [`Decisions`] and [`Applying`] are to be run.
pub struct Server {
    context: Arc<Context>,
}

/// The decider's thread.
pub struct Decisions {
    decider: Decider,
    queue: Queue,
}

/// The applier's thread.
pub struct Applying {
    applier: Applier,
    nudges: Receiver<()>,
}

impl Server {
    /// Opens store and journal as a start of the program does.
    ///
    /// # Errors
    /// [`StartError`]
    pub fn open(
        config: &Arc<Config>,
        plugins: &dyn Plugins,
        disk: Arc<dyn Disk>,
    ) -> Result<(Self, Decisions, Applying), StartError> {
        let storage = plugins.storage(config).map_err(StartError::Plugin)?;
        let parked = NonZeroUsize::new(config.limits.parked_sessions_max).unwrap_or(NonZeroUsize::MIN);
        let hub = Arc::new(Hub::new(parked));
        let topics = Arc::new(Topics::new(&config.topics));
        let options = LedgerOptions { disk, journal_prepares_ahead: false, ..serve::ledger_options(config) };
        let opened =
            ledger::open(storage.store, storage.vault.clone(), hub.clone(), topics.clone(), options)?;
        let Opened { handle, decider, queue, applier, nudges } = opened;
        let services =
            plugins.services(config, handle.clone(), storage.vault.clone()).map_err(StartError::Plugin)?;
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let context = serve::put_together(config, handle, hub, topics, storage.vault, services, metrics);
        Ok((Self { context }, Decisions { decider, queue }, Applying { applier, nudges }))
    }

    /// Its parts.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Durable data, as a reader sees it.
    pub fn ledger(&self) -> &Arc<LedgerHandle> {
        &self.context.ledger
    }

    /// What runs beside the connections: forgetting what has expired, and wills that wait.
    pub async fn housekeeping(self: Arc<Self>) {
        self.context.wills.take_up(&self.context, self.context.ledger.take_wills());
        let wills = tokio::spawn(Wills::run(self.context.clone()));
        expiry::run(self.context.clone()).await;
        wills.abort();
    }

    /// Serves a connection from its first byte to its last. `None`: it is not even refused.
    pub fn connection<S>(
        &self,
        stream: S,
        from: SocketAddr,
    ) -> Option<impl Future<Output = ()> + Send + 'static>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let permit = self.context.admission.enter(from.ip())?;
        let (profile, transport) = (Profile::Messenger, Transport::Tcp);
        let door = Door { from, profile, transport, certificate: None, permit };
        Some(connection::serve(self.context.clone(), stream, door))
    }

    /// An orderly stop: goodbyes are said, and what was accepted is decided.
    pub async fn stop(&self) {
        serve::stop(&self.context, &self.context.ledger).await;
    }
}

impl Decisions {
    /// Decides until the server is told to stop. `pause` says how long the decider is held up before each moment.
    pub async fn run(mut self, mut pause: impl FnMut(Moment) -> Duration) {
        loop {
            let first = self.queue.wait(self.decider.rest()).await;
            sleep(pause(Moment::Gather)).await;
            while !self.decider.keeps_up() {
                sleep(TICK).await;
            }
            let stop = match self.decider.gather(first, &mut self.queue) {
                Gathered::Batch => None,
                Gathered::Last(stopped) => Some(stopped),
                Gathered::End => return,
            };
            sleep(pause(Moment::Sync)).await;
            let moved = self.decider.make_durable();
            sleep(pause(Moment::Tell)).await;
            if let Some(moved) = moved {
                self.decider.made_durable(moved);
            }
            sleep(pause(Moment::Over)).await;
            if let Some(stopped) = stop {
                return self.decider.stop(self.queue, stopped);
            }
        }
    }
}

impl Applying {
    /// Applies and syncs until the decider is gone, then what is left. `pause` says how long it rests between two looks.
    pub async fn run(mut self, mut pause: impl FnMut() -> Duration) {
        loop {
            sleep(pause().min(TICK)).await;
            match self.nudges.try_recv() {
                Ok(()) | Err(TryRecvError::Empty) => self.applier.turn(),
                Err(TryRecvError::Disconnected) => return self.applier.finish(),
            }
        }
    }
}
