//! The server from start to orderly stop.

use crate::{
    config::Config,
    context::Context,
    http,
    hub::Hub,
    ledger::{self, LedgerHandle, LedgerOptions, LedgerThreads, now_ms},
    listen::{self, Bound, certificates},
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use parlance_mqtt::ReasonCode;
use parlance_plugin_api::{
    groups::Groups,
    identity::{Accounts, Authenticator, Directory, Operators},
    ledger::Ledger,
    store::{Store, Vault},
};
use std::{
    fs, io,
    net::{SocketAddr, TcpListener as StdListener},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};
use thiserror::Error;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

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
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({what}): {source}; change listen.{what} or stop what uses it")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// The configuration key.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// TLS.
    #[error(transparent)]
    Certificates(#[from] certificates::CertificateError),
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

struct Listener {
    what: Kind,
    bound: Bound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mqtt,
    Mqtts,
    Http,
    Https,
}

impl Kind {
    const fn key(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Mqtt => "MQTT",
            Self::Mqtts => "MQTT over TLS",
            Self::Http => "HTTP, and MQTT over WebSocket at /mqtt",
            Self::Https => "HTTPS, and MQTT over WebSocket at /mqtt",
        }
    }
}

/// Runs the server until it is told to stop (SIGTERM, SIGINT).
///
/// # Errors
/// [`ServeError`] when it cannot start.
pub fn run(config: Config, plugins: &dyn Plugins) -> Result<(), ServeError> {
    // A second call (tests in one process) finds the provider installed: that is what is wanted.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = Arc::new(config);
    let workers = match config.runtime.workers {
        0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        workers => workers,
    };
    if let Some(files_max) = listen::descriptors::raise_limit()
        && files_max < config.limits.connections_max as u64
    {
        tracing::debug!(
            files_max,
            "no more connections than open files: raise the hard limit (ulimit -Hn) for more"
        );
    }
    let data_dir = config.data_dir.clone();
    let fresh = !data_dir.exists();
    // Ports first: a second server is stopped here, before it touches anything.
    let listeners = bind_all(&config, workers)?;
    fs::create_dir_all(&data_dir).map_err(|source| ServeError::DataDir { path: data_dir.clone(), source })?;
    let mut storage = plugins.storage(&config).map_err(ServeError::Plugin)?;
    if let Some(warning) = storage.store.guarantees().warning {
        tracing::warn!("{warning}");
        println!("warning: {warning}");
    }
    let metrics = metrics_handle();
    let parked = NonZeroUsize::new(config.limits.parked_sessions_max).unwrap_or(NonZeroUsize::MIN);
    let hub = Arc::new(Hub::new(parked));
    let (ledger, threads) =
        ledger::start(storage.store.clone(), storage.vault.clone(), hub.clone(), ledger_options(&config))?;
    let services =
        plugins.services(&config, ledger.clone(), storage.vault.clone()).map_err(ServeError::Plugin)?;
    storage.created.extend(services.created);
    let tls = tls(&config, &mut storage.created)?;
    let context = Arc::new(Context {
        config: config.clone(),
        ledger: ledger.clone(),
        vault: storage.vault,
        directory: services.directory,
        authenticator: services.authenticator,
        accounts: services.accounts,
        operators: services.operators,
        groups: services.groups,
        hub,
        metrics,
        started_ms: now_ms(),
    });
    announce(&config, &listeners, fresh.then_some(&*data_dir), &storage.created);
    let threads = Threads { ledger, threads };
    serve(&context, listeners, tls.as_ref(), workers, threads)
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

/// How often the samples of histograms are summed up.
const METRICS_SUMMED_EVERY: Duration = Duration::from_secs(5);

/// Samples are kept one by one until somebody asks for the metrics: without this they would pile up where nobody does.
async fn sum_up_metrics(metrics: PrometheusHandle) {
    let mut every = tokio::time::interval(METRICS_SUMMED_EVERY);
    loop {
        every.tick().await;
        metrics.run_upkeep();
    }
}

fn ledger_options(config: &Config) -> LedgerOptions {
    LedgerOptions {
        data_dir: config.data_dir.clone(),
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

fn bind_all(config: &Config, workers: usize) -> Result<Vec<Listener>, ServeError> {
    let listen = &config.listen;
    let wanted = [
        (Kind::Mqtt, listen.mqtt),
        (Kind::Mqtts, listen.mqtts),
        (Kind::Http, listen.http),
        (Kind::Https, listen.https),
    ];
    let mut listeners = Vec::new();
    for (what, address) in wanted {
        let Some(address) = address.get() else { continue };
        let failed = |source| ServeError::Listen { address, what: what.key(), source };
        listeners.push(Listener { what, bound: listen::bind(address, workers).map_err(failed)? });
    }
    Ok(listeners)
}

struct Tls {
    mqtt: TlsAcceptor,
    http: TlsAcceptor,
}

fn tls(config: &Config, created: &mut Vec<PathBuf>) -> Result<Option<Tls>, ServeError> {
    if config.listen.mqtts.get().is_none() && config.listen.https.get().is_none() {
        return Ok(None);
    }
    let files = match config.tls.files() {
        Some((certificate, key)) => certificates::Files { certificate: certificate.into(), key: key.into() },
        None => {
            let (files, made) = certificates::development(&config.data_dir)?;
            if made {
                created.push(config.data_dir.join("certs"));
            }
            files
        }
    };
    let mqtt = certificates::acceptor(&files, &[])?;
    let http = certificates::acceptor(&files, &[b"h2", b"http/1.1"])?;
    Ok(Some(Tls { mqtt, http }))
}

/// What the operator sees first: where it listens, what was made, what to try.
fn announce(config: &Config, listeners: &[Listener], fresh: Option<&Path>, created: &[PathBuf]) {
    println!("Parlance {}", env!("CARGO_PKG_VERSION"));
    for listener in listeners {
        println!("  {:<22} {}", listener.bound.address, listener.what.words());
    }
    if let Some(data_dir) = fresh {
        println!("  created {}", data_dir.display());
    }
    for path in created {
        println!("  created {}", path.display());
    }
    let at =
        |kind| listeners.iter().find(|listener| listener.what == kind).map(|listener| listener.bound.address);
    if let (Some(http), Some(mqtt)) = (at(Kind::Http), at(Kind::Mqtt)) {
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

/// One runtime per thread, each with its own socket of every listener; this thread waits for the signal.
fn serve(
    context: &Arc<Context>,
    listeners: Vec<Listener>,
    tls: Option<&Tls>,
    workers: usize,
    threads: Threads,
) -> Result<(), ServeError> {
    let main = runtime()?;
    // Before anybody can see that the server is there: who sees it may stop it.
    let signals = {
        let _entered = main.enter();
        signals()
    };
    let (stop, stopped) = watch::channel(Stage::Serving);
    let mut shares: Vec<Vec<(Kind, StdListener)>> = (0..workers).map(|_| Vec::new()).collect();
    for Listener { what, bound } in listeners {
        for (share, socket) in shares.iter_mut().zip(bound.sockets) {
            share.push((what, socket));
        }
    }
    let router = http::router(context.clone()).merge(listen::websocket_route(context.clone()));
    let mut running = Vec::new();
    for (index, share) in shares.into_iter().enumerate() {
        let (context, router, mut stopped) = (context.clone(), router.clone(), stopped.clone());
        let tls = tls.map(|tls| Tls { mqtt: tls.mqtt.clone(), http: tls.http.clone() });
        let runtime = runtime()?;
        let worker = move || {
            runtime.block_on(async {
                let accepting = accept(&context, &router, share, tls.as_ref());
                // An error means that the sender is gone: then this ends as well.
                let _ = stopped.wait_for(|stage| *stage != Stage::Serving).await;
                accepting.into_iter().for_each(|task| task.abort());
                let _ = stopped.wait_for(|stage| *stage == Stage::Ended).await;
            });
            runtime.shutdown_timeout(Duration::from_secs(1));
        };
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(worker);
        running.push(thread.map_err(ServeError::Runtime)?);
    }
    main.block_on(async {
        let expiry = tokio::spawn(crate::expiry::run(context.clone()));
        let summing = tokio::spawn(sum_up_metrics(context.metrics.clone()));
        signalled(signals).await;
        expiry.abort();
        summing.abort();
        tracing::info!("stopping");
        stop.send_replace(Stage::Stopping);
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
        threads.ledger.stop().await;
        stop.send_replace(Stage::Ended);
    });
    for thread in running {
        if thread.join().is_err() {
            tracing::error!("a worker thread panicked");
        }
    }
    threads.threads.join();
    println!("Stopped. Everything acknowledged is on disk.");
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    Stopping,
    Ended,
}

fn accept(
    context: &Arc<Context>,
    router: &axum::Router,
    share: Vec<(Kind, StdListener)>,
    tls: Option<&Tls>,
) -> Vec<tokio::task::JoinHandle<()>> {
    let mut tasks = Vec::new();
    for (kind, socket) in share {
        let listener = match TcpListener::from_std(socket) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "a listener could not be started");
                continue;
            }
        };
        let (context, router) = (context.clone(), router.clone());
        tasks.push(match kind {
            Kind::Mqtt => tokio::spawn(listen::serve_mqtt(context, listener, None)),
            Kind::Mqtts => {
                tokio::spawn(listen::serve_mqtt(context, listener, tls.map(|tls| tls.mqtt.clone())))
            }
            Kind::Http => tokio::spawn(listen::serve_http(router, listener, None)),
            Kind::Https => {
                tokio::spawn(listen::serve_http(router, listener, tls.map(|tls| tls.http.clone())))
            }
        });
    }
    tasks
}

/// SIGTERM and SIGINT. Called within the runtime that waits for them.
fn signals() -> Option<(Signal, Signal)> {
    let (Ok(terminate), Ok(interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be received: stop the server with SIGKILL");
        return None;
    };
    Some((terminate, interrupt))
}

async fn signalled(signals: Option<(Signal, Signal)>) {
    let Some((mut terminate, mut interrupt)) = signals else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
