//! What the suite starts ends with it, however the suite ends.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

struct Guarded {
    guard: Child,
    program: PathBuf,
    /// Its child.
    child: PathBuf,
    outside: TempDir,
    folder: PathBuf,
}

/// A shell with a child of its own, under a guard.
fn start() -> Guarded {
    let outside = tempfile::tempdir().expect("a temporary folder");
    let folder = outside.path().join("data");
    fs::create_dir(&folder).expect("a folder");
    let mut guard = Command::new(env!("CARGO_BIN_EXE_parlance-bench"));
    guard.arg("guard").arg("--remove").arg(&folder).arg("--log").arg(folder.join("log"));
    guard.args(["--", "sh", "-c", "sleep 1000 & echo $!; wait"]);
    let mut guard = guard.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the guard starts");
    let mut line = String::new();
    BufReader::new(guard.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
    eventually("it has a child", || log().ends_with('\n'));
    let [program, child] = [line, log()].map(|pid| Path::new("/proc").join(pid.trim()));
    Guarded { guard, program, child, outside, folder }
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_program_ends_with_the_suite_and_its_data_are_removed() {
    let Guarded { mut guard, program, child, outside, folder } = start();
    assert!(program.exists() && child.exists() && folder.exists());
    // As when the suite is killed: its end of the pipe closes.
    drop(guard.stdin.take());
    assert!(guard.wait().expect("a child").success());
    eventually("they are gone", || !program.exists() && !child.exists());
    assert_eq!(fs::read_dir(outside.path()).expect("a folder").count(), 0);
}

#[test]
fn a_program_that_ends_by_itself_keeps_its_data() {
    let Guarded { mut guard, program, child, outside: _outside, folder } = start();
    // Waiting for a child closes its input: the suite is still there.
    let suite = guard.stdin.take();
    let pid = program.file_name().expect("an id").to_owned();
    assert!(Command::new("kill").arg("-9").arg(pid).status().expect("kill runs").success());
    assert!(guard.wait().expect("a child").success());
    eventually("they are gone", || !program.exists() && !child.exists());
    assert!(folder.join("log").exists());
    drop(suite);
}
