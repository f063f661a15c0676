//! Who may connect now, how fast a connection may speak, and how much memory all of them may hold.
//!
//! A connection is judged once, when it is accepted, before it costs a handshake: by its address (IPv6: its /64), and by
//! how many there are. What is over a limit still gets an answer: it keeps a [`Permit`] that carries the refusal, so that
//! its CONNECT is answered with a reason and a time to come back. Only a bounded number of those is answered at once;
//! past it connections are closed.
//!
//! All limits can change while the server runs.

mod addresses;
mod inflight;
mod pace;
mod permit;
pub(crate) mod relief;

pub(crate) use inflight::{Held, Inflight};

pub(crate) use pace::{Pace, Rates};
pub(crate) use permit::{Permit, Refusal};

use crate::{
    config::{Limits, Network},
    listen::descriptors,
};
use addresses::{Addresses, Block, PerAddress};
use std::{
    net::IpAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Connections over a limit that are told so at the same time, and at most which part of the descriptors for
/// connections these use; more are closed without a word.
const REFUSING_MAX: usize = 1_024;
const REFUSING_SHARE: usize = 8;

/// The limits of admission.
#[derive(Debug, Clone)]
struct Rules {
    /// As configured, or as many as there are descriptors for.
    connections_max: usize,
    refusing_max: usize,
    handshakes_max: usize,
    connections_per_user_max: usize,
    inflight_bytes_max: usize,
    per_address: PerAddress,
    trusted: Vec<Network>,
}

impl From<&Limits> for Rules {
    fn from(limits: &Limits) -> Self {
        let descriptors = descriptors::for_connections();
        let refusing_max = REFUSING_MAX.min(descriptors / REFUSING_SHARE);
        Self {
            connections_max: limits.connections_max.min(descriptors - refusing_max),
            refusing_max,
            handshakes_max: limits.handshakes_max,
            connections_per_user_max: limits.connections_per_user_max,
            inflight_bytes_max: limits.inflight_bytes_max,
            per_address: PerAddress {
                connections_max: limits.connections_per_address_max,
                handshakes_max: limits.handshakes_per_address_max,
                per_second: limits.connects_per_second_per_address,
                burst: limits.connects_burst_per_address,
            },
            trusted: limits.trusted_addresses.clone(),
        }
    }
}

/// The doorkeeper of all listeners.
#[derive(Debug)]
pub(crate) struct Admission {
    rules: RwLock<Arc<Rules>>,
    packets_per_second_max: AtomicU32,
    bytes_per_second_max: AtomicU32,
    over_rate_s_max: AtomicU32,
    connect_timeout_ms: AtomicU64,
    addresses: Addresses,
    connections: AtomicUsize,
    handshakes: AtomicUsize,
    refusing: AtomicUsize,
    inflight: Inflight,
    epoch: Instant,
}

impl Admission {
    /// With the limits of a configuration; `inflight` is what is counted elsewhere, too.
    pub(crate) fn new(limits: &Limits, inflight: Inflight) -> Self {
        Self {
            rules: RwLock::new(Arc::new(limits.into())),
            packets_per_second_max: AtomicU32::new(limits.packets_per_second_max),
            bytes_per_second_max: AtomicU32::new(limits.bytes_per_second_max),
            over_rate_s_max: AtomicU32::new(limits.over_rate_s_max),
            connect_timeout_ms: AtomicU64::new(limits.connect_timeout_ms),
            addresses: Addresses::default(),
            connections: AtomicUsize::new(0),
            handshakes: AtomicUsize::new(0),
            refusing: AtomicUsize::new(0),
            inflight,
            epoch: Instant::now(),
        }
    }

    /// Other limits from now on. Who is in stays in.
    pub(crate) fn set_limits(&self, limits: &Limits) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits.into());
        self.packets_per_second_max.store(limits.packets_per_second_max, Relaxed);
        self.bytes_per_second_max.store(limits.bytes_per_second_max, Relaxed);
        self.over_rate_s_max.store(limits.over_rate_s_max, Relaxed);
        self.connect_timeout_ms.store(limits.connect_timeout_ms, Relaxed);
    }

    fn rules(&self) -> Arc<Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn rates(&self) -> Rates {
        Rates {
            packets_max: self.packets_per_second_max.load(Relaxed),
            bytes_max: self.bytes_per_second_max.load(Relaxed),
            over_s_max: self.over_rate_s_max.load(Relaxed),
        }
    }

    fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms.load(Relaxed))
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Judges a new connection. `None`: not even a refusal can be told.
    pub(crate) fn enter(self: &Arc<Self>, from: IpAddr) -> Option<Permit> {
        let rules = self.rules();
        let from = from.to_canonical();
        let trusted = rules.trusted.iter().any(|network| network.contains(from));
        let block = (!trusted).then(|| Block::of(from));
        match self.judge(&rules, block) {
            Ok(()) => Some(Permit::granted(self.clone(), block)),
            Err(refusal) => {
                metrics::counter!("parlance_connections_refused_total", "why" => refusal.as_str())
                    .increment(1);
                let refused = take_one(&self.refusing, rules.refusing_max);
                refused.then(|| Permit::refused(self.clone(), refusal))
            }
        }
    }

    fn judge(&self, rules: &Rules, block: Option<Block>) -> Result<(), Refusal> {
        if self.inflight.bytes() > rules.inflight_bytes_max {
            return Err(Refusal::Memory);
        }
        if !take_one(&self.connections, rules.connections_max) {
            return Err(Refusal::Connections);
        }
        if !take_one(&self.handshakes, rules.handshakes_max) {
            self.connections.fetch_sub(1, Relaxed);
            return Err(Refusal::Handshakes);
        }
        let entered =
            block.map_or(Ok(()), |block| self.addresses.enter(block, &rules.per_address, self.now_us()));
        if entered.is_err() {
            self.connections.fetch_sub(1, Relaxed);
            self.handshakes.fetch_sub(1, Relaxed);
        }
        entered
    }

    /// Whether a user who has so many other connections may have one more.
    ///
    /// # Errors
    /// [`Refusal::UserConnections`]
    pub(crate) fn user(&self, others: usize) -> Result<(), Refusal> {
        if others >= self.rules().connections_per_user_max { Err(Refusal::UserConnections) } else { Ok(()) }
    }

    /// So many are connecting that those who may lie about their address should be asked first.
    pub(crate) fn is_crowded(&self) -> bool {
        self.handshakes.load(Relaxed) > self.rules().handshakes_max / 4
    }

    /// Bytes above the limit that all connections hold together; 0 while they are within it.
    pub(crate) fn excess_bytes(&self) -> usize {
        self.inflight.bytes().saturating_sub(self.rules().inflight_bytes_max)
    }

    /// Forgets addresses that have no connections and came slowly enough. To be called every few seconds.
    pub(crate) fn sweep(&self) {
        self.addresses.sweep(self.now_us());
        metrics::gauge!("parlance_handshakes").set(self.handshakes.load(Relaxed) as f64);
        metrics::gauge!("parlance_inflight_bytes").set(self.inflight.bytes() as f64);
    }
}

