//! `PARLANCE__SECTION__KEY=value`. A list is written with commas.

use std::ffi::OsString;

use toml::{Table, Value};

use super::{
    Config, ConfigError, Place, Problem, SECTIONS,
    key::{Given, Key, Kind, Section, nearest},
    sources::Sources,
};

const PREFIX: &str = "PARLANCE__";

pub(super) fn apply(
    config: Config,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    sources: &mut Sources,
) -> Result<Config, ConfigError> {
    let mut ours: Vec<(String, OsString)> = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    ours.sort();
    ours.into_iter().try_fold(config, |config, (name, value)| {
        let (section, key) = find(&name)?;
        let place = || Place::Variable(name.clone());
        let refused = |problem| ConfigError::Value { place: place(), key: key.name.to_owned(), problem };
        let value = value.into_string().map_err(|_| refused(Problem::NotText))?;
        let value = typed(key, value).map_err(refused)?;
        let config = with(&config, section, key, value)
            .map_err(|error| refused(Problem::Refused(error.message().to_owned())))?;
        sources.variables.insert((section.name, key.name), name.clone());
        Ok(config)
    })
}

fn find(variable: &str) -> Result<(&'static Section, &'static Key), ConfigError> {
    let path = variable.strip_prefix(PREFIX).unwrap_or_default().to_ascii_lowercase();
    let (section, key) = path.split_once("__").unwrap_or(("", &path));
    let known = || SECTIONS.iter().flat_map(|section| section.keys.iter().map(move |key| (section, key)));
    if let Some(found) = known().find(|(found, candidate)| found.name == section && candidate.name == key) {
        return Ok(found);
    }
    let names: Vec<String> = known().map(|(section, key)| variable_of(section, key)).collect();
    let paths: Vec<String> = names.iter().map(|name| name[PREFIX.len()..].to_ascii_lowercase()).collect();
    let position = nearest(&path, paths.iter().map(String::as_str))
        .and_then(|near| paths.iter().position(|path| path == near));
    let suggestion = position.map(|position| format!("`{}`", names[position]));
    Err(ConfigError::Unknown {
        place: Place::Variable(variable.to_owned()),
        name: "key".to_owned(),
        suggestion,
    })
}

fn variable_of(section: &Section, key: &Key) -> String {
    let path = match section.name {
        "" => key.name.to_owned(),
        section => format!("{section}__{}", key.name),
    };
    format!("{PREFIX}{}", path.to_ascii_uppercase())
}

/// The text of a variable as the type its key has.
fn typed(key: &Key, text: String) -> Result<Value, Problem> {
    match key.kind {
        Kind::Number => return number(key, &text),
        Kind::Flag => {
            let wrong = |_| Problem::Type { expected: key.kind.describe(), found: "this text" };
            return text.trim().parse().map(Value::Boolean).map_err(wrong);
        }
        Kind::Texts | Kind::Networks => {
            let texts: Vec<&str> = text.split(',').map(str::trim).filter(|text| !text.is_empty()).collect();
            key.check(Given::Texts(&texts))?;
            return Ok(Value::Array(texts.into_iter().map(|text| Value::String(text.to_owned())).collect()));
        }
        Kind::Text | Kind::Address | Kind::Choice(_) => {}
    }
    key.check(Given::Text(&text))?;
    Ok(Value::String(text))
}

fn number(key: &Key, text: &str) -> Result<Value, Problem> {
    let number: i128 = text
        .trim()
        .replace('_', "")
        .parse()
        .map_err(|_| Problem::Type { expected: key.kind.describe(), found: "this text" })?;
    key.check(Given::Number(number))?;
    // What passed its range fits; a key without one is caught when it becomes its type.
    i64::try_from(number).map(Value::Integer).map_err(|_| Problem::Range {
        value: number,
        min: 0,
        max: i64::MAX.into(),
    })
}

fn with(config: &Config, section: &Section, key: &Key, value: Value) -> Result<Config, toml::de::Error> {
    let mut table = Table::try_from(config).map_err(serde::de::Error::custom)?;
    let target = match section.name {
        "" => Some(&mut table),
        section => table.get_mut(section).and_then(Value::as_table_mut),
    };
    if let Some(target) = target {
        target.insert(key.name.to_owned(), value);
    }
    table.try_into()
}
