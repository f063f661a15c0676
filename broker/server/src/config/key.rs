//! What a key is: described once, checked alike wherever its value comes from.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf};

use super::{Address, Network, Problem};

/// A key of the configuration.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// Lines, each with the blank that follows the comment sign.
    pub(super) docs: &'static [&'static str],
    pub(super) kind: Kind,
    pub(super) range: Option<RangeInclusive<i128>>,
}

/// A table of the configuration; the one without a name is the root.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) about: &'static [&'static str],
    pub(super) keys: &'static [Key],
}

impl Section {
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// What may stand behind a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Texts,
    Number,
    Flag,
    Address,
    Networks,
    Choice(&'static [&'static str]),
}

impl Kind {
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Number => "a whole number",
            Self::Flag => "true or false",
            Self::Texts | Self::Networks => "a list of strings",
            Self::Text | Self::Address | Self::Choice(_) => "a string",
        }
    }
}

/// A type a key may have.
pub(super) trait Setting {
    const KIND: Kind;
}

macro_rules! settings {
    ($($kind:ident: $($type:ty),+;)+) => {
        $($(impl Setting for $type { const KIND: Kind = Kind::$kind; })+)+
    };
}

settings! {
    Number: u16, u32, u64, usize;
    Text: String, PathBuf;
    Address: Address;
    Flag: bool;
    Texts: Vec<String>;
    Networks: Vec<Network>;
}

/// A value as it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Given<'a> {
    Text(&'a str),
    Texts(&'a [&'a str]),
    Number(i128),
    Flag(bool),
    /// Something no key takes; named as in "not a table".
    Other(&'static str),
}

impl Key {
    pub(super) fn check(&self, given: Given<'_>) -> Result<(), Problem> {
        let wrong = |found| Err(Problem::Type { expected: self.kind.describe(), found });
        match (self.kind, given) {
            (Kind::Number, Given::Number(value)) => self.check_range(value),
            (Kind::Text, Given::Text(_)) => Ok(()),
            (Kind::Address, Given::Text(text)) => {
                let valid = text.is_empty() || text.parse::<SocketAddr>().is_ok();
                if valid { Ok(()) } else { Err(Problem::Address { value: text.to_owned() }) }
            }
            (Kind::Flag, Given::Flag(_)) | (Kind::Texts, Given::Texts(_)) => Ok(()),
            (Kind::Networks, Given::Texts(texts)) => {
                match texts.iter().find(|text| text.parse::<Network>().is_err()) {
                    Some(value) => Err(Problem::Network { value: (*value).to_owned() }),
                    None => Ok(()),
                }
            }
            (Kind::Choice(words), Given::Text(text)) => {
                if words.contains(&text) {
                    return Ok(());
                }
                let suggestion = nearest(text, words.iter().copied());
                Err(Problem::Choice { value: text.to_owned(), words, suggestion })
            }
            (_, Given::Text(_)) => wrong("a string"),
            (_, Given::Number(_)) => wrong("a number"),
            (_, Given::Flag(_)) => wrong("true or false"),
            (_, Given::Texts(_)) => wrong("a list"),
            (_, Given::Other(found)) => wrong(found),
        }
    }

    fn check_range(&self, value: i128) -> Result<(), Problem> {
        match &self.range {
            Some(range) if !range.contains(&value) => {
                Err(Problem::Range { value, min: *range.start(), max: *range.end() })
            }
            _ => Ok(()),
        }
    }
}

/// The known word that is most like the given one, if any is like it at all.
pub(super) fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const ALIKE: f64 = 0.8;
    let scored = known.map(|word| (strsim::jaro_winkler(given, word), word));
    scored.filter(|(score, _)| *score >= ALIKE).max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, word)| word)
}

/// Defines a section: `key: type = default, in range;` with the documentation that also goes into the example.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $section:ident = $name:literal {
            $($(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr $(, in $range:expr)?;)+
        }
        $(tables { $($(#[doc = $table_doc:literal])+ $table:ident: $row:ty;)+ })?
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $section {
            $($(#[doc = $doc])+ pub $key: $type,)+
            $($($(#[doc = $table_doc])+ pub $table: Vec<$row>,)+)?
        }

        impl Default for $section {
            fn default() -> Self {
                Self { $($key: $default,)+ $($($table: Vec::new(),)+)? }
            }
        }

        impl $section {
            pub(super) const INFO: $crate::config::key::Section = $crate::config::key::Section {
                name: $name,
                about: &[$($about),+],
                keys: &[$($crate::config::key::Key {
                    name: stringify!($key),
                    docs: &[$($doc),+],
                    kind: <$type as $crate::config::key::Setting>::KIND,
                    range: section!(@range $($range)?),
                }),+],
            };
        }
    };
    (@range) => { None };
    (@range $range:expr) => { Some($range) };
}
pub(super) use section;
