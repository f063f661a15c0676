//! Output: plain lines and tables for people, JSON for programs.

use super::error::CliError;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::{
    io::{Write, stdout},
    time::Duration,
};

/// Writes a line to standard output.
pub(super) fn line(text: &str) -> Result<(), CliError> {
    writeln!(stdout().lock(), "{text}").map_err(CliError::Output)
}

/// Writes a value as one line of JSON.
pub(super) fn json<T: Serialize>(value: &T) -> Result<(), CliError> {
    line(&serde_json::to_string(value).map_err(|error| CliError::Output(error.into()))?)
}

/// Lines up columns; the first row names them.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub(super) fn new(columns: &[&str]) -> Self {
        Self { rows: vec![columns.iter().map(ToString::to_string).collect()] }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells.iter().map(|cell| printable(cell)).collect());
    }

    /// Writes it.
    pub(super) fn print(&self) -> Result<(), CliError> {
        self.lines().iter().try_for_each(|text| line(text))
    }

    fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let padded = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(padded).collect()
    }
}

/// Text of others without what would steer the terminal.
pub(super) fn printable(text: &str) -> String {
    let steers = |c: char| c.is_control() && c != '\t' && c != '\n';
    text.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A bar for work of known size, on standard error; invisible where nobody watches.
pub(super) fn bar(total: u64, unit: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {msg}");
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    bar.set_message(unit.to_owned());
    if let Ok(style) = style { bar.with_style(style) } else { bar }
}

/// A counter for work of unknown size.
pub(super) fn counter(unit: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(&format!(
        "{{spinner}} {{human_pos}} {unit} in {{elapsed}} ({{per_sec}})"
    ));
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.enable_steady_tick(Duration::from_millis(120));
    if let Ok(style) = style { bar.with_style(style) } else { bar }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["HANDLE", "KIND"]);
        table.row(vec!["al".into(), "person".into()]);
        table.row(vec!["build-server".into(), "service".into()]);
        assert_eq!(table.lines(), ["HANDLE        KIND", "al            person", "build-server  service"]);
    }

    #[test]
    fn text_of_others_does_not_steer_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\u{9b}c\r\td\n"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}\td\n");
    }
}
