//! What every part of the server holds.

use crate::{
    admission::Admission, config::Config, hub::Hub, ledger::LedgerHandle, sys::Sys, topics::Topics,
    wills::Wills,
};
use metrics_exporter_prometheus::PrometheusHandle;
use parlance_plugin_api::{
    UnixMillis,
    access::AccessRules,
    groups::Groups,
    identity::{Accounts, Authenticator, Directory, Operators},
    store::Vault,
};
use std::sync::Arc;

/// The server's parts, shared.
pub struct Context {
    /// Configuration.
    pub config: Arc<Config>,
    /// Who may connect, and how fast.
    pub(crate) admission: Arc<Admission>,
    /// Where everything durable is decided and read.
    pub ledger: Arc<LedgerHandle>,
    /// Seals and pseudonyms.
    pub vault: Arc<dyn Vault>,
    /// Names and accounts.
    pub directory: Arc<dyn Directory>,
    /// Logins.
    pub authenticator: Arc<dyn Authenticator>,
    /// What people do with their accounts.
    pub accounts: Arc<dyn Accounts>,
    /// What the operator does with accounts.
    pub operators: Arc<dyn Operators>,
    /// Groups.
    pub groups: Arc<dyn Groups>,
    /// Who may use which free topics.
    pub access: Arc<dyn AccessRules>,
    /// Who is here.
    pub hub: Arc<Hub>,
    /// Free topics: who subscribes to what.
    pub topics: Arc<Topics>,
    /// Wills that wait.
    pub(crate) wills: Arc<Wills>,
    /// What the broker says of itself.
    pub(crate) sys: Arc<Sys>,
    /// Metrics, to be rendered.
    pub metrics: PrometheusHandle,
    /// When the server started.
    pub started_ms: UnixMillis,
}
