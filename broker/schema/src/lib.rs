//! `topics.md` as types: ids, topics, and the messages that travel on them in text, JSON and protobuf.
//!
//! Pure: no IO, no clock. Everything that a client writes is parsed here and nowhere else; what does not parse is
//! an error that says what was expected.

pub mod api;
mod id;
pub mod json;
pub mod message;
pub mod text;
pub mod topic;

pub use id::{ConversationId, ConversationKind, Handle, HandleError, IdError, IdText, UserId};
pub use message::{Content, Format, PayloadError};

/// Protobuf messages (`proto/parlance.proto`) with their JSON form.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod pb {
    include!(concat!(env!("OUT_DIR"), "/parlance.v1.rs"));
}

/// Unix time in milliseconds.
pub type UnixMillis = u64;
