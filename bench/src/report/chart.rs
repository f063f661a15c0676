//! From results to drawings.

use super::{
    metric::{Better, Metric},
    results::Results,
    section::{Chart, Kind, Table},
    svg::{
        Spread, Tint,
        bars::{Bars, Row},
        lines::{Line, Lines},
    },
};
use crate::{Case, peers::Peer};

/// The drawing of a table, as SVG; none if nothing was measured.
pub(crate) fn draw(results: &Results, table: &Table, chart: &Chart) -> Option<String> {
    let first = chart.metrics.first()?;
    match &table.kind {
        Kind::Peers(case) => bars(results, *case, chart, first),
        Kind::Sizes { size, cases } => lines(results, size, cases, chart, first),
    }
}

fn bars(results: &Results, case: Case, chart: &Chart, first: &Metric) -> Option<String> {
    let rows: Vec<Row> =
        Peer::ALL.into_iter().filter_map(|peer| row(results, case, peer, &chart.metrics)).collect();
    if rows.iter().all(|row| row.values.iter().all(Option::is_none)) {
        return None;
    }
    let series = chart.metrics.iter().map(|metric| metric.heading.to_owned());
    let better = match first.better {
        Better::More => "More is better.",
        Better::Less => "Less is better.",
    };
    let rounds =
        rows.iter().flat_map(|row| row.values.iter().flatten()).any(|spread| spread.max > spread.min);
    let spread = if rounds { " Medians; the thin line is from the least to the most." } else { "" };
    let scale = match chart.scale {
        super::svg::Scale::Linear => "",
        super::svg::Scale::Logarithmic => " The axis is logarithmic.",
    };
    let bars = Bars {
        title: chart.title.to_owned(),
        subtitle: format!("{better}{spread}{scale}"),
        unit: unit(first),
        scale: chart.scale,
        series: if chart.metrics.len() > 1 { series.collect() } else { Vec::new() },
        rows,
    };
    Some(bars.draw())
}

/// None of a broker that was not asked to do this case.
fn row(results: &Results, case: Case, peer: Peer, metrics: &[Metric]) -> Option<Row> {
    let ran = results.runs.iter().any(|run| run.place.case == case && run.place.peer == peer);
    let values = metrics.iter().map(|metric| {
        let summary = results.summary(case, peer, metric.key)?;
        Some(Spread { middle: summary.median, min: summary.min, max: summary.max })
    });
    ran.then(|| Row { label: peer.to_string(), tint: tint(peer), values: values.collect() })
}

fn tint(peer: Peer) -> Tint {
    match peer {
        Peer::Parlance => Tint::Own,
        Peer::NatsSynced | Peer::Rabbitmq => Tint::Synced,
        _ => Tint::Other,
    }
}

/// Of a heading such as `PUBACK p50, ms`, for an axis that several figures share.
fn unit(metric: &Metric) -> String {
    let unit = metric.heading.rsplit_once(", ").map_or(metric.heading, |(_, unit)| unit);
    match unit {
        "ms" => "milliseconds".to_owned(),
        "s" => "seconds".to_owned(),
        other => other.to_owned(),
    }
}

fn lines(
    results: &Results,
    size: &str,
    cases: &[(u64, Case)],
    chart: &Chart,
    first: &Metric,
) -> Option<String> {
    let line = |(metric, tint): (&Metric, Tint)| {
        let points = cases.iter().filter_map(|&(size, case)| {
            Some((size as f64, results.median(case, Peer::Parlance, metric.key)?))
        });
        let points: Vec<(f64, f64)> = points.collect();
        (!points.is_empty()).then(|| Line { label: metric.heading.to_owned(), tint, points })
    };
    let tints = [Tint::Own, Tint::Synced, Tint::Other];
    let lines: Vec<Line> = chart.metrics.iter().zip(tints).filter_map(line).collect();
    if lines.is_empty() {
        return None;
    }
    let lines = Lines {
        title: chart.title.to_owned(),
        subtitle: "Parlance. Flat is good: the cost does not grow with the size.".to_owned(),
        x_unit: format!("{size} (logarithmic)"),
        y_unit: unit(first),
        lines,
    };
    Some(lines.draw())
}
