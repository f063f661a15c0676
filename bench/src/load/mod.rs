//! The load generator: many light MQTT clients on few threads.
//!
//! A client is a socket, the beginning of a packet that has not come whole, and what the socket does not take at
//! once; the read buffer belongs to the thread. Packets are read where they lie. A publish is a copy of bytes that
//! were made before, into which packet id and stamp are written. Acknowledgements and new publishes of one wake leave
//! in one write. Nothing is allocated for a message.
//!
//! Every message carries a [`stamp`], and every client checks what it hears ([`check`]): so each measurement is also a
//! test of the broker.

pub mod check;
mod client;
mod crew;
mod fleet;
pub mod histogram;
mod link;
mod pace;
mod packet;
mod publisher;
mod shared;
pub mod stamp;
pub mod wire;

pub use crew::{Crew, Losses};
pub use link::Endpoint;
pub use shared::Stats;

use std::{io, time::Duration};

/// Why the load could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A socket or the poll.
    #[error("the load generator: {0}")]
    Io(#[from] io::Error),
    /// A client was not let in, or lost its connection while others were coming.
    #[error("a client could not connect: {why}")]
    NotLetIn {
        /// What it heard.
        why: String,
    },
    /// The broker does nothing any more.
    #[error("no {what} for {patience:?}")]
    Stalled {
        /// What was waited for.
        what: &'static str,
        /// How long.
        patience: Duration,
    },
}
