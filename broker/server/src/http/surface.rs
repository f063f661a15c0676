//! What holds for every route: limits, time, headers, cross-origin rules, and answers for what no route knows.

use super::{calls::declares_more_than, problem::Refusal};
use crate::api::Code;
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{
        HeaderName, HeaderValue, Method,
        header::{
            AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use std::time::{Duration, Instant};
use tower_http::cors::{Any, CorsLayer};

/// The limits of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) body_bytes_max: usize,
    pub(super) request_time_max: Duration,
}

/// How long a browser may keep the answer to a preflight request.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(3600);

/// Routes with everything around them.
pub(super) fn around(routes: Router, bounds: Bounds) -> Router {
    routes
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(bounds.body_bytes_max))
        .layer(from_fn_with_state(bounds, framed))
        .layer(cross_origin())
}

async fn unknown_path() -> Refusal {
    Refusal::new(Code::UnknownMethod, "there is nothing at this path")
}

async fn wrong_method() -> Refusal {
    Refusal::new(Code::MethodNotAllowed, "this path does not serve this HTTP method")
}

/// Any origin may call: authority comes from the bearer token, which a browser never adds by itself.
fn cross_origin() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE])
        .expose_headers([RETRY_AFTER, WWW_AUTHENTICATE])
        .max_age(PREFLIGHT_MAX_AGE)
}

async fn framed(State(bounds): State<Bounds>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let begun = Instant::now();
    let mut response = if declares_more_than(request.headers(), bounds.body_bytes_max) {
        let happened = format!("a request body has at most {} bytes", bounds.body_bytes_max);
        Refusal::new(Code::RequestTooLarge, happened).into_response()
    } else {
        match tokio::time::timeout(bounds.request_time_max, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Refusal::new(Code::Timeout, "the request took too long").into_response(),
        }
    };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    tracing::debug!(%method, path, status = response.status().as_u16(), elapsed = ?begun.elapsed(), "http");
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{
        body::{Body, Bytes, to_bytes},
        http::{StatusCode, header::ALLOW},
        routing::{get, post},
    };
    use parlance_schema::api::Problem;
    use tower::ServiceExt;

    fn routes() -> Router {
        let never = get(std::future::pending::<&'static str>);
        let echo = post(|body: Bytes| async move { body });
        let bounds = Bounds { body_bytes_max: 64, request_time_max: Duration::from_millis(50) };
        let routes =
            Router::new().route("/", get(|| async { "hello" })).route("/never", never).route("/echo", echo);
        around(routes, bounds)
    }

    fn request(method: &str, path: &str) -> Request {
        Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
    }

    async fn problem(response: Response) -> Problem {
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let status = response.status();
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        let problem: Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem.status, status.as_u16());
        problem
    }

    #[tokio::test]
    async fn what_no_route_knows_is_a_problem_document() {
        let response = routes().oneshot(request("GET", "/nowhere")).await.unwrap();
        assert_eq!(problem(response).await.code, "unknown_method");
        let response = routes().oneshot(request("POST", "/")).await.unwrap();
        assert_eq!(response.headers()[ALLOW], "GET,HEAD");
        assert_eq!(problem(response).await.code, "method_not_allowed");
    }

    #[tokio::test]
    async fn a_request_that_takes_too_long_is_answered() {
        let response = routes().oneshot(request("GET", "/never")).await.unwrap();
        assert_eq!(problem(response).await.code, "timeout");
    }

    #[tokio::test]
    async fn a_large_body_is_refused_before_it_is_read() {
        let unread = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        let large = Request::builder()
            .method("POST")
            .uri("/echo")
            .header("content-length", "65")
            .body(unread)
            .unwrap();
        let response = routes().oneshot(large).await.unwrap();
        assert_eq!(problem(response).await.code, "request_too_large");
    }

    #[tokio::test]
    async fn every_response_carries_the_safe_headers() {
        for path in ["/", "/nowhere"] {
            let response = routes().oneshot(request("GET", path)).await.unwrap();
            assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
            assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
        }
    }

    #[tokio::test]
    async fn a_browser_may_call_from_anywhere_without_its_cookies() {
        let preflight = Request::builder()
            .method("OPTIONS")
            .uri("/echo")
            .header("origin", "https://chat.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type")
            .body(Body::empty())
            .unwrap();
        let response = routes().oneshot(preflight).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        assert!(!response.headers().contains_key("access-control-allow-credentials"));
    }
}
