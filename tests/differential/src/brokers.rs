//! The brokers that Parlance is compared with: processes on ports of their own, killed when dropped.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use parlance_mqtt::Version;
use socket2::{Domain, SockAddr, Socket, Type};
use tempfile::TempDir;

/// How long a broker may take to listen.
const START: Duration = Duration::from_secs(20);

/// Another broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Debian's mosquitto.
    Mosquitto,
    /// rumqttd of crates.io.
    Rumqttd,
}

impl Peer {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Mosquitto, Self::Rumqttd];

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mosquitto => "mosquitto",
            Self::Rumqttd => "rumqttd",
        }
    }
}

/// Where a broker listens, for each protocol version.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// 3.1.1.
    pub v3: SocketAddr,
    /// 5.
    pub v5: SocketAddr,
}

impl Place {
    /// One address for both.
    pub fn of(address: SocketAddr) -> Self {
        Self { v3: address, v5: address }
    }

    /// For a version.
    pub(crate) fn address(&self, version: Version) -> SocketAddr {
        match version {
            Version::V3 => self.v3,
            Version::V5 => self.v5,
        }
    }
}

/// Why a broker does not run.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// Its program is not there.
    #[error("{0} is not installed: cargo xtask setup")]
    Missing(&'static str),
    /// It could not be started.
    #[error("{0} cannot be started")]
    Start(&'static str, #[source] io::Error),
    /// It was started and does not listen.
    #[error("{0} does not listen")]
    Silent(&'static str),
}

/// A running broker.
pub struct Peers {
    /// Which.
    pub peer: Peer,
    /// Where.
    pub place: Place,
    process: Child,
    _folder: TempDir,
    _ports: [Socket; 2],
}

impl Peers {
    /// Starts one.
    pub fn start(peer: Peer) -> Result<Self, PeerError> {
        let name = peer.name();
        let failed = |source| PeerError::Start(name, source);
        let program = program(peer).ok_or(PeerError::Missing(name))?;
        let folder = tempfile::Builder::new().prefix("parlance-peer-").tempdir().map_err(failed)?;
        let ports = [reserve().map_err(failed)?, reserve().map_err(failed)?];
        let place = match peer {
            Peer::Mosquitto => Place::of(ports[0].1),
            // It has a listener for each version.
            Peer::Rumqttd => Place { v3: ports[0].1, v5: ports[1].1 },
        };
        let file = folder.path().join("config");
        let text = match peer {
            Peer::Mosquitto => mosquitto(place),
            Peer::Rumqttd => rumqttd(place),
        };
        let file = if peer == Peer::Rumqttd { file.with_extension("toml") } else { file };
        fs::write(&file, text).map_err(failed)?;
        let mut command = Command::new(program);
        command.arg("-c").arg(&file).args((peer == Peer::Rumqttd).then_some("--quiet"));
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().map_err(failed)?;
        let started = Self { peer, place, process, _folder: folder, _ports: ports.map(|(socket, _)| socket) };
        for address in [place.v3, place.v5] {
            started.await_listener(address)?;
        }
        Ok(started)
    }

    fn await_listener(&self, address: SocketAddr) -> Result<(), PeerError> {
        let end = Instant::now() + START;
        while TcpStream::connect(address).is_err() {
            if Instant::now() > end {
                return Err(PeerError::Silent(self.peer.name()));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program(peer: Peer) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let on_path = std::env::split_paths(&path).chain(system).map(|folder| folder.join(peer.name()));
    on_path.chain((peer == Peer::Rumqttd).then(installed_rumqttd)).find(|file| file.is_file())
}

/// Where `cargo xtask setup` puts it: beside the folder in which this program was built.
fn installed_rumqttd() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let mut folders = program.ancestors().map(|folder| folder.join("tools/rumqttd-0.20.0/bin/rumqttd"));
    folders.find(|file| file.is_file()).unwrap_or_else(|| Path::new("rumqttd").to_owned())
}

/// A port of this machine that nobody else is given while the socket lives. A broker can still listen there: the
/// socket itself does not.
fn reserve() -> io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))?;
    let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok((socket, address))
}

fn mosquitto(place: Place) -> String {
    format!(
        "listener {} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_dest none\nset_tcp_nodelay true\n\
         max_queued_messages 10000\n",
        place.v3.port()
    )
}

fn rumqttd(place: Place) -> String {
    let listener = |version: &str, address: SocketAddr| {
        format!(
            "[{version}.1]\nname = \"{version}\"\nlisten = \"{address}\"\nnext_connection_delay_ms = 1\n\
             [{version}.1.connections]\nconnection_timeout_ms = 60000\nmax_payload_size = 20480\n\
             max_inflight_count = 100\ndynamic_filters = true\n"
        )
    };
    format!(
        "id = 0\n[router]\nid = 0\nmax_connections = 1000\nmax_outgoing_packet_count = 200\n\
         max_segment_size = 1048576\nmax_segment_count = 10\n{}{}",
        listener("v4", place.v3),
        listener("v5", place.v5)
    )
}
