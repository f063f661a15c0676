//! The Parlance broker: listeners, connections, the ledger that makes things durable, the hub that hands them out,
//! HTTP, and the command line.
//!
//! A message walks `listen` → `connection` → `gate` → [`ledger`] → [`hub`] → `peer` → `connection`.
//! The program's `main` names the plugins and hands them in as [`serve::Plugins`]; nothing here knows them.

mod admission;
pub mod api;
pub mod cli;
pub mod config;
mod connection;
pub mod context;
pub mod delivery;
mod door;
mod expiry;
mod gate;
pub mod http;
pub mod hub;
pub mod ledger;
mod listen;
pub mod peer;
mod places;
mod reload;
pub mod serve;
pub mod session_domain;
mod sessions;
#[cfg(feature = "simulation")]
pub mod simulation;
mod subscriptions;
mod sys;
pub mod topics;
mod wakes;
mod who;
mod wills;
