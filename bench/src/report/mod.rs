//! What came out: medians, ratios, verdicts, charts, and the page that shows them.
//!
//! Everything is computed from [`Results`], which stand in a file of their own beside the charts, so that the page can
//! be written anew without running anything.

pub mod results;

mod chart;
mod markdown;
mod metric;
mod notes;
mod number;
mod section;
mod statistic;
mod svg;
mod table;
mod verdict;

#[cfg(test)]
mod tests;

use crate::Case;
use metric::Metric;
use notes::Notes;
use results::{FORMAT, Results};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

pub(crate) use verdict::{CONVERSATIONS, MEMBERS, MESSAGES, STORED};

/// Figures of a line of text.
const FIGURES_SHOWN: usize = 3;

/// What the report is made from.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The raw results of a run, as `docs/bench/results.json`
    results: PathBuf,
    /// The page; its charts and its raw results are in the folder `bench` beside it [default: where the results are from]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file cannot be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// It is something else.
    #[error("{0} is not the results of a run")]
    Parse(PathBuf, #[source] serde_json::Error),
    /// It was written by another version of this program.
    #[error("{0} has format {1}; this program reads {FORMAT}")]
    Format(PathBuf, u32),
    /// A file cannot be written.
    #[error("cannot write {0}")]
    Write(PathBuf, #[source] io::Error),
    /// The results cannot be written as JSON.
    #[error("the results cannot be written down")]
    Serialize(#[from] serde_json::Error),
}

/// Writes the report of a run anew.
///
/// # Errors
/// If the results cannot be read or the report cannot be written.
pub fn run(options: &Options) -> Result<(), ReportError> {
    let file = &options.results;
    let text = fs::read(file).map_err(|source| ReportError::Read(file.clone(), source))?;
    let results: Results =
        serde_json::from_slice(&text).map_err(|source| ReportError::Parse(file.clone(), source))?;
    if results.format != FORMAT {
        return Err(ReportError::Format(file.clone(), results.format));
    }
    let beside = || file.parent().and_then(Path::parent).unwrap_or(Path::new(".")).join("BENCHMARKS.md");
    let out = options.out.clone().unwrap_or_else(beside);
    let report = write(&results, &out)?;
    println!("{}", report.display());
    Ok(())
}

/// Charts that were drawn, and where they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Files {
    drawn: BTreeSet<&'static str>,
}

impl Files {
    fn has(&self, file: &str) -> bool {
        self.drawn.contains(file)
    }

    /// As the page names it.
    fn link(&self, file: &str) -> String {
        format!("bench/{file}.svg")
    }
}

/// Writes the page, and beside it, in the folder `bench`, the charts and the results. Answers where the page is.
pub(crate) fn write(results: &Results, page: &Path) -> Result<PathBuf, ReportError> {
    let folder = page.parent().unwrap_or(Path::new(".")).join("bench");
    fs::create_dir_all(&folder).map_err(|source| ReportError::Write(folder.clone(), source))?;
    let write =
        |file: PathBuf, text: &str| fs::write(&file, text).map_err(|source| ReportError::Write(file, source));
    let mut files = Files::default();
    for section in section::all() {
        for table in &section.tables {
            for chart in &table.charts {
                let file = folder.join(format!("{}.svg", chart.file));
                match chart::draw(results, table, chart) {
                    Some(drawing) => {
                        write(file, &drawing)?;
                        files.drawn.insert(chart.file);
                    }
                    // One of an earlier run would be taken for one of this.
                    None => remove(file)?,
                }
            }
        }
    }
    let notes = folder.join("held-back.md");
    let notes = Notes::read(&notes).map_err(|source| ReportError::Read(notes, source))?;
    write_results(results, &folder.join("results.json"))?;
    write(page.to_owned(), &markdown::page(results, &notes, &files))?;
    Ok(page.to_owned())
}

/// Removes a file, if it is there.
pub(crate) fn remove(file: PathBuf) -> Result<(), ReportError> {
    match fs::remove_file(&file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ReportError::Write(file, error)),
        _ => Ok(()),
    }
}

/// Writes the results alone.
pub(crate) fn write_results(results: &Results, file: &Path) -> Result<(), ReportError> {
    let text = serde_json::to_string_pretty(results)? + "\n";
    fs::write(file, text).map_err(|source| ReportError::Write(file.to_owned(), source))
}

/// What of the demands is not met by these results, a line for each.
pub(crate) fn unmet(results: &Results) -> Vec<String> {
    let criteria = verdict::judge(results);
    let unmet = criteria.iter().filter(|criterion| criterion.must_verdict() != verdict::Verdict::Met);
    unmet.map(|criterion| criterion.row()[..4].join(" | ").replace("**", "")).collect()
}

/// The figures of a case that are worth a line of text.
pub(crate) fn shown(case: Case) -> Vec<Metric> {
    let sections = section::all().into_iter().flat_map(|section| section.tables);
    let table = sections.into_iter().find(|table| table.cases().contains(&case));
    table.map_or_else(Vec::new, |table| table.columns.into_iter().take(FIGURES_SHOWN).collect())
}
