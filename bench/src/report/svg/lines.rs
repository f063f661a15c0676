//! Lines: how a figure changes with a size. The sizes are decades, the figures begin at 0.

use super::{Drawing, MARGIN, Scale, TOP, Tint, WIDTH, scale::Axis};
use crate::report::number;

const LEFT: f64 = MARGIN + 58.0;
const HEIGHT: f64 = 220.0;
/// Below the lines: ticks, unit, legend.
const BOTTOM: f64 = 74.0;

/// A chart of lines.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lines {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    /// Below.
    pub(crate) x_unit: String,
    /// Above the vertical axis.
    pub(crate) y_unit: String,
    pub(crate) lines: Vec<Line>,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) tint: Tint,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Lines {
    /// The file.
    pub(crate) fn draw(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| line.points.iter().copied());
        let low = points().map(|(x, _)| x).fold(f64::INFINITY, f64::min);
        let high = points().map(|(x, _)| x).fold(0.0, f64::max);
        let sizes = Axis::new(Scale::Logarithmic, if low.is_finite() { low } else { 1.0 }, high.max(1.0));
        let values = Axis::new(Scale::Linear, 0.0, points().map(|(_, y)| y).fold(0.0, f64::max));
        let (top, bottom) = (TOP + 22.0, TOP + 22.0 + HEIGHT);
        let x = |size: f64| LEFT + (WIDTH - MARGIN - 70.0 - LEFT) * sizes.place(size);
        let y = |value: f64| bottom - HEIGHT * values.place(value);
        let mut drawing = Drawing::new(&self.title, &self.subtitle);
        drawing.text(MARGIN, TOP + 8.0, "faint", "start", &self.y_unit);
        for tick in values.ticks() {
            drawing.segment("grid", (LEFT, y(tick)), (x(f64::MAX), y(tick)));
            drawing.text(LEFT - 8.0, y(tick) + 4.0, "faint", "end", &number::tick(tick));
        }
        for tick in sizes.ticks() {
            drawing.segment("grid", (x(tick), top), (x(tick), bottom));
            drawing.text(x(tick), bottom + 17.0, "faint", "middle", &number::tick(tick));
        }
        drawing.segment("axis", (LEFT, bottom), (x(f64::MAX), bottom));
        drawing.text(f64::midpoint(LEFT, x(f64::MAX)), bottom + 35.0, "faint", "middle", &self.x_unit);
        for line in &self.lines {
            self.draw_line(&mut drawing, line, x, y);
        }
        self.draw_legend(&mut drawing, bottom + 58.0);
        drawing.finish(bottom + BOTTOM, &self.told())
    }

    fn draw_line(&self, drawing: &mut Drawing, line: &Line, x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) {
        let tint = line.tint.class();
        let places: Vec<(f64, f64)> = line.points.iter().map(|&(size, value)| (x(size), y(value))).collect();
        let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        drawing.write(format_args!("<polyline class=\"line {tint}\" points=\"{}\"/>", path.join(" ")));
        for (&(x, y), &(_, value)) in places.iter().zip(&line.points) {
            mark(drawing, line.tint, x, y);
            drawing.text(x, y - 11.0, "", "middle", &number::figure(value));
        }
    }

    fn draw_legend(&self, drawing: &mut Drawing, y: f64) {
        let mut x = MARGIN + 8.0;
        for line in &self.lines {
            mark(drawing, line.tint, x, y - 4.0);
            drawing.text(x + 14.0, y, "faint", "start", &line.label);
            x += 40.0 + 6.3 * line.label.chars().count() as f64;
        }
    }

    fn told(&self) -> String {
        let lines = self.lines.iter().map(|line| {
            let points = line.points.iter();
            let points = points.map(|&(x, y)| format!("{} at {}", number::figure(y), number::thousands(x)));
            format!("{}: {}", line.label, points.collect::<Vec<_>>().join(", "))
        });
        format!("{} ({}). {}", self.title, self.y_unit, lines.collect::<Vec<_>>().join("; "))
    }
}

/// A circle, a square, or a diamond: told apart without colour.
fn mark(drawing: &mut Drawing, tint: Tint, x: f64, y: f64) {
    let class = tint.class();
    match tint {
        Tint::Own => drawing
            .write(format_args!("<circle class=\"mark {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"/>")),
        Tint::Synced => drawing.write(format_args!(
            "<rect class=\"mark {class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"9\" height=\"9\"/>",
            x - 4.5,
            y - 4.5
        )),
        Tint::Other => drawing.write(format_args!(
            "<path class=\"mark {class}\" d=\"M{x:.1},{:.1} l6,6 l-6,6 l-6,-6 z\"/>",
            y - 6.0
        )),
    }
}
