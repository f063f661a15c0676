//! The lists of all normative statements, and who proves each.

use crate::{Test, tests};
use parlance_mqtt::Version;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

const V3: &str = include_str!("../manifest/v3.toml");
const V5: &str = include_str!("../manifest/v5.toml");

/// The number of a statement, such as `MQTT-3.3.1-4`, ordered as in the specification. The numbers of the two
/// specifications have nothing to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatementId([u16; 4]);

impl FromStr for StatementId {
    type Err = ManifestError;

    /// Reads `MQTT-3.3.1-4` or `3.3.1-4`.
    fn from_str(text: &str) -> Result<Self, ManifestError> {
        let numbers = text.strip_prefix("MQTT-").unwrap_or(text);
        let wrong = || ManifestError::Id { id: text.to_owned() };
        let mut parts = numbers.split(['.', '-']).map(|part| part.parse().map_err(|_| wrong()));
        let mut part = || parts.next().unwrap_or_else(|| Err(wrong()));
        let id = Self([part()?, part()?, part()?, part()?]);
        if parts.next().is_some() || id.to_string() != format!("MQTT-{numbers}") {
            return Err(wrong());
        }
        Ok(id)
    }
}

impl fmt::Display for StatementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [chapter, section, part, number] = self.0;
        write!(f, "MQTT-{chapter}.{section}.{part}-{number}")
    }
}

impl StatementId {
    /// The chapter of the specification.
    pub fn chapter(self) -> u16 {
        self.0[0]
    }
}

/// Who proves a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coverage {
    /// These tests, at least one.
    Tests(Vec<String>),
    /// None, and why.
    Reason(String),
}

/// A normative statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it asks for, in short.
    pub summary: String,
    /// Who proves it.
    pub coverage: Coverage,
}

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not of the form.
    #[error("the manifest of {version:?} cannot be read")]
    Form {
        /// Of which version.
        version: Version,
        /// What is wrong.
        source: Box<toml::de::Error>,
    },
    /// An id that no statement can have.
    #[error("{id} is no number of a statement")]
    Id {
        /// The text.
        id: String,
    },
    /// A statement with neither tests nor a reason, or with both.
    #[error("{version:?} {id} needs either tests or a reason")]
    Uncovered {
        /// Of which version.
        version: Version,
        /// Which statement.
        id: StatementId,
    },
    /// Manifest and tests disagree.
    #[error("{version:?} {id}: the manifest names {named:?}, but {proving:?} say that they prove it")]
    Disagreement {
        /// Of which version.
        version: Version,
        /// Which statement.
        id: StatementId,
        /// The tests that the manifest names.
        named: BTreeSet<String>,
        /// The tests that name the statement.
        proving: BTreeSet<String>,
    },
    /// A test names a statement that does not exist.
    #[error("{test} names {id}, which {version:?} does not have")]
    UnknownStatement {
        /// Which test.
        test: &'static str,
        /// The id.
        id: String,
        /// Of which version.
        version: Version,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    summary: String,
    #[serde(default)]
    test: Vec<String>,
    reason: Option<String>,
}

/// All normative statements of one specification.
#[derive(Debug)]
pub struct Manifest {
    /// Of which version.
    pub version: Version,
    /// The statements.
    pub statements: BTreeMap<StatementId, Statement>,
}

impl Manifest {
    /// Reads the manifest of a version and compares it with the tests.
    ///
    /// # Errors
    /// If a statement is not covered, or manifest and tests disagree.
    pub fn load(version: Version) -> Result<Self, ManifestError> {
        let text = match version {
            Version::V3 => V3,
            Version::V5 => V5,
        };
        let manifest = Self::parse(version, text)?;
        manifest.compare(&tests().collect::<Vec<_>>())?;
        Ok(manifest)
    }

