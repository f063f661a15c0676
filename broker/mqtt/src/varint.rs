//! Variable byte integers (MQTT-1.5.5): 1 to 4 bytes of 7 bits each.

/// Greatest value that four bytes express, 268,435,455; also the greatest Remaining Length (MQTT-2.1.4).
pub(crate) const VALUE_MAX: usize = 0x0FFF_FFFF;

/// Outcome of reading a variable byte integer at the front of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum VarInt {
    /// Its value and how many bytes it took.
    Value { value: u32, len: usize },
    /// The bytes end before it does.
    Incomplete,
    /// The fourth byte announces a fifth.
    TooLong,
}

pub(crate) fn read(bytes: &[u8]) -> VarInt {
    let mut value = 0;
    for (at, &byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return VarInt::Value { value, len: at + 1 };
        }
    }
    if bytes.len() < 4 { VarInt::Incomplete } else { VarInt::TooLong }
}

/// The bytes of a value in its shortest form (MQTT-1.5.5-1), and how many of the four they are. Bits above
/// [`VALUE_MAX`] are cut off.
pub(crate) fn write(value: usize) -> ([u8; 4], usize) {
    let len = len(value);
    let mut bytes = [0; 4];
    for (at, byte) in bytes.iter_mut().enumerate().take(len) {
        let more = if at + 1 < len { 0x80 } else { 0 };
        *byte = (value >> (7 * at)) as u8 & 0x7F | more;
    }
    (bytes, len)
}

/// Bytes that a value needs.
pub(crate) fn len(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of MQTT-1.5.5: the least and the greatest value of each length.
    #[test]
    fn the_table_of_the_specification() {
        for (value, expected) in [
            (0, &[0x00][..]),
            (127, &[0x7F]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xFF, 0x7F]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_151, &[0xFF, 0xFF, 0x7F]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
            (VALUE_MAX, &[0xFF, 0xFF, 0xFF, 0x7F]),
        ] {
            let (bytes, len) = write(value);
            assert_eq!(&bytes[..len], expected);
            assert_eq!(read(expected), VarInt::Value { value: value as u32, len });
            assert_eq!(read(&expected[..len - 1]), VarInt::Incomplete);
        }
        assert_eq!(read(&[0xFF, 0xFF, 0xFF, 0xFF]), VarInt::TooLong);
        assert_eq!(read(&[0x80, 0x80, 0x80, 0x80, 0x01]), VarInt::TooLong);
    }
}
