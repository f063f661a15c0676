//! A server process: started, killed, terminated, started again on the same folder and the same ports.

use crate::{Broker, PATIENCE, eventually};
use rustix::process::{Pid, Signal, kill_process};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// How much of what the server said is shown when a test fails.
const LOG_SHOWN_BYTES: usize = 8_192;

/// The engine of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// The default.
    Fjall,
    /// The second one.
    Sled,
}

impl Engine {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Fjall, Self::Sled];

    /// As in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fjall => "fjall",
            Self::Sled => "sled",
        }
    }
}

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Options {
    engine: Engine,
    data_dir: Option<PathBuf>,
    env: Vec<(String, String)>,
    /// What stands in the configuration file.
    config: String,
    open: bool,
    quic: bool,
    files_max: Option<u64>,
}

impl Options {
    /// With so many open files at most (`RLIMIT_NOFILE`).
    #[must_use]
    pub fn files_max(mut self, files: u64) -> Self {
        self.files_max = Some(files);
        self
    }

    /// With these lines in its configuration file; `{folder}` stands for the folder of the server ([`Server::folder`]).
    #[must_use]
    pub fn config(mut self, lines: impl AsRef<str>) -> Self {
        self.config.push_str(lines.as_ref());
        self.config.push('\n');
        self
    }

    /// With QUIC, on the UDP port whose number is that of MQTT over TCP.
    #[must_use]
    pub fn quic(mut self) -> Self {
        self.quic = true;
        self
    }

    /// With this engine.
    #[must_use]
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// With its data in this folder, which is left there. Without it: in a folder that goes with the [`Server`].
    #[must_use]
    pub fn data_dir(mut self, data_dir: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(data_dir.into());
        self
    }

    /// With a setting, such as `("AUTH__ACCESS_TTL_S", 2)`: the variable's name without `PARLANCE__`.
    #[must_use]
    pub fn set(self, key: &str, value: impl ToString) -> Self {
        self.env(&format!("PARLANCE__{key}"), value)
    }

    /// With a listener that is open to all, at [`Server::open`].
    #[must_use]
    pub fn open(mut self) -> Self {
        self.open = true;
        self
    }

    /// With any variable in its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.env.push((name.to_owned(), value.to_string()));
        self
    }
}

/// A server process, killed when dropped. Everything that one asks it is on [`Broker`], to which this derefs.
#[derive(Debug)]
pub struct Server {
    broker: Broker,
    options: Options,
    process: Option<Child>,
    folder: TempDir,
    open: SocketAddr,
    /// Bound, never listening: the ports stay this server's while it is down.
    _ports: Vec<Socket>,
}

impl Server {
    /// The usual: fjall, all four listeners, a folder of its own.
    pub fn options() -> Options {
        Options {
            engine: Engine::Fjall,
            data_dir: None,
            env: Vec::new(),
            config: String::new(),
            open: false,
            quic: false,
            files_max: None,
        }
    }

    /// Starts a server and waits until it is ready.
    pub async fn start(options: Options) -> Self {
        let folder = tempfile::Builder::new().prefix("parlance-test-").tempdir().expect("a temporary folder");
        let (ports, addresses): (Vec<Socket>, Vec<SocketAddr>) = (0..5).map(|_| reserve_port()).unzip();
        let data_dir = options.data_dir.clone().unwrap_or_else(|| folder.path().join("data"));
        let broker = Broker::new([addresses[0], addresses[1], addresses[2], addresses[3]], data_dir);
        let mut server = Self { broker, options, process: None, folder, open: addresses[4], _ports: ports };
        server.configure(&server.options.config);
        server.spawn();
        server.ready().await;
        server
    }

    /// The listener that is open to all, if it was asked for.
    pub fn open(&self) -> SocketAddr {
        self.open
    }

    /// The folder that goes with the server: its working folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes another configuration file; to be read with [`reload`](Self::reload) or at the next start.
    pub fn configure(&self, text: &str) {
        let mut text = text.replace("{folder}", &self.folder().display().to_string());
        if self.options.open {
            let address = self.open;
            text.push_str(&format!(
                "\n[[listener]]\nname = \"open\"\naddress = \"{address}\"\nprofile = \"open\"\n"
            ));
        }
        fs::write(self.folder().join("parlance.toml"), text).expect("the folder is there");
    }

    /// SIGHUP, and waits until the server has read its configuration again, or says that it cannot; answers what it says.
    ///
    /// # Panics
    /// If it says nothing.
    pub async fn reload(&self) -> String {
        let said =
            |log: &str| log.lines().filter(|line| line.contains("SIGHUP: ")).map(str::to_owned).collect();
        let before: Vec<String> = said(&self.log());
        let process = self.process.as_ref().expect("the server is running");
        kill_process(Pid::from_child(process), Signal::HUP).expect("a child can be signalled");
        eventually(PATIENCE, "the configuration is read again", async || {
            let now: Vec<String> = said(&self.log());
            (now.len() > before.len()).then(|| now.last().cloned()).flatten()
        })
        .await
    }