    fn parse(version: Version, text: &str) -> Result<Self, ManifestError> {
        let entries: BTreeMap<String, Entry> = toml::from_str(text)
            .map_err(|source| ManifestError::Form { version, source: Box::new(source) })?;
        let mut statements = BTreeMap::new();
        for (id, entry) in entries {
            let id: StatementId = id.parse()?;
            let coverage = match entry {
                Entry { test, reason: None, .. } if !test.is_empty() => Coverage::Tests(test),
                Entry { test, reason: Some(reason), .. } if test.is_empty() && !reason.is_empty() => {
                    Coverage::Reason(reason)
                }
                _ => return Err(ManifestError::Uncovered { version, id }),
            };
            statements.insert(id, Statement { summary: entry.summary, coverage });
        }
        Ok(Self { version, statements })
    }

    fn compare(&self, tests: &[&'static Test]) -> Result<(), ManifestError> {
        let version = self.version;
        let mut proving: BTreeMap<StatementId, BTreeSet<String>> = BTreeMap::new();
        for test in tests {
            for id in test.proves(version) {
                let known = id.parse().ok().filter(|id| self.statements.contains_key(id));
                let Some(known) = known else {
                    let id = (*id).to_owned();
                    return Err(ManifestError::UnknownStatement { test: test.name, id, version });
                };
                proving.entry(known).or_default().insert(test.name.to_owned());
            }
        }
        for (id, statement) in &self.statements {
            let named = match &statement.coverage {
                Coverage::Tests(tests) => tests.iter().cloned().collect(),
                Coverage::Reason(_) => BTreeSet::new(),
            };
            let proving = proving.remove(id).unwrap_or_default();
            if named != proving {
                return Err(ManifestError::Disagreement { version, id: *id, named, proving });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod unit {
    use super::*;
    use crate::Runs;

    const TEST: Test = Test {
        name: "one",
        v3: &["1.5.3-1"],
        v5: &[],
        runs: Runs::Everywhere,
        run: |_| Box::pin(async { Ok(()) }),
    };

    fn load(text: &str) -> Result<(), ManifestError> {
        Manifest::parse(Version::V3, text)?.compare(&[&TEST])
    }

    #[test]
    fn ids() {
        let id: StatementId = "MQTT-3.10.4-6".parse().unwrap();
        assert_eq!(id, "3.10.4-6".parse().unwrap());
        assert_eq!((id.to_string().as_str(), id.chapter()), ("MQTT-3.10.4-6", 3));
        assert!(id > "3.3.1-13".parse().unwrap());
        for wrong in ["", "MQTT-3.3-1", "3.3.1-", "3.3.1.4", "3.3.1-4-1", "MQTT-03.3.1-4", "3-3.1-4"] {
            assert!(wrong.parse::<StatementId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_sound_manifest_passes() {
        load("['MQTT-1.5.3-1']\nsummary = 'x'\ntest = ['one']\n[MQTT-1_5]\nsummary=''").unwrap_err();
        load("['MQTT-1.5.3-1']\nsummary = 'x'\ntest = ['one']\n").unwrap();
    }

    #[test]
    fn neither_test_nor_reason_is_refused() {
        for body in ["", "test = []", "reason = ''", "test = ['one']\nreason = 'both'"] {
            let error = load(&format!("['MQTT-1.5.3-1']\nsummary = 'x'\n{body}\n")).unwrap_err();
            assert!(matches!(error, ManifestError::Uncovered { .. }), "{body}: {error}");
        }
    }

    #[test]
    fn a_test_that_is_not_there_is_refused() {
        let error = load("['MQTT-1.5.3-1']\nsummary = 'x'\ntest = ['one', 'two']\n").unwrap_err();
        assert!(matches!(error, ManifestError::Disagreement { .. }), "{error}");
        let error = load("['MQTT-1.5.3-1']\nsummary = 'x'\nreason = 'none'\n").unwrap_err();
        assert!(matches!(error, ManifestError::Disagreement { .. }), "{error}");
    }

    #[test]
    fn a_statement_that_is_not_there_is_refused() {
        let error = load("['MQTT-1.5.3-2']\nsummary = 'x'\nreason = 'none'\n").unwrap_err();
        assert!(matches!(error, ManifestError::UnknownStatement { .. }), "{error}");
    }
}
