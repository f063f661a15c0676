//! Who sends a request: the bearer token, and from where.

use super::problem::Refusal;
use crate::{
    api::{ApiError, Code},
    context::Context,
};
use axum::{
    extract::{ConnectInfo, Request},
    http::{
        HeaderMap,
        header::{AUTHORIZATION, FORWARDED, VIA},
    },
};
use parlance_plugin_api::identity::{AuthError, Credential, Principal};
use std::net::{IpAddr, SocketAddr};

/// The address of the peer, as the listener noted it.
pub(super) fn peer(request: &Request) -> Result<IpAddr, Refusal> {
    match request.extensions().get::<ConnectInfo<SocketAddr>>() {
        Some(ConnectInfo(peer)) => Ok(peer.ip().to_canonical()),
        None => {
            tracing::error!("a listener passes requests on without their peer's address");
            Err(Refusal::new(Code::Internal, "the broker could not do this"))
        }
    }
}

/// Whether a request comes from this machine and was not passed on by a proxy on it.
pub(super) fn is_local(headers: &HeaderMap, peer: IpAddr) -> bool {
    let passed_on = headers.contains_key(FORWARDED)
        || headers.contains_key(VIA)
        || headers.contains_key("x-forwarded-for");
    peer.to_canonical().is_loopback() && !passed_on
}

/// The token of a request, if it has one.
fn bearer(headers: &HeaderMap) -> Result<Option<&[u8]>, ApiError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let (scheme, token) = value.as_bytes().split_at_checked(7).ok_or(AuthError::TokenInvalid)?;
    let token = token.trim_ascii();
    if values.next().is_some() || !scheme.eq_ignore_ascii_case(b"bearer ") || token.is_empty() {
        return Err(AuthError::TokenInvalid.into());
    }
    Ok(Some(token))
}

/// Who is logged in with the request's token.
pub(super) async fn principal(
    context: &Context,
    headers: &HeaderMap,
    from: IpAddr,
) -> Result<Principal, ApiError> {
    let token = bearer(headers)?.ok_or(ApiError::NotAuthenticated)?;
    Ok(context.authenticator.authenticate(Credential::Token(token), None, from).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(values: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn bearer_tokens() {
        let one = |value| headers(&[("authorization", value)]);
        assert_eq!(bearer(&headers(&[])).unwrap(), None);
        for good in ["Bearer abc", "bearer abc", "BEARER  abc "] {
            assert_eq!(bearer(&one(good)).unwrap(), Some(&b"abc"[..]), "{good}");
        }
        for bad in ["", "Bearer", "Bearer ", "Basic YTpi", "abc", "Bearerabc"] {
            assert_eq!(bearer(&one(bad)).unwrap_err().code(), Code::TokenInvalid, "{bad}");
        }
        let two = headers(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]);
        assert_eq!(bearer(&two).unwrap_err().code(), Code::TokenInvalid);
    }

    #[test]
    fn a_proxy_on_this_machine_is_not_this_machine() {
        let (here, mapped, there): (IpAddr, IpAddr, IpAddr) =
            ("127.0.0.1".parse().unwrap(), "::ffff:127.0.0.1".parse().unwrap(), "10.0.0.9".parse().unwrap());
        assert!(is_local(&headers(&[]), here));
        assert!(is_local(&headers(&[]), mapped));
        assert!(!is_local(&headers(&[]), there));
        for name in ["x-forwarded-for", "forwarded", "via"] {
            assert!(!is_local(&headers(&[(name, "10.0.0.9")]), here), "{name}");
        }
    }
}
