//! Group conversations: create, add, remove, leave.
//!
//! # Contract
//! * Roles are looked at inside the transaction that acts on them: nobody adds or removes after losing the role.
//! * A change of membership is an entry of the group's log. Who is added sees the log from its own addition on; the first
//!   members see it from the creation on; who is removed or leaves does not get that entry.
//! * A group with members has an owner: when the last owner leaves, another member follows.
//! * The transaction keeps memberships, their cursors and the index from a user to its conversations, and tells of them
//!   ([`Transaction::add_member`], [`Transaction::remove_member`]). This plugin keeps names, roles and the count.
//!
//! [`Transaction::add_member`]: parlance_plugin_api::ledger::Transaction::add_member
//! [`Transaction::remove_member`]: parlance_plugin_api::ledger::Transaction::remove_member

mod change;
mod groups;
mod succession;

pub use groups::{GroupLimits, GroupPlugin};
