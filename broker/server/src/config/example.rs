//! The example file, made from the descriptions of the keys.

use std::fmt::Write as _;

use toml::{Table, Value};

use super::{Config, SECTIONS, key::Section};

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
    }
    text
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
