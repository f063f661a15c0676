//! The server from start to orderly stop.

use crate::{
    admission::{Admission, relief},
    config::{Config, ConfigError, Transport},
    context::Context,
    hub::Hub,
    ledger::{self, LedgerHandle, LedgerOptions, LedgerThreads, now_ms},
    listen::{self, CertificateError, ListenError, Listeners, Prepared, Routes, Workers},
    reload::{self, Reload},
    sys::Sys,
    topics::Topics,
    wills::Wills,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use parlance_journal::FileSystem;
use parlance_mqtt::ReasonCode;
use parlance_plugin_api::{
    access::AccessRules,
    groups::Groups,
    identity::{Accounts, Authenticator, Directory, Operators},
    ledger::Ledger,
    store::{Store, Vault},
};
use std::{
    fs, io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// An error of a plugin at start, already in words for the operator.
pub type PluginError = Box<dyn std::error::Error + Send + Sync>;

/// The store and the seal, opened.
pub struct Storage {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The seal.
    pub vault: Arc<dyn Vault>,
    /// Files that were made just now, for the operator to know of.
    pub created: Vec<PathBuf>,
}

/// The features behind their ports.
pub struct Services {
    /// Logins.
    pub authenticator: Arc<dyn Authenticator>,
    /// Names and accounts.
    pub directory: Arc<dyn Directory>,
    /// What people do with their accounts.
    pub accounts: Arc<dyn Accounts>,
    /// What the operator does.
    pub operators: Arc<dyn Operators>,
    /// Groups.
    pub groups: Arc<dyn Groups>,
    /// Who may use which free topics.
    pub access: Arc<dyn AccessRules>,
    /// Files that were made just now.
    pub created: Vec<PathBuf>,
}

/// The plugins, as the program's `main` puts them together.
pub trait Plugins: Send + Sync {
    /// Opens store and seal.
    ///
    /// # Errors
    /// In words for the operator.
    fn storage(&self, config: &Config) -> Result<Storage, PluginError>;

    /// Opens the features over a ledger.
    ///
    /// # Errors
    /// In words for the operator.
    fn services(
        &self,
        config: &Config,
        ledger: Arc<dyn Ledger>,
        vault: Arc<dyn Vault>,
    ) -> Result<Services, PluginError>;

    /// Makes a new master key for what is sealed from the next start on; answers its id.
    ///
    /// # Errors
    /// In words for the operator.
    fn rotate_master_key(&self, config: &Config) -> Result<u32, PluginError>;
}

/// Why the server did not start, or did not end well.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The data folder cannot be used.
    #[error("the data folder {path} cannot be used: {source}")]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The development certificate.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// A plugin.
    #[error(transparent)]
    Plugin(PluginError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] ledger::StartError),
    /// A runtime or thread.
    #[error("a thread could not be started: {0}")]
    Runtime(io::Error),
}

/// What a listener is, for people.
fn words(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "MQTT",
        Transport::Tls => "MQTT over TLS",
        Transport::Ws => "MQTT over WebSocket at /mqtt",
        Transport::Wss => "MQTT over WebSocket over TLS at /mqtt",
        Transport::Http => "HTTP, and MQTT over WebSocket at /mqtt",
        Transport::Https => "HTTPS, and MQTT over WebSocket at /mqtt",
        Transport::Quic => "MQTT over QUIC",
    }
}

