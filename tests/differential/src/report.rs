//! A run of many scripts, and what it comes to.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::brokers::{Peer, Peers, Place};
use crate::compare::differences;
use crate::play::play;
use crate::rules::{self, Rule};
use crate::script::Script;
use crate::trace::Trace;

/// Between two rounds of PINGREQ; longer ones where a difference was found, for a broker that was only slow.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(2), Duration::from_millis(20), Duration::from_millis(100)];

/// What a run comes to.
#[derive(Debug, Default)]
pub struct Report {
    /// Scripts that were played.
    pub scripts: u64,
    /// Scripts without any difference, by peer.
    pub same: BTreeMap<Peer, u64>,
    /// By peer and rule: differences, and the scripts that had one.
    pub explained: BTreeMap<(Peer, &'static str), (u64, u64)>,
    /// What no rule explains, as text with its script.
    pub unexplained: Vec<String>,
}

/// Scripts that are played at once: a script waits more than it works.
const WORKERS: usize = 6;

/// Plays the scripts of these numbers against Parlance at `ours` and against the peers, and compares.
pub fn run(numbers: Range<u64>, ours: Place, peers: &[Peers], unexplained_max: usize) -> Report {
    let next = AtomicU64::new(numbers.start);
    let report = Mutex::new(Report::default());
    let work = || {
        while let number = next.fetch_add(1, Ordering::Relaxed)
            && number < numbers.end
        {
            let mut one = Report::default();
            compare_one(&Script::of(number), ours, peers, &mut one);
            let mut report = report.lock().expect("no worker panics with the report in its hands");
            report.add(one);
            if report.unexplained.len() >= unexplained_max {
                break;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(work);
        }
    });
    report.into_inner().expect("no worker panics with the report in its hands")
}

impl Report {
    fn add(&mut self, other: Self) {
        self.scripts += other.scripts;
        for (peer, count) in other.same {
            *self.same.entry(peer).or_default() += count;
        }
        for (rule, (differences, scripts)) in other.explained {
            let counted = self.explained.entry(rule).or_default();
            *counted = (counted.0 + differences, counted.1 + scripts);
        }
        self.unexplained.extend(other.unexplained);
    }
}

/// With each peer in turn: what they are given is not the same.
fn compare_one(script: &Script, ours: Place, peers: &[Peers], report: &mut Report) {
    report.scripts += 1;
    for peer in peers {
        let script = if peer.peer == Peer::Rumqttd { script.gentle() } else { script.clone() };
        // It does not live long: one for each script.
        let fresh = (peer.peer == Peer::Rumqttd)
            .then(|| Peers::start(peer.peer).expect("it could be started before"));
        let peer = fresh.as_ref().unwrap_or(peer);
        let mut traces = [Trace::default(), Trace::default()];
        for pause in PAUSES {
            traces = play_all(&script, [ours, peer.place], pause);
            let found = differences(&script, peer.peer, &traces[0], &traces[1]);
            if found.iter().all(|it| rules::explain(it).is_some()) {
                break;
            }
        }
        compare(&script, peer.peer, &traces[0], &traces[1], report);
    }
}

/// Against two brokers at once: they do not know of each other.
fn play_all(script: &Script, places: [Place; 2], pause: Duration) -> [Trace; 2] {
    thread::scope(|scope| {
        places
            .map(|place| scope.spawn(move || play(script, &place, pause)))
            .map(|player| player.join().expect("a script plays to its end"))
    })
}

fn compare(script: &Script, peer: Peer, ours: &Trace, theirs: &Trace, report: &mut Report) {
    let found = differences(script, peer, ours, theirs);
    if found.is_empty() {
        *report.same.entry(peer).or_default() += 1;
    }
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for difference in &found {
        match rules::explain(difference) {
            Some(rule) => *counts.entry(rule.id).or_default() += 1,
            None => report.unexplained.push(format!(
                "script {} against {}: client {} ({:?}), connection {}, {:?}\n  Parlance:  {:?}\n  {:9}: {:?}",
                script.seed,
                peer.name(),
                difference.client,
                difference.version,
                difference.connection,
                difference.stream,
                difference.ours,
                peer.name(),
                difference.theirs
            )),
        }
    }
    for (rule, count) in counts {
        let counted = report.explained.entry((peer, rule)).or_default();
        counted.0 += count;
        counted.1 += 1;
    }
}

/// As a table of Markdown.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} scripts.", self.scripts)?;
        for (peer, same) in &self.same {
            writeln!(f, "Without any difference to {}: {same}.", peer.name())?;
        }
        writeln!(f, "\n| rule | broker | clause | right | differences | scripts | what |")?;
        writeln!(f, "| --- | --- | --- | --- | ---: | ---: | --- |")?;
        for Rule { id, peer, clause, right, what, .. } in rules::RULES {
            let (count, scripts) = self.explained.get(&(*peer, *id)).copied().unwrap_or_default();
            writeln!(f, "| {id} | {} | {clause} | {right} | {count} | {scripts} | {what} |", peer.name())?;
        }
        for text in &self.unexplained {
            writeln!(f, "\nNOT EXPLAINED: {text}")?;
        }
        Ok(())
    }
}
