//! Results as files: JSON for machines, a Markdown table for people.

use crate::{
    Coverage, Manifest, ManifestError, Results, Test, Verdict, context::RANDOM_CHARS, runner::version_name,
    tests,
};
use parlance_mqtt::Version;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt::Write, fs, io, path::Path, time::Duration};

/// Between these lines of a document stands what [`markdown`] wrote.
const BEGIN: &str = "<!-- begin of the results, written by `cargo xtask conformance` -->";
const END: &str = "<!-- end of the results -->";

/// Why a report cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The manifest is wrong.
    #[error("the manifest is wrong")]
    Manifest(#[from] ManifestError),
    /// The file cannot be read or written.
    #[error("{file}")]
    File {
        /// Which file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// It is no report of this suite.
    #[error("{file} is no report")]
    Json {
        /// Which file.
        file: String,
        /// Why.
        source: serde_json::Error,
    },
    /// It is no list of deviations.
    #[error("{file} is no list of deviations")]
    Toml {
        /// Which file.
        file: String,
        /// Why.
        source: Box<toml::de::Error>,
    },
    /// A report names a test that the suite does not have.
    #[error("{file} names {test}, which is no test of this suite: run it again")]
    UnknownTest {
        /// Which file.
        file: String,
        /// Which test.
        test: String,
    },
    /// The document has no place for the results.
    #[error("{file} has no lines \"{BEGIN}\" and \"{END}\"")]
    NoPlace {
        /// Which file.
        file: String,
    },
}

/// What is known of a server that does not conform: which tests fail, and why the specification is against it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deviations {
    /// The server and its version, as it names itself.
    pub server: String,
    /// The tests that fail, as `v5/name`.
    pub deviation: BTreeMap<String, String>,
}

impl Deviations {
    /// Reads a file of this form.
    ///
    /// # Errors
    /// If it cannot be read, or names a test that the suite does not have.
    pub fn read(file: &Path) -> Result<Self, ReportError> {
        let name = file.display().to_string();
        let this: Self = toml::from_str(&read(file)?)
            .map_err(|source| ReportError::Toml { file: name.clone(), source: Box::new(source) })?;
        match this.deviation.keys().find(|test| find(test).is_none()) {
            Some(test) => Err(ReportError::UnknownTest { file: name, test: test.clone() }),
            None => Ok(this),
        }
    }

    /// The explanations as a list.
    pub fn markdown(&self) -> String {
        let mut out = format!("\n## {}: the failures explained\n\n", self.server);
        for (test, why) in &self.deviation {
            let ids = find(test).map_or_else(String::new, |(version, test)| {
                test.proves(version).iter().map(|id| format!("MQTT-{id}")).collect::<Vec<_>>().join(", ")
            });
            let _ = writeln!(out, "* `{test}` ({ids}): {}", cell(why));
        }
        out
    }
}

/// The test of a name such as `v5/will_delay`.
fn find(name: &str) -> Option<(Version, &'static Test)> {
    [Version::V3, Version::V5].into_iter().find_map(|version| {
        let name = name.strip_prefix(version_name(version))?.strip_prefix('/')?;
        let test = tests().find(|test| test.name == name && !test.proves(version).is_empty())?;
        Some((version, test))
    })
}

/// The results for one server over one transport, or for several runs that complete each other.
#[derive(Debug)]
pub struct Column {
    /// What stands above it.
    pub name: String,
    /// What became of the tests.
    pub results: Results,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    verdict: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    why: String,
}

#[derive(Serialize, Deserialize)]
struct File {
    took_ms: u64,
    tests: BTreeMap<String, Entry>,
}

