//! CSV files in, and files that only their owner may read out.

use super::error::CliError;
use csv::{Reader, ReaderBuilder, StringRecord, Trim};
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// A CSV file whose first line names the columns, read a row at a time.
pub(super) struct Rows {
    path: PathBuf,
    reader: Reader<File>,
    headers: StringRecord,
    bytes: u64,
}

/// A row, or why the line holds none.
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) cells: Result<StringRecord, RowError>,
}

/// Why a line holds no row.
#[derive(Debug, Error)]
pub(super) enum RowError {
    #[error(transparent)]
    Csv(#[from] csv::Error),
    /// A comma that was meant to be part of a cell: cutting a password short there would go unnoticed.
    #[error("{found} cells for {columns} columns; put quotes around a cell that has a comma in it")]
    TooMany { found: usize, columns: usize },
}

impl Rows {
    /// Opens a file that must have the column `first`; `columns` tells a person which there are. Columns that
    /// nobody knows are refused: a misspelt one would be silence otherwise.
    pub(super) fn open(path: &Path, first: &str, columns: &'static str) -> Result<Self, CliError> {
        let read = |source| CliError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read)?;
        let bytes = file.metadata().map_err(read)?.len();
        let mut reader = ReaderBuilder::new().trim(Trim::Headers).flexible(true).from_reader(file);
        let headers =
            reader.headers().map_err(|source| CliError::Csv { path: path.to_owned(), source })?.clone();
        let known: Vec<&str> = columns.split(',').collect();
        let is_known = |header: &str| known.contains(&header.trim_start_matches('\u{feff}'));
        if !headers.iter().any(|header| header.trim_start_matches('\u{feff}') == first)
            || !headers.iter().all(is_known)
        {
            return Err(CliError::Columns { path: path.to_owned(), columns });
        }
        Ok(Self { path: path.to_owned(), reader, headers, bytes })
    }

    /// Size of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How far it has been read.
    pub(super) fn position(&self) -> u64 {
        self.reader.position().byte()
    }

    /// The number of a column.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.headers.iter().position(|header| header.trim_start_matches('\u{feff}') == name)
    }

    /// The next rows, at most `count`; empty at the end.
    pub(super) fn next(&mut self, count: usize) -> Result<Vec<Row>, CliError> {
        let mut rows = Vec::new();
        while rows.len() < count && !self.reader.is_done() {
            let mut record = StringRecord::new();
            match self.reader.read_record(&mut record) {
                Ok(true) => {
                    let line = record.position().map_or(0, csv::Position::line);
                    let (found, columns) = (record.len(), self.headers.len());
                    let cells =
                        if found > columns { Err(RowError::TooMany { found, columns }) } else { Ok(record) };
                    rows.push(Row { line, cells });
                }
                Ok(false) => break,
                Err(error) if error.is_io_error() => {
                    return Err(CliError::Csv { path: self.path.clone(), source: error });
                }
                Err(error) => {
                    let line = error.position().map_or(0, csv::Position::line);
                    rows.push(Row { line, cells: Err(error.into()) });
                }
            }
        }
        Ok(rows)
    }
}

/// A cell without the space around it; `None` when it is empty or not there.
pub(super) fn cell(record: &StringRecord, column: Option<usize>) -> Option<&str> {
    record.get(column?).map(str::trim).filter(|cell| !cell.is_empty())
}

/// Creates a file that only its owner can read. One that is there is left alone.
pub(super) fn create_private(path: &Path) -> Result<File, CliError> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|source| {
        match source.kind() {
            io::ErrorKind::AlreadyExists => CliError::Exists { path: path.to_owned() },
            _ => CliError::Write { path: path.to_owned(), source },
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    const COLUMNS: &str = "handle,password,service";

    fn rows(text: &str) -> Result<Rows, CliError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.csv");
        fs::write(&path, text).unwrap();
        Rows::open(&path, "handle", COLUMNS)
    }

    #[test]
    fn rows_with_their_lines_and_a_bad_one_among_them() {
        let mut rows =
            rows("\u{feff}password, handle\nsecret,alice\na,b,c\n\"two\nlines\",bob\nshort\n").unwrap();
        let column = rows.column("handle");
        let read = rows.next(10).unwrap();
        let found: Vec<_> = read
            .iter()
            .map(|row| (row.line, row.cells.as_ref().ok().and_then(|cells| cell(cells, column))))
            .collect();
        assert_eq!(found, [(2, Some("alice")), (3, None), (4, Some("bob")), (6, None)]);
        assert!(matches!(read[1].cells, Err(RowError::TooMany { found: 3, columns: 2 })));
        assert!(read[3].cells.is_ok(), "cells at the end may be left out");
        assert!(rows.next(10).unwrap().is_empty());
    }

    #[test]
    fn rows_come_in_portions() {
        let mut rows = rows("handle\na\nb\nc\n").unwrap();
        assert_eq!(
            [rows.next(2).unwrap().len(), rows.next(2).unwrap().len(), rows.next(2).unwrap().len()],
            [2, 1, 0]
        );
        assert_eq!(rows.position(), rows.bytes());
    }

    #[test]
    fn columns_must_be_named_and_known() {
        for text in ["", "alice,secret\n", "handle,pasword\n", "password\n"] {
            assert!(matches!(rows(text), Err(CliError::Columns { .. })), "{text:?}");
        }
    }

    #[test]
    fn a_private_file_is_the_owners_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.csv");
        create_private(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(create_private(&path), Err(CliError::Exists { .. })));
    }
}
