//! The rule file: TOML, one `[[rule]]` for each rule, in their order.

use super::{RULES_MAX, rule::Rule};
use parlance_plugin_api::access::RuleProblem;
use parlance_schema::api;
use serde::Deserialize;
use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
};
use thiserror::Error;
use toml::Spanned;

/// Largest rule file, bytes.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Why the rules of the file do not serve.
#[derive(Debug, Error)]
pub enum RuleFileError {
    /// The file cannot be read.
    #[error("the access rules {} cannot be read: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is too large.
    #[error("the access rules {} have more than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// It is not the TOML that is wanted.
    #[error("{}:{line}: {problem}; a rule is [[rule]] with who, action, topic and perhaps deny = true", path.display())]
    Form {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What the parser says.
        problem: String,
    },
    /// A rule is none.
    #[error("{}:{line}: {problem}", path.display())]
    Rule {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        problem: RuleProblem,
    },
    /// Too many rules.
    #[error("{} has more than {RULES_MAX} access rules", path.display())]
    TooMany {
        /// Which file.
        path: PathBuf,
    },
}

/// Where the file is, if there is one.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) path: Option<PathBuf>,
    pub(crate) required: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    rule: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    who: Spanned<String>,
    action: Spanned<String>,
    topic: Spanned<String>,
    #[serde(default)]
    deny: bool,
}

impl Place {
    /// The rules that the file holds now.
    pub(crate) fn read(&self) -> Result<Vec<Rule>, RuleFileError> {
        let Some(path) = &self.path else { return Ok(Vec::new()) };
        let failed = |source| RuleFileError::Read { path: path.clone(), source };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.required => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut text = String::new();
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(RuleFileError::TooLarge { path: path.clone() });
        }
        parse(path, &text)
    }
}

fn parse(path: &Path, text: &str) -> Result<Vec<Rule>, RuleFileError> {
    let document: Document = toml::from_str(text).map_err(|error| RuleFileError::Form {
        path: path.to_owned(),
        line: line(text, error.span().unwrap_or_default()),
        problem: error.message().to_owned(),
    })?;
    if document.rule.len() > RULES_MAX {
        return Err(RuleFileError::TooMany { path: path.to_owned() });
    }
    let rules = document.rule.into_iter().map(|written| {
        let Written { who, action, topic, deny } = written;
        let spans = [("who", who.span()), ("action", action.span()), ("topic", topic.span())];
        let rule = api::AccessRule {
            who: who.into_inner(),
            action: action.into_inner(),
            topic: topic.into_inner(),
            deny,
        };
        Rule::parse(rule).map_err(|problem| {
            let span = spans.into_iter().find(|(key, _)| *key == problem.key()).map(|(_, span)| span);
            RuleFileError::Rule { path: path.to_owned(), line: line(text, span.unwrap_or_default()), problem }
        })
    });
    rules.collect()
}

/// The line, from 1, on which a stretch of the text begins.
fn line(text: &str, span: Range<usize>) -> usize {
    text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        parse(Path::new("access.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn rules_keep_their_order() {
        let text = r#"
            # the fleet
            [[rule]]
            who = "service"
            action = "publish"
            topic = "app/sensors/%u/#"

            [[rule]]
            who = "*"
            action = "both"
            topic = "app/#"
            deny = true
        "#;
        let rules = parse(Path::new("access.toml"), text).unwrap();
        let rule = |who: &str, action: &str, topic: &str, deny| api::AccessRule {
            who: who.into(),
            action: action.into(),
            topic: topic.into(),
            deny,
        };
        let written: Vec<_> = rules.iter().map(|rule| rule.written().clone()).collect();
        assert_eq!(
            written,
            [rule("service", "publish", "app/sensors/%u/#", false), rule("*", "both", "app/#", true)]
        );
        assert_eq!(parse(Path::new("x"), "").unwrap().len(), 0);
    }

    #[test]
    fn what_is_wrong_is_told_with_line_and_key() {
        let whole = "[[rule]]\nwho = \"*\"\naction = \"publish\"\ntopic = \"a\"\n";
        for (text, line, word) in [
            ("[[rule]]\nwho = \"*\"\naction = \"read\"\ntopic = \"a\"", 3, "`action`"),
            ("[[rule]]\nwho = \"all\"\naction = \"both\"\ntopic = \"a\"", 2, "`who`"),
            ("[[rule]]\nwho = \"*\"\naction = \"both\"\ntopic = \"user/#\"", 4, "`topic`"),
            ("[[rule]]\nwho = \"*\"\naction = \"both\"\ntopik = \"a\"", 4, "topik"),
            ("[[rule]]\nwho = \"*\"\naction = \"both\"", 1, "topic"),
            ("[[rule]]\nwho = \"*\"\naction = 3\ntopic = \"a\"", 3, "string"),
            ("[[rules]]\nwho = \"*\"", 1, "rules"),
            ("[[rule]]\nwho = *", 2, ""),
        ] {
            let text = format!("{whole}{text}");
            let told = told(&text);
            assert!(told.starts_with(&format!("access.toml:{}: ", line + 4)), "{told}");
            assert!(told.contains(word), "{told}");
        }
    }

    #[test]
    fn a_file_that_need_not_be_there_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = Some(folder.path().join("access.toml"));
        assert_eq!(Place { path: path.clone(), required: false }.read().unwrap().len(), 0);
        assert!(matches!(Place { path, required: true }.read(), Err(RuleFileError::Read { .. })));
        let nowhere = Place { path: None, required: false };
        assert_eq!(nowhere.read().unwrap().len(), 0);
    }
}
