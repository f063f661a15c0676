//! Programs that nobody here wrote, and lines in and out of them.

use crate::wait::in_time;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// A running program, killed when dropped. Its standard error is the test's.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts a program with arguments and variables of its environment.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(program: impl AsRef<Path>, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let program = program.as_ref();
        let mut command = Command::new(program);
        command.args(arguments).envs(environment.iter().copied()).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let missing = |error| panic!("{} cannot be started ({error}): cargo xtask setup", program.display());
        let mut child = command.spawn().unwrap_or_else(missing);
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("piped");
        Self { name: program.display().to_string(), child, stdin, lines: BufReader::new(stdout).lines() }
    }

    /// Writes a line.
    ///
    /// # Panics
    /// If it does not listen.
    pub async fn tell(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("not finished");
        let told = in_time("a program takes a line", stdin.write_all(format!("{line}\n").as_bytes())).await;
        told.unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// The next line that it writes; `None` at its end.
    pub async fn line(&mut self) -> Option<String> {
        let line = in_time(&format!("a line of {}", self.name), self.lines.next_line()).await;
        line.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// The next line, which is JSON.
    ///
    /// # Panics
    /// At its end.
    pub async fn json(&mut self) -> Value {
        let line = self.line().await.unwrap_or_else(|| panic!("{} has ended", self.name));
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{}: {error}: {line}", self.name))
    }

    /// Tells it to end (SIGTERM) and waits for that; answers what it still wrote. How it ends is its own affair.
    pub async fn terminate(mut self) -> Vec<String> {
        let id = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        // An error means that it has ended already.
        let _ = id.map(|id| kill_process(id, Signal::TERM));
        let rest = self.rest().await;
        in_time("the end of a program", self.child.wait()).await.expect("a child can be waited for");
        rest
    }

    /// Closes its standard input and waits for its end; answers what it still wrote.
    ///
    /// # Panics
    /// If it ends with an error.
    pub async fn finish(mut self) -> Vec<String> {
        drop(self.stdin.take());
        let rest = self.rest().await;
        let status =
            in_time("the end of a program", self.child.wait()).await.expect("a child can be waited for");
        assert!(status.success(), "{}: {status}\n{}", self.name, rest.join("\n"));
        rest
    }

    async fn rest(&mut self) -> Vec<String> {
        let mut rest = Vec::new();
        while let Some(line) = self.line().await {
            rest.push(line);
        }
        rest
    }
}

/// The Python that has paho-mqtt: `PARLANCE_PYTHON`, else where `cargo xtask setup` puts it.
pub fn python() -> PathBuf {
    env::var_os("PARLANCE_PYTHON").map_or_else(|| target().join("tools/venv/bin/python"), PathBuf::from)
}

/// The folder whose `node_modules` has MQTT.js: `PARLANCE_JS`, else where `cargo xtask setup` puts it.
pub fn javascript() -> PathBuf {
    let here = || Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/js");
    env::var_os("PARLANCE_JS").map_or_else(here, PathBuf::from)
}

/// Cargo's target folder: the test itself is in target/debug/deps.
fn target() -> PathBuf {
    let test = env::current_exe().expect("the test's own path");
    test.ancestors().nth(3).expect("a folder of cargo's").to_owned()
}
