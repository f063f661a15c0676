//! The chart of a soak: memory, descriptors, and disk over time, each with the line through its second half.

use super::{
    report::Report,
    sample::Sample,
    settle::{Line, second_half},
};
use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 740.0;
const TOP: f64 = 66.0;
const PANEL_HEIGHT: f64 = 120.0;
const PANEL_GAP: f64 = 44.0;
const MIB: f64 = 1_048_576.0;
/// Ticks of an axis at most.
const TICKS_MAX: f64 = 5.0;

const STYLE: &str = "\
svg{--page:#ffffff;--ink:#1c2430;--faint:#5b6675;--grid:#e3e7ec;--edge:#d3d9e0;--tint:#2563a8;--fit:#c2410c}\
@media(prefers-color-scheme:dark){svg{--page:#12171f;--ink:#e6eaf0;--faint:#9aa6b5;--grid:#28303b;--edge:#323c49;\
--tint:#6aa8ec;--fit:#fb8b4c}}\
text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif;fill:var(--ink)}\
.title{font-size:16px;font-weight:600}.faint{fill:var(--faint);font-size:12px}\
.page{fill:var(--page);stroke:var(--edge)}.grid{stroke:var(--grid)}\
.line{fill:none;stroke:var(--tint);stroke-width:1.8}.fit{stroke:var(--fit);stroke-width:2;stroke-dasharray:7 4}";

/// One of the curves.
struct Panel<'a> {
    title: String,
    value: &'a dyn Fn(&Sample) -> f64,
    /// Of the second half, in the unit of the value.
    line: Line,
}

/// The file.
pub(super) fn draw(report: &Report) -> String {
    let scaled = |index: usize, unit: f64| {
        let Line { at_0, slope } = report.verdicts[index].line;
        Line { at_0: at_0 / unit, slope: slope / unit }
    };
    let word = |index: usize| if report.verdicts[index].settled { "settled" } else { "not settled" };
    let memory = |sample: &Sample| sample.resident_bytes as f64 / MIB;
    let descriptors = |sample: &Sample| sample.descriptors as f64;
    let disk = |sample: &Sample| sample.disk_bytes as f64 / MIB;
    let panels = [
        Panel { title: format!("memory in RAM, MiB: {}", word(0)), value: &memory, line: scaled(0, MIB) },
        Panel { title: format!("descriptors: {}", word(1)), value: &descriptors, line: scaled(1, 1.0) },
        Panel { title: format!("data folder, MiB: {}", word(3)), value: &disk, line: scaled(3, MIB) },
    ];
    let mut body = String::new();
    let title = format!("A soak of {} minutes", report.seconds as f64 / 60.0);
    text(&mut body, 20.0, 30.0, ("title", "start"), &title);
    let about =
        "Mixed load with people coming and going. Dashed: the line through the second half, which decides.";
    text(&mut body, 20.0, 50.0, ("faint", "start"), about);
    let mut top = TOP;
    for panel in &panels {
        draw_panel(&mut body, panel, &report.samples, top);
        top += PANEL_HEIGHT + PANEL_GAP;
    }
    text(&mut body, f64::midpoint(LEFT, RIGHT), top - 4.0, ("faint", "middle"), "minutes");
    let height = top + 12.0;
    let told = panels.each_ref().map(|panel| panel.title.as_str()).join("; ");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\">\n<title>{title}. {told}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"page\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n{body}</svg>\n",
        WIDTH - 1.0,
        height - 1.0
    )
}

fn draw_panel(body: &mut String, panel: &Panel<'_>, samples: &[Sample], top: f64) {
    let minutes = samples.last().map_or(1.0, |last| last.at_s / 60.0).max(0.01);
    let most = samples.iter().map(panel.value).fold(1.0, f64::max);
    let (x_step, y_step) = (step(minutes), step(most));
    let high = (most / y_step).ceil() * y_step;
    let (begin, bottom) = (top + 24.0, top + 24.0 + PANEL_HEIGHT - 20.0);
    let x = |at_s: f64| LEFT + (RIGHT - LEFT) * (at_s / 60.0 / minutes);
    let y = |value: f64| bottom - (bottom - begin) * (value / high).clamp(0.0, 1.0);
    text(body, 20.0, top + 12.0, ("", "start"), &panel.title);
    for tick in ticks(high, y_step) {
        segment(body, "grid", (LEFT, y(tick)), (RIGHT, y(tick)));
        text(body, LEFT - 8.0, y(tick) + 4.0, ("faint", "end"), &tick.to_string());
    }
    for tick in ticks(minutes, x_step) {
        text(body, x(tick * 60.0), bottom + 16.0, ("faint", "middle"), &tick.to_string());
    }
    let places =
        samples.iter().map(|sample| format!("{:.1},{:.1}", x(sample.at_s), y((panel.value)(sample))));
    let places = places.collect::<Vec<_>>().join(" ");
    writeln!(body, "<polyline class=\"line\" points=\"{places}\"/>").expect("a string takes it");
    if let [first, .., last] = second_half(samples) {
        let place = |at_s: f64| (x(at_s), y(panel.line.at(at_s)));
        segment(body, "fit", place(first.at_s), place(last.at_s));
    }
}

fn ticks(high: f64, step: f64) -> impl Iterator<Item = f64> {
    // Rounded: sums of tenths have long tails.
    (0..=(high / step + 1e-9) as u32).map(move |index| (f64::from(index) * step * 1e6).round() / 1e6)
}

/// 1, 2 or 5 times a power of ten.
fn step(max: f64) -> f64 {
    let power = 10_f64.powf((max / TICKS_MAX).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    steps.into_iter().find(|step| max / step <= TICKS_MAX).unwrap_or(10.0 * power)
}

fn text(body: &mut String, x: f64, y: f64, (class, anchor): (&str, &str), text: &str) {
    writeln!(
        body,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    )
    .expect("a string takes it");
}

fn segment(body: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let ((x1, y1), (x2, y2)) = (from, to);
    writeln!(body, "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>")
        .expect("a string takes it");
}

#[test]
fn an_axis_has_few_round_ticks() {
    assert_eq!(ticks(30.0, step(30.0)).collect::<Vec<_>>(), [0.0, 10.0, 20.0, 30.0]);
    assert_eq!(ticks(0.3, step(0.3)).collect::<Vec<_>>(), [0.0, 0.1, 0.2, 0.3]);
    assert_eq!(step(123.0), 50.0);
}
