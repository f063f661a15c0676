//! A run of many scripts, and what it comes to.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
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

/// Plays the scripts of these numbers against Parlance at `ours` and against the peers, and compares.
pub fn run(numbers: Range<u64>, ours: Place, peers: &[Peers], unexplained_max: usize) -> Report {
    let mut report = Report::default();
    for number in numbers {
        let script = Script::of(number);
        one(&script, ours, peers, &mut report);
        if report.unexplained.len() >= unexplained_max {
            break;
        }
    }
    report
}

fn one(script: &Script, ours: Place, peers: &[Peers], report: &mut Report) {
    report.scripts += 1;
    let places: Vec<Place> = std::iter::once(ours).chain(peers.iter().map(|peer| peer.place)).collect();
    let mut traces = play_all(script, &places, PAUSES[0]);
    let differs = |traces: &[Trace]| {
        let unexplained = |(peer, theirs): (&Peers, &Trace)| {
            differences(script, peer.peer, &traces[0], theirs).iter().any(|it| rules::explain(it).is_none())
        };
        peers.iter().zip(&traces[1..]).any(unexplained)
    };
    for pause in &PAUSES[1..] {
        if !differs(&traces) {
            break;
        }
        traces = play_all(script, &places, *pause);
    }
    for (peer, theirs) in peers.iter().zip(&traces[1..]) {
        compare(script, peer.peer, &traces[0], theirs, report);
    }
}

/// Against all brokers at once: they do not know of each other.
fn play_all(script: &Script, places: &[Place], pause: Duration) -> Vec<Trace> {
    thread::scope(|scope| {
        let players: Vec<_> =
            places.iter().map(|place| scope.spawn(move || play(script, place, pause))).collect();
        players.into_iter().map(|player| player.join().expect("a script plays to its end")).collect()
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
