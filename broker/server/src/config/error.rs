//! What can be wrong with a configuration, and how it is told.

use std::{fmt, io, path::PathBuf};

use thiserror::Error;

use super::Rule;

/// Why a configuration is refused. The text has the place, the line, and what to write instead where that is known.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{}", told(place, source.message(), None))]
    Syntax {
        /// Where the parser stopped.
        place: Place,
        /// What it expected.
        source: Box<toml::de::Error>,
    },
    /// There is no such key or section.
    #[error("{}", told(place, &format!("unknown {name}"), suggestion.as_deref()))]
    Unknown {
        /// Where it is set.
        place: Place,
        /// What is not known, as in "key `x` in [limits]".
        name: String,
        /// What may have been meant.
        suggestion: Option<String>,
    },
    /// The value does not fit its key.
    #[error("{}", told(place, &format!("`{key}` {problem}"), problem.suggestion()))]
    Value {
        /// Where it is set.
        place: Place,
        /// The key.
        key: String,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The values do not fit each other.
    #[error("{}", told(place, &rule.to_string(), None))]
    Rule {
        /// Where the key stands at which this is reported.
        place: Place,
        /// What should hold.
        rule: Rule,
    },
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Problem {
    /// It has another type.
    #[error("must be {expected}, not {found}")]
    Type {
        /// What the key takes.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// It is out of range.
    #[error("is {value}; it must be from {min} to {max}")]
    Range {
        /// What stands there.
        value: i128,
        /// The least.
        min: i128,
        /// The greatest.
        max: i128,
    },
    /// It is none of the words.
    #[error("is \"{value}\"; it must be {}", one_of(words))]
    Choice {
        /// What stands there.
        value: String,
        /// What may stand there.
        words: &'static [&'static str],
        /// What may have been meant.
        suggestion: Option<&'static str>,
    },
    /// It is no address.
    #[error(
        "is \"{value}\"; it must be an IP address and a port such as \"127.0.0.1:1883\", or \"\" for off"
    )]
    Address {
        /// What stands there.
        value: String,
    },
    /// It is not UTF-8.
    #[error("is not text in UTF-8")]
    NotText,
    /// The parser refused it.
    #[error("does not fit: {0}")]
    Refused(String),
}

impl Problem {
    fn suggestion(&self) -> Option<&str> {
        match self {
            Self::Choice { suggestion, .. } => *suggestion,
            _ => None,
        }
    }
}

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the file.
    File {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// Characters before it on the line.
        column: usize,
        /// How many characters it has on the line.
        width: usize,
        /// The line.
        text: String,
    },
    /// In this variable of the environment.
    Variable(String),
    /// Nowhere: it is the default.
    Default,
}

fn told(place: &Place, headline: &str, suggestion: Option<&str>) -> String {
    let hint = suggestion.map_or(String::new(), |suggestion| format!("did you mean `{suggestion}`?"));
    let mut told = match place {
        Place::File { path, line, column, width, text } => {
            let (number, marks) = (line.to_string(), "^".repeat((*width).max(1)));
            let margin = " ".repeat(number.len());
            // Tabs stay tabs, so that the marks stand below what they mark.
            let indent: String =
                text.chars().take(*column).map(|before| if before == '\t' { '\t' } else { ' ' }).collect();
            format!(
                "{}:{line}: {headline}\n{number} | {text}\n{margin} | {indent}{marks} {hint}",
                path.display()
            )
        }
        Place::Variable(name) => format!("environment variable {name}: {headline} {hint}"),
        Place::Default => format!("{headline} {hint}"),
    };
    told.truncate(told.trim_end().len());
    told
}

fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    quoted.join(" or ")
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, .. } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Default => f.write_str("default"),
        }
    }
}
