//! `cargo xtask fuzz`: builds the targets of `fuzz/` and runs them.
//!
//! cargo-fuzz is made for a nightly compiler because of the sanitizers. Without one (`--sanitizer none`) it needs only
//! the coverage instrumentation, whose options are stable; and there is no unsafe code of ours for a sanitizer to look
//! at. Memory is counted by the targets themselves.

mod report;

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use clap::Args;

use crate::{
    command::{self, CommandError},
    step::Step,
    tool::{Build, Tool, ToolError},
    workspace::Workspace,
};

/// What builds the targets.
pub(crate) const CARGO_FUZZ: Tool =
    Tool { name: "cargo-fuzz", version: "0.13.2", with: &["--locked"], build: Build::Quick };

/// The targets, as `fuzz/Cargo.toml` names them.
const TARGETS: [&str; 4] = ["packet", "filters", "session", "websocket"];

/// Limits that the fuzzer watches: resident memory of a target, and the time of one input.
const LIMITS: [&str; 3] = ["-rss_limit_mb=2048", "-timeout=10", "-max_len=4096"];

/// Inputs kept in git for each target.
const KEPT_MAX: usize = 300;

/// How long and how much.
#[derive(Args)]
pub(crate) struct FuzzOptions {
    /// Only this target
    #[arg(long, value_name = "NAME", value_parser = TARGETS)]
    target: Option<String>,
    /// How long each target runs
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u32,
    /// Targets that run at once
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    jobs: u8,
    /// Afterwards fold what was found into fuzz/corpus: few inputs that reach much
    #[arg(long)]
    keep: bool,
}

impl FuzzOptions {
    /// What the CI can afford.
    pub(crate) fn short() -> Self {
        Self { target: None, seconds: 20, jobs: 2, keep: false }
    }

    fn targets(&self) -> Vec<&'static str> {
        let wanted = |target: &&str| self.target.as_deref().is_none_or(|only| only == *target);
        TARGETS.into_iter().filter(wanted).collect()
    }
}

/// Why a target was not run to its end.
#[derive(Debug, thiserror::Error)]
enum FuzzError {
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error("the targets do not build")]
    Build(#[source] CommandError),
    #[error("cannot read or write {path}")]
    File { path: PathBuf, source: io::Error },
    #[error("{} target(s) failed: {}", .0.len(), .0.join(", "))]
    Found(Vec<String>),
    #[error("the inputs cannot be merged")]
    Merge(#[source] CommandError),
}

/// Build, run, and maybe keep.
pub(crate) fn steps(options: FuzzOptions) -> Vec<Step> {
    let advice = "mend the compile error above; a C++ compiler (Debian: g++) is needed as well";
    let build = Step::new("fuzz targets", advice, build);
    let advice =
        "run the named target with the input it left: see docs/fuzzing.md, \"When something is found\"";
    vec![build, Step::new("fuzzing", advice, move |workspace| run(workspace, &options))]
}

/// Where a target's things are.
struct Place {
    program: PathBuf,
    /// What is kept in git.
    kept: PathBuf,
    /// What was found on this machine.
    found: PathBuf,
    /// Inputs that made a target fail; a path prefix.
    artifacts: PathBuf,
    log: PathBuf,
}

impl Place {
    fn of(workspace: &Workspace, target: &str) -> Self {
        let built = folder(workspace);
        Self {
            program: built.join("bin").join(target),
            kept: workspace.root.join("fuzz").join("corpus").join(target),
            found: built.join("corpus").join(target),
            artifacts: built.join("artifacts").join(target).join(""),
            log: built.join("log").join(format!("{target}.log")),
        }
    }

    fn make(&self) -> Result<(), FuzzError> {
        let log = self.log.parent().unwrap_or(&self.log);
        [&self.kept, &self.found, &self.artifacts, log].into_iter().try_for_each(make)
    }
}

fn make(path: impl AsRef<std::path::Path>) -> Result<(), FuzzError> {
    let path = path.as_ref();
    fs::create_dir_all(path).map_err(|source| FuzzError::File { path: path.to_owned(), source })
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("fuzz")
}

/// Builds all targets with one call, so that what they share is built once, and puts the programs where a build
/// during a long run does not disturb it.
fn build(workspace: &Workspace) -> Result<(), FuzzError> {
    let mut cargo_fuzz = Command::new(CARGO_FUZZ.install(workspace)?);
    cargo_fuzz.current_dir(workspace.root.join("fuzz"));
    cargo_fuzz.args(["build", "--sanitizer", "none", "--features", "websocket", "--target-dir"]);
    command::run_quietly(cargo_fuzz.arg(folder(workspace))).map_err(FuzzError::Build)?;
    let bin = folder(workspace).join("bin");
    make(&bin)?;
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let host =
        command::output(Command::new(rustc).args(["--print", "host-tuple"])).map_err(FuzzError::Build)?;
    let built = folder(workspace).join(String::from_utf8_lossy(&host).trim()).join("release");
    for target in TARGETS {
        let (from, to, fresh) = (built.join(target), bin.join(target), bin.join(format!("{target}.new")));
        let copied = fs::copy(&from, &fresh).and_then(|_| fs::rename(&fresh, &to));
        copied.map_err(|source| FuzzError::File { path: from, source })?;
    }
    Ok(())
}

fn run(workspace: &Workspace, options: &FuzzOptions) -> Result<(), FuzzError> {
    let targets = options.targets();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failed = Vec::new();
        while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(why) = fuzz(&Place::of(workspace, target), target, options.seconds) {
                failed.push(why);
            }
        }
        failed
    };
    let failed: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    });
    if !failed.is_empty() {
        return Err(FuzzError::Found(failed));
    }
    if options.keep { targets.iter().try_for_each(|target| keep(workspace, target)) } else { Ok(()) }
}

