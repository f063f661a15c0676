//! Whether the broker lives, whether it takes work, and its numbers.

use super::{Http, auth, problem::Refusal};
use crate::{
    api::ApiError,
    ledger::{Health, now_ms},
};
use axum::{
    Json,
    extract::{Request, State},
    http::header::CONTENT_TYPE,
    response::IntoResponse,
};
use parlance_plugin_api::identity::Action;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Alive {
    status: &'static str,
    version: &'static str,
    uptime_s: u64,
}

/// `GET /health`: the process lives. Says nothing of whether it can store.
pub(super) async fn live(State(http): State<Http>) -> Json<Alive> {
    let uptime_s = now_ms().saturating_sub(http.context.started_ms) / 1000;
    Json(Alive { status: "ok", version: env!("CARGO_PKG_VERSION"), uptime_s })
}

#[derive(Serialize)]
pub(super) struct Ready {
    status: &'static str,
}

/// `GET /ready`: messages are taken. 503 with the reason otherwise.
pub(super) async fn ready(State(http): State<Http>) -> Result<Json<Ready>, Refusal> {
    readiness(http.context.ledger.health())
}

fn readiness(health: Health) -> Result<Json<Ready>, Refusal> {
    match health {
        Health::Ready => Ok(Json(Ready { status: "ready" })),
        Health::ReadOnly { reason } => {
            Err(ApiError::NotReady(format!("reading works, writing does not: {reason}")).into())
        }
        // The reason may name paths: it is in the log.
        Health::Failed { .. } => {
            Err(ApiError::NotReady("the store failed; the operator finds the reason in the log".to_owned())
                .into())
        }
    }
}

/// `GET /metrics`: Prometheus text. Without a login from this machine only; else for the operator.
pub(super) async fn metrics(
    State(http): State<Http>,
    request: Request,
) -> Result<impl IntoResponse, Refusal> {
    let from = auth::peer(&request)?;
    if !auth::is_local(request.headers(), from) {
        let who = auth::principal(&http.context, request.headers(), from).await?;
        if !who.allows(Action::Administer, None) {
            return Err(ApiError::NotAllowed(Action::Administer).into());
        }
    }
    let numbers = http.context.metrics.render();
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], numbers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Code;

    #[test]
    fn not_ready_says_why_and_keeps_the_inside_to_itself() {
        assert!(readiness(Health::Ready).is_ok());
        let full = readiness(Health::ReadOnly { reason: "the disk is full".into() }).err().unwrap();
        assert_eq!((full.code, full.retry_after_s), (Code::NotReady, Some(5)));
        assert!(full.detail.contains("the disk is full"));
        let failed = readiness(Health::Failed { reason: "/var/lib/parlance".into() }).err().unwrap();
        assert!(!failed.detail.contains("/var/lib"));
    }
}
