//! A connection's place, given back when it is dropped.

use super::{Admission, Rates, addresses::Block};
use parlance_mqtt::ReasonCode;
use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

/// How long who is refused may take for its CONNECT.
const REFUSAL_WAIT: Duration = Duration::from_secs(2);
/// Changes of held memory smaller than this are not told to the others.
const HELD_GRAIN_BYTES: usize = 4 * 1024;

/// Why a connection is not let in, or not now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The server has as many as it may have.
    Connections,
    /// As many as may be are in their handshake.
    Handshakes,
    /// The connections that are there hold as much memory as they may.
    Memory,
    /// The address has as many as it may have.
    AddressConnections,
    /// As many of the address as may be are in their handshake.
    AddressHandshakes,
    /// The address connects too often.
    AddressRate {
        /// When it may again, seconds.
        retry_after_s: u32,
    },
    /// The user has as many as they may have.
    UserConnections,
}

impl Refusal {
    /// The word in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Handshakes => "handshakes",
            Self::Memory => "memory",
            Self::AddressConnections => "address connections",
            Self::AddressHandshakes => "address handshakes",
            Self::AddressRate { .. } => "address rate",
            Self::UserConnections => "user connections",
        }
    }

    /// The code of the CONNACK.
    pub(crate) fn reason(self) -> ReasonCode {
        match self {
            Self::Connections | Self::Handshakes | Self::Memory => ReasonCode::ServerBusy,
            Self::AddressConnections | Self::AddressHandshakes | Self::UserConnections => {
                ReasonCode::QuotaExceeded
            }
            Self::AddressRate { .. } => ReasonCode::ConnectionRateExceeded,
        }
    }

    /// When to come back, seconds.
    pub(crate) fn retry_after_s(self) -> u32 {
        match self {
            Self::Handshakes | Self::AddressHandshakes => 5,
            Self::Connections | Self::Memory => 10,
            Self::AddressConnections | Self::UserConnections => 60,
            Self::AddressRate { retry_after_s } => retry_after_s,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connections => "the broker has as many connections as it can serve",
            Self::Handshakes => "too many clients are connecting at this moment",
            Self::Memory => "the broker is busy with what is on its way",
            Self::AddressConnections => "your address has as many connections as it may have",
            Self::AddressHandshakes => "too many clients of your address are connecting at this moment",
            Self::AddressRate { .. } => "your address connects too often",
            Self::UserConnections => "you have as many connections as you may have: close one",
        })?;
        write!(f, "; try again in {} s", self.retry_after_s())
    }
}

/// A connection's place among all.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    block: Option<Block>,
    held_bytes: u32,
    handshaking: bool,
    refusal: Option<Box<Refusal>>,
}

impl Permit {
    pub(super) fn granted(admission: Arc<Admission>, block: Option<Block>) -> Self {
        Self { admission, block, held_bytes: 0, handshaking: true, refusal: None }
    }

    pub(super) fn refused(admission: Arc<Admission>, refusal: Refusal) -> Self {
        Self { admission, block: None, held_bytes: 0, handshaking: false, refusal: Some(Box::new(refusal)) }
    }

    /// Why it is not let in: its CONNECT is answered with this.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.refusal.as_deref().copied()
    }

    /// How long each step of its handshake may take.
    pub(crate) fn handshake_wait(&self) -> Duration {
        let configured = self.admission.connect_timeout();
        if self.refusal.is_some() { configured.min(REFUSAL_WAIT) } else { configured }
    }

    /// Its handshake is over.
    pub(crate) fn settle(&mut self) {
        if std::mem::take(&mut self.handshaking) {
            self.admission.handshakes.fetch_sub(1, Relaxed);
            if let Some(block) = self.block {
                self.admission.addresses.settle(block);
            }
        }
    }

    /// Whether its handshake is over.
    pub(crate) fn is_settled(&self) -> bool {
        !self.handshaking
    }

    /// It holds so much memory for what is on its way, in and out. Cheap while that changes little.
    pub(crate) fn hold(&mut self, bytes: usize) {
        let held = self.held_bytes as usize;
        if bytes == held || (bytes != 0 && bytes.abs_diff(held) < HELD_GRAIN_BYTES) {
            return;
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let inflight = &self.admission.inflight;
        match bytes as usize {
            more if more > held => inflight.add(more - held),
            less => inflight.subtract(held - less),
        }
        self.held_bytes = bytes;
    }

    /// How fast it may speak. Trusted addresses may at any rate.
    pub(crate) fn rates(&self) -> Rates {
        if self.block.is_some() { self.admission.rates() } else { Rates::NONE }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.hold(0);
        if self.refusal.is_some() {
            self.admission.refusing.fetch_sub(1, Relaxed);
            return;
        }
        self.settle();
        self.admission.connections.fetch_sub(1, Relaxed);
        if let Some(block) = self.block {
            self.admission.addresses.leave(block, self.admission.now_us());
        }
    }
}
