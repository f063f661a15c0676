//! The suite against mosquitto, the reference: what it fails must be known and explained.

use parlance_conformance::{Deviations, Endpoint, Options, Results, Target, Transport, Trust, run};
use std::{
    collections::BTreeSet,
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// How long the broker may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest that the suite may take against one server.
const SUITE_TIMEOUT: Duration = Duration::from_secs(60);

/// A mosquitto process on two free ports, killed when dropped.
struct Mosquitto {
    process: Child,
    tcp: SocketAddr,
    websocket: SocketAddr,
    _folder: TempDir,
}

impl Mosquitto {
    async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("conformance-").tempdir().expect("a temporary folder");
        let (tcp, websocket) = (free_port(), free_port());
        let config = format!(
            "persistence false\nallow_anonymous true\nlistener {} 127.0.0.1\nlistener {} 127.0.0.1\nprotocol websockets\n",
            tcp.port(),
            websocket.port()
        );
        let file = folder.path().join("mosquitto.conf");
        fs::write(&file, config).expect("a configuration");
        let mut command = Command::new(program());
        command.arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("mosquitto starts");
        let this = Self { process, tcp, websocket, _folder: folder };
        let end = Instant::now() + START_TIMEOUT;
        for address in [tcp, websocket] {
            while TcpStream::connect(address).is_err() {
                assert!(Instant::now() < end, "mosquitto does not listen on {address}");
                sleep(Duration::from_millis(20)).await;
            }
        }
        this
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Debian puts it where only administrators look.
fn program() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")])
        .map(|folder| folder.join("mosquitto"))
        .find(|program| program.is_file())
        .expect("mosquitto is installed: cargo xtask setup")
}

fn version() -> String {
    let output = Command::new(program()).arg("-h").output().expect("mosquitto says its version");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address")
}

async fn against(address: SocketAddr, transport: Transport, filter: Option<&str>) -> Results {
    let endpoint = Endpoint::new(address, transport, Trust::Anything).expect("an endpoint");
    let options = Options { filter: filter.map(str::to_owned), ..Options::default() };
    run(&Target::new(endpoint), &options).await
}

/// Keeps the results for the document, if somebody wants them.
fn keep(results: &Results, name: &str) {
    if let Some(folder) = env::var_os("CONFORMANCE_REPORTS") {
        let written = results.write_json(&PathBuf::from(folder).join(name));
        written.unwrap_or_else(|error| panic!("{error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mosquitto_fails_only_what_is_explained() {
    let mosquitto = Mosquitto::start().await;
    let mut results = against(mosquitto.tcp, Transport::Tcp, None).await;
    assert!(results.took < SUITE_TIMEOUT, "the suite took {:?}", results.took);
    keep(&results, "mosquitto-tcp.json");
    let over_websocket = against(mosquitto.websocket, Transport::Ws, Some("MQTT-6.")).await;
    keep(&over_websocket, "mosquitto-ws.json");
    results.complete(over_websocket);

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deviations/mosquitto.toml");
    let known = Deviations::read(&file).unwrap_or_else(|error| panic!("{error}"));
    let explained: BTreeSet<String> = known.deviation.into_keys().collect();
    let failed: BTreeSet<String> = results.failures().map(|(test, _)| test).collect();
    let unexplained: Vec<String> = results
        .failures()
        .filter(|(test, _)| !explained.contains(test))
        .map(|(test, why)| format!("{test}: {why}"))
        .collect();
    let version = version();
    assert!(unexplained.is_empty(), "{version} fails more than is explained: {unexplained:#?}");
    // Another version may have mended some.
    if version == known.server {
        assert_eq!(failed, explained, "explained, but not failed any more");
    }
}
