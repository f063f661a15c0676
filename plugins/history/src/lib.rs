//! The durable store: the ports [`Store`](parlance_plugin_api::store::Store) and
//! [`Vault`](parlance_plugin_api::store::Vault) of Parlance, for two engines and one vault.
//!
//! # Contract
//! * A run and the journal position it reaches are one atomic write. After a crash the store may lag behind what was
//!   applied, never show half of a run, and never claim a position whose data is not there.
//! * [`open`] is the only way in. It locks the folder, and refuses one that holds the other engine's data.
//! * A full disk refuses writes ([`StoreError::Full`](parlance_plugin_api::store::StoreError::Full)) before the engine
//!   meets it, reads go on, and writes are taken again when there is space. See `reopening.rs`.
//! * Values are sealed before they come here and opened after they leave: the engines see bytes. See [`SealedVault`].
//! * `contract` (feature of that name) is the suite that every engine passes.

mod backend;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod fjall;
mod keyring;
mod nonce;
mod open;
mod reopening;
mod seal;
mod sled;

pub use self::{
    fjall::FjallOptions,
    keyring::{Keyring, KeyringError},
    open::{Engine, OpenError, StoreOptions, UnknownEngine, holds_store, open},
    reopening::StoreLimits,
    seal::{DERIVED_KEYS_MAX, SEAL_OVERHEAD, SealedVault},
    sled::SledOptions,
};
