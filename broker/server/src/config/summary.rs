//! What `parlance config check` prints.

use std::{ffi::OsString, path::Path};

use toml::{Table, Value};

use super::{Config, ConfigError, Listener, SECTIONS, listener::CertificateFor};

/// Loads a configuration as the server would and tells what it sets: each key, its value, and where it comes from.
///
/// # Errors
///
/// What [`Config::load`] refuses.
pub fn check(path: Option<&Path>) -> Result<String, ConfigError> {
    check_with(path, std::env::vars_os())
}

pub(super) fn check_with(
    path: Option<&Path>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<String, ConfigError> {
    let (config, sources) = Config::load_with(path, variables)?;
    let values = Table::try_from(&config).unwrap_or_default();
    let read = match sources.path.as_os_str().is_empty() {
        true => "no file".to_owned(),
        false => sources.path.display().to_string(),
    };
    let set: Vec<String> = SECTIONS
        .iter()
        .flat_map(|section| section.keys.iter().map(move |key| (section.name, key.name)))
        .filter(|name| sources.spans.contains_key(name) || sources.variables.contains_key(name))
        .map(|(section, key)| {
            let place = sources.place(section, key);
            let (name, value) = match section {
                "" => (key.to_owned(), values.get(key)),
                _ => (format!("{section}.{key}"), values.get(section).and_then(|table| table.get(key))),
            };
            format!("  {name} = {}  ({place})\n", value.map_or(String::new(), Value::to_string))
        })
        .collect();
    let listeners =
        config.listener.iter().enumerate().map(|(row, Listener { name, address, transport, .. })| {
            let place = sources.row(Listener::INFO.name, row, "name");
            format!("  [[listener]] {name}: {} on {address}  ({place})\n", transport.word())
        });
    let certificates = config.tls.certificate_for.iter().enumerate().map(|(row, it)| {
        let place = sources.row(CertificateFor::INFO.name, row, "names");
        format!("  [[tls.certificate_for]] {}  ({place})\n", it.names.join(", "))
    });
    let tables: String = listeners.chain(certificates).collect();
    Ok(format!("The configuration is valid ({read}, {} keys set).\n{}{tables}", set.len(), set.concat()))
}
