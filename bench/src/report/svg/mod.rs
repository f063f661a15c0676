//! Charts as SVG, written here: bars and lines are all that is needed, and a text file that looks the same everywhere.
//!
//! A chart carries both of its colour schemes and takes the one that the reader's system asks for. It never relies on
//! colour alone: every bar has its figure and every line its own mark.

pub(crate) mod bars;
pub(crate) mod lines;

mod scale;

use std::fmt::Write as _;

pub(crate) use scale::Scale;

/// The width of every chart.
const WIDTH: f64 = 760.0;

/// The space around what is drawn.
const MARGIN: f64 = 20.0;

/// Where the drawing begins, below title and subtitle.
const TOP: f64 = 66.0;

/// Colours stand in plain rules, the light ones first: what knows nothing of schemes draws those.
const STYLE: &str = "\
text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif;fill:#1c2430}\
.title{font-size:16px;font-weight:600}.faint{fill:#5b6675;font-size:12px}\
.page{fill:#fff;stroke:#d3d9e0}.grid{stroke:#e3e7ec}.axis{stroke:#5b6675}.spread{stroke:#1c2430;stroke-width:1.5}\
.bar.own{fill:#c2410c}.bar.synced{fill:#2563a8}.bar.other{fill:#9aa5b3}.pale{fill-opacity:.5}\
.line,.mark{stroke-width:2.5}.line{fill:none}.mark{fill:#fff}\
.line.own,.mark.own{stroke:#c2410c}.line.synced,.mark.synced{stroke:#2563a8}.line.other,.mark.other{stroke:#9aa5b3}\
@media(prefers-color-scheme:dark){\
text{fill:#e6eaf0}.faint{fill:#9aa6b5}\
.page{fill:#12171f;stroke:#323c49}.grid{stroke:#28303b}.axis{stroke:#9aa6b5}.spread{stroke:#e6eaf0}\
.bar.own{fill:#fb8b4c}.bar.synced{fill:#6aa8ec}.bar.other{fill:#5d6876}.mark{fill:#12171f}\
.line.own,.mark.own{stroke:#fb8b4c}.line.synced,.mark.synced{stroke:#6aa8ec}.line.other,.mark.other{stroke:#5d6876}}";

/// A figure with the spread over its rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) middle: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// What a bar or a line stands for, which is its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tint {
    /// Parlance.
    Own,
    /// Another that has the message on disk when it acknowledges it.
    Synced,
    /// One that has not.
    Other,
}

impl Tint {
    fn class(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Synced => "synced",
            Self::Other => "other",
        }
    }
}

/// A drawing that grows.
struct Drawing {
    body: String,
}

impl Drawing {
    fn new(title: &str, subtitle: &str) -> Self {
        let mut drawing = Self { body: String::new() };
        drawing.text(MARGIN, 30.0, "title", "start", title);
        drawing.text(MARGIN, 50.0, "faint", "start", subtitle);
        drawing
    }

    fn text(&mut self, x: f64, y: f64, class: &str, anchor: &str, text: &str) {
        let text = escaped(text);
        self.write(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    fn segment(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.write(format_args!(
            "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
            from.0, from.1, to.0, to.1
        ));
    }

    fn write(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.body, "{element}").expect("a string takes all that is written");
    }

    /// The whole file. What it shows is told in words as well, for those who cannot see it.
    fn finish(self, height: f64, told: &str) -> String {
        let (told, body) = (escaped(told), self.body);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" \
             height=\"{height:.0}\" role=\"img\">\n<title>{told}</title>\n<style>{STYLE}</style>\n\
             <rect class=\"page\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{:.0}\" rx=\"8\"/>\n{body}</svg>\n",
            WIDTH - 1.0,
            height - 1.0
        )
    }
}

/// Text that cannot be taken for markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
