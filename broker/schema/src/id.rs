//! Identifiers. In text: one letter for the kind and 26 characters of base32 (RFC 4648 §7, lower case, sortable).

use data_encoding::BASE32_DNSSEC;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr, sync::Arc};
use thiserror::Error;

/// What is wrong with an identifier.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not {expected}")]
pub struct IdError {
    /// What an identifier of this kind looks like.
    pub expected: &'static str,
}

fn parse(text: &str, prefixes: &[u8], expected: &'static str) -> Result<[u8; 16], IdError> {
    let error = IdError { expected };
    let (first, rest) = text.as_bytes().split_first().ok_or(error.clone())?;
    if !prefixes.contains(first) || rest.len() != 26 {
        return Err(error);
    }
    let mut id = [0; 16];
    BASE32_DNSSEC.decode_mut(rest, &mut id).map_err(|_| error)?;
    Ok(id)
}

/// Length of an identifier in text.
const ID_TEXT_BYTES: usize = 27;

/// An identifier in text, without an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdText([u8; ID_TEXT_BYTES]);

impl IdText {
    fn new(prefix: u8, id: &[u8; 16]) -> Self {
        let mut text = [prefix; ID_TEXT_BYTES];
        BASE32_DNSSEC.encode_mut(id, &mut text[1..]);
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a letter and base32")
    }
}

macro_rules! text_form {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// A user: a person or a service account. Text form `u` + 26 characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, utoipa::ToSchema)]
#[schema(value_type = String)]
pub struct UserId(pub [u8; 16]);

impl UserId {
    /// A fresh id, ordered by time (UUIDv7).
    pub fn fresh() -> Self {
        Self(uuid::Uuid::now_v7().into_bytes())
    }

    /// The text form.
    pub fn text(self) -> IdText {
        IdText::new(b'u', &self.0)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl FromStr for UserId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        parse(text, b"u", "a user id (u and 26 characters)").map(Self)
    }
}
text_form!(UserId);

/// Direct or group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConversationKind {
    /// Between exactly two users; its id follows from theirs.
    Direct,
    /// Any number of members.
    Group,
}

/// A conversation. Text form `g…` for a group, `d…` for a direct conversation.
///
/// The highest bit tells the kind: a group's id is a UUIDv7, whose highest bit stays 0 for thousands of years;
/// a direct conversation's id is a hash of its two users with that bit set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, utoipa::ToSchema)]
#[schema(value_type = String)]
pub struct ConversationId(pub [u8; 16]);

impl ConversationId {
    /// A fresh group id.
    pub fn fresh_group() -> Self {
        Self(uuid::Uuid::now_v7().into_bytes())
    }

    /// The conversation between two users, the same whoever asks.
    pub fn direct(a: UserId, b: UserId) -> Self {
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        let mut both = [0u8; 32];
        both[..16].copy_from_slice(&low.0);
        both[16..].copy_from_slice(&high.0);
        let mut id = uuid::Uuid::new_v5(&DIRECT_NAMESPACE, &both).into_bytes();
        id[0] |= 0x80;
        Self(id)
    }

    /// The text form.
    pub fn text(self) -> IdText {
        let prefix = match self.kind() {
            ConversationKind::Direct => b'd',
            ConversationKind::Group => b'g',
        };
        IdText::new(prefix, &self.0)
    }

    /// Direct or group.
    pub fn kind(self) -> ConversationKind {
        if self.0[0] & 0x80 == 0 { ConversationKind::Group } else { ConversationKind::Direct }
    }
}

/// Namespace of direct conversation ids (RFC 9562 §5.5). Persisted: never changes.
const DIRECT_NAMESPACE: uuid::Uuid = uuid::Uuid::from_u128(0x7f1d_2c36_50a4_4e4b_9d15_8a0e_6b7c_31d2);

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl FromStr for ConversationId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = IdError { expected: "a conversation id (g or d and 26 characters)" };
        let id = Self(parse(text, b"gd", error.expected)?);
        if id.text().as_str() == text { Ok(id) } else { Err(error) }
    }
}
text_form!(ConversationId);

/// The public name of a user or group: 2 to 32 of `a-z 0-9 _ . -`, beginning with a letter; kept in lower case,
/// written with `@` in topics.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(Arc<str>);

/// What is wrong with a handle.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a handle is 2 to 32 of a-z, 0-9, '_', '.', '-' and begins with a letter")]
pub struct HandleError;

impl Handle {
    /// The handle without `@`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The handle, shared.
    pub fn shared(&self) -> Arc<str> {
        self.0.clone()
    }
}

impl FromStr for Handle {
    type Err = HandleError;
    fn from_str(text: &str) -> Result<Self, HandleError> {
        let text = text.strip_prefix('@').unwrap_or(text).to_ascii_lowercase();
        let valid = (2..=32).contains(&text.len())
            && text.as_bytes()[0].is_ascii_lowercase()
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b));
        if valid { Ok(Self(text.into())) } else { Err(HandleError) }
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Handle {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Handle {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_their_text_form() {
        let user = UserId::fresh();
        assert_eq!(user.to_string().parse(), Ok(user));
        for id in [ConversationId::fresh_group(), ConversationId::direct(user, UserId::fresh())] {
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(
                serde_json::from_str::<ConversationId>(&serde_json::to_string(&id).unwrap()).unwrap(),
                id
            );
        }
        assert!("u".parse::<UserId>().is_err());
        assert!(user.to_string().to_uppercase().parse::<UserId>().is_err());
    }

    #[test]
    fn a_direct_conversation_is_the_same_from_both_sides() {
        let (a, b) = (UserId::fresh(), UserId::fresh());
        assert_eq!(ConversationId::direct(a, b), ConversationId::direct(b, a));
        assert_eq!(ConversationId::direct(a, b).kind(), ConversationKind::Direct);
        assert_eq!(ConversationId::fresh_group().kind(), ConversationKind::Group);
    }

    #[test]
    fn a_conversation_id_with_the_wrong_letter_is_refused() {
        let text = ConversationId::fresh_group().to_string().replacen('g', "d", 1);
        assert!(text.parse::<ConversationId>().is_err());
    }

    #[test]
    fn handles_are_lower_case_and_bounded() {
        assert_eq!("@Alice".parse::<Handle>().unwrap().as_str(), "alice");
        for bad in ["", "a", "1a", "a b", "a/b", "a+", "#a", "ä9", &"a".repeat(33)] {
            assert_eq!(bad.parse::<Handle>(), Err(HandleError), "{bad}");
        }
    }
}
