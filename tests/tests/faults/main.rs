//! Faults: a killed server, a power cut, a full disk, damaged files. What was acknowledged is never lost.
//!
//! Every test prints its figures and its seed. `PARLANCE_SEED` repeats a run; the moments at which things happen are
//! the machine's own, so a repetition is near, not the same.

mod book;
mod damage;
mod disk;
mod kill;
mod power;
mod publisher;
mod rng;
mod segment;
mod started;
mod volume;
mod watcher;
mod world;