    /// Waits until the server has said this in its log.
    pub async fn says(&self, text: &str) {
        let what = format!("the log says {text}");
        eventually(PATIENCE, &what, async || self.log().contains(text).then_some(())).await;
    }

    /// The process id.
    ///
    /// # Panics
    /// While it is not running.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the server is running").id()
    }

    /// SIGKILL, and waits until the process is gone.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // An error means that it has ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// SIGTERM, and waits for the clean end.
    ///
    /// # Panics
    /// If it does not end in time, or with an error.
    pub async fn terminate(&mut self) {
        self.signal_terminate();
        let mut process = self.process.take().expect("signalled just now");
        let ended = eventually(PATIENCE, "the server ends after SIGTERM", async || {
            process.try_wait().expect("a child can be waited for")
        });
        let status = ended.await;
        assert!(status.success(), "after SIGTERM: {status}\n{}", self.log());
    }

    /// SIGTERM, without waiting.
    pub fn signal_terminate(&self) {
        let process = self.process.as_ref().expect("the server is running");
        kill_process(Pid::from_child(process), Signal::TERM).expect("a child can be signalled");
    }

    /// Starts it again, on the same folder and the same ports; terminates it first if it is running.
    pub async fn restart(&mut self) {
        if self.process.is_some() {
            self.terminate().await;
        }
        self.spawn();
        self.ready().await;
    }

    /// As [`restart`](Self::restart), with another setting from now on.
    pub async fn restart_with(&mut self, key: &str, value: impl ToString) {
        self.options = self.options.clone().set(key, value);
        self.restart().await;
    }

    /// All that the server said since its first start, on both outputs.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    fn spawn(&mut self) {
        let program = program();
        let log = fs::File::options().create(true).append(true).open(self.log_file()).expect("the log opens");
        let mut command = match self.options.files_max {
            // It becomes the program: the process is the same.
            Some(files) => {
                let mut prlimit = Command::new("prlimit");
                prlimit.arg(format!("--nofile={files}")).arg(&program);
                prlimit
            }
            None => Command::new(&program),
        };
        command.arg("serve").current_dir(self.folder.path()).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a file handle")).stderr(log);
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PARLANCE__")) {
            command.env_remove(name);
        }
        command.env("PARLANCE__DATA_DIR", self.broker.data_dir());
        command.env("PARLANCE__STORE__ENGINE", self.options.engine.as_str());
        for (name, address) in self.broker.listeners() {
            command.env(format!("PARLANCE__LISTEN__{name}"), address.to_string());
        }
        if self.options.quic {
            command.env("PARLANCE__LISTEN__QUIC", self.broker.quic().to_string());
        }
        command.envs(self.options.env.iter().map(|(name, value)| (name, value)));
        let process = command
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", program.display()));
        self.process = Some(process);
    }

    async fn ready(&mut self) {
        let (broker, log_file) = (self.broker.clone(), self.log_file());
        let process = self.process.as_mut().expect("spawned just now");
        eventually(PATIENCE, "the server is ready", async || {
            if let Some(status) = process.try_wait().expect("a child can be waited for") {
                panic!(
                    "the server did not start: {status}\n{}",
                    fs::read_to_string(&log_file).unwrap_or_default()
                );
            }
            broker.is_ready().await.then_some(())
        })
        .await;
        self.broker.load_admin_token();
    }
}

impl Deref for Server {
    type Target = Broker;

    fn deref(&self) -> &Broker {
        &self.broker
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let shown = log.get(log.len().saturating_sub(LOG_SHOWN_BYTES)..).unwrap_or(&log);
            eprintln!("--- what the server said (its end)\n{shown}\n---");
        }
    }
}

/// An address for a listener, which nobody else is given while this lives.
#[derive(Debug)]
pub struct Port {
    /// The address.
    pub address: SocketAddr,
    _socket: Socket,
}

impl Port {
    /// A free one of this machine.
    pub fn reserve() -> Self {
        let (socket, address) = reserve_port();
        Self { address, _socket: socket }
    }
}

/// A port of this machine that nobody else is given while the socket lives. A server can still listen there: the
/// socket itself does not.
fn reserve_port() -> (Socket, SocketAddr) {
    let reserve = || -> std::io::Result<(Socket, SocketAddr)> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&SockAddr::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))?;
        let address = socket.local_addr()?.as_socket().expect("an IP socket");
        Ok((socket, address))
    };
    reserve().expect("a free port")
}

/// The program under test.
///
/// # Panics
/// If it was not built.
pub fn program() -> PathBuf {
    if let Some(named) = env::var_os("PARLANCE_BIN") {
        return PathBuf::from(named);
    }
    let test = env::current_exe().expect("the test's own path");
    // target/debug/deps/behaviour-0123 is the test, target/debug/parlance the program.
    let program =
        test.ancestors().nth(2).map(|profile| profile.join("parlance")).expect("a folder of cargo's");
    assert!(program.exists(), "{} is not there: cargo build -p parlance-server", program.display());
    program
}

/// Memory that the process has in RAM (VmRSS), bytes.
///
/// # Panics
/// If there is no such process.
pub fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"))
        .expect("a running process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
    kib * 1024
}
