//! What a client sends, parsed from any of the three formats; what it receives, rendered in any of them.

use crate::pb;
use bytes::Bytes;

use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// Greatest length of a client's message id, bytes.
pub const MESSAGE_ID_BYTES_MAX: usize = 64;
/// Greatest length of a content type, bytes (RFC 6838 §4.2).
pub const CONTENT_TYPE_BYTES_MAX: usize = 127;

/// The format of a payload; the level of a topic that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// Plain UTF-8, for people and microcontrollers.
    Text,
    /// JSON, one object.
    Json,
    /// Protobuf (`proto/parlance.proto`).
    Pb,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Text, Self::Json, Self::Pb];

    /// The topic level.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Pb => "pb",
        }
    }

    /// From a topic level.
    pub fn from_level(level: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == level)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a payload was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PayloadError {
    /// Text, or a text field, that is not UTF-8.
    #[error("the payload is not UTF-8")]
    NotUtf8,
    /// No text and no data.
    #[error("the message is empty")]
    Empty,
    /// Both text and data.
    #[error("a message has either text or data, not both")]
    TextAndData,
    /// The JSON does not parse or has the wrong shape.
    #[error("the JSON payload does not parse: {0}")]
    Json(String),
    /// The protobuf does not parse.
    #[error("the protobuf payload does not parse")]
    Protobuf,
    /// The message id is too long.
    #[error("a message id has at most {MESSAGE_ID_BYTES_MAX} bytes")]
    IdTooLong,
    /// No or too long a content type, or one that is not printable ASCII.
    #[error("data needs a contentType of 1 to {CONTENT_TYPE_BYTES_MAX} printable ASCII characters")]
    ContentType,
    /// A text payload that should be a number.
    #[error("expected a decimal seq, such as 17")]
    NotASeq,
    /// A text payload that should be a switch.
    #[error("expected 1, 0 or nothing")]
    NotASwitch,
}

/// The content of a message, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Text for people.
    Text(Bytes),
    /// Typed bytes.
    Data {
        /// Media type.
        content_type: String,
        /// The bytes.
        bytes: Bytes,
    },
}

/// A message as a client sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The sender's own id, if given.
    pub id: Option<String>,
    /// What it says.
    pub content: Content,
}

fn json<T: DeserializeOwned>(payload: &[u8]) -> Result<T, PayloadError> {
    serde_json::from_slice(payload).map_err(|e| PayloadError::Json(e.to_string()))
}

fn protobuf<T: prost::Message + Default>(payload: Bytes) -> Result<T, PayloadError> {
    T::decode(payload).map_err(|_| PayloadError::Protobuf)
}

/// Parses the payload of `user/{id}/{format}` or `group/{id}/{format}`.
pub fn parse_send(format: Format, payload: Bytes) -> Result<Outgoing, PayloadError> {
    match format {
        Format::Text => {
            std::str::from_utf8(&payload).map_err(|_| PayloadError::NotUtf8)?;
            if payload.is_empty() {
                return Err(PayloadError::Empty);
            }
            Ok(Outgoing { id: None, content: Content::Text(payload) })
        }
        Format::Json => outgoing(json::<StrictSend>(&payload)?.into()),
        Format::Pb => outgoing(protobuf(payload)?),
    }
}

/// The JSON form of [`pb::Send`] that refuses fields it does not know: a misspelt field is an error, not silence.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StrictSend {
    #[serde(default)]
    id: String,
    #[serde(default)]
    text: String,
    data: Option<pb::Data>,
}

impl From<StrictSend> for pb::Send {
    fn from(send: StrictSend) -> Self {
        Self { id: send.id, text: send.text, data: send.data }
    }
}

/// Checks a [`pb::Send`], wherever it came from.
pub fn outgoing(send: pb::Send) -> Result<Outgoing, PayloadError> {
    if send.id.len() > MESSAGE_ID_BYTES_MAX {
        return Err(PayloadError::IdTooLong);
    }
    let content = match (send.text.is_empty(), send.data) {
        (true, None) => return Err(PayloadError::Empty),
        (false, Some(_)) => return Err(PayloadError::TextAndData),
        (false, None) => Content::Text(send.text.into()),
        (true, Some(data)) => {
            let valid = (1..=CONTENT_TYPE_BYTES_MAX).contains(&data.content_type.len())
                && data.content_type.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
            if !valid {
                return Err(PayloadError::ContentType);
            }
            Content::Data { content_type: data.content_type, bytes: data.bytes }
        }
    };
    Ok(Outgoing { id: (!send.id.is_empty()).then_some(send.id), content })
}

/// Parses the payload of `…/read`.
pub fn parse_read(format: Format, payload: Bytes) -> Result<u64, PayloadError> {
    match format {
        Format::Text => {
            let text = std::str::from_utf8(&payload).map_err(|_| PayloadError::NotUtf8)?;
            u64::from_str(text.trim()).map_err(|_| PayloadError::NotASeq)
        }
        Format::Json => Ok(json::<pb::Read>(&payload)?.seq),
        Format::Pb => Ok(protobuf::<pb::Read>(payload)?.seq),
    }
}

/// Parses the payload of `…/typing`. In text, `1` or nothing is typing, `0` is not.
pub fn parse_typing(format: Format, payload: Bytes) -> Result<bool, PayloadError> {
    match format {
        Format::Text => match &payload[..] {
            b"" | b"1" => Ok(true),
            b"0" => Ok(false),
            _ => Err(PayloadError::NotASwitch),
        },
        Format::Json => Ok(json::<pb::Typing>(&payload)?.typing),
        Format::Pb => Ok(protobuf::<pb::Typing>(payload)?.typing),
    }
}

/// Something that travels down in any format.
pub trait Down: prost::Message + Serialize + Sized {
    /// Its plain-text rendering.
    fn text(&self) -> Bytes;

    /// Its payload in `format`.
    fn render(&self, format: Format) -> Bytes {
        match format {
            Format::Text => self.text(),
            Format::Json => serde_json::to_vec(self).expect("strings and numbers always serialise").into(),
            Format::Pb => self.encode_to_vec().into(),
        }
    }
}
