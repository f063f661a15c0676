//! How protobuf messages look as JSON where serde's own form would not do.

/// Left out of JSON when it says nothing.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// `bytes` as base64 (RFC 4648 §4, padded).
pub mod base64_bytes {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Bytes → base64.
    pub fn serialize<S: Serializer>(bytes: &Bytes, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    /// Base64 → bytes.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Bytes, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        BASE64_STANDARD.decode(text.as_bytes()).map(Bytes::from).map_err(D::Error::custom)
    }
}

/// `kind` as a word.
pub mod kind {
    use crate::pb::Kind;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Number → word.
    pub fn serialize<S: Serializer>(kind: &i32, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(match Kind::try_from(*kind) {
            Ok(Kind::Change) => "change",
            Ok(Kind::Unreadable) => "unreadable",
            _ => "message",
        })
    }

    /// Word → number.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<i32, D::Error> {
        match &*<std::borrow::Cow<'de, str>>::deserialize(d)? {
            "message" => Ok(Kind::Message as i32),
            "change" => Ok(Kind::Change as i32),
            "unreadable" => Ok(Kind::Unreadable as i32),
            other => Err(D::Error::unknown_variant(other, &["message", "change", "unreadable"])),
        }
    }
}
