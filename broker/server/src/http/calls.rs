//! A request as a call of the API. The order is chosen so that a stranger costs little: who, may he, and only then the body.

use super::{Http, auth, problem::Refusal};
use crate::api::{Access, Caller, Code, Input, Method, Verb};
use axum::{
    extract::{FromRequest, Request},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use bytes::Bytes;

/// Calls `method`.
pub(super) async fn serve(http: &Http, method: &'static Method, request: Request) -> Response {
    match answer(http, method, request).await {
        Ok(body) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

async fn answer(http: &Http, method: &Method, request: Request) -> Result<Vec<u8>, Refusal> {
    let from = auth::peer(&request)?;
    let context = &*http.context;
    let principal = match method.access {
        Access::Anybody => None,
        _ => Some(auth::principal(context, request.headers(), from).await?),
    };
    let caller = Caller { principal: principal.as_ref(), from, device: None };
    method.admit(caller)?;
    let uri = request.uri().clone();
    // All of it, before a turn is taken: who sends slowly keeps nobody waiting but himself.
    let body = match method.verb {
        Verb::Get => Bytes::new(),
        Verb::Post => json_body(request).await?,
    };
    // Waits its turn within the time of a request. The semaphore is never closed.
    let _call = http.calls.acquire().await;
    let outcome = match method.verb {
        Verb::Get => method.call(context, caller, Input::Query(uri.query().unwrap_or_default())).await,
        Verb::Post => method.call(context, caller, Input::Json(&body)).await,
    };
    Ok(outcome?)
}

/// The body, if it is JSON by its own word. Without a body, nothing need be said of it.
async fn json_body(request: Request) -> Result<Bytes, Refusal> {
    let is_json = is_json(request.headers());
    let body = Bytes::from_request(request, &()).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Refusal::new(Code::RequestTooLarge, "the request body is larger than this broker accepts")
        } else {
            Refusal::new(Code::BadRequest, "the request body did not arrive whole")
        }
    })?;
    if is_json || body.is_empty() {
        Ok(body)
    } else {
        Err(Refusal::new(Code::UnsupportedMediaType, "the body is not declared as JSON"))
    }
}

/// `application/json` or `application/…+json`, whatever its parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

/// Whether a request says itself that its body is over the limit: refused before it is read.
pub(super) fn declares_more_than(headers: &HeaderMap, bytes_max: usize) -> bool {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    length.is_some_and(|length| length > bytes_max as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn json_by_its_own_word() {
        for (value, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/merge-patch+json", true),
            ("application/x-www-form-urlencoded", false),
            ("text/plain", false),
            ("text/x+json", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
            assert_eq!(is_json(&headers), expected, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
