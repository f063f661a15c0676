//! Runs all steps with one client, and reports each of them.

use crate::{
    broker::Broker,
    cannot::{Cannot, REFERENCE, TABLE},
    client::Kind,
    stage::Stage,
    steps::{self, Step},
};
use futures_util::FutureExt;
use parlance_mqtt::Version;
use std::{any::Any, fmt, panic::AssertUnwindSafe, time::Duration};
use tokio::time::{Instant, timeout};

/// The end of a step that hangs.
const STEP_MAX: Duration = Duration::from_secs(120);

enum Outcome {
    Passed(Duration),
    Cannot(&'static str),
    /// Not in this version of the protocol.
    Absent,
    Failed(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed(time) => write!(f, "passed in {} ms", time.as_millis()),
            Self::Cannot(why) => write!(f, "CANNOT: {why}"),
            Self::Absent => write!(f, "not in this version of MQTT"),
            Self::Failed(why) => write!(f, "FAILED: {why}"),
        }
    }
}

/// The whole script with one client.
///
/// # Panics
/// After the last step, if one failed.
pub(crate) async fn run(kind: Kind, version: Version) {
    let mut broker = Broker::start().await;
    let title = format!("{} with MQTT {}, on {}", kind.name(), number(version), broker.name());
    let (mut report, mut failed) = (format!("{title}\n"), false);
    for step in steps::ALL {
        let outcome = outcome(&mut broker, kind, version, step).await;
        failed |= matches!(outcome, Outcome::Failed(_));
        report += &format!("  {:<44} {outcome}\n", step.name);
    }
    println!("{report}");
    assert!(!failed, "{report}");
}

async fn outcome(broker: &mut Broker, kind: Kind, version: Version, step: &Step) -> Outcome {
    if !step.versions.contains(&version) {
        return Outcome::Absent;
    }
    let is_it =
        |row: &&Cannot| row.kind == kind && row.steps.contains(&step.name) && row.versions.contains(&version);
    let reference = if broker.is_reference() { REFERENCE } else { &[] };
    if let Some(row) = TABLE.iter().chain(reference).find(is_it) {
        return Outcome::Cannot(row.why);
    }
    // A step before may have failed while the server was down.
    broker.ensure_running().await;
    let begin = Instant::now();
    let stage = Stage::new(broker, kind, version, step.name);
    match timeout(STEP_MAX, AssertUnwindSafe((step.run)(stage)).catch_unwind()).await {
        Ok(Ok(())) => Outcome::Passed(begin.elapsed()),
        Ok(Err(panic)) => Outcome::Failed(said(panic.as_ref())),
        Err(_) => Outcome::Failed(format!("not within {STEP_MAX:?}")),
    }
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}

fn number(version: Version) -> &'static str {
    match version {
        Version::V3 => "3.1.1",
        Version::V5 => "5",
    }
}
