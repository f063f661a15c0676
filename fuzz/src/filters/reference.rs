//! The rules of MQTT-4.7 and MQTT-4.8.2 in their own words, without a thought of speed.

use std::collections::BTreeSet;

/// Levels up to which all filters that match a name are written out: their number doubles with each.
const SPELLED_LEVELS_MAX: usize = 4;
/// Bytes up to which this is done.
const SPELLED_BYTES_MAX: usize = 64;

/// MQTT-1.5.4-1, MQTT-4.7.3-1 to -3: a text of 1 to 65,535 bytes, well-formed, without U+0000.
fn text(bytes: &[u8]) -> Option<Vec<char>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let characters: Vec<char> = text.chars().collect();
    (!characters.is_empty() && bytes.len() <= 65_535 && !characters.contains(&'\0')).then_some(characters)
}

/// MQTT-3.3.2-2: a name has no wildcard characters.
pub(super) fn is_name(bytes: &[u8]) -> bool {
    text(bytes).is_some_and(|text| !text.contains(&'+') && !text.contains(&'#'))
}

/// MQTT-4.7.1-1, MQTT-4.7.1-2 and MQTT-4.8.2-1, MQTT-4.8.2-2.
pub(super) fn is_filter(bytes: &[u8]) -> bool {
    let Some(text) = text(bytes) else { return false };
    let separates =
        |index: Option<usize>| index.and_then(|index| text.get(index)).is_none_or(|it| *it == '/');
    for (index, character) in text.iter().enumerate() {
        let begins = separates(index.checked_sub(1));
        let fits = match character {
            '#' => begins && index + 1 == text.len(),
            '+' => begins && separates(Some(index + 1)),
            _ => true,
        };
        if !fits {
            return false;
        }
    }
    let text: String = text.into_iter().collect();
    let levels: Vec<&str> = text.split('/').collect();
    if levels[0] != "$share" {
        return true;
    }
    // `$share` alone can be nothing but a shared subscription without its parts.
    let Some(group) = levels.get(1) else { return false };
    let inner = levels[2..].join("/");
    !group.is_empty() && !group.contains(['+', '#']) && !inner.is_empty()
}

/// A topic name, and what is to be known of it to answer many filters.
pub(super) struct Name<'a> {
    levels: Vec<&'a str>,
    /// Of a short name: every filter that matches it, but for the rule of `$`.
    filters: Option<BTreeSet<String>>,
}

impl<'a> Name<'a> {
    pub(super) fn new(name: &'a str) -> Self {
        let levels: Vec<&str> = name.split('/').collect();
        let short = levels.len() <= SPELLED_LEVELS_MAX && name.len() <= SPELLED_BYTES_MAX;
        let filters = short.then(|| filters_of(&levels));
        Self { levels, filters }
    }

    /// Whether it matches `filter`: level by level, and for a short name by looking the filter up as well.
    pub(super) fn matches(&self, filter: &str) -> bool {
        let wanted: Vec<&str> = filter.split('/').collect();
        // MQTT-4.7.2-1
        let hidden = self.levels[0].starts_with('$') && matches!(wanted[0], "+" | "#");
        let by_levels = !hidden && levels_match(&wanted, &self.levels);
        if let Some(filters) = &self.filters {
            let spelled = !hidden && filters.contains(filter);
            assert_eq!(by_levels, spelled, "the references differ about {filter:?} and {:?}", self.levels);
        }
        by_levels
    }
}

fn levels_match(filter: &[&str], name: &[&str]) -> bool {
    match (filter, name) {
        // `#` stands for any number of levels, none included (MQTT-4.7.1.2).
        (["#"], _) | ([], []) => true,
        (["+", filter @ ..], [_, name @ ..]) => levels_match(filter, name),
        ([wanted, filter @ ..], [level, name @ ..]) => wanted == level && levels_match(filter, name),
        _ => false,
    }
}

/// Every filter that matches a name of these levels, but for the rule of `$`.
fn filters_of(levels: &[&str]) -> BTreeSet<String> {
    let mut heads: BTreeSet<Vec<&str>> = BTreeSet::from([Vec::new()]);
    let mut filters = BTreeSet::from(["#".to_owned()]);
    for level in levels {
        let longer = heads.iter().flat_map(|head| [*level, "+"].map(|it| [head.as_slice(), &[it]].concat()));
        heads = longer.collect();
        filters.extend(heads.iter().map(|head| head.join("/") + "/#"));
    }
    filters.extend(heads.iter().map(|head| head.join("/")));
    filters
}
