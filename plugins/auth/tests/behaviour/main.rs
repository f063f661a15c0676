//! The identity port as the broker sees it, over a ledger in memory and a clock that is moved by hand.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod access;
mod accounts;
mod api_keys;
mod login;
mod operators;
mod sessions;
mod world;
