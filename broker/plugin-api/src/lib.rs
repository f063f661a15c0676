//! The ports of Parlance: what a plugin sees and what it answers.
//!
//! # Contract
//! * Hot decisions ([`identity::Principal::allows`], [`identity::Directory`]) are synchronous and answered from memory.
//!   Slow ones (logins, transactions) are async and rare.
//! * All durable state changes through one [`ledger::Ledger`]: a transaction is a closure that runs alone on the
//!   decider thread, reads a consistent view, and is durable (synced) before its caller hears of it.
//! * A plugin knows this crate and `parlance-schema`; never another plugin, never the server.

pub mod access;
pub mod event;
pub mod groups;
pub mod identity;
pub mod ledger;
pub mod record;
mod scope;
pub mod store;
#[doc(hidden)]
pub mod testing;

pub use parlance_schema::{ConversationId, ConversationKind, Handle, UnixMillis, UserId};
