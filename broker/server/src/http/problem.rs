//! Refusals as responses: problem documents (RFC 9457) with the headers that belong to them.

use crate::api::{ApiError, Code, problem};
use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) detail: String,
    pub(super) retry_after_s: Option<u64>,
}

impl Refusal {
    /// With what happened; what to do next follows from the code.
    pub(super) fn new(code: Code, happened: impl Into<String>) -> Self {
        let mut detail: String = happened.into();
        if !code.next().is_empty() {
            detail.push_str(". ");
            detail.push_str(code.next());
        }
        Self { code, detail, retry_after_s: None }
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self { code: error.code(), detail: error.detail(), retry_after_s: error.retry_after_s() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&problem(self.code, self.detail)).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge(self.code)));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// RFC 6750 §3: a request without a credential is asked for one and told nothing else.
fn challenge(code: Code) -> &'static str {
    match code {
        Code::TokenExpired | Code::TokenInvalid | Code::SessionEnded => {
            "Bearer realm=\"parlance\", error=\"invalid_token\""
        }
        _ => "Bearer realm=\"parlance\"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_plugin_api::{identity::AuthError, ledger::LedgerError};

    fn header<'a>(response: &'a Response, name: &axum::http::HeaderName) -> Option<&'a str> {
        response.headers().get(name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn every_code_is_a_problem_document_with_its_status() {
        for code in Code::ALL {
            let response = Refusal::new(*code, "it was so").into_response();
            assert_eq!(response.status().as_u16(), code.status());
            assert_eq!(header(&response, &CONTENT_TYPE), Some("application/problem+json"));
            assert_eq!(header(&response, &WWW_AUTHENTICATE).is_some(), code.status() == 401, "{code:?}");
        }
    }

    #[test]
    fn what_passes_carries_retry_after() {
        for (error, expected) in [
            (ApiError::from(AuthError::Throttled { retry_after_s: 9 }), Some("9")),
            (LedgerError::Busy.into(), Some("1")),
            (LedgerError::Stopping.into(), Some("5")),
            (LedgerError::Full.into(), Some("30")),
            (ApiError::NotAMember, None),
        ] {
            assert_eq!(header(&Refusal::from(error).into_response(), &RETRY_AFTER), expected);
        }
    }

    #[test]
    fn an_expired_token_is_told_from_a_missing_one() {
        let response = Refusal::from(ApiError::from(AuthError::TokenExpired)).into_response();
        assert!(header(&response, &WWW_AUTHENTICATE).unwrap().contains("invalid_token"));
        let response = Refusal::from(ApiError::NotAuthenticated).into_response();
        assert_eq!(header(&response, &WWW_AUTHENTICATE), Some("Bearer realm=\"parlance\""));
    }
}
