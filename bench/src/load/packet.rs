//! What a broker says, read where it lies.

use super::wire::Version;

/// One packet; slices of the read buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// The answer to CONNECT.
    Connack {
        /// There was a session.
        session_present: bool,
        /// 0: let in.
        code: u8,
        /// Publishes that may wait for their PUBACK at once.
        receive_maximum: u16,
    },
    /// The answer to SUBSCRIBE, of one filter.
    Suback {
        /// The QoS that is given, or 0x80 and above.
        code: u8,
    },
    /// A message.
    Publish {
        /// It may have come before.
        dup: bool,
        /// 0, 1 or 2.
        qos: u8,
        /// 0 with QoS 0.
        packet_id: u16,
        /// The content.
        payload: &'a [u8],
    },
    /// A message of ours is acknowledged.
    Puback {
        /// Which.
        packet_id: u16,
        /// 0x80 and above: refused.
        code: u8,
    },
    /// The broker hangs up.
    Disconnect {
        /// Why.
        code: u8,
    },
    /// Anything else.
    Other,
}

/// The bytes are no MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what came from the broker is no MQTT")]
pub(crate) struct Malformed;

/// The first packet of `bytes` and its size, once it is there whole.
pub(crate) fn next(bytes: &[u8], version: Version) -> Result<Option<(Packet<'_>, usize)>, Malformed> {
    let Some((&first, behind)) = bytes.split_first() else { return Ok(None) };
    let Some((length, digits)) = integer(behind)? else { return Ok(None) };
    let begins = 1 + digits;
    let Some(body) = bytes.get(begins..begins + length) else { return Ok(None) };
    Ok(Some((parse(first, body, version)?, begins + length)))
}

fn parse(first: u8, body: &[u8], version: Version) -> Result<Packet<'_>, Malformed> {
    match first >> 4 {
        3 => publish(first, body, version),
        4 => {
            let (packet_id, behind) = number(body)?;
            Ok(Packet::Puback { packet_id, code: behind.first().copied().unwrap_or(0) })
        }
        2 => connack(body, version),
        9 => {
            let code = body.last().copied().ok_or(Malformed)?;
            Ok(Packet::Suback { code })
        }
        14 => Ok(Packet::Disconnect { code: body.first().copied().unwrap_or(0) }),
        0 | 15 => Err(Malformed),
        _ => Ok(Packet::Other),
    }
}

fn publish(first: u8, body: &[u8], version: Version) -> Result<Packet<'_>, Malformed> {
    let (topic_bytes, behind) = number(body)?;
    let mut behind = behind.get(usize::from(topic_bytes)..).ok_or(Malformed)?;
    let qos = first >> 1 & 3;
    let mut packet_id = 0;
    if qos > 0 {
        (packet_id, behind) = number(behind)?;
    }
    if version == Version::V5 {
        let (properties, digits) = integer(behind)?.ok_or(Malformed)?;
        behind = behind.get(digits + properties..).ok_or(Malformed)?;
    }
    Ok(Packet::Publish { dup: first & 8 != 0, qos, packet_id, payload: behind })
}

fn connack(body: &[u8], version: Version) -> Result<Packet<'_>, Malformed> {
    let (&flags, behind) = body.split_first().ok_or(Malformed)?;
    let (&code, behind) = behind.split_first().ok_or(Malformed)?;
    let mut receive_maximum = u16::MAX;
    if version == Version::V5 && !behind.is_empty() {
        let (length, digits) = integer(behind)?.ok_or(Malformed)?;
        let properties = behind.get(digits..digits + length).ok_or(Malformed)?;
        if let Some(value) = receive_maximum_of(properties)? {
            receive_maximum = value;
        }
    }
    Ok(Packet::Connack { session_present: flags & 1 == 1, code, receive_maximum })
}

/// Walks the properties of a CONNACK (MQTT 5, 3.2.2.3) to the one that is of use here.
fn receive_maximum_of(mut properties: &[u8]) -> Result<Option<u16>, Malformed> {
    while let Some((&id, behind)) = properties.split_first() {
        let size = match id {
            0x21 => return Ok(Some(number(behind)?.0)),
            0x24 | 0x25 | 0x28 | 0x29 | 0x2A => 1,
            0x13 | 0x22 => 2,
            0x11 | 0x27 => 4,
            0x12 | 0x15 | 0x16 | 0x1A | 0x1C | 0x1F => 2 + usize::from(number(behind)?.0),
            0x26 => {
                let name = 2 + usize::from(number(behind)?.0);
                let value = behind.get(name..).ok_or(Malformed)?;
                name + 2 + usize::from(number(value)?.0)
            }
            _ => return Err(Malformed),
        };
        properties = behind.get(size..).ok_or(Malformed)?;
    }
    Ok(None)
}

