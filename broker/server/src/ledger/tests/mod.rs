//! The decider with free topics, without threads: commands are decided and committed one batch at a time, so that a test
//! sees every state in between.

mod crash;
mod publishing;
mod refusing;
mod retaining;
mod rig;
mod sharing;
