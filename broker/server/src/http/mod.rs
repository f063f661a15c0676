//! The HTTP face: routes, login, problem documents, health, metrics, and the document that describes it all.
//!
//! What the calls do is in [`crate::api`]; this module turns requests into calls and outcomes into responses. Every
//! error is a problem document (RFC 9457), whichever layer refused.
//!
//! `/health`, `/ready` and `/openapi.json` are for everybody. `/metrics` needs no login on a connection from this
//! machine; from elsewhere, or through a proxy, it needs the operator's token.

mod auth;
mod calls;
mod health;
mod index;
mod openapi;
mod problem;
mod surface;

use crate::{
    admission::Refusal,
    api::{Code, METHODS, Verb},
    context::Context,
};
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, header::CONNECTION},
    response::{IntoResponse, Response},
    routing::{MethodFilter, get, on},
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// The answer to a request on a connection that is not let in.
pub(crate) fn refused(refusal: Refusal) -> Response {
    let code = match refusal {
        Refusal::Connections | Refusal::Handshakes | Refusal::Memory => Code::Busy,
        _ => Code::Throttled,
    };
    let retry_after_s = Some(u64::from(refusal.retry_after_s()));
    let mut response = problem::Refusal { code, detail: refusal.to_string(), retry_after_s }.into_response();
    // One answer is all that such a connection gets.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The answer to a request that cannot be understood.
pub(crate) fn bad_request(happened: impl Into<String>) -> Response {
    problem::Refusal::new(Code::BadRequest, happened).into_response()
}

/// What every handler holds.
#[derive(Clone)]
struct Http {
    context: Arc<Context>,
    /// Calls in progress; more wait their turn.
    calls: Arc<Semaphore>,
    openapi: Bytes,
}

/// All routes of the HTTP API. Connections must carry their peer as `ConnectInfo<SocketAddr>`.
pub fn router(context: Arc<Context>) -> Router {
    let limits = &context.config.limits;
    let bounds = surface::Bounds {
        body_bytes_max: limits.http_body_bytes_max,
        request_time_max: Duration::from_millis(limits.http_request_ms_max),
    };
    let http =
        Http { calls: Arc::new(Semaphore::new(limits.http_calls_max)), openapi: openapi::json(), context };
    let mut routes = Router::new()
        .route("/", get(index::page))
        .route("/health", get(health::live))
        .route("/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::answer));
    for method in METHODS {
        let filter = match method.verb {
            Verb::Get => MethodFilter::GET,
            Verb::Post => MethodFilter::POST,
        };
        let handler = move |State(http): State<Http>, request: Request| async move {
            calls::serve(&http, method, request).await
        };
        routes = routes.route(&method.path(), on(filter, handler));
    }
    surface::around(routes.with_state(http), bounds)
}
