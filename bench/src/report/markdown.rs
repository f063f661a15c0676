//! The page.

use super::{
    Files,
    notes::Notes,
    number,
    results::{Environment, Results, SyncFigures},
    section::{self, Kind, Section, Table},
    table,
    verdict::{self, Criterion, Verdict},
};
use crate::peers::Peer;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

/// Use of the processors by others from which on it is said loudly.
const BUSY: f64 = 0.1;

/// The whole of it.
pub(crate) fn page(results: &Results, notes: &Notes, files: &Files) -> String {
    let criteria = verdict::judge(results);
    let mut page = Page(String::new());
    page.add("# Benchmarks\n");
    page.add("<!-- Written by `parlance-bench`; the raw figures are in bench/results.json. Change neither by hand. -->\n");
    introduction(&mut page, results);
    page.add("## What was asked, and what came out\n");
    verdicts(&mut page, results, &criteria);
    held_back(&mut page, &criteria, notes);
    environment(&mut page, &results.environment);
    peers(&mut page, results);
    for section in section::all() {
        self::section(&mut page, results, &section, files);
    }
    troubles(&mut page, results);
    page.0
}

struct Page(String);

impl Page {
    /// A paragraph, a table, a heading: with an empty line behind it.
    fn add(&mut self, text: &str) {
        writeln!(self.0, "{}\n", text.trim_end()).expect("a string takes all that is written");
    }

    fn end(&mut self, text: &str) {
        writeln!(self.0, "{}", text.trim_end()).expect("a string takes all that is written");
    }
}

fn introduction(page: &mut Page, results: &Results) {
    let began = number::moment(results.began_unix_s);
    page.add(&format!(
        "Parlance beside other brokers, on one machine that load generator and broker share, one broker at a time. Run on \
         {began}, in {} minutes, with",
        number::figure(results.took_s / 60.0)
    ));
    page.add("```sh\ncargo xtask bench\n```");
    if results.size.quick {
        page.add("> **This was a quick run: small, short, and not to be compared with anything.**");
    }
    if results.environment.build != "release" {
        page.add("> **This was not a release build: its figures say nothing about speed.**");
    }
    page.add(
        "Every broker is started anew, with an empty data folder, for each case of each round. A round is all the cases on \
         all the brokers, and each round begins with another broker: so what drifts on the machine meets all of them alike. \
         A figure is the median of its rounds; in brackets are the least and the most. The load generator is our own \
         (`bench/`): one thread, its own code for MQTT, the same for all brokers. It checks each pair of sender and \
         recipient for loss, duplicates and order, in every case.",
    );
    page.add(
        "Parlance does more for a message than the others, and the tables do not take that off: it is synced to disk before \
         the PUBACK, has a sequence number in a stored and sealed (AES-256-GCM) conversation, and membership is checked at \
         each delivery. The column *a PUBACK means* says what the others have done by then.",
    );
}

fn verdicts(page: &mut Page, results: &Results, criteria: &[Criterion]) {
    let head = ["case", "Parlance", "must", "", "aim", ""].map(str::to_owned);
    page.add(&table::markdown(&head, head.len(), criteria.iter().map(Criterion::row).collect()));
    let count = |wanted| criteria.iter().filter(|criterion| criterion.must_verdict() == wanted).count();
    let aims = criteria.iter().filter_map(Criterion::aim_verdict);
    let aims: Vec<Verdict> = aims.collect();
    let met = aims.iter().filter(|&&verdict| verdict == Verdict::Met).count();
    page.add(&format!(
        "Of {} musts {} are met, {} are not, {} were not measured. Of {} aims {met} are met. Figures of other brokers in \
         this table are those of this run; a sync of this disk takes {} ms (median, into a preallocated file).",
        criteria.len(),
        count(Verdict::Met),
        count(Verdict::NotMet),
        count(Verdict::NotMeasured),
        aims.len(),
        number::figure(results.environment.sync_preallocated.p50_ms),
    ));
}

fn held_back(page: &mut Page, criteria: &[Criterion], notes: &Notes) {
    let unmet: Vec<&Criterion> =
        criteria.iter().filter(|criterion| criterion.aim_verdict() == Some(Verdict::NotMet)).collect();
    if unmet.is_empty() {
        return;
    }
    page.add("### What holds back the aims that are not met\n");
    for criterion in unmet {
        let note = notes.get(criterion.id).unwrap_or("**No profile is recorded yet.**");
        page.add(&format!("**{}.** {note}", criterion.title));
    }
}

fn environment(page: &mut Page, environment: &Environment) {
    let Environment { cores, processor, memory_bytes, kernel, system, device, file_system, .. } = environment;
    page.add("## The machine\n");
    let sync = |figures: &SyncFigures| {
        format!(
            "{} a second; p50 {} ms, p99 {} ms",
            number::figure(figures.per_s),
            number::figure(figures.p50_ms),
            number::figure(figures.p99_ms)
        )
    };
    let mut rows = vec![
        vec!["processor".to_owned(), format!("{cores} cores, {processor}")],
        vec!["memory".to_owned(), number::bytes(*memory_bytes as f64)],
        vec!["system".to_owned(), format!("{system}, {kernel}")],
        vec!["disk".to_owned(), format!("{device}, {file_system}")],
        vec!["4 KiB append + fdatasync, growing file".to_owned(), sync(&environment.sync_growing)],
        vec!["4 KiB append + fdatasync, preallocated file".to_owned(), sync(&environment.sync_preallocated)],
        vec![
            "processors used by others before".to_owned(),
            format!("{} %", number::figure(100.0 * environment.busy_before)),
        ],
    ];
    if let Some(commit) = &environment.commit {
        rows.push(vec!["Parlance".to_owned(), format!("commit {commit}, {} build", environment.build)]);
    }
    page.add(&table::markdown(&[String::new(), String::new()], 2, rows));
    if environment.busy_before > BUSY {
        page.add(
            "> **Other programs were running before this began: the figures are lower than they could be.**",
        );
    }
}