/// One target to its end. The fuzzer's own talk goes into a file; here stands what came of it.
fn fuzz(place: &Place, target: &str, seconds: u32) -> Result<(), String> {
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("{target} ({what}: {error})");
    place.make().map_err(|error| failed("folders", &error))?;
    let log = File::create(&place.log).map_err(|error| failed("log", &error))?;
    let mut command = Command::new(&place.program);
    command.arg(&place.found).arg(&place.kept).args(LIMITS);
    command.arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1");
    command.arg(format!("-artifact_prefix={}", place.artifacts.display()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let status = command.status().map_err(|error| failed("start", &error))?;
    let text = fs::read(&place.log).map_err(|error| failed("log", &error))?;
    let text = String::from_utf8_lossy(&text);
    println!("      {target:<14} {}", report::figures(&text));
    if status.success() {
        return Ok(());
    }
    for line in report::failure(&text) {
        println!("      {target:<14} | {line}");
    }
    Err(failed("ended with", &status))
}

/// Replaces the inputs in git by the fewest that reach the same code, the seeds kept.
fn keep(workspace: &Workspace, target: &'static str) -> Result<(), FuzzError> {
    let place = Place::of(workspace, target);
    let fresh = folder(workspace).join("kept").join(target);
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(|source| FuzzError::File { path: fresh.clone(), source })?;
    }
    make(&fresh)?;
    let mut merge = Command::new(&place.program);
    // In greedy order: what reaches most comes first. Counters would tell a loop of three rounds from one of four,
    // which is too fine for what is kept.
    merge.args(["-set_cover_merge=1", "-use_counters=0"]).args(LIMITS);
    command::run_quietly(merge.arg(&fresh).arg(&place.kept).arg(&place.found)).map_err(FuzzError::Merge)?;
    let names = |path: &PathBuf| -> Result<Vec<PathBuf>, FuzzError> {
        let read = fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
        read.map_err(|source| FuzzError::File { path: path.clone(), source })
    };
    let mut kept = names(&fresh)?;
    kept.sort_by_key(|path| fs::metadata(path).and_then(|file| file.modified()).ok());
    kept.truncate(KEPT_MAX);
    let is_seed =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("seed-"));
    for path in names(&place.kept)?.into_iter().filter(|path| !is_seed(path)) {
        fs::remove_file(&path).map_err(|source| FuzzError::File { path, source })?;
    }
    for path in kept {
        let to = place.kept.join(path.file_name().unwrap_or_default());
        fs::copy(&path, &to).map_err(|source| FuzzError::File { path: to, source })?;
    }
    Ok(())
}
