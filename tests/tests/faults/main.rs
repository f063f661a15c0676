//! Faults: a killed server, a power cut, a full disk, damaged files. What was acknowledged is never lost.
//!
//! Every test prints its figures and its seed. `PARLANCE_SEED` repeats a run; the moments at which things happen are
//! the machine's own, so a repetition is near, not the same.

mod book;
mod clock;
mod damage;
mod descriptors;
mod disk;
mod errors;
mod flaky;
mod form;
mod kill;
mod memory;
mod peers;
mod power;
mod process;
mod publisher;
mod rng;
mod segment;
mod soak;
mod started;
mod stopped;
mod volume;
mod watcher;
mod world;
mod writer;
