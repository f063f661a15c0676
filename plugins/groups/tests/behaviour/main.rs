//! The groups port over a ledger in memory.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod calls;
mod model;
mod world;
