//! The example file, made from the descriptions of the keys.

use std::fmt::Write as _;

use toml::{Table, Value};

use super::{Config, SECTIONS, TABLES, key::Section};

pub(super) fn render(config: &Config) -> String {
    // A configuration is strings and small numbers: it is always a table.
    let values = Table::try_from(config).unwrap_or_default();
    let mut text = String::new();
    for section in SECTIONS {
        let table = match section.name {
            "" => Some(&values),
            name => values.get(name).and_then(Value::as_table),
        };
        render_section(&mut text, section, table);
        for (_, table) in TABLES.iter().filter(|(behind, _)| *behind == section.name) {
            render_table(&mut text, table);
        }
    }
    text
}

/// A table that may stand more than once stands in no default: it is shown as a comment.
fn render_table(text: &mut String, table: &Section) {
    let row = match table.name {
        "listener" => Table::try_from(super::Listener::default()),
        _ => Table::try_from(super::CertificateFor::default()),
    };
    let row = row.unwrap_or_default();
    text.push('\n');
    table.about.iter().for_each(|about| text.push_str(&format!("#{about}\n")));
    text.push_str(&format!("# [[{}]]\n", table.name));
    for key in table.keys {
        key.docs.iter().for_each(|docs| text.push_str(&format!("#  {docs}\n")));
        let value = row.get(key.name).map(Value::to_string).unwrap_or_default();
        text.push_str(&format!("# {} = {value}\n", key.name));
    }
}

fn render_section(text: &mut String, section: &Section, values: Option<&Table>) {
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    if !section.name.is_empty() {
        line(String::new());
    }
    section.about.iter().for_each(|about| line(format!("#{about}")));
    line(if section.name.is_empty() { String::new() } else { format!("[{}]", section.name) });
    for key in section.keys {
        key.docs.iter().for_each(|docs| line(format!("#{docs}")));
        if let Some(range) = &key.range {
            line(format!("# {} to {}", range.start(), range.end()));
        }
        if let Some(value) = values.and_then(|values| values.get(key.name)) {
            let mut setting = format!("{} = ", key.name);
            // Writing to a string does not fail.
            let _ = write!(setting, "{value}");
            line(setting);
        }
    }
}
