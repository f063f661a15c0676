//! `Received`: user (16) ‖ device (16) ‖ packet id (2) → nothing for a free message; for a message of a conversation the
//! `IdRecord` of where it is.
//!
//! QoS 2 publishes of a durable session whose PUBREL has not come: the same packet id is the same message until then.

use super::{SessionKey, join};
use std::num::NonZeroU16;

/// The key of a packet id.
pub fn received_key(session: SessionKey, packet_id: NonZeroU16) -> [u8; 34] {
    join(&[&session.user.0, &session.device.0, &packet_id.get().to_be_bytes()])
}

/// The session and packet id of a key.
pub fn parse_received_key(key: &[u8]) -> Option<(SessionKey, NonZeroU16)> {
    let packet_id = u16::from_be_bytes(key.get(32..)?.try_into().ok()?);
    Some((SessionKey::parse(key)?, NonZeroU16::new(packet_id)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{UserId, record::DeviceId};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_round_trip(user: [u8; 16], device: [u8; 16], packet_id: NonZeroU16) {
            let session = SessionKey { user: UserId(user), device: DeviceId(device) };
            prop_assert_eq!(parse_received_key(&received_key(session, packet_id)), Some((session, packet_id)));
        }
    }
}