/// Runs the server until it is told to stop (SIGTERM, SIGINT). `read` reads the configuration again (SIGHUP).
///
/// # Errors
/// [`ServeError`] when it cannot start.
pub fn run(
    config: Config,
    read: &dyn Fn() -> Result<Config, ConfigError>,
    plugins: &dyn Plugins,
) -> Result<(), ServeError> {
    // A second call (tests in one process) finds the provider installed: that is what is wanted.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = Arc::new(config);
    let workers = match config.runtime.workers {
        0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        workers => workers,
    };
    if let Some(files_max) = listen::descriptors::raise_limit()
        && listen::descriptors::for_connections() < config.limits.connections_max
    {
        tracing::debug!(
            files_max,
            "fewer connections than limits.connections_max: raise the hard limit of open files (ulimit -Hn) for more"
        );
    }
    let data_dir = config.data_dir.clone();
    let fresh = !data_dir.exists();
    // Ports first: a second server is stopped here, before it touches anything.
    let listeners = listen::reserve(&config, workers)?;
    fs::create_dir_all(&data_dir).map_err(|source| ServeError::DataDir { path: data_dir.clone(), source })?;
    let mut storage = plugins.storage(&config).map_err(ServeError::Plugin)?;
    if let Some(warning) = storage.store.guarantees().warning {
        tracing::warn!("{warning}");
        println!("warning: {warning}");
    }
    let metrics = metrics_handle();
    let parked = NonZeroUsize::new(config.limits.parked_sessions_max).unwrap_or(NonZeroUsize::MIN);
    let hub = Arc::new(Hub::new(parked));
    let topics = Arc::new(Topics::new(&config.topics));
    let (ledger, threads) = ledger::start(
        storage.store.clone(),
        storage.vault.clone(),
        hub.clone(),
        topics.clone(),
        ledger_options(&config),
    )?;
    let mut services =
        plugins.services(&config, ledger.clone(), storage.vault.clone()).map_err(ServeError::Plugin)?;
    storage.created.append(&mut services.created);
    storage.created.extend(listen::make_development_certificates(&config)?);
    let context = put_together(&config, ledger.clone(), hub, topics, storage.vault, services, metrics);
    let routes = Routes::new(&context);
    let listeners = listen::prepare(&routes, &config, listeners)?;
    announce(&config, &listeners, fresh.then_some(&*data_dir), &storage.created);
    let threads = Threads { ledger, threads };
    serve(&context, routes, read, listeners, workers, threads)
}

/// The parts that everybody holds.
pub(crate) fn put_together(
    config: &Arc<Config>,
    ledger: Arc<LedgerHandle>,
    hub: Arc<Hub>,
    topics: Arc<Topics>,
    vault: Arc<dyn Vault>,
    services: Services,
    metrics: PrometheusHandle,
) -> Arc<Context> {
    topics.set_directory(services.directory.clone());
    topics.set_access(services.access.clone());
    Arc::new(Context {
        admission: Arc::new(Admission::new(&config.limits, hub.inflight().clone())),
        config: config.clone(),
        ledger,
        vault,
        directory: services.directory,
        authenticator: services.authenticator,
        accounts: services.accounts,
        operators: services.operators,
        groups: services.groups,
        access: services.access,
        hub,
        topics,
        wills: Arc::new(Wills::new(&config.topics)),
        sys: Arc::default(),
        metrics,
        started_ms: now_ms(),
    })
}

fn metrics_handle() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    // The recorder is the process's: installed once, however often a server is started in it.
    HANDLE
        .get_or_init(|| {
            let recorder = PrometheusBuilder::new().build_recorder();
            let handle = recorder.handle();
            let _ = metrics::set_global_recorder(recorder);
            handle
        })
        .clone()
}

/// How often the samples of histograms are summed up, and addresses that left are forgotten.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

async fn upkeep(context: Arc<Context>) {
    let mut every = tokio::time::interval(UPKEEP_EVERY);
    loop {
        every.tick().await;
        // Samples are kept one by one until somebody asks for the metrics: they would pile up where nobody does.
        context.metrics.run_upkeep();
        context.admission.sweep();
    }
}

pub(crate) fn ledger_options(config: &Config) -> LedgerOptions {
    LedgerOptions {
        data_dir: config.data_dir.clone(),
        disk: Arc::new(FileSystem),
        journal_prepares_ahead: true,
        journal_segment_bytes: config.store.journal_segment_bytes,
        queue_max: config.limits.ledger_queue_max,
        queue_bytes_max: config.limits.ledger_queue_bytes_max,
        message_bytes_max: config.limits.message_bytes_max,
        receipts_live_members_max: config.limits.receipts_live_members_max,
        conversations_cached_max: config.limits.conversations_cached_max,
        run_bytes_max: config.store.run_bytes_max,
        min_free_bytes: config.store.min_free_bytes,
    }
}

