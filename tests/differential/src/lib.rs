//! The same random scripts of packets against Parlance and other brokers.
//!
//! A script ([`Script`]) comes from a number and from nothing else: several clients of both protocol versions connect,
//! subscribe, publish, acknowledge or do not, break the protocol, go away and come back. They act in lock step: before
//! the next one does something, everybody was quiet over PINGREQ and PINGRESP. What each client got is written down
//! ([`Trace`]), with what may differ for good reasons left out: packet ids, assigned names, reason strings, and the
//! order between topics.
//!
//! Where two brokers differ, [`rules`] must know why: each rule names the broker, the clause and who is right. A
//! difference that no rule explains is a failure. So the table of rules is the whole of what is known to differ.

mod brokers;
mod client;
mod compare;
mod malformed;
mod play;
mod random;
mod report;
pub mod rules;
mod script;
mod trace;

pub use brokers::{Peer, PeerError, Peers, Place};
pub use compare::{Difference, differences};
pub use play::play;
pub use report::{Report, run};
pub use script::{Connect, Script, Step};
pub use trace::{Delivered, Event, Stream, Trace};
