//! Target `filters`: topic names, topic filters, which match, and the trees that find what matches.
//!
//! Input: one byte of choices, then texts. With the choice "raw" they are bytes parted by 0xFF, which is in no UTF-8
//! text; otherwise each byte stands for one of the few signs that matter to filters, so that names and filters meet.
//! Every text is taken as a name and as a filter, and every name is held against every filter. The references are
//! slow and follow the wording of the specification. With the choice "steps" the bytes are subscriptions, publishes
//! and retained messages, taken by the trees and by lists at once.

mod reference;
mod trees;

use parlance_mqtt::{TopicError, TopicFilter, TopicName, matches};

/// Texts looked at: the pairs of them are their square.
const TEXTS_MAX: usize = 16;

/// The signs of the input that is not raw.
const SIGNS: [&str; 12] = ["\n", "/", "+", "#", "$", "a", "b", "é", "\0", "$share/", "$SYS", "//"];

/// See the module.
pub fn check(input: &[u8]) {
    let Some((&choice, rest)) = input.split_first() else { return };
    if choice & 2 != 0 {
        return trees::check(rest);
    }
    let texts = if choice & 1 == 0 { raw(rest) } else { spelled(rest) };
    let mut names = Vec::new();
    let mut filters = Vec::new();
    for text in &texts {
        names.extend(name(text));
        filters.extend(filter(text));
    }
    for name in &names {
        let reference = reference::Name::new(name);
        for filter in &filters {
            let inner = filter.shared().map_or(filter.as_str(), |(_, inner)| inner);
            let expected = reference.matches(inner);
            assert_eq!(matches(inner, name), expected, "filter {filter:?}, name {name:?}");
        }
    }
}

fn raw(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split(|&byte| byte == 0xFF).take(TEXTS_MAX).map(<[u8]>::to_vec).collect()
}

fn spelled(bytes: &[u8]) -> Vec<Vec<u8>> {
    let text: String = bytes.iter().map(|&byte| SIGNS[usize::from(byte) % SIGNS.len()]).collect();
    text.split('\n').take(TEXTS_MAX).map(|text| text.as_bytes().to_vec()).collect()
}

fn name(bytes: &[u8]) -> Option<TopicName> {
    let name = TopicName::new(bytes.to_vec());
    assert_eq!(
        name.is_ok(),
        reference::is_name(bytes),
        "name {:?}: {name:?}",
        String::from_utf8_lossy(bytes)
    );
    let name = name.ok()?;
    assert_eq!(name.as_str().as_bytes(), bytes);
    assert_eq!(name.levels().collect::<Vec<_>>().join("/").as_bytes(), bytes);
    // A name without wildcards is a filter for itself alone, unless it looks like a shared subscription.
    match TopicFilter::new(bytes.to_vec()) {
        Ok(filter) => assert!(filter.shared().is_some() || matches(filter.as_str(), &name)),
        Err(error) => assert_eq!(error, TopicError::MalformedShare),
    }
    Some(name)
}

fn filter(bytes: &[u8]) -> Option<TopicFilter> {
    let filter = TopicFilter::new(bytes.to_vec());
    let text = String::from_utf8_lossy(bytes);
    assert_eq!(filter.is_ok(), reference::is_filter(bytes), "filter {text:?}: {filter:?}");
    let filter = filter.ok()?;
    assert_eq!(filter.as_str().as_bytes(), bytes);
    assert_eq!(filter.has_wildcard(), text.contains(['+', '#']));
    match filter.shared() {
        Some((group, inner)) => {
            assert_eq!(format!("$share/{group}/{inner}"), text);
            assert!(TopicFilter::new(inner.to_owned()).is_ok() || inner.starts_with("$share"), "{inner:?}");
        }
        None => assert!(!text.starts_with("$share/"), "{text:?}"),
    }
    Some(filter)
}
