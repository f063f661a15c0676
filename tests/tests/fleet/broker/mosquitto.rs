//! Debian's mosquitto as the reference server. Nothing of it runs beyond the test.

use super::Login;
use parlance_tests::{PATIENCE, eventually};
use rustix::process::{Pid, Signal, kill_process};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;
use tokio::net::TcpStream;

/// Where Debian puts it, which is not on the path of a plain user.
const PROGRAM: &str = "/usr/sbin/mosquitto";
const FILE: &str = "mosquitto.db";

pub(crate) struct Mosquitto {
    address: SocketAddr,
    folder: TempDir,
    process: Option<Child>,
    /// Bound, never listening: the port stays this server's while it is down.
    _port: Socket,
}

/// A port that nobody else is given while the socket lives, and on which mosquitto can still listen.
fn reserve_port() -> io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))?;
    let address = socket.local_addr()?.as_socket().expect("an IP socket");
    Ok((socket, address))
}

/// It asks for none and takes any.
pub(super) fn login(name: &str) -> Login {
    Login { user: name.to_owned(), password: name.to_owned() }
}

impl Mosquitto {
    pub(super) async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("parlance-fleet-").tempdir().expect("a folder");
        let (port, address) = reserve_port().expect("a free port");
        let folder_name = folder.path().display();
        let configuration = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {folder_name}/\n\
             autosave_interval 1\nautosave_on_changes true\nmax_inflight_messages 20\nlog_dest none\n\
             set_tcp_nodelay true\nuser root\n",
            address.port()
        );
        fs::write(folder.path().join("mosquitto.conf"), configuration).expect("a file");
        let mut server = Self { address, folder, process: None, _port: port };
        server.ensure_running().await;
        server
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// It keeps what it has in memory: it is told to save (SIGUSR1), and killed when that is done.
    pub(super) async fn kill(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let file = self.file();
        // It writes another file and puts it in the place of this one.
        let saved = || fs::metadata(&file).ok().map(|file| (file.ino(), file.ctime(), file.ctime_nsec()));
        let before = saved();
        kill_process(Pid::from_child(&process), Signal::USR1).expect("a child can be signalled");
        eventually(PATIENCE, "mosquitto saves", async || saved().filter(|now| Some(*now) != before)).await;
        process.kill().expect("a child can be killed");
        process.wait().expect("a child can be waited for");
    }

    pub(super) async fn ensure_running(&mut self) {
        if self.process.is_some() {
            return;
        }
        let mut command = Command::new(PROGRAM);
        command.arg("-c").arg(self.folder.path().join("mosquitto.conf")).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let process =
            command.spawn().unwrap_or_else(|error| panic!("{PROGRAM} ({error}): apt-get install mosquitto"));
        self.process = Some(process);
        let address = self.address;
        eventually(PATIENCE, "mosquitto listens", async || TcpStream::connect(address).await.ok()).await;
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // An error means that it has ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
