//! Writes properties (MQTT-2.2.2): their length, then each that is present.

use bytes::Bytes;

use super::out::{Measure, Out};
use crate::{EncodeError, PacketType, PropertyId, UserProperties};

/// The properties of one packet, in the order in which they are written.
pub(crate) trait Properties {
    fn put<O: Out>(&self, out: &mut O) -> Result<(), EncodeError>;
}

/// Writes the length of the properties and the properties.
pub(crate) fn put_properties<O: Out>(properties: &impl Properties, out: &mut O) -> Result<(), EncodeError> {
    let mut measured = Measure::default();
    properties.put(&mut measured)?;
    out.varint(measured.len);
    properties.put(out)
}

/// One line for each property of a packet: what is `None` is not written.
pub(crate) trait PutProperty: Out + Sized {
    fn flag_property(&mut self, id: PropertyId, value: Option<bool>) {
        self.u8_property(id, value.map(u8::from));
    }

    fn u8_property(&mut self, id: PropertyId, value: Option<u8>) {
        if let Some(value) = value {
            self.put(&[id as u8, value]);
        }
    }

    fn u16_property(&mut self, id: PropertyId, value: Option<u16>) {
        if let Some(value) = value {
            self.u8(id as u8);
            self.u16(value);
        }
    }

    fn u32_property(&mut self, id: PropertyId, value: Option<u32>) {
        if let Some(value) = value {
            self.u8(id as u8);
            self.u32(value);
        }
    }

    fn subscription_id_property(&mut self, value: u32) {
        self.u8(PropertyId::SubscriptionIdentifier as u8);
        self.varint(value as usize);
    }

    fn text_property(&mut self, id: PropertyId, value: &Option<Bytes>) -> Result<(), EncodeError> {
        let Some(value) = value else { return Ok(()) };
        self.u8(id as u8);
        self.text(value)
    }

    fn binary_property(&mut self, id: PropertyId, value: &Option<Bytes>) -> Result<(), EncodeError> {
        let Some(value) = value else { return Ok(()) };
        self.u8(id as u8);
        self.binary(value)
    }

    fn user_properties(&mut self, properties: &UserProperties) -> Result<(), EncodeError> {
        properties.iter().try_for_each(|(name, value)| self.user_property(name, value))
    }

    fn user_property(&mut self, name: &[u8], value: &[u8]) -> Result<(), EncodeError> {
        self.u8(PropertyId::UserProperty as u8);
        self.text(name)?;
        self.text(value)
    }
}

impl<O: Out> PutProperty for O {}

/// Reason String and user properties: all that most answers have.
pub(crate) struct Explanation<'a> {
    pub(crate) reason_string: &'a Option<Bytes>,
    pub(crate) user_properties: &'a UserProperties,
}

impl Explanation<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.reason_string.is_none() && self.user_properties.is_empty()
    }
}

impl Properties for Explanation<'_> {
    fn put<O: Out>(&self, out: &mut O) -> Result<(), EncodeError> {
        out.text_property(PropertyId::ReasonString, self.reason_string)?;
        out.user_properties(self.user_properties)
    }
}

/// Refuses a property whose value must not be 0.
pub(crate) fn not_zero(
    packet: PacketType,
    property: PropertyId,
    value: Option<u32>,
) -> Result<(), EncodeError> {
    match value {
        Some(0) => Err(EncodeError::PropertyValue { packet, property, value: 0 }),
        _ => Ok(()),
    }
}

/// Subscription Identifiers are 1 to 268,435,455 (MQTT-3.8.2.1.2).
pub(crate) fn check_subscription_id(packet: PacketType, value: u32) -> Result<(), EncodeError> {
    if value == 0 || value as usize > crate::varint::VALUE_MAX {
        let property = PropertyId::SubscriptionIdentifier;
        return Err(EncodeError::PropertyValue { packet, property, value });
    }
    Ok(())
}
