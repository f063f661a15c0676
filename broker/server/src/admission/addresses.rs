//! What each address has: connections, handshakes, and how fast it came.

use super::Refusal;
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Limits of one address; 0 for none.
#[derive(Debug, Clone, Copy)]
pub(super) struct PerAddress {
    pub(super) connections_max: u32,
    pub(super) handshakes_max: u32,
    pub(super) per_second: u32,
    pub(super) burst: u32,
}

/// Whom connections are counted for: an IPv4 address, or the /64 that an IPv6 address is in, which is what one customer
/// of a provider has at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Block(u64);

/// Begins no IPv6 address that is in use: 0000:0001::/32.
const IPV4: u64 = 1 << 32;

impl Block {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(IPV4 | u64::from(u32::from(address))),
            IpAddr::V6(address) => Self((u128::from(address) >> 64) as u64),
        }
    }
}

#[derive(Debug, Default)]
struct Entry {
    connections: u32,
    handshakes: u32,
    /// When the next connection would be due, had they all come at the allowed rate; microseconds.
    due_us: u64,
}

const SHARDS: usize = 16;

/// Addresses that have connections, or came too fast just now.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    shards: [Mutex<HashMap<Block, Entry>>; SHARDS],
    hasher: RandomState,
}

impl Addresses {
    fn shard(&self, block: Block) -> MutexGuard<'_, HashMap<Block, Entry>> {
        let shard = &self.shards[self.hasher.hash_one(block) as usize % SHARDS];
        // Numbers are changed one by one: a panic elsewhere leaves them whole.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more connection, which has its handshake before it.
    pub(super) fn enter(&self, block: Block, limits: &PerAddress, now_us: u64) -> Result<(), Refusal> {
        const SECOND_US: u64 = 1_000_000;
        let mut shard = self.shard(block);
        let entry = shard.entry(block).or_default();
        if limits.connections_max > 0 && entry.connections >= limits.connections_max {
            return Err(Refusal::AddressConnections);
        }
        if limits.handshakes_max > 0 && entry.handshakes >= limits.handshakes_max {
            return Err(Refusal::AddressHandshakes);
        }
        if limits.per_second > 0 {
            let each_us = SECOND_US / u64::from(limits.per_second);
            let due_us = entry.due_us.max(now_us) + each_us;
            let early_us = (due_us - now_us).saturating_sub(each_us * u64::from(limits.burst));
            if early_us > 0 {
                let retry_after_s = u32::try_from(early_us.div_ceil(SECOND_US)).unwrap_or(u32::MAX);
                return Err(Refusal::AddressRate { retry_after_s });
            }
            entry.due_us = due_us;
        }
        entry.connections += 1;
        entry.handshakes += 1;
        Ok(())
    }

    pub(super) fn settle(&self, block: Block) {
        if let Some(entry) = self.shard(block).get_mut(&block) {
            entry.handshakes = entry.handshakes.saturating_sub(1);
        }
    }

    pub(super) fn leave(&self, block: Block, now_us: u64) {
        let mut shard = self.shard(block);
        let Some(entry) = shard.get_mut(&block) else { return };
        entry.connections = entry.connections.saturating_sub(1);
        if entry.connections == 0 && entry.due_us <= now_us {
            shard.remove(&block);
        }
    }

    pub(super) fn sweep(&self, now_us: u64) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, entry| entry.connections > 0 || entry.due_us > now_us);
            if shard.capacity() > 4 * shard.len().max(64) {
                shard.shrink_to_fit();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PerAddress = PerAddress { connections_max: 0, handshakes_max: 0, per_second: 10, burst: 3 };

    fn block(address: &str) -> Block {
        Block::of(address.parse().unwrap())
    }

    #[test]
    fn an_ipv6_address_stands_for_its_network() {
        assert_eq!(block("2001:db8::1"), block("2001:db8::ffff:1"));
        assert_ne!(block("2001:db8::1"), block("2001:db8:0:1::1"));
        assert_eq!(block("::ffff:10.0.0.1"), block("10.0.0.1"));
        assert_ne!(block("10.0.0.1"), block("10.0.0.2"));
        assert_ne!(block("0.0.0.0"), block("::1"));
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let (addresses, block) = (Addresses::default(), block("10.0.0.1"));
        for _ in 0..3 {
            addresses.enter(block, &LIMITS, 0).unwrap();
        }
        let refused = Err(Refusal::AddressRate { retry_after_s: 1 });
        assert_eq!(addresses.enter(block, &LIMITS, 0), refused);
        // A refused one does not make the wait longer.
        assert_eq!(addresses.enter(block, &LIMITS, 99_999), refused);
        addresses.enter(block, &LIMITS, 100_000).unwrap();
        assert_eq!(addresses.enter(block, &LIMITS, 100_000), refused);
        addresses.enter(block, &PerAddress { per_second: 0, ..LIMITS }, 100_000).unwrap();
    }

    #[test]
    fn an_address_without_connections_is_forgotten_when_it_may_burst_again() {
        let (addresses, block) = (Addresses::default(), block("10.0.0.1"));
        let known = || addresses.shards.iter().map(|shard| shard.lock().unwrap().len()).sum::<usize>();
        addresses.enter(block, &LIMITS, 0).unwrap();
        addresses.leave(block, 50_000);
        addresses.sweep(99_999);
        assert_eq!(known(), 1);
        addresses.sweep(100_000);
        assert_eq!(known(), 0);
        addresses.enter(block, &LIMITS, 0).unwrap();
        addresses.sweep(u64::MAX);
        assert_eq!(known(), 1, "it is there");
        addresses.leave(block, 200_000);
        assert_eq!(known(), 0);
    }
}