fn number(bytes: &[u8]) -> Result<(u16, &[u8]), Malformed> {
    let (number, behind) = bytes.split_first_chunk::<2>().ok_or(Malformed)?;
    Ok((u16::from_be_bytes(*number), behind))
}

/// A variable byte integer and how many digits it has; `None` while it is not whole.
fn integer(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let mut value = 0;
    for (place, &digit) in bytes.iter().take(4).enumerate() {
        value |= usize::from(digit & 0x7F) << (7 * place);
        if digit & 0x80 == 0 {
            return Ok(Some((value, place + 1)));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(bytes: &[u8], version: Version) -> Packet<'_> {
        let (packet, size) = next(bytes, version).expect("well formed").expect("whole");
        assert_eq!(size, bytes.len());
        packet
    }

    #[test]
    fn a_packet_that_is_not_whole_is_waited_for() {
        let whole = b"\x32\x0A\x00\x01t\x00\x07\x00abcd";
        for cut in 0..whole.len() {
            assert_eq!(next(&whole[..cut], Version::V5), Ok(None), "{cut}");
        }
        let expected = Packet::Publish { dup: false, qos: 1, packet_id: 7, payload: b"abcd" };
        assert_eq!(one(whole, Version::V5), expected);
    }

    #[test]
    fn the_properties_of_a_message_are_passed_over() {
        let bytes = b"\x3A\x0F\x00\x01t\x00\x07\x07\x26\x00\x01k\x00\x01vab";
        let expected = Packet::Publish { dup: true, qos: 1, packet_id: 7, payload: b"ab" };
        assert_eq!(one(bytes, Version::V5), expected);
        let expected = Packet::Publish { dup: false, qos: 0, packet_id: 0, payload: b"ab" };
        assert_eq!(one(b"\x30\x05\x00\x01tab", Version::V311), expected);
    }

    #[test]
    fn acknowledgements_come_short_and_long() {
        assert_eq!(one(b"\x40\x02\x01\x02", Version::V5), Packet::Puback { packet_id: 0x102, code: 0 });
        let refused = Packet::Puback { packet_id: 1, code: 0x97 };
        assert_eq!(one(b"\x40\x04\x00\x01\x97\x00", Version::V5), refused);
        assert_eq!(one(b"\x90\x03\x00\x01\x01", Version::V311), Packet::Suback { code: 1 });
        assert_eq!(one(b"\x90\x04\x00\x01\x00\x87", Version::V5), Packet::Suback { code: 0x87 });
    }

    #[test]
    fn the_receive_maximum_is_found_behind_other_properties() {
        let bytes = b"\x20\x15\x01\x00\x12\x12\x00\x03cid\x26\x00\x01k\x00\x01v\x25\x01\x21\x01\x00";
        let expected = Packet::Connack { session_present: true, code: 0, receive_maximum: 256 };
        assert_eq!(one(bytes, Version::V5), expected);
        let expected = Packet::Connack { session_present: false, code: 5, receive_maximum: u16::MAX };
        assert_eq!(one(b"\x20\x02\x00\x05", Version::V311), expected);
    }

    #[test]
    fn what_is_no_mqtt_is_an_error_and_never_a_panic() {
        assert_eq!(next(b"\x30\xFF\xFF\xFF\xFF\x01", Version::V5), Err(Malformed));
        assert_eq!(next(b"\x32\x03\x00\x09t", Version::V5), Err(Malformed));
        assert_eq!(next(b"\x20\x05\x00\x00\x02\x7F\x00", Version::V5), Err(Malformed));
        for first in 0..=u8::MAX {
            for fill in [0_u8, 1, 0x21, 0x26, 0x7F, 0xFF] {
                let bytes = [first, 8, fill, fill, fill, fill, fill, fill, fill, fill];
                for version in [Version::V311, Version::V5] {
                    let _ = next(&bytes, version);
                }
            }
        }
    }
}
