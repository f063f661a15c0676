//! Topic names and filters (MQTT-4.7): validated once, then trusted.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use bytes::Bytes;
use bytestring::ByteString;

/// A topic name or filter is a UTF-8 string of the wire: at most this many bytes (MQTT-4.7.3-3).
pub(crate) const TOPIC_BYTES_MAX: usize = u16::MAX as usize;

/// Why a topic name or a topic filter is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TopicError {
    /// MQTT-4.7.3-1.
    #[error("it is empty")]
    Empty,
    /// MQTT-4.7.3-3.
    #[error("it has {bytes} bytes, more than 65,535")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// MQTT-1.5.4-1.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// MQTT-4.7.3-2.
    #[error("it contains U+0000")]
    Nul,
    /// MQTT-3.3.2-2.
    #[error("a topic name contains no wildcard")]
    WildcardInName,
    /// MQTT-4.7.1-1 and MQTT-4.7.1-2: `#` is the whole last level, `+` a whole level.
    #[error("a wildcard must be a whole level, and # the last one")]
    MisplacedWildcard,
    /// MQTT-4.8.2-1 and MQTT-4.8.2-2: `$share/{group}/{filter}`.
    #[error("a shared subscription is $share/group/filter, the group without wildcards")]
    MalformedShare,
}

/// A valid topic name: UTF-8, 1 to 65,535 bytes, no U+0000, no wildcard.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(ByteString);

impl TopicName {
    /// Takes the bytes if they are a topic name.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, TopicError> {
        let text = checked(bytes.into())?;
        // One pass without a branch, so that it can be vectorised: a name is checked for each PUBLISH.
        if text.as_bytes().iter().fold(false, |found, &byte| found | (byte == b'+') | (byte == b'#')) {
            return Err(TopicError::WildcardInName);
        }
        Ok(Self(text))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as shared bytes: a clone of them costs a reference count.
    pub fn as_bytes(&self) -> &Bytes {
        self.0.as_bytes()
    }

    /// The name's levels, at least one; each may be empty.
    pub fn levels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.as_str().split('/')
    }
}

/// A valid topic filter: UTF-8, 1 to 65,535 bytes, no U+0000, wildcards in their places, `$share` complete.
///
/// `$share/…` is checked for 3.1.1 too: its clients may use shared subscriptions here.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter(ByteString);

impl TopicFilter {
    /// Takes the bytes if they are a topic filter.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, TopicError> {
        let text = checked(bytes.into())?;
        check_wildcards(&text)?;
        if text.starts_with(SHARE) || &*text == SHARE.trim_end_matches('/') {
            split_share(&text).ok_or(TopicError::MalformedShare)?;
        }
        Ok(Self(text))
    }

    /// The same filter in memory of its own: it may be kept for long without the read buffer that it came in.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(self.as_str().into())
    }

    /// The filter as text, `$share/group/` included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The filter as shared bytes: a clone of them costs a reference count.
    pub fn as_bytes(&self) -> &Bytes {
        self.0.as_bytes()
    }

    /// The filter's levels, at least one; each may be empty.
    pub fn levels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.as_str().split('/')
    }

    /// Group and inner filter of a shared subscription (MQTT-4.8.2).
    pub fn shared(&self) -> Option<(&str, &str)> {
        split_share(&self.0)
    }

    /// Whether a `+` or `#` is in it.
    pub fn has_wildcard(&self) -> bool {
        self.0.as_bytes().iter().any(|byte| matches!(byte, b'+' | b'#'))
    }
}

const SHARE: &str = "$share/";

fn split_share(text: &str) -> Option<(&str, &str)> {
    let (group, filter) = text.strip_prefix(SHARE)?.split_once('/')?;
    let whole = !group.is_empty() && !group.contains(['+', '#']) && !filter.is_empty();
    whole.then_some((group, filter))
}

fn checked(bytes: Bytes) -> Result<ByteString, TopicError> {
    if bytes.is_empty() {
        return Err(TopicError::Empty);
    }
    if bytes.len() > TOPIC_BYTES_MAX {
        return Err(TopicError::TooLong { bytes: bytes.len() });
    }
    if has_nul(&bytes) {
        return Err(TopicError::Nul);
    }
    ByteString::try_from(bytes).map_err(|_| TopicError::NotUtf8)
}

/// Whether U+0000 is in a string of the wire (MQTT-1.5.4-2). Branch-free on purpose, see [`TopicName::new`].
pub(crate) fn has_nul(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |found, &byte| found | (byte == 0))
}

fn check_wildcards(text: &str) -> Result<(), TopicError> {
    let mut levels = text.split('/').peekable();
    while let Some(level) = levels.next() {
        let misplaced = match level {
            "+" => false,
            "#" => levels.peek().is_some(),
            other => other.contains(['+', '#']),
        };
        if misplaced {
            return Err(TopicError::MisplacedWildcard);
        }
    }
    Ok(())
}

/// Whether a topic name matches a topic filter (MQTT-4.7). A leading wildcard does not match a name
/// that begins with `$` (MQTT-4.7.2-1). Pass the inner filter of a shared subscription.
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filter, mut topic) = (Some(filter), Some(topic));
    loop {
        let (wanted, filter_rest) = match filter {
            Some(rest) => first_level(rest),
            None => return topic.is_none(),
        };
        if wanted == "#" {
            // Also the parent level: `sport/#` matches `sport` (MQTT-4.7.1.2).
            return true;
        }
        let Some((level, topic_rest)) = topic.map(first_level) else { return false };
        if wanted != "+" && wanted != level {
            return false;
        }
        (filter, topic) = (filter_rest, topic_rest);
    }
}

fn first_level(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((level, rest)) => (level, Some(rest)),
        None => (text, None),
    }
}

macro_rules! text_like {
    ($($name:ident)*) => {$(
        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl TryFrom<Bytes> for $name {
            type Error = TopicError;
            fn try_from(bytes: Bytes) -> Result<Self, TopicError> {
                Self::new(bytes)
            }
        }

        impl TryFrom<String> for $name {
            type Error = TopicError;
            fn try_from(text: String) -> Result<Self, TopicError> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = TopicError;
            fn try_from(text: &str) -> Result<Self, TopicError> {
                Self::new(Bytes::copy_from_slice(text.as_bytes()))
            }
        }

        impl FromStr for $name {
            type Err = TopicError;
            fn from_str(text: &str) -> Result<Self, TopicError> {
                Self::try_from(text)
            }
        }

        impl From<$name> for Bytes {
            fn from(topic: $name) -> Self {
                topic.0.into_bytes()
            }
        }
    )*};
}

text_like! { TopicName TopicFilter }

#[cfg(test)]
mod tests;
