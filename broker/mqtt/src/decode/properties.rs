//! Reads properties (MQTT-2.2.2): each at most once, each with a value that it may have.

use bytes::Bytes;

use super::Reader;
use crate::{DecodeError, PropertyId, TopicName, UserProperties};

/// The readers of one property: what they set must still be empty.
impl Reader<'_> {
    /// The identifier of the next property; `None` behind the last one.
    pub(super) fn next_property(&mut self) -> Result<Option<PropertyId>, DecodeError> {
        if self.is_empty() {
            return Ok(None);
        }
        // Formally a variable byte integer, but none above 0x2A is defined.
        let id = self.u8()?;
        match PropertyId::from_wire(id) {
            Some(property) => Ok(Some(property)),
            None => Err(DecodeError::UnknownProperty { packet: self.packet(), id }),
        }
    }

    pub(super) fn not_allowed(&self, property: PropertyId) -> DecodeError {
        DecodeError::PropertyNotAllowed { packet: self.packet(), property }
    }

    pub(super) fn bad_value(&self, property: PropertyId, value: u32) -> DecodeError {
        DecodeError::PropertyValue { packet: self.packet(), property, value }
    }

    pub(super) fn once<T>(&self, id: PropertyId, slot: &mut Option<T>, value: T) -> Result<(), DecodeError> {
        if slot.is_some() {
            return Err(DecodeError::DuplicateProperty { packet: self.packet(), property: id });
        }
        *slot = Some(value);
        Ok(())
    }

    /// A byte that is 0 or 1.
    pub(super) fn set_flag(&mut self, id: PropertyId, slot: &mut Option<bool>) -> Result<(), DecodeError> {
        let value = match self.u8()? {
            0 => false,
            1 => true,
            other => return Err(self.bad_value(id, other.into())),
        };
        self.once(id, slot, value)
    }

    pub(super) fn set_u16(&mut self, id: PropertyId, slot: &mut Option<u16>) -> Result<(), DecodeError> {
        let value = self.u16()?;
        self.once(id, slot, value)
    }

    /// A two-byte integer that is not 0.
    pub(super) fn set_u16_above_0(
        &mut self,
        id: PropertyId,
        slot: &mut Option<u16>,
    ) -> Result<(), DecodeError> {
        match self.u16()? {
            0 => Err(self.bad_value(id, 0)),
            value => self.once(id, slot, value),
        }
    }

    pub(super) fn set_u32(&mut self, id: PropertyId, slot: &mut Option<u32>) -> Result<(), DecodeError> {
        let value = self.u32()?;
        self.once(id, slot, value)
    }

    /// A four-byte integer that is not 0.
    pub(super) fn set_u32_above_0(
        &mut self,
        id: PropertyId,
        slot: &mut Option<u32>,
    ) -> Result<(), DecodeError> {
        match self.u32()? {
            0 => Err(self.bad_value(id, 0)),
            value => self.once(id, slot, value),
        }
    }

    pub(super) fn set_text(&mut self, id: PropertyId, slot: &mut Option<Bytes>) -> Result<(), DecodeError> {
        let value = self.text()?;
        self.once(id, slot, value)
    }

    pub(super) fn set_binary(&mut self, id: PropertyId, slot: &mut Option<Bytes>) -> Result<(), DecodeError> {
        let value = self.binary()?;
        self.once(id, slot, value)
    }

    /// A response topic: a topic name (MQTT-3.3.2-13, MQTT-3.3.2-14).
    pub(super) fn set_response_topic(&mut self, slot: &mut Option<Bytes>) -> Result<(), DecodeError> {
        let topic = TopicName::new(self.binary()?)
            .map_err(|error| DecodeError::ResponseTopic { packet: self.packet(), error })?;
        self.once(PropertyId::ResponseTopic, slot, topic.into())
    }

    /// A Subscription Identifier, 1 to 268,435,455.
    pub(super) fn subscription_id(&mut self) -> Result<u32, DecodeError> {
        match self.varint()? {
            0 => Err(self.bad_value(PropertyId::SubscriptionIdentifier, 0)),
            id => Ok(id),
        }
    }

    /// A user property: the one that may come again, its order kept (MQTT-3.3.2-18).
    pub(super) fn push_user(&mut self, into: &mut UserProperties) -> Result<(), DecodeError> {
        let name = self.text()?;
        let value = self.text()?;
        into.push((name, value));
        Ok(())
    }
}

/// Properties of the packets that only explain themselves: Reason String and user properties.
pub(super) fn read_explanation(
    reader: &mut Reader<'_>,
    reason_string: &mut Option<Bytes>,
    user_properties: &mut UserProperties,
) -> Result<(), DecodeError> {
    let mut properties = reader.properties()?;
    while let Some(id) = properties.next_property()? {
        match id {
            PropertyId::ReasonString => properties.set_text(id, reason_string)?,
            PropertyId::UserProperty => properties.push_user(user_properties)?,
            other => return Err(properties.not_allowed(other)),
        }
    }
    Ok(())
}
