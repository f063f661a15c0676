//! One behaviour to a test, through the public surface only; each names the clause or rule it proves.

#![allow(clippy::unwrap_used, reason = "a test that finds nothing to unwrap has failed")]

mod alias;
mod auth;
mod catch_up;
mod closing;
mod conversation;
mod exact_in;
mod exact_out;
mod exact_resume;
mod handshake;
mod inbound;
mod memory;
mod notes;
mod resume;
mod support;
mod window;
