//! Who connects: by a password, a token or a key, or nobody in particular where the listener is open to all.

use crate::{
    api::ApiError,
    config::Profile,
    context::Context,
    door::{ClientCertificate, Door},
    who,
};
use parlance_mqtt::Connect;
use parlance_plugin_api::identity::{AuthError, Credential, Principal};
use std::net::IpAddr;

/// Authentication Method: a token or API key as Authentication Data.
pub(super) const TOKEN_METHOD: &str = "token";

/// Establishes who is at the other end.
///
/// # Errors
/// [`ApiError`] when that is not somebody who may come in.
pub(super) async fn login(
    context: &Context,
    connect: &Connect,
    client_id: &str,
    door: &Door,
) -> Result<Principal, ApiError> {
    if door.profile == Profile::Open {
        // Whatever was given as user name and password: nobody looks at it.
        let user = who::anonymous_user(&*context.vault, client_id.as_bytes());
        return Ok(who::anonymous(user));
    }
    let from = door.from.ip();
    let Some(credential) = credential(connect) else {
        return match &door.certificate {
            Some(certificate) if connect.authentication_method.is_none() => {
                by_certificate(context, certificate, name(connect), from).await
            }
            _ => Err(ApiError::NotAuthenticated),
        };
    };
    // Also one that the server made up: a token that is bound to a device serves no other.
    Ok(context.authenticator.authenticate(credential, Some(client_id), from).await?)
}

fn credential(connect: &Connect) -> Option<Credential<'_>> {
    if connect.authentication_method.is_some() {
        // The only method that was let through.
        return connect.authentication_data.as_ref().map(|token| Credential::Token(token));
    }
    match (name(connect), &connect.password) {
        (Some(name), Some(secret)) => Some(Credential::NameAndSecret { name, secret }),
        (None, Some(secret)) => Some(Credential::Token(secret)),
        _ => None,
    }
}

fn name(connect: &Connect) -> Option<&str> {
    let name = connect.username.as_ref().and_then(|name| std::str::from_utf8(name).ok());
    name.filter(|name| !name.is_empty())
}

/// Who shows a certificate and no password is the account that it names, for as long as it is valid. A user name, if
/// there is one, must be the same.
async fn by_certificate(
    context: &Context,
    certificate: &ClientCertificate,
    claimed: Option<&str>,
    from: IpAddr,
) -> Result<Principal, ApiError> {
    let bare = |name: &str| name.strip_prefix('@').unwrap_or(name).to_owned();
    let name = certificate.name().ok_or(AuthError::BadCredentials)?;
    if claimed.is_some_and(|claimed| bare(claimed) != bare(name)) {
        return Err(AuthError::BadCredentials.into());
    }
    let credential = Credential::Certificate { name, fingerprint: certificate.fingerprint };
    let principal = context.authenticator.authenticate(credential, None, from).await?;
    Ok(Principal { expires_ms: Some(certificate.expires_ms), ..principal })
}
