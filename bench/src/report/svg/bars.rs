//! Horizontal bars: one row for each broker, one bar for each series.

use super::{Drawing, MARGIN, Scale, Spread, TOP, Tint, WIDTH, scale::Axis};
use crate::report::number;

const LABEL_WIDTH: f64 = 110.0;
/// For the figure behind the longest bar.
const FIGURE_WIDTH: f64 = 84.0;
const BAR_HEIGHT: f64 = 18.0;
const BAR_GAP: f64 = 3.0;
const ROW_GAP: f64 = 12.0;
/// Below the bars: ticks, unit, legend.
const BOTTOM: f64 = 74.0;

/// A chart of bars.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bars {
    pub(crate) title: String,
    /// What is better, and what the colours cannot tell.
    pub(crate) subtitle: String,
    /// Below the axis.
    pub(crate) unit: String,
    pub(crate) scale: Scale,
    /// Names of the bars of a row; a single bar needs none.
    pub(crate) series: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

/// A broker.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) tint: Tint,
    /// One for each series.
    pub(crate) values: Vec<Option<Spread>>,
}

impl Bars {
    /// The file.
    pub(crate) fn draw(&self) -> String {
        let per_row = self.series.len().max(1) as f64;
        let row_height = per_row * BAR_HEIGHT + (per_row - 1.0) * BAR_GAP + ROW_GAP;
        let bottom = TOP + row_height * self.rows.len() as f64;
        let mut drawing = Drawing::new(&self.title, &self.subtitle);
        let axis = self.axis();
        self.draw_axis(&mut drawing, &axis, bottom);
        for (index, row) in self.rows.iter().enumerate() {
            self.draw_row(&mut drawing, &axis, row, TOP + row_height * index as f64, row_height);
        }
        self.draw_legend(&mut drawing, bottom + 58.0);
        drawing.finish(bottom + BOTTOM, &self.told())
    }

    fn spreads(&self) -> impl Iterator<Item = Spread> {
        self.rows.iter().flat_map(|row| row.values.iter().flatten().copied())
    }

    fn axis(&self) -> Axis {
        let above_zero = self.spreads().map(|spread| spread.min).filter(|&min| min > 0.0);
        let min = above_zero.fold(f64::INFINITY, f64::min);
        let max = self.spreads().map(|spread| spread.max).fold(0.0, f64::max);
        Axis::new(self.scale, if min.is_finite() { min } else { 0.0 }, max)
    }

    fn draw_axis(&self, drawing: &mut Drawing, axis: &Axis, bottom: f64) {
        for tick in axis.ticks() {
            let x = x(axis, tick);
            drawing.segment("grid", (x, TOP), (x, bottom));
            drawing.text(x, bottom + 17.0, "faint", "middle", &number::tick(tick));
        }
        drawing.segment("axis", (left(), TOP), (left(), bottom));
        drawing.text(f64::midpoint(left(), right()), bottom + 35.0, "faint", "middle", &self.unit);
    }

    fn draw_row(&self, drawing: &mut Drawing, axis: &Axis, row: &Row, top: f64, height: f64) {
        let middle = top + height / 2.0;
        drawing.text(left() - 10.0, middle + 4.5, "", "end", &row.label);
        let tint = row.tint.class();
        for (index, value) in row.values.iter().enumerate() {
            let y = top + ROW_GAP / 2.0 + (BAR_HEIGHT + BAR_GAP) * index as f64;
            let middle = y + BAR_HEIGHT / 2.0;
            let Some(spread) = value else {
                drawing.text(left() + 6.0, middle + 4.5, "faint", "start", "not measured");
                continue;
            };
            let end = x(axis, spread.middle);
            let pale = if index > 0 { " pale" } else { "" };
            drawing.write(format_args!(
                "<rect class=\"bar {tint}{pale}\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR_HEIGHT}\" rx=\"2\"/>",
                left(),
                (end - left()).max(1.0)
            ));
            let (low, high) = (x(axis, spread.min), x(axis, spread.max));
            if high - low > 2.0 {
                drawing.segment("spread", (low, middle), (high, middle));
                drawing.segment("spread", (low, middle - 4.0), (low, middle + 4.0));
                drawing.segment("spread", (high, middle - 4.0), (high, middle + 4.0));
            }
            let behind = end.max(high) + 7.0;
            drawing.text(behind, middle + 4.5, "", "start", &number::figure(spread.middle));
        }
    }

    fn draw_legend(&self, drawing: &mut Drawing, y: f64) {
        let mut x = MARGIN;
        let mut entry = |class: &str, text: &str| {
            drawing.write(format_args!(
                "<rect class=\"bar {class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"12\" height=\"12\" rx=\"2\"/>",
                y - 10.0
            ));
            drawing.text(x + 18.0, y, "faint", "start", text);
            x += 34.0 + 6.3 * text.chars().count() as f64;
        };
        let has = |tint| self.rows.iter().any(|row| row.tint == tint);
        for (tint, text) in [
            (Tint::Own, "Parlance, synced before it acknowledges"),
            (Tint::Synced, "others that sync before they acknowledge"),
            (Tint::Other, "others"),
        ] {
            if has(tint) {
                entry(tint.class(), text);
            }
        }
        if let [first, second] = self.series.as_slice() {
            entry("other", first);
            entry("other pale", second);
        }
    }

    fn told(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            let values = row.values.iter().map(|value| {
                value.map_or_else(|| "not measured".to_owned(), |spread| number::figure(spread.middle))
            });
            format!("{} {}", row.label, values.collect::<Vec<_>>().join(" and "))
        });
        format!("{}, {}: {}", self.title, self.unit, rows.collect::<Vec<_>>().join("; "))
    }
}

fn left() -> f64 {
    MARGIN + LABEL_WIDTH
}

fn right() -> f64 {
    WIDTH - MARGIN - FIGURE_WIDTH
}

fn x(axis: &Axis, value: f64) -> f64 {
    left() + (right() - left()) * axis.place(value)
}