/// Counts one more, unless there are as many as may be.
fn take_one(counter: &AtomicUsize, max: usize) -> bool {
    counter.fetch_update(Relaxed, Relaxed, |count| (count < max).then_some(count + 1)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn admission(change: impl FnOnce(&mut Limits)) -> Arc<Admission> {
        let mut limits = Limits { trusted_addresses: Vec::new(), ..Limits::default() };
        change(&mut limits);
        Arc::new(Admission::new(&limits, Inflight::default()))
    }

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    fn refusal(admission: &Arc<Admission>, from: IpAddr) -> Option<Refusal> {
        admission.enter(from).expect("told").refusal()
    }

    #[test]
    fn an_address_has_so_many_and_gets_them_back() {
        let admission = admission(|limits| limits.connections_per_address_max = 2);
        let (first, _second) = (admission.enter(address(1)), admission.enter(address(1)));
        assert_eq!(refusal(&admission, address(1)), Some(Refusal::AddressConnections));
        assert_eq!(refusal(&admission, address(2)), None);
        drop(first);
        assert_eq!(refusal(&admission, address(1)), None);
    }

    #[test]
    fn trusted_addresses_count_in_the_total_alone() {
        let admission = admission(|limits| {
            limits.connections_per_address_max = 1;
            limits.connections_max = 2;
            limits.trusted_addresses = vec!["10.0.0.0/8".parse().unwrap()];
        });
        let permits = [admission.enter(address(1)), admission.enter("::ffff:10.0.0.1".parse().unwrap())];
        assert!(permits.iter().flatten().all(|permit| permit.refusal().is_none()));
        assert_eq!(refusal(&admission, address(1)), Some(Refusal::Connections));
    }

    #[test]
    fn handshakes_end() {
        let admission =
            admission(|limits| (limits.handshakes_max, limits.handshakes_per_address_max) = (2, 1));
        let mut first = admission.enter(address(1)).unwrap();
        assert_eq!(refusal(&admission, address(1)), Some(Refusal::AddressHandshakes));
        let _second = admission.enter(address(2)).unwrap();
        assert_eq!(refusal(&admission, address(3)), Some(Refusal::Handshakes));
        first.settle();
        first.settle();
        assert_eq!(refusal(&admission, address(1)), None);
        let _third = admission.enter(address(3)).unwrap();
        assert_eq!(refusal(&admission, address(1)), Some(Refusal::Handshakes));
    }

    #[test]
    fn nothing_is_left_when_all_are_gone() {
        let admission = admission(|limits| limits.connections_per_address_max = 1);
        let mut permits: Vec<_> = (0..10).filter_map(|_| admission.enter(address(1))).collect();
        permits[0].settle();
        permits[0].hold(10_000);
        assert_eq!(admission.inflight.bytes(), 10_000);
        drop(permits);
        let counters = [&admission.connections, &admission.handshakes, &admission.refusing];
        assert_eq!(counters.map(|counter| counter.load(Relaxed)), [0; 3]);
        assert_eq!(admission.inflight.bytes(), 0);
    }

    #[test]
    fn refusals_are_bounded() {
        let admission = admission(|limits| limits.connections_max = 1);
        let refusing_max = admission.rules().refusing_max;
        let permits: Vec<_> = (0..refusing_max + 1).map_while(|_| admission.enter(address(1))).collect();
        assert_eq!(permits.len(), refusing_max + 1);
        assert!(admission.enter(address(1)).is_none());
    }

    #[test]
    fn limits_change_for_who_comes_next() {
        let admission = admission(|limits| limits.inflight_bytes_max = 1 << 20);
        let mut permit = admission.enter(address(1)).unwrap();
        permit.hold(2 << 20);
        assert_eq!(admission.excess_bytes(), 1 << 20);
        assert_eq!(refusal(&admission, address(1)), Some(Refusal::Memory));
        admission.set_limits(&Limits { inflight_bytes_max: 4 << 20, ..Limits::default() });
        assert_eq!(refusal(&admission, address(1)), None);
        assert_eq!(admission.user(255), Ok(()));
        assert_eq!(admission.user(256), Err(Refusal::UserConnections));
    }
}
