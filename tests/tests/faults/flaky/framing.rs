//! Where packets begin and end in a stream of bytes: just enough of MQTT to cut one in its middle.

/// A position within a stream of packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// Before the first byte of a packet.
    #[default]
    Between,
    /// In the length that follows the first byte: what was read of it, and the next byte's place in it.
    Length { read: usize, shift: u32 },
    /// So many bytes are left of this packet.
    Within { left: usize },
}

impl Place {
    /// The place after one more byte.
    pub(super) fn after(self, byte: u8) -> Self {
        match self {
            Self::Between => Self::Length { read: 0, shift: 0 },
            Self::Length { read, shift } => {
                let read = read | usize::from(byte & 0x7F) << shift;
                match (byte & 0x80 != 0, read) {
                    (true, _) => Self::Length { read, shift: shift + 7 },
                    (false, 0) => Self::Between,
                    (false, left) => Self::Within { left },
                }
            }
            Self::Within { left: 1 } => Self::Between,
            Self::Within { left } => Self::Within { left: left - 1 },
        }
    }

    /// The place after these bytes.
    pub(super) fn after_all(self, bytes: &[u8]) -> Self {
        bytes.iter().fold(self, |place, byte| place.after(*byte))
    }

    /// How many of these bytes could be passed on so that a packet is left unfinished: each such number.
    pub(super) fn cuts(self, bytes: &[u8]) -> Vec<usize> {
        let mut place = self;
        let mut cuts = Vec::new();
        for (index, byte) in bytes.iter().enumerate() {
            place = place.after(*byte);
            if place != Self::Between {
                cuts.push(index + 1);
            }
        }
        cuts
    }
}

#[test]
fn a_cut_leaves_a_packet_unfinished() {
    // PINGREQ, then a packet of three bytes after its length, then one with a length of two bytes.
    let mut bytes = vec![0xC0, 0, 0x30, 3, b'a', b'b', b'c', 0x30, 0x80, 1];
    bytes.extend([0; 128]);
    let cuts = Place::default().cuts(&bytes);
    assert_eq!(cuts[..8], [1, 3, 4, 5, 6, 8, 9, 10]);
    assert_eq!(cuts.len(), bytes.len() - 3, "not behind one of the three");
    assert_eq!(Place::default().after_all(&bytes), Place::Between);
    let half = Place::default().after_all(&bytes[..5]);
    assert_eq!(half, Place::Within { left: 2 });
    assert_eq!(half.cuts(&bytes[5..7]), [1]);
}
