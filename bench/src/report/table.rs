//! Tables in Markdown.

use super::{metric::Metric, number, results::Results};
use crate::{Case, peers::Peer};

/// A row for each broker, a column for each figure; the first figure is compared with that of Parlance.
pub(crate) fn of_peers(results: &Results, case: Case, columns: &[Metric]) -> String {
    let columns: Vec<&Metric> = columns.iter().filter(|metric| is_there(results, case, metric)).collect();
    let peers: Vec<Peer> = Peer::ALL.into_iter().filter(|&peer| results.ran(case, peer) > 0).collect();
    let compared = peers.len() > 1;
    let mut head = vec!["".to_owned(), "a PUBACK means".to_owned()];
    for (index, metric) in columns.iter().enumerate() {
        head.push(metric.heading.to_owned());
        if index == 0 && compared {
            head.push("÷ Parlance".to_owned());
        }
    }
    head.push("rounds".to_owned());
    let rows = peers.into_iter().map(|peer| peer_row(results, case, peer, &columns, compared));
    markdown(&head, 2, rows.collect())
}

fn is_there(results: &Results, case: Case, metric: &Metric) -> bool {
    Peer::ALL.into_iter().any(|peer| results.median(case, peer, metric.key).is_some())
}

fn peer_row(results: &Results, case: Case, peer: Peer, columns: &[&Metric], compared: bool) -> Vec<String> {
    let name = if peer == Peer::Parlance { format!("**{peer}**") } else { peer.to_string() };
    let mut row = vec![name, peer.about().durability.to_owned()];
    for (index, metric) in columns.iter().enumerate() {
        let summary = results.summary(case, peer, metric.key);
        row.push(cell(metric, summary));
        if index == 0 && compared {
            let own = results.summary(case, Peer::Parlance, metric.key);
            let ratio = summary.zip(own).and_then(|(summary, own)| summary.ratio_to(&own));
            row.push(ratio.map_or_else(|| "–".to_owned(), number::ratio));
        }
    }
    row.push(rounds(results, case, peer));
    row
}

/// How many there were, and how many of them were not as they should be.
fn rounds(results: &Results, case: Case, peer: Peer) -> String {
    let (ran, broken) = (results.ran(case, peer), results.broken(case, peer));
    if broken > 0 { format!("{ran}, **{broken} with faults**") } else { ran.to_string() }
}

/// The median, and behind it the least and the most, if there was more than one round.
pub(crate) fn cell(metric: &Metric, summary: Option<super::statistic::Summary>) -> String {
    let Some(summary) = summary else { return "–".to_owned() };
    let median = metric.write(summary.median);
    if summary.rounds < 2 {
        return median;
    }
    format!("{median} ({} – {})", metric.write(summary.min), metric.write(summary.max))
}

/// A row for each size of a case that only Parlance does.
pub(crate) fn of_sizes(results: &Results, size: &str, cases: &[(u64, Case)], columns: &[Metric]) -> String {
    let there = |metric: &&Metric| cases.iter().any(|(_, case)| is_there(results, *case, metric));
    let columns: Vec<&Metric> = columns.iter().filter(there).collect();
    let mut head = vec![size.to_owned()];
    head.extend(columns.iter().map(|metric| metric.heading.to_owned()));
    let rows = cases.iter().filter(|(_, case)| results.has(*case)).map(|&(size, case)| {
        let figures =
            columns.iter().map(|metric| cell(metric, results.summary(case, Peer::Parlance, metric.key)));
        std::iter::once(number::thousands(size as f64)).chain(figures).collect()
    });
    markdown(&head, 1, rows.collect())
}

/// A table with words to the left and figures to the right.
pub(crate) fn markdown(head: &[String], words: usize, rows: Vec<Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = (0..head.len()).map(|column| if column < words { "---" } else { "---:" }.to_owned());
    let mut table = line(head) + &line(&rule.collect::<Vec<_>>());
    for row in rows {
        table.push_str(&line(&row));
    }
    table
}
