//! Reading the file: what it sets is checked against the known keys before it becomes a value.

use std::{ops::Range, path::PathBuf};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Config, ConfigError, Problem, ROOT, SECTIONS,
    key::{Given, Key, Section, nearest},
    sources::Sources,
};

pub(super) fn parse(path: PathBuf, text: String, sources: &mut Sources) -> Result<Config, ConfigError> {
    (sources.path, sources.text) = (path, text);
    let text = sources.text.clone();
    let syntax = |sources: &Sources, error: toml::de::Error| ConfigError::Syntax {
        place: sources.at(&error.span().unwrap_or_default()),
        source: Box::new(error),
    };
    let document = DeTable::parse(&text).map_err(|error| syntax(sources, error))?;
    for (name, value) in in_order(document.get_ref()) {
        match (SECTIONS.iter().find(|section| section.name == name.get_ref().as_ref()), value.get_ref()) {
            (Some(section), DeValue::Table(table)) if section.name != ROOT.name => {
                for (key, value) in in_order(table) {
                    visit(section, key.get_ref(), &key.span(), value.get_ref(), sources)?;
                }
            }
            (Some(section), value) if section.name != ROOT.name => {
                let problem = Problem::Type { expected: "a section", found: found(value) };
                let key = section.name.to_owned();
                return Err(ConfigError::Value { place: sources.at(&name.span()), key, problem });
            }
            (_, value) => visit(&ROOT, name.get_ref(), &name.span(), value, sources)?,
        }
    }
    toml::from_str(&text).map_err(|error| syntax(sources, error))
}

type Entry<'a, 'i> = (&'a Spanned<std::borrow::Cow<'i, str>>, &'a Spanned<DeValue<'i>>);

/// The table is sorted by name; the first error should be the first of the file.
fn in_order<'a, 'i>(table: &'a DeTable<'i>) -> Vec<Entry<'a, 'i>> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

fn visit(
    section: &'static Section,
    name: &str,
    span: &Range<usize>,
    value: &DeValue<'_>,
    sources: &mut Sources,
) -> Result<(), ConfigError> {
    let place = sources.at(span);
    let Some(key) = section.key(name) else {
        let (name, suggestion) = unknown(section, name, matches!(value, DeValue::Table(_)));
        return Err(ConfigError::Unknown { place, name, suggestion });
    };
    check(key, value).map_err(|problem| ConfigError::Value { place, key: key.name.to_owned(), problem })?;
    sources.spans.insert((section.name, key.name), span.clone());
    Ok(())
}

fn check(key: &Key, value: &DeValue<'_>) -> Result<(), Problem> {
    key.check(match value {
        DeValue::String(text) => Given::Text(text),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or(Given::Other("a number of this size"), Given::Number),
        other => Given::Other(found(other)),
    })
}

/// How a type is called in an error.
fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

/// Names what is not known, and what may have been meant: a key of this section, or the same key of another.
fn unknown(section: &Section, name: &str, is_table: bool) -> (String, Option<String>) {
    if section.name == ROOT.name && is_table {
        let sections = SECTIONS.iter().map(|section| section.name).filter(|name| !name.is_empty());
        return (format!("section [{name}]"), nearest(name, sections).map(|name| format!("`[{name}]`")));
    }
    let described = match section.name {
        "" => format!("key `{name}` before the first section"),
        section => format!("key `{name}` in [{section}]"),
    };
    let elsewhere = || {
        SECTIONS.iter().find(|other| other.key(name).is_some()).map(|other| match other.name {
            "" => format!("`{name}` before the first section"),
            other => format!("`{other}.{name}`"),
        })
    };
    let suggestion = elsewhere()
        .or_else(|| nearest(name, section.keys.iter().map(|key| key.name)).map(|key| format!("`{key}`")));
    (described, suggestion)
}
