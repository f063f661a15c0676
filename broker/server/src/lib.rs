//! The Parlance broker: listeners, connections, the ledger that makes things durable, the hub that hands them out,
//! HTTP, and the command line.
//!
//! A message walks `listen` → `connection` → `gate` → [`ledger`] → [`hub`] → `peer` → `connection`.
//! The program's `main` names the plugins and hands them in as [`serve::Plugins`]; nothing here knows them.

pub mod api;
pub mod cli;
pub mod config;
mod connection;
pub mod context;
pub mod delivery;
mod expiry;
mod gate;
pub mod http;
pub mod hub;
pub mod ledger;
mod listen;
pub mod peer;
mod places;
pub mod serve;
pub mod session_domain;
mod sessions;
mod subscriptions;