/// What the operator sees first: where it listens, what was made, what to try.
fn announce(config: &Config, listeners: &[Prepared], fresh: Option<&Path>, created: &[PathBuf]) {
    println!("Parlance {}", env!("CARGO_PKG_VERSION"));
    for (listener, address) in listeners.iter().map(Prepared::place) {
        println!("  {:<22} {}", address, words(listener.transport));
    }
    if let Some(data_dir) = fresh {
        println!("  created {}", data_dir.display());
    }
    for path in created {
        println!("  created {}", path.display());
    }
    let at = |name| listeners.iter().map(Prepared::place).find(|(it, _)| it.name == name).map(|(_, at)| at);
    if let (Some(http), Some(mqtt)) = (at("http"), at("mqtt")) {
        let (host, port) = (mqtt.ip(), mqtt.port());
        println!("\nTry next (README.md goes on from here):");
        println!(
            "  curl -s http://{http}/register -H 'content-type: application/json' -d '{{\"handle\":\"alice\",\"password\":\"correct horse\"}}'"
        );
        println!(
            "  mosquitto_sub -h {host} -p {port} -V 5 -u alice -P 'correct horse' -i alice-phone -c -x 604800 -q 1 -v -t 'me/text/inbox/#'"
        );
        println!(
            "  mosquitto_pub -h {host} -p {port} -V 5 -u alice -P 'correct horse' -q 1 -t user/@alice/text -m 'a note to myself'"
        );
    }
    println!("\nData: {}. Stop with Ctrl-C.", config.data_dir.display());
}

struct Threads {
    ledger: Arc<LedgerHandle>,
    threads: LedgerThreads,
}

fn runtime() -> Result<tokio::runtime::Runtime, ServeError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ServeError::Runtime)
}

/// Worker threads serve the listeners; this thread waits for signals.
fn serve(
    context: &Arc<Context>,
    routes: Routes,
    read: &reload::Read<'_>,
    prepared: Vec<Prepared>,
    workers: usize,
    threads: Threads,
) -> Result<(), ServeError> {
    let main = runtime()?;
    // Before anybody can see that the server is there: who sees it may stop it.
    let signals = {
        let _entered = main.enter();
        Signals::new()
    };
    let mut workers = Workers::start(context, workers).map_err(ServeError::Runtime)?;
    main.block_on(async {
        // Before anybody can be back.
        context.wills.take_up(context, context.ledger.take_wills());
        let listeners = Listeners::start(prepared, &mut workers).await;
        let mut reload = Reload::new(context.clone(), routes, read, listeners, &mut workers);
        let expiry = tokio::spawn(crate::expiry::run(context.clone()));
        let relief = tokio::spawn(relief::run(context.clone()));
        let upkeep = tokio::spawn(upkeep(context.clone()));
        let wills = tokio::spawn(Wills::run(context.clone()));
        let sys = tokio::spawn(Sys::run(context.clone()));
        until_stopped(signals, &mut reload).await;
        for task in [expiry, upkeep, relief, wills, sys] {
            task.abort();
        }
        tracing::info!("stopping");
        // Nobody is let in any more.
        drop(reload);
        stop(context, &threads.ledger).await;
    });
    workers.join();
    threads.threads.join();
    println!("Stopped. Everything acknowledged is on disk.");
    Ok(())
}

/// Says goodbye to everybody and finishes what was accepted.
pub(crate) async fn stop(context: &Arc<Context>, ledger: &LedgerHandle) {
    let peers = context.hub.close_all(ReasonCode::ServerShuttingDown, "the broker is shutting down");
    let goodbye_wait = Duration::from_millis(context.config.limits.stop_timeout_ms);
    let goodbyes = async {
        for peer in &peers {
            peer.ended().await;
        }
    };
    if tokio::time::timeout(goodbye_wait, goodbyes).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
    // Also of those who have just been said goodbye to: that ended their connections, not they.
    context.wills.stop(context).await;
    ledger.stop().await;
}

/// What the server is told from outside.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// To be called within the runtime that waits for them.
    fn new() -> Option<Self> {
        let listen = || -> io::Result<Self> {
            Ok(Self {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                hang_up: signal(SignalKind::hangup())?,
            })
        };
        let signals = listen();
        if let Err(error) = &signals {
            tracing::error!(%error, "signals cannot be received: stop the server with SIGKILL");
        }
        signals.ok()
    }
}

/// Follows configuration and certificates until the server is told to stop.
async fn until_stopped(signals: Option<Signals>, reload: &mut Reload<'_>) {
    let Some(mut signals) = signals else { return std::future::pending().await };
    loop {
        let due = reload.certificates_due();
        let certificates = async {
            match due {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.hang_up.recv() => reload.configuration().await,
            () = certificates => reload.certificates().await,
        }
    }
}
