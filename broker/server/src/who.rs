//! Who is at the other end of a connection, as free topics see it.

use parlance_plugin_api::{
    Handle, UserId,
    access::Subject,
    identity::{AccountKind, Principal, Scopes},
    store::Vault,
};
use std::sync::Arc;

/// What anonymous clients are called. They have no account, so nothing is looked up by it.
const ANONYMOUS: &str = "anonymous";

/// The user that stands for an anonymous client: each client id is its own.
pub(crate) fn anonymous_user(vault: &dyn Vault, client_id: &[u8]) -> UserId {
    let pseudonym = vault.pseudonym("anonymous", client_id);
    let mut user = [0; 16];
    user.copy_from_slice(&pseudonym[..16]);
    UserId(user)
}

/// A client without an account.
pub(crate) fn anonymous(user: UserId) -> Principal {
    let handle: Handle = ANONYMOUS.parse().expect("a constant that is a handle");
    Principal {
        user,
        handle,
        kind: AccountKind::Anonymous,
        scopes: Scopes::Only(Arc::default()),
        credential: None,
        bound_client_id: None,
        expires_ms: None,
        epoch: None,
    }
}

/// Whose rights count.
pub(crate) fn subject(principal: &Principal, client_id: Arc<str>) -> Subject {
    Subject {
        user: principal.user,
        handle: (principal.kind != AccountKind::Anonymous).then(|| principal.handle.clone()),
        kind: principal.kind,
        client_id,
    }
}
