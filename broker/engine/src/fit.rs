//! Acknowledgements without what the client does not want or cannot take: reason strings and user properties
//! are left out when the client asked for none (MQTT-3.1.2-29) or when the packet would be larger than its
//! Maximum Packet Size (MQTT-3.4.2-2, MQTT-3.4.2-3, MQTT-3.5.2-2, MQTT-3.5.2-3, MQTT-3.9.2-1, MQTT-3.9.2-2,
//! MQTT-3.11.2-1).

use bytes::Bytes;
use parlance_mqtt::{UserProperties, Version};

use crate::SessionConfig;

/// Fixed header, packet id, reason code and property length, at their longest.
const FRAME_BYTES: usize = 1 + 4 + 2 + 1 + 4;

/// A DISCONNECT without what the client cannot take (MQTT-3.14.2-3). It may explain itself to clients that want no
/// problem information too (MQTT-3.1.2-29).
pub(crate) fn fit_disconnect(config: &SessionConfig, reason_string: Option<Bytes>) -> Option<Bytes> {
    let max = config.client_packet_max.unwrap_or(u32::MAX);
    let fits = |it: &Bytes| (FRAME_BYTES + 3 + it.len()) as u64 <= u64::from(max);
    reason_string.filter(fits)
}

/// Empties what must not be sent. `codes`: bytes of reason codes besides the first.
pub(crate) fn fit(
    config: &SessionConfig,
    codes: usize,
    reason_string: &mut Option<Bytes>,
    user_properties: &mut UserProperties,
) {
    if config.version == Version::V3 || !config.problem_information {
        *reason_string = None;
        user_properties.clear();
        return;
    }
    let Some(max) = config.client_packet_max else { return };
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let string_bytes = reason_string.as_ref().map_or(0, |it| 3 + it.len());
    let property_bytes: usize =
        user_properties.iter().map(|(name, value)| 5 + name.len() + value.len()).sum();
    let plain = FRAME_BYTES + codes;
    if plain + string_bytes + property_bytes <= max {
        return;
    }
    // The properties are for programs (`seq`, time), the string is for people: the string goes first.
    *reason_string = None;
    if plain + property_bytes > max {
        user_properties.clear();
    }
}