fn peers(page: &mut Page, results: &Results) {
    page.add("## The brokers\n");
    for participant in &results.peers {
        let about = participant.peer.about();
        if let Some(reason) = &participant.absent {
            page.add(&format!("> **{} is ABSENT from this run:** {}", about.name, reason.replace('\n', " ")));
            continue;
        }
        let version = participant.version.as_deref().unwrap_or("of unknown version");
        page.add(&format!(
            "**{} {version}.** {} *When it acknowledges:* {}",
            about.name, about.configuration, about.acknowledges
        ));
    }
    let slow = results.size.quick || results.peers.iter().all(|participant| participant.absent.is_some());
    if !slow {
        page.add(
            "Slower brokers have fewer rounds, so that the whole ends in time; each table says how many.",
        );
    }
}

fn section(page: &mut Page, results: &Results, section: &Section, files: &Files) {
    let tables: Vec<&Table> = section.tables.iter().filter(|table| table.is_in(results)).collect();
    if tables.is_empty() {
        return;
    }
    page.add(&format!("## {}\n", section.title));
    page.add(&(section.text)(&results.size));
    for table in tables {
        if !table.title.is_empty() {
            page.add(&format!("### {}\n", table.title));
        }
        for chart in table.charts.iter().filter(|chart| files.has(chart.file)) {
            page.add(&format!("![{}]({})", chart.title, files.link(chart.file)));
        }
        page.add(&match &table.kind {
            Kind::Peers(case) => table::of_peers(results, *case, &table.columns),
            Kind::Sizes { size, cases } => table::of_sizes(results, size, cases, &table.columns),
        });
        page.add(&command(results, table));
        let notes: Vec<String> = notes_of(results, table).iter().map(|note| format!("- {note}")).collect();
        if !notes.is_empty() {
            page.add(&notes.join("\n"));
        }
    }
}

/// What repeats a table; `--only` narrows it to a broker.
fn command(results: &Results, table: &Table) -> String {
    let cases: Vec<String> = table.cases().iter().map(|case| case.name()).collect();
    let rounds = results.runs.iter().filter(|run| table.cases().contains(&run.place.case));
    let rounds = rounds.map(|run| run.place.round).max().unwrap_or(1);
    let quick = if results.size.quick { " --quick" } else { "" };
    format!("```sh\ncargo xtask bench --no-setup{quick} --case {} --rounds {rounds}\n```", cases.join(","))
}

/// What the cases themselves said, each thing once.
fn notes_of(results: &Results, table: &Table) -> BTreeSet<String> {
    let sizes = matches!(table.kind, Kind::Sizes { .. });
    let runs = results.runs.iter().filter(|run| table.cases().contains(&run.place.case));
    let said = runs.flat_map(|run| {
        run.outcome.iter().flat_map(move |outcome| outcome.notes.iter().map(move |note| (run, note)))
    });
    said.map(|(run, note)| if sizes { format!("{}: {note}", run.place.case) } else { note.clone() }).collect()
}

/// What the time did not suffice for, a line for each broker and round.
fn left_out(results: &Results) -> Vec<String> {
    let mut cases: BTreeMap<(Peer, u32), Vec<String>> = BTreeMap::new();
    for place in &results.left_out {
        cases.entry((place.peer, place.round)).or_default().push(place.case.name());
    }
    let line = |((peer, round), cases): ((Peer, u32), Vec<String>)| {
        format!("- {peer}, round {round}: left out, the time was over: {}", cases.join(", "))
    };
    cases.into_iter().map(line).collect()
}

/// Whatever was not as it should be, in full.
fn troubles(page: &mut Page, results: &Results) {
    let mut lines = Vec::new();
    for run in &results.runs {
        let place = format!("{} on {}, round {}", run.place.case, run.place.peer, run.place.round);
        if let Some(error) = &run.error {
            lines.push(format!("- {place}: **no figures**: {}", error.replace('\n', " ")));
        }
        for fault in run.outcome.iter().flat_map(|outcome| &outcome.faults) {
            lines.push(format!("- {place}: {fault}"));
        }
    }
    lines.extend(left_out(results));
    page.add("## What went wrong\n");
    if lines.is_empty() {
        page.end("Nothing: no run failed, and no message was lost, doubled or out of order on any broker.");
        return;
    }
    page.add("Figures of a run that stands here are figures of a broken run.");
    page.end(&lines.join("\n"));
    let own = Peer::Parlance.name();
    if lines.iter().any(|line| line.contains(&format!(" on {own},"))) {
        page.end(&format!("\n**{own} is among them.**"));
    }
}
