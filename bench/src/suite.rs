//! Which case on which broker, how often and in which order; and the report of it.
//!
//! Every case of every round begins with a new broker on an empty folder. A round is all cases on all brokers, and each
//! round begins with another broker, so that a machine that grows slower or faster does so for all of them.

mod environment;
mod plan;
mod sync;

#[cfg(test)]
mod tests;

use crate::{
    Case, Outcome, Restart, Settings, crash,
    peers::{Found, Peer, Places, Running, StartError},
    report::{
        self, ReportError,
        results::{FORMAT, Participant, Place, Results, Run, Size},
    },
    run as run_case,
};
use environment::EnvironmentError;
use plan::{Plan, PlanError};
use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Where the report of a whole run belongs.
const PAGE: &str = "docs/BENCHMARKS.md";

/// The results while there are still more to come, in the folder of the brokers' data.
const SO_FAR: &str = "results-so-far.json";

/// What the suite is asked for.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Small and short, one round: to see that everything works
    #[arg(long)]
    pub quick: bool,
    /// Only these brokers, as in `parlance,mosquitto`
    #[arg(long, value_delimiter = ',', value_name = "BROKERS")]
    pub only: Vec<Peer>,
    /// Only these cases: a name such as `chat-16`, or the beginning of some, such as `chat`
    #[arg(long = "case", value_delimiter = ',', value_name = "CASES")]
    pub cases: Vec<String>,
    /// So many rounds of every case, instead of as many as each has by itself
    #[arg(long)]
    pub rounds: Option<u32>,
    /// No case begins after so many minutes
    #[arg(long, default_value_t = 36, overrides_with = "minutes")]
    pub minutes: u64,
    /// Threads of the load generator
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// The page; charts and raw results are in the folder `bench` beside it [default: docs/BENCHMARKS.md, or, if this is
    /// not the whole suite, a page in cargo's target folder]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Where the brokers keep their data while they run [default: cargo's target folder]
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// A broker that could not be installed, and why, as in `rmqtt=no network`
    #[arg(long, value_parser = absent, value_name = "BROKER=REASON")]
    pub absent: Vec<(Peer, String)>,
}

