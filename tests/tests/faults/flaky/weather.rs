//! What a connection suffers, and in which order: dealt from a deck that the seed has shuffled, so that everything
//! comes before anything comes a second time.

use crate::rng::Rng;
use std::{collections::BTreeMap, fmt, time::Duration};

/// Bytes a second of a narrow line.
pub(super) const NARROW_BYTES_PER_S: u64 = 20_000;
/// One way of a round trip of two seconds.
pub(super) const FAR: Duration = Duration::from_secs(1);

/// A direction through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From the client.
    Up,
    /// From the server.
    Down,
}

/// For whom a connection goes on to look alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// For both: nothing passes any more, and nobody is told.
    Both,
    /// For the client: the server saw the connection end.
    Client,
    /// For the server: the client saw the connection end.
    Server,
}

/// What happens to a connection next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    /// As it comes.
    Clear,
    /// 20 kB/s.
    Narrow,
    /// Round trips of 2 s.
    Far,
    /// Byte by byte.
    Drip,
    /// Nothing passes for a while.
    Stall,
    /// The connection ends in the middle of a packet of this direction.
    Cut(Way),
    /// The connection is gone, and somebody does not know it.
    HalfOpen(Left),
}

/// How often each comes.
const CARDS: [Weather; 14] = [
    Weather::Clear,
    Weather::Clear,
    Weather::Clear,
    Weather::Narrow,
    Weather::Far,
    Weather::Drip,
    Weather::Stall,
    Weather::Cut(Way::Up),
    Weather::Cut(Way::Up),
    Weather::Cut(Way::Down),
    Weather::Cut(Way::Down),
    Weather::HalfOpen(Left::Both),
    Weather::HalfOpen(Left::Client),
    Weather::HalfOpen(Left::Server),
];

impl Weather {
    /// The kinds, for counting.
    pub(super) const KINDS: [&'static str; 8] = [
        "clear",
        "20 kB/s",
        "2 s round trip",
        "byte by byte",
        "stall",
        "cut",
        "half-open",
        "cut in mid-packet",
    ];

    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Narrow => "20 kB/s",
            Self::Far => "2 s round trip",
            Self::Drip => "byte by byte",
            Self::Stall => "stall",
            Self::Cut(_) => "cut",
            Self::HalfOpen(_) => "half-open",
        }
    }

    /// How long it lasts. A cut waits so long for a packet to cut; what is half-open stays so.
    fn lasts(self, rng: &mut Rng) -> Duration {
        rng.millis(match self {
            Self::Clear => 200..1_500,
            Self::Narrow | Self::Drip => 1_000..3_000,
            Self::Far => 3_000..6_000,
            // Up to more than keep alive allows.
            Self::Stall => 500..7_000,
            Self::Cut(_) => 2_000..2_001,
            Self::HalfOpen(_) => 0..1,
        })
    }
}

/// A stretch of one weather.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spell {
    pub(super) weather: Weather,
    pub(super) lasts: Duration,
}

/// Where the weather comes from.
pub(super) struct Deck {
    rng: Rng,
    cards: Vec<Weather>,
}

impl Deck {
    pub(super) fn new(rng: Rng) -> Self {
        Self { rng, cards: Vec::new() }
    }

    /// The next spell, of whichever connection asks.
    pub(super) fn deal(&mut self) -> Spell {
        if self.cards.is_empty() {
            self.cards = CARDS.to_vec();
        }
        let at = self.rng.within(0..self.cards.len() as u64) as usize;
        let weather = self.cards.swap_remove(at);
        Spell { weather, lasts: weather.lasts(&mut self.rng) }
    }
}

/// What has happened, by kind.
#[derive(Debug, Default, Clone)]
pub(super) struct Tally {
    pub(super) connections: u64,
    pub(super) counts: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(super) fn count(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_default() += 1;
    }

    /// The kinds that have not come.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        Weather::KINDS.into_iter().filter(|kind| !self.counts.contains_key(kind)).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} connections", self.connections)?;
        self.counts.iter().try_for_each(|(kind, count)| write!(f, ", {kind} {count}"))
    }
}

#[test]
fn the_same_seed_deals_the_same_weather() {
    let deal = |seed| {
        let mut deck = Deck::new(Rng::new(seed));
        (0..100).map(|_| deck.deal()).map(|spell| (spell.weather, spell.lasts)).collect::<Vec<_>>()
    };
    assert_eq!(deal(7), deal(7));
    assert_ne!(deal(7), deal(8));
    let first: Vec<_> = deal(7)[..CARDS.len()].iter().map(|(weather, _)| weather.kind()).collect();
    assert!(Weather::KINDS[..7].iter().all(|kind| first.contains(kind)), "{first:?}");
}
