//! Where the brokers' programs are, and which versions they are.

use super::{AbsentError, Peer};
use std::{
    env, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The folders in which programs are looked for.
#[derive(Debug, Clone)]
pub struct Places {
    /// The program that has the guard: this one.
    pub(crate) guard: PathBuf,
    /// Parlance itself.
    parlance: PathBuf,
    /// Cargo's target folder.
    target: PathBuf,
}

/// A program that is there.
#[derive(Debug, Clone)]
pub struct Found {
    /// Which broker it is.
    pub peer: Peer,
    /// The program.
    pub program: PathBuf,
    /// As it says itself.
    pub version: String,
}

impl Places {
    /// As seen from this program, `target/{profile}/parlance-bench`. `PARLANCE_BIN` may name another Parlance than the
    /// one beside it.
    ///
    /// # Errors
    /// If this program has no path.
    pub fn here() -> io::Result<Self> {
        let guard = env::current_exe()?;
        let profile = guard.parent().unwrap_or(Path::new("."));
        let beside = || profile.join("parlance");
        let parlance = env::var_os("PARLANCE_BIN").map_or_else(beside, PathBuf::from);
        let target = profile.parent().unwrap_or(Path::new(".")).to_owned();
        Ok(Self { parlance, target, guard })
    }

    /// Where data is kept while something runs, unless another folder is named: on the disk that has the build.
    pub fn data(&self) -> PathBuf {
        self.target.join("bench")
    }

    /// Looks for a broker and asks it for its version.
    ///
    /// # Errors
    /// If it is not there or does not answer.
    pub fn find(&self, peer: Peer) -> Result<Found, AbsentError> {
        let program = self.program(peer).ok_or(AbsentError::NotFound(peer.program()))?;
        let mute = |source| AbsentError::Mute { program: program.display().to_string(), source };
        let version = version(peer, &program).map_err(mute)?;
        Ok(Found { peer, program, version })
    }

    fn program(&self, peer: Peer) -> Option<PathBuf> {
        let tool = |path: &str| Some(self.target.join("tools").join(path));
        let file = match peer {
            Peer::Parlance => Some(self.parlance.clone()),
            Peer::Mosquitto => on_path("mosquitto"),
            Peer::Rumqttd => tool("rumqttd-0.20.0-release/bin/rumqttd"),
            Peer::Rmqtt => tool("rmqtt/release/rmqtt-broker"),
            Peer::Nats | Peer::NatsSynced => tool("nats/bin/nats-server"),
            // Not the one on the path: that changes to another user and to folders of the system service.
            Peer::Rabbitmq => Some(PathBuf::from("/usr/lib/rabbitmq/bin/rabbitmq-server")),
        };
        // Absolute: it is started in another folder.
        file.filter(|file| file.is_file())?.canonicalize().ok()
    }
}

/// The search path, and where only administrators look.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(system).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn version(peer: Peer, program: &Path) -> io::Result<String> {
    if peer == Peer::Rabbitmq {
        // Its folder has it, `rabbitmq_server-3.10.8`. To be asked, it would start a daemon that stays.
        let folder = program.to_string_lossy().into_owned();
        return folder_version(&folder).ok_or_else(|| io::Error::other(format!("no version in {folder}")));
    }
    let mut command = Command::new(program);
    command.arg(match peer {
        Peer::Mosquitto => "-h",
        _ => "--version",
    });
    command.stdin(Stdio::null());
    // mosquitto ends with an error after `-h`, so what counts is what it said.
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().next().unwrap_or_default().trim();
    number(line).ok_or_else(|| io::Error::other(format!("it says {line:?} when asked for its version")))
}

fn folder_version(path: &str) -> Option<String> {
    let (_, rest) = path.split_once("rabbitmq_server-")?;
    rest.split('/').next().map(str::to_owned)
}

/// The version in a line such as `nats-server: v2.15.1` or `rmqtt/0.24.0-20260101`.
pub(super) fn number(line: &str) -> Option<String> {
    let words = line.split(|letter: char| letter.is_whitespace() || letter == '/' || letter == ':');
    let versions = words.map(|word| word.strip_prefix('v').unwrap_or(word));
    let mut versions = versions.filter(|word| word.starts_with(|letter: char| letter.is_ascii_digit()));
    versions.next().map(str::to_owned)
}