/// Why there is no report at all. A case that fails stands in the report.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// This program does not know where it is.
    #[error("the path of this program is unknown")]
    Places(#[source] io::Error),
    /// There is nothing to do.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The machine cannot be described.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The report cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// `name=reason` on the command line.
fn absent(text: &str) -> Result<(Peer, String), String> {
    let (name, reason) = text.split_once('=').ok_or("no `=` in it")?;
    let peer = name.parse::<Peer>().map_err(|error| error.to_string())?;
    Ok((peer, reason.to_owned()))
}

/// Runs it, writes the report, and says whether all is well: no fault of Parlance, and in a whole run every "must" met.
///
/// # Errors
/// If nothing can be run or the report cannot be written.
pub fn run(options: &Options) -> Result<ExitCode, SuiteError> {
    let places = Places::here().map_err(SuiteError::Places)?;
    let plan = Plan::new(options)?;
    let data = options.data.clone().unwrap_or_else(|| places.data());
    let beside = places.data().join("BENCHMARKS.md");
    let page = options.out.clone().unwrap_or(if plan.is_whole { PathBuf::from(PAGE) } else { beside });
    let (found, peers) = gather(&places, &plan, options);
    let began_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let own = if options.quick { Settings::quick() } else { Settings::default() };
    let settings = Settings { threads: options.threads, ..own };
    let size = size(options.quick, &settings);
    let environment = environment::describe(&data)?;
    let mut suite = Suite {
        places,
        data,
        settings,
        begin: Instant::now(),
        deadline: Duration::from_secs(60 * options.minutes),
        results: Results {
            format: FORMAT,
            began_unix_s,
            took_s: 0.0,
            environment,
            size,
            peers,
            runs: Vec::new(),
            left_out: Vec::new(),
        },
    };
    suite.run(&plan, &found)?;
    let results = suite.results;
    let page = report::write(&results, &page)?;
    Ok(conclude(&results, &page, plan.is_whole))
}

fn size(quick: bool, settings: &Settings) -> Size {
    Size {
        quick,
        threads: settings.threads,
        clients: settings.clients,
        payload_bytes: settings.payload_bytes,
        warm_up_s: settings.warm_up.as_secs_f64(),
        measure_s: settings.measure.as_secs_f64(),
        fan_out: settings.fan_out,
        connections: settings.connections,
        offline_sessions: settings.offline_sessions,
        offline_messages: settings.offline_messages,
        storm_devices: settings.storm_devices,
        missed_messages: settings.missed_messages,
    }
}

/// Which brokers are there; the others are named at once, and in the report.
fn gather(places: &Places, plan: &Plan, options: &Options) -> (Vec<Found>, Vec<Participant>) {
    let (mut found, mut participants) = (Vec::new(), Vec::new());
    for &peer in &plan.peers {
        let not_installed = options.absent.iter().find(|(absent, _)| absent.program() == peer.program());
        match places.find(peer) {
            Ok(there) => {
                println!("{peer}: {} ({})", there.version, there.program.display());
                let version = Some(there.version.clone());
                participants.push(Participant { peer, version, absent: None });
                found.push(there);
            }
            Err(error) => {
                let reason = not_installed.map_or_else(|| chain(&error), |(_, reason)| reason.clone());
                println!("{peer}: ABSENT: {reason}");
                participants.push(Participant { peer, version: None, absent: Some(reason) });
            }
        }
    }
    (found, participants)
}

/// A run of the suite under way.
struct Suite {
    places: Places,
    data: PathBuf,
    settings: Settings,
    begin: Instant,
    deadline: Duration,
    results: Results,
}

impl Suite {
    fn run(&mut self, plan: &Plan, found: &[Found]) -> Result<(), SuiteError> {
        let steps = plan.steps(&found.iter().map(|found| found.peer).collect::<Vec<_>>());
        for (index, &place) in steps.iter().enumerate() {
            let Some(found) = found.iter().find(|found| found.peer == place.peer) else { continue };
            if self.begin.elapsed() + self.expected(place) > self.deadline {
                self.results.left_out.push(place);
                continue;
            }
            let spent = self.begin.elapsed().as_secs();
            print!("[{}/{} {:02}:{:02}] ", index + 1, steps.len(), spent / 60, spent % 60);
            let run = self.run_one(place, found);
            println!("{}", told(&run));
            self.results.runs.push(run);
            self.results.took_s = self.begin.elapsed().as_secs_f64();
            // If this does not come to its end, `parlance-bench report` can still make something of it.
            report::write_results(&self.results, &self.data.join(SO_FAR))?;
        }
        Ok(report::remove(self.data.join(SO_FAR))?)
    }

    /// As long as the last time.
    fn expected(&self, place: Place) -> Duration {
        let same = |run: &&Run| run.place.case == place.case && run.place.peer == place.peer;
        let last = self.results.runs.iter().rev().find(same);
        last.map_or(Duration::ZERO, |run| Duration::from_secs_f64(run.took_s))
    }

    fn run_one(&self, place: Place, found: &Found) -> Run {
        let begin = Instant::now();
        let outcome = self.outcome(place.case, found);
        let (outcome, error) = match outcome {
            Ok(outcome) => (Some(outcome), None),
            Err(error) => (None, Some(chain(error.as_ref()))),
        };
        Run { place, took_s: begin.elapsed().as_secs_f64(), outcome, error }
    }

    fn outcome(&self, case: Case, found: &Found) -> Result<Outcome, Box<dyn Error>> {
        let settings = plan::settings_for(case, found.peer, &self.settings);
        let mut broker = Running::prepare(&self.places, found, &self.data)?;
        let mut outcome = match case {
            Case::Crash => crash(&mut broker, &settings)?,
            _ => {
                let target =
                    broker.start().map_err(|source| StartError::Start { peer: found.peer, source })?;
                run_case(&case, &target, &settings)?
            }
        };
        broker.stop()?;
        if settings.storm_devices < self.settings.storm_devices {
            outcome.notes.push(format!("{}: {} devices only", found.peer, settings.storm_devices));
        }
        Ok(outcome)
    }
}

/// One line about a run.
fn told(run: &Run) -> String {
    let Place { case, peer, round } = run.place;
    let figures = match (&run.outcome, &run.error) {
        (Some(outcome), _) => {
            let shown = report::shown(case).into_iter();
            let values = shown.filter_map(|metric| Some(metric.tell(outcome.get(metric.key)?)));
            let faults = outcome.faults.iter().map(|fault| format!("FAULT: {fault}"));
            values.chain(faults).collect::<Vec<_>>().join(", ")
        }
        (None, Some(error)) => format!("FAILED: {error}"),
        (None, None) => "nothing".to_owned(),
    };
    format!("{case} on {peer}, round {round}: {figures} ({:.1} s)", run.took_s)
}

/// The last words, and the exit code.
fn conclude(results: &Results, page: &Path, whole: bool) -> ExitCode {
    println!("\n{}", page.display());
    let broken =
        results.runs.iter().filter(|run| run.place.peer == Peer::Parlance && run.is_broken()).count();
    if broken > 0 {
        println!(
            "FAILED: {broken} runs on parlance lost, doubled or misplaced messages, or could not be run"
        );
    }
    let unmet = if whole { report::unmet(results) } else { Vec::new() };
    for line in &unmet {
        println!("NOT MET: {line}");
    }
    if broken > 0 || !unmet.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// An error with all its causes, in one line; a cause that its error has told already is not told again.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
