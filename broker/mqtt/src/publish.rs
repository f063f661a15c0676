//! A PUBLISH for many.
use bytes::BytesMut;
use crate::{EncodeError, PacketId, PublishProperties, QoS, TopicName, Version};
/// Template.
#[derive(Debug, Clone)]
pub struct PublishTemplate;
/// Recipient.
#[derive(Debug, Clone, Copy)]
pub struct Recipient<'a> {
    /// QoS.
    pub qos: QoS,
    /// DUP.
    pub dup: bool,
    /// Id.
    pub packet_id: Option<PacketId>,
    /// Subscription ids.
    pub subscription_ids: &'a [u32],
    /// Alias.
    pub topic_alias: Option<(u16, bool)>,
    /// Retain.
    pub retain: bool,
}
impl PublishTemplate {
    /// New.
    pub fn new(_version: Version, _topic: &TopicName, _properties: &PublishProperties, _payload: &[u8], _retain: bool) -> Result<Self, EncodeError> { Ok(Self) }
    /// Length.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self, _r: &Recipient<'_>) -> usize { 0 }
    /// Writes.
    pub fn write(&self, _r: &Recipient<'_>, _out: &mut BytesMut) {}
}
