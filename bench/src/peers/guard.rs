//! A process between the suite and a broker, which ends the broker and removes its data when the suite is gone, however
//! that ended: finished, interrupted or killed.
//!
//! The suite holds the guard's standard input open and never writes to it. Its end is the sign. The broker leads a
//! process group of its own; that, and all that descends from the broker, is what is ended.

use super::{launch::Launch, tree};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How long a killed process may take to be gone.
const GONE: Duration = Duration::from_secs(10);

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// What the guard is told.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Folder that is removed if the suite is gone
    #[arg(long, value_name = "FOLDER")]
    remove: PathBuf,
    /// File for all that the program says
    #[arg(long, value_name = "FILE")]
    log: PathBuf,
    /// The program and what it is told
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

/// The guard itself: runs the program until it ends or the suite is gone.
///
/// # Errors
/// If the program cannot be started.
pub fn run(options: &Options) -> io::Result<()> {
    raise_descriptors()?;
    let log = fs::File::options().create(true).append(true).open(&options.log)?;
    let (program, args) = options.program.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(args).process_group(0);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut child = command.spawn()?;
    let pid = child.id();
    let mut out = io::stdout().lock();
    writeln!(out, "{pid}")?;
    out.flush()?;
    let left_alone = Arc::new(AtomicBool::new(false));
    let watcher = thread::spawn({
        let (left_alone, folder) = (Arc::clone(&left_alone), options.remove.clone());
        move || {
            await_end_of_input();
            left_alone.store(true, Ordering::SeqCst);
            tree::kill(pid, &tree::with_descendants(pid));
            // There is nobody left who could be told of an error.
            let _ = fs::remove_dir_all(folder);
        }
    });
    child.wait()?;
    // What it started does not outlive it.
    tree::kill(pid, &BTreeSet::new());
    if left_alone.load(Ordering::SeqCst) {
        // A panic there has been printed.
        let _ = watcher.join();
    }
    Ok(())
}

/// A broker with ten thousand connections needs more than the usual 1,024 descriptors.
fn raise_descriptors() -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

fn await_end_of_input() {
    let mut input = io::stdin().lock();
    let mut byte = [0];
    while let Ok(1) = input.read(&mut byte) {}
}

/// A program under a guard, as the suite sees it. Killed when dropped.
#[derive(Debug)]
pub(super) struct Guarded {
    guard: Child,
    /// Closed when this is dropped or the suite ends.
    _open: ChildStdin,
    /// The program.
    pub(super) pid: u32,
}

impl Guarded {
    /// Starts a program that keeps its files in `folder`.
    pub(super) fn start(guard: &Path, launch: &Launch, folder: &Path) -> io::Result<Self> {
        let mut command = Command::new(guard);
        command.arg("guard").arg("--remove").arg(folder).arg("--log").arg(folder.join(launch.log));
        command
            .arg("--")
            .arg(&launch.program)
            .args(&launch.arguments)
            .envs(launch.environment.iter().cloned());
        // What a broker says when it fails is shown.
        command.env("RUST_BACKTRACE", "0");
        for name in launch.not_inherited() {
            command.env_remove(name);
        }
        // Ctrl-C is for the suite: the guard has to outlive it.
        command.current_dir(folder).process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut guard = command.spawn()?;
        let open = guard.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let stdout = guard.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        match line.trim().parse() {
            Ok(pid) => Ok(Self { guard, _open: open, pid }),
            Err(_) => {
                guard.wait()?;
                Err(io::Error::other(format!("{} cannot be started", launch.program.display())))
            }
        }
    }

    /// Whether it still runs.
    pub(super) fn is_running(&mut self) -> io::Result<bool> {
        Ok(self.guard.try_wait()?.is_none())
    }

    /// SIGKILL to it and all that descend from it; returns when they are gone.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        if !self.is_running()? {
            return Ok(());
        }
        let members = tree::with_descendants(self.pid);
        tree::kill(self.pid, &members);
        self.guard.wait()?;
        let end = Instant::now() + GONE;
        while members.iter().any(|&pid| tree::is_alive(pid)) {
            if Instant::now() > end {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "a killed process is not gone"));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// SIGTERM, and SIGKILL if it has not ended in time. Answers whether it ended by itself.
    pub(super) fn stop(&mut self, within: Duration) -> io::Result<bool> {
        tree::terminate(self.pid);
        let end = Instant::now() + within;
        while self.is_running()? {
            if Instant::now() > end {
                self.kill()?;
                return Ok(false);
            }
            thread::sleep(LOOK);
        }
        Ok(true)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // If this fails, the guard does it: its input ends now.
        let _ = self.kill();
    }
}
