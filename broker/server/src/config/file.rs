//! Reading the file: what it sets is checked against the known keys before it becomes a value.

use std::{ops::Range, path::PathBuf};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Config, ConfigError, Problem, ROOT, SECTIONS, TABLES,
    key::{Given, Key, Section, nearest},
    sources::Sources,
    table,
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
        if let Some(table) = table(name.get_ref()) {
            rows(table, name, value.get_ref(), sources)?;
            continue;
        }
        match (SECTIONS.iter().find(|section| section.name == name.get_ref().as_ref()), value.get_ref()) {
            (Some(section), DeValue::Table(table)) if section.name != ROOT.name => {
                for (key, value) in in_order(table) {
                    match self::table(&format!("{}.{}", section.name, key.get_ref())) {
                        Some(table) => rows(table, key, value.get_ref(), sources)?,
                        None => {
                            visit(section, None, key.get_ref(), &key.span(), value.get_ref(), sources)?;
                        }
                    }
                }
            }
            (Some(section), value) if section.name != ROOT.name => {
                let problem = Problem::Type { expected: "a section", found: found(value) };
                let key = section.name.to_owned();
                return Err(ConfigError::Value { place: sources.at(&name.span()), key, problem });
            }
            (_, value) => visit(&ROOT, None, name.get_ref(), &name.span(), value, sources)?,
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

/// The rows of a table that may stand more than once.
fn rows(
    table: &'static Section,
    name: &Spanned<std::borrow::Cow<'_, str>>,
    value: &DeValue<'_>,
    sources: &mut Sources,
) -> Result<(), ConfigError> {
    let wrong = |sources: &Sources, span: &Range<usize>, value| ConfigError::Value {
        place: sources.at(span),
        key: table.name.to_owned(),
        problem: Problem::Type { expected: "a list of sections: [[name]]", found: found(value) },
    };
    let DeValue::Array(rows) = value else { return Err(wrong(sources, &name.span(), value)) };
    for (row, value) in rows.iter().enumerate() {
        let DeValue::Table(keys) = value.get_ref() else {
            return Err(wrong(sources, &value.span(), value.get_ref()));
        };
        sources.rows.insert((table.name, row, ""), value.span());
        for (key, value) in in_order(keys) {
            visit(table, Some(row), key.get_ref(), &key.span(), value.get_ref(), sources)?;
        }
    }
    Ok(())
}

fn visit(
    section: &'static Section,
    row: Option<usize>,
    name: &str,
    span: &Range<usize>,
    value: &DeValue<'_>,
    sources: &mut Sources,
) -> Result<(), ConfigError> {
    let place = sources.at(span);
    let Some(key) = section.key(name) else {
        let (name, suggestion) = unknown(section, name, is_table(value));
        return Err(ConfigError::Unknown { place, name, suggestion });
    };
    check(key, value).map_err(|problem| ConfigError::Value { place, key: key.name.to_owned(), problem })?;
    match row {
        None => sources.spans.insert((section.name, key.name), span.clone()),
        Some(row) => sources.rows.insert((section.name, row, key.name), span.clone()),
    };
    Ok(())
}

fn check(key: &Key, value: &DeValue<'_>) -> Result<(), Problem> {
    if let DeValue::Array(values) = value {
        let texts: Option<Vec<&str>> = values.iter().map(|value| value.get_ref().as_str()).collect();
        return key.check(texts.as_deref().map_or(Given::Other("a list"), Given::Texts));
    }
    key.check(match value {
        DeValue::String(text) => Given::Text(text),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or(Given::Other("a number of this size"), Given::Number),
        DeValue::Boolean(flag) => Given::Flag(*flag),
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

fn is_table(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Table(_) => true,
        DeValue::Array(rows) => rows.iter().any(|row| matches!(row.get_ref(), DeValue::Table(_))),
        _ => false,
    }
}

/// Names what is not known, and what may have been meant: a key of this section, or the same key of another.
fn unknown(section: &Section, name: &str, is_table: bool) -> (String, Option<String>) {
    if section.name == ROOT.name && is_table {
        let sections = SECTIONS.iter().map(|section| section.name).filter(|name| !name.is_empty());
        let tables = TABLES.iter().map(|(_, table)| table.name);
        let suggestion = nearest(name, sections.chain(tables)).map(|name| match table(name) {
            Some(_) => format!("`[[{name}]]`"),
            None => format!("`[{name}]`"),
        });
        return (format!("section [{name}]"), suggestion);
    }
    let described = match section.name {
        "" => format!("key `{name}` before the first section"),
        section if table(section).is_some() => format!("key `{name}` in [[{section}]]"),
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
