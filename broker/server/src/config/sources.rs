//! Where each value came from, so that an error can point at it.

use std::{collections::BTreeMap, ops::Range, path::PathBuf};

use super::{Place, error::Line};

/// Section and key.
pub(super) type Name = (&'static str, &'static str);

#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) path: PathBuf,
    pub(super) text: String,
    /// Where the keys of the file stand.
    pub(super) spans: BTreeMap<Name, Range<usize>>,
    /// Where the rows of tables stand, and their keys; the row itself under "".
    pub(super) rows: BTreeMap<(&'static str, usize, &'static str), Range<usize>>,
    /// The variables that set keys.
    pub(super) variables: BTreeMap<Name, String>,
}

impl Sources {
    /// A place in the file.
    pub(super) fn at(&self, span: &Range<usize>) -> Place {
        let start = span.start.min(self.text.len());
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let rest = self.text.get(line_start..).unwrap_or_default();
        let text = rest.lines().next().unwrap_or_default().to_owned();
        let column = before.get(line_start..).unwrap_or_default().chars().count();
        let marked = self.text.get(start..span.end.max(start)).unwrap_or_default();
        let width = marked.lines().next().unwrap_or_default().chars().count();
        let number = before.matches('\n').count() + 1;
        Place::File(Box::new(Line { path: self.path.clone(), number, column, width, text }))
    }

    /// The place of a key in a row of a table, or of the row, if it does not have the key.
    pub(super) fn row(&self, table: &'static str, row: usize, key: &'static str) -> Place {
        let span = self.rows.get(&(table, row, key)).or_else(|| self.rows.get(&(table, row, "")));
        span.map_or(Place::Default, |span| self.at(span))
    }

    /// The place that decided a key.
    pub(super) fn place(&self, section: &'static str, key: &'static str) -> Place {
        let name = (section, key);
        match (self.variables.get(&name), self.spans.get(&name)) {
            (Some(variable), _) => Place::Variable(variable.clone()),
            (None, Some(span)) => self.at(span),
            (None, None) => Place::Default,
        }
    }
}
