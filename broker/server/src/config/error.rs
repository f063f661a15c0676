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
        /// What is not known, as in "key `x` in `limits`".
        name: String,
        /// What may have been meant.
        suggestion: Option<String>,
    },
    /// The value does not fit its key.
    #[error("{}", told(place, &format!("`{key}` {problem}"), problem.suggestion().as_deref()))]
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
    /// It is no block of addresses.
    #[error("has \"{value}\"; it must have IP addresses or blocks of them such as \"10.0.0.0/8\"")]
    Network {
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
    fn suggestion(&self) -> Option<String> {
        match self {
            Self::Choice { suggestion, .. } => suggestion.map(|word| format!("\"{word}\"")),
            _ => None,
        }
    }
}

/// A part of a line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The file.
    pub path: PathBuf,
    /// From 1.
    pub number: usize,
    /// Characters before the part.
    pub column: usize,
    /// How many characters it has.
    pub width: usize,
    /// The line.
    pub text: String,
}

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the file.
    File(Box<Line>),
    /// In this variable of the environment.
    Variable(String),
    /// Nowhere: it is the default.
    Default,
}

fn told(place: &Place, headline: &str, suggestion: Option<&str>) -> String {
    let hint = suggestion.map_or(String::new(), |suggestion| format!("did you mean {suggestion}?"));
    let after = |hint: &str| if hint.is_empty() { String::new() } else { format!("; {hint}") };
    match place {
        Place::File(line) => line.marked(headline, &hint),
        Place::Variable(name) => format!("environment variable {name}: {headline}{}", after(&hint)),
        Place::Default => format!("{headline}{}", after(&hint)),
    }
}

impl Line {
    /// Headline, line, and the part marked below it.
    fn marked(&self, headline: &str, hint: &str) -> String {
        let Self { path, number, column, width, text } = self;
        let (path, number) = (path.display(), number.to_string());
        let margin = " ".repeat(number.len());
        let marks = "^".repeat((*width).max(1));
        // Tabs stay tabs, so that the marks stand below what they mark.
        let indent: String =
            text.chars().take(*column).map(|before| if before == '\t' { '\t' } else { ' ' }).collect();
        let told =
            format!("{path}:{number}: {headline}\n{number} | {text}\n{margin} | {indent}{marks} {hint}");
        told.trim_end().to_owned()
    }
}

fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    quoted.join(" or ")
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(line) => write!(f, "{}:{}", line.path.display(), line.number),
            Self::Variable(name) => f.write_str(name),
            Self::Default => f.write_str("default"),
        }
    }
}
