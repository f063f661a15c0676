//! MQTT 3.1.1 and 5 as words and bytes: packets, properties, topics, reason codes.
//!
//! # Contract
//! * No IO, no clock, no global state: bytes in, [`Packet`]s out, and back.
//! * No input makes this crate panic. Bad bytes are a [`DecodeError`] that knows its reason code.
//! * One model for both protocol versions. What 3.1.1 has not (properties, reason codes) is empty there.
//! * Topic and payload of a decoded [`Publish`] are slices of the buffer that was decoded, not copies.
//! * A packet that goes to many is encoded once ([`PublishTemplate`]); a recipient adds its packet id,
//!   DUP and subscription identifiers only.
//! * Neither direction nor state is known here. That a client sends no CONNACK, no Subscription Identifier
//!   in a PUBLISH and no Server Reference is for who holds the connection to check.
//!
//! Clause numbers such as `MQTT-3.3.1-4` are those of MQTT 5.0 unless 3.1.1 is named.

mod decode;
mod encode;
mod error;
mod packet;
mod packet_type;
mod property;
mod property_id;
mod publish;
mod reason;
mod redact;
mod topic;
mod varint;

pub use decode::{Decoder, decode};
pub use encode::{encode, encoded_len};
pub use error::{DecodeError, EncodeError};
pub use packet::*;
pub use packet_type::PacketType;
pub use property::*;
pub use property_id::PropertyId;
pub use publish::{PublishTemplate, Recipient};
pub use reason::ReasonCode;
pub use topic::{TopicError, TopicFilter, TopicName, matches};
