//! A deterministic simulation of one Parlance server among many devices.
//!
//! Real: everything of the server between a connection's bytes and the disk's (`broker/server`, `broker/engine`,
//! `broker/mqtt`, `broker/journal`, `plugins/groups`). Simulated: time, the network, the disk below the journal, the
//! store below its trait, the logins, and the devices. All of it runs on one thread, on a runtime whose time stands still until everybody
//! waits; all chance comes from the seed. `docs/adr/0013-simulation.md` says why it is so.
//!
//! [`run`] makes one run of a seed. What must hold is in [`checks`].

pub mod chaos;
pub mod checks;
pub mod device;
pub mod disk;
pub mod faults;
pub mod machine;
mod many;
pub mod people;
pub mod probe;
pub mod random;
mod run;
pub mod scenario;
pub mod stage;
pub mod store;
pub mod trace;
pub mod wire;

pub use many::{Failure, Many, many};
pub use run::{Counts, Options, Outcome, quiet, run};
