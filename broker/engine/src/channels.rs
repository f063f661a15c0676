//! Which subscriptions of a device want a message.

/// A set of at most eight channels. A channel is one subscription of the device as the server numbers them
/// (payload format × filter); the engine only needs to know how many packets a message becomes, and of which QoS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Channels(u8);

impl Channels {
    /// Nobody wants it: the cursor passes over the message.
    pub const NONE: Self = Self(0);
    /// Channels are numbered from 0 to `COUNT - 1`.
    pub const COUNT: u8 = 8;

    /// The set with these bits; bit `n` is channel `n`.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The set as bits.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set of one channel. A number of [`COUNT`](Self::COUNT) or more is no channel: the empty set.
    pub const fn one(channel: u8) -> Self {
        if channel < Self::COUNT { Self(1 << channel) } else { Self(0) }
    }

    /// This set and `channel`.
    pub const fn with(self, channel: u8) -> Self {
        Self(self.0 | Self::one(channel).0)
    }

    /// This set without `channel`.
    pub const fn without(self, channel: u8) -> Self {
        Self(self.0 & !Self::one(channel).0)
    }

    /// What is in this set and not in `other`.
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether `channel` is in the set.
    pub const fn contains(self, channel: u8) -> bool {
        self.0 & Self::one(channel).0 != 0
    }

    /// Whether no channel is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many channels are in the set.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// The lowest channel in the set.
    pub const fn first(self) -> Option<u8> {
        if self.0 == 0 { None } else { Some(self.0.trailing_zeros() as u8) }
    }
}

impl FromIterator<u8> for Channels {
    fn from_iter<I: IntoIterator<Item = u8>>(channels: I) -> Self {
        channels.into_iter().fold(Self::NONE, Self::with)
    }
}
