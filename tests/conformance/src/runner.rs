//! Runs the tests of a target beside each other.

use crate::{
    Failure, Runs, StatementId, Target, Test,
    context::Context,
    manifest::{Coverage, Manifest},
    tests,
};
use futures_util::{FutureExt, StreamExt, stream};
use parlance_mqtt::Version;
use std::{collections::BTreeMap, fmt, panic::AssertUnwindSafe, time::Duration};
use tokio::time::{Instant, timeout};

/// The longest that a test may take. The slowest wait for a few seconds to pass on purpose.
const TEST_TIMEOUT: Duration = Duration::from_secs(40);

/// What is run, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Tests at once. Most of their time is waiting.
    pub jobs: usize,
    /// Only tests whose name, or one of whose ids (`v5/MQTT-3.3.1-4`), contains this.
    pub filter: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { jobs: 48, filter: None }
    }
}

/// What became of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The server does what the statement asks for.
    Pass,
    /// It does something else.
    Fail(String),
    /// The server lacks what the test needs, and says so.
    Unsupported(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("pass"),
            Self::Fail(why) => write!(f, "FAIL: {why}"),
            Self::Unsupported(why) => write!(f, "unsupported: {why}"),
        }
    }
}

/// What became of all tests that ran.
#[derive(Debug, Clone)]
pub struct Results {
    /// By version (`v3`, `v5`) and name.
    pub tests: BTreeMap<(&'static str, &'static str), Verdict>,
    /// How long it took.
    pub took: Duration,
}

impl Results {
    /// The tests that failed, with what went wrong.
    pub fn failures(&self) -> impl Iterator<Item = (String, &str)> {
        self.tests.iter().filter_map(|((version, name), verdict)| match verdict {
            Verdict::Fail(why) => Some((format!("{version}/{name}"), why.as_str())),
            _ => None,
        })
    }

    /// How many tests passed, failed, and were unsupported.
    pub fn counts(&self) -> [usize; 3] {
        let count = |matches: fn(&Verdict) -> bool| self.tests.values().filter(|v| matches(v)).count();
        [
            count(|v| *v == Verdict::Pass),
            count(|v| matches!(v, Verdict::Fail(_))),
            count(|v| matches!(v, Verdict::Unsupported(_))),
        ]
    }

    /// What follows for a statement from its tests: one failure fails it, one unsupported test leaves it open.
    /// `None`: none of its tests ran, or it has none.
    pub fn statement(&self, manifest: &Manifest, id: StatementId) -> Option<Verdict> {
        let Coverage::Tests(names) = &manifest.statements.get(&id)?.coverage else { return None };
        let verdicts: Vec<(&str, &Verdict)> = self
            .tests
            .iter()
            .filter(|((version, name), _)| {
                *version == version_name(manifest.version) && names.iter().any(|named| named == name)
            })
            .map(|((_, name), verdict)| (*name, verdict))
            .collect();
        let failed = verdicts.iter().find_map(|(name, verdict)| match verdict {
            Verdict::Fail(why) => Some(Verdict::Fail(format!("{name}: {why}"))),
            _ => None,
        });
        let open = verdicts.iter().find(|(_, verdict)| matches!(verdict, Verdict::Unsupported(_)));
        failed
            .or_else(|| open.map(|(_, verdict)| (*verdict).clone()))
            .or_else(|| verdicts.first().map(|_| Verdict::Pass))
    }
}

/// As in the names of tests and in reports.
pub(crate) fn version_name(version: Version) -> &'static str {
    match version {
        Version::V3 => "v3",
        Version::V5 => "v5",
    }
}

/// Runs the tests that say something about this target.
pub async fn run(target: &Target, options: &Options) -> Results {
    let began = Instant::now();
    let over_websocket = target.endpoint.transport().is_websocket();
    let chosen = tests()
        .filter(|test| test.runs == Runs::Everywhere || over_websocket)
        .flat_map(|test| [(test, Version::V3), (test, Version::V5)])
        .filter(|(test, version)| is_chosen(test, *version, options.filter.as_deref()));
    let verdicts = stream::iter(chosen)
        .map(|(test, version)| async move {
            ((version_name(version), test.name), judge(test, target.clone(), version).await)
        })
        .buffer_unordered(options.jobs.max(1))
        .collect()
        .await;
    Results { tests: verdicts, took: began.elapsed() }
}

fn is_chosen(test: &Test, version: Version, filter: Option<&str>) -> bool {
    let ids = test.proves(version);
    let name = version_name(version);
    let named = |filter: &str| {
        format!("{name}/{}", test.name).contains(filter)
            || ids.iter().any(|id| format!("{name}/MQTT-{id}").contains(filter))
    };
    !ids.is_empty() && filter.is_none_or(named)
}

async fn judge(test: &'static Test, target: Target, version: Version) -> Verdict {
    // A task of its own, so that the machine's cores share the work.
    let task = tokio::spawn(async move {
        let context = Context::new(target, version);
        let run = AssertUnwindSafe((test.run)(&context)).catch_unwind();
        let verdict = match timeout(TEST_TIMEOUT, run).await {
            Ok(Ok(Ok(()))) => Verdict::Pass,
            Ok(Ok(Err(Failure::Violation(why)))) => Verdict::Fail(why),
            Ok(Ok(Err(Failure::Unsupported(why)))) => Verdict::Unsupported(why),
            Ok(Err(_)) => Verdict::Fail("the test panicked".to_owned()),
            Err(_) => Verdict::Fail(format!("not done after {} s", TEST_TIMEOUT.as_secs())),
        };
        context.clean_up().await;
        verdict
    });
    task.await.unwrap_or_else(|_| Verdict::Fail("the test was stopped".to_owned()))
}