impl Results {
    /// Writes the results as JSON.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_json(&self, file: &Path) -> Result<(), ReportError> {
        let entry = |verdict: &Verdict| {
            let (verdict, why) = match verdict {
                Verdict::Pass => ("pass", ""),
                Verdict::Fail(why) => ("fail", why.as_str()),
                Verdict::Unsupported(why) => ("unsupported", why.as_str()),
            };
            Entry { verdict: verdict.to_owned(), why: why.to_owned() }
        };
        let tests =
            self.tests.iter().map(|((version, name), verdict)| (format!("{version}/{name}"), entry(verdict)));
        let content = File {
            took_ms: u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            tests: tests.collect(),
        };
        let text = serde_json::to_string_pretty(&content)
            .map_err(|source| ReportError::Json { file: file.display().to_string(), source })?;
        write(file, &(text + "\n"))
    }

    /// Reads results that [`write_json`](Self::write_json) wrote.
    ///
    /// # Errors
    /// If the file cannot be read, or is of another suite.
    pub fn read_json(file: &Path) -> Result<Self, ReportError> {
        let name = file.display().to_string();
        let content: File = serde_json::from_str(&read(file)?)
            .map_err(|source| ReportError::Json { file: name.clone(), source })?;
        let mut results = Self { tests: BTreeMap::new(), took: Duration::from_millis(content.took_ms) };
        for (test, entry) in content.tests {
            let Some((version, known)) = find(&test) else {
                return Err(ReportError::UnknownTest { file: name, test });
            };
            let verdict = match entry.verdict.as_str() {
                "pass" => Verdict::Pass,
                "unsupported" => Verdict::Unsupported(entry.why),
                _ => Verdict::Fail(entry.why),
            };
            results.tests.insert((version_name(version), known.name), verdict);
        }
        Ok(results)
    }

    /// Adds what another run found out about tests that this one did not or could not run.
    pub fn complete(&mut self, other: Self) {
        for (test, verdict) in other.tests {
            let mine = self.tests.entry(test).or_insert_with(|| verdict.clone());
            if matches!(mine, Verdict::Unsupported(_)) {
                *mine = verdict;
            }
        }
    }
}

/// The tables of both versions: a row for each statement, with a column for each of `columns`; below each table what
/// is behind a failure and what is unsupported.
///
/// # Errors
/// If the manifest is wrong.
pub fn markdown(columns: &[Column]) -> Result<String, ReportError> {
    let mut out = String::new();
    for version in [Version::V3, Version::V5] {
        let manifest = Manifest::load(version)?;
        let title = match version {
            Version::V3 => "MQTT 3.1.1",
            Version::V5 => "MQTT 5.0",
        };
        let _ = write!(out, "\n## {title}\n\n{}", summary(&manifest, columns));
        table(&mut out, &manifest, columns);
        notes(&mut out, &manifest, columns);
    }
    Ok(out)
}

fn summary(manifest: &Manifest, columns: &[Column]) -> String {
    let total = manifest.statements.len();
    let tested = manifest.statements.values().filter(|s| matches!(s.coverage, Coverage::Tests(_))).count();
    let mut out = format!(
        "{total} statements: {tested} with tests, {} with the reason why a test from outside is not possible.\n\n",
        total - tested
    );
    out.push_str("| | pass | fail | unsupported | not run |\n| --- | ---: | ---: | ---: | ---: |\n");
    for column in columns {
        let mut counts = [0; 4];
        for (id, statement) in &manifest.statements {
            if let Coverage::Tests(_) = statement.coverage {
                counts[match column.results.statement(manifest, *id) {
                    Some(Verdict::Pass) => 0,
                    Some(Verdict::Fail(_)) => 1,
                    Some(Verdict::Unsupported(_)) => 2,
                    None => 3,
                }] += 1;
            }
        }
        let [pass, fail, unsupported, not_run] = counts;
        let _ = writeln!(out, "| {} | {pass} | {fail} | {unsupported} | {not_run} |", column.name);
    }
    out
}

fn table(out: &mut String, manifest: &Manifest, columns: &[Column]) {
    let names: String = columns.iter().map(|column| format!(" {} |", column.name)).collect();
    let _ = writeln!(out, "\n| statement | what it asks for | tests, or the reason for none |{names}");
    let _ = writeln!(out, "| --- | --- | --- |{}", " --- |".repeat(columns.len()));
    for (id, statement) in &manifest.statements {
        let proof = match &statement.coverage {
            Coverage::Tests(tests) => {
                tests.iter().map(|test| format!("`{test}`")).collect::<Vec<_>>().join(", ")
            }
            Coverage::Reason(reason) => format!("*{}*", cell(reason)),
        };
        let _ = write!(out, "| {id} | {} | {proof} |", cell(&statement.summary));
        for column in columns {
            let mark = match column.results.statement(manifest, *id) {
                Some(Verdict::Pass) => "pass",
                Some(Verdict::Fail(_)) => "**fail**",
                Some(Verdict::Unsupported(_)) => "unsupported",
                None => "",
            };
            let _ = write!(out, " {mark} |");
        }
        out.push('\n');
    }
}

fn notes(out: &mut String, manifest: &Manifest, columns: &[Column]) {
    let version = version_name(manifest.version);
    for column in columns {
        let of_version = column.results.tests.iter().filter(|((v, _), _)| *v == version);
        let open: Vec<(&str, &Verdict)> = of_version
            .filter(|(_, verdict)| **verdict != Verdict::Pass)
            .map(|((_, name), v)| (*name, v))
            .collect();
        if open.is_empty() {
            continue;
        }
        let _ = write!(out, "\n{} ({version}), what was seen:\n\n", column.name);
        for (name, verdict) in open {
            let _ = writeln!(out, "* `{name}`: {}", cell(&without_names(&verdict.to_string())));
        }
    }
}

/// Text that does not end a table cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Without the random names of a run, so that a document changes only when a result does.
fn without_names(text: &str) -> String {
    let mut parts = text.split("conformance/");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let name = part.len() - part.trim_start_matches(|c: char| c.is_ascii_hexdigit()).len();
        let rest = if name == RANDOM_CHARS { part.get(name..).unwrap_or_default() } else { part };
        out.push_str(if name == RANDOM_CHARS { "conformance/…" } else { "conformance/" });
        out.push_str(rest);
    }
    out
}

/// Puts the tables into a document, between its two marker lines.
///
/// # Errors
/// If the document is not there or has no such lines.
pub fn insert(document: &Path, tables: &str) -> Result<(), ReportError> {
    let text = read(document)?;
    let place = text.find(BEGIN).zip(text.find(END)).filter(|(begin, end)| begin < end);
    let Some((begin, end)) = place else {
        return Err(ReportError::NoPlace { file: document.display().to_string() });
    };
    let (before, after) = (&text[..begin + BEGIN.len()], &text[end..]);
    write(document, &format!("{before}\n{tables}\n{after}"))
}

fn read(file: &Path) -> Result<String, ReportError> {
    fs::read_to_string(file).map_err(|source| ReportError::File { file: file.display().to_string(), source })
}

/// Writes a file.
///
/// # Errors
/// If it cannot be written.
pub fn write(file: &Path, text: &str) -> Result<(), ReportError> {
    fs::write(file, text).map_err(|source| ReportError::File { file: file.display().to_string(), source })
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn random_names_are_left_out() {
        let text = "PUBLISH on \"conformance/0123456789ab/t\", conformance/0123 and conformance/abcdefabcdef";
        let expected = "PUBLISH on \"conformance/…/t\", conformance/0123 and conformance/…";
        assert_eq!(without_names(text), expected);
        assert_eq!(without_names("nothing"), "nothing");
    }

    /// What is written is read again, what a second run completes is what the first could not try.
    #[test]
    fn reports_come_back_and_complete_each_other() {
        let results = |verdict: Verdict| Results {
            tests: BTreeMap::from([
                (("v5", "exchange"), verdict),
                (("v3", "takeover"), Verdict::Fail("x".into())),
            ]),
            took: Duration::from_millis(7),
        };
        let folder = std::env::temp_dir().join(format!("conformance-report-{}", std::process::id()));
        let mut first = results(Verdict::Unsupported("no method".into()));
        first.write_json(&folder).unwrap();
        let mut read_back = Results::read_json(&folder).unwrap();
        fs::remove_file(&folder).unwrap();
        assert_eq!(read_back.tests, first.tests);
        read_back.complete(results(Verdict::Pass));
        first.tests.insert(("v5", "exchange"), Verdict::Pass);
        assert_eq!(read_back.tests, first.tests);
    }
}
