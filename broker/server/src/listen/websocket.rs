//! MQTT over WebSocket (MQTT-6): `GET /mqtt`, and from there on a byte stream like any other.

mod stream;

use self::stream::WebSocketStream;
use super::http::Slot;
use crate::{connection, context::Context, http};
use axum::{
    Extension, Router,
    extract::{
        State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use std::sync::Arc;

/// Where MQTT is.
pub(super) const PATH: &str = "/mqtt";

/// `GET /mqtt`, subprotocol `mqtt` (MQTT-6.0.0-3).
pub(super) fn route(context: Arc<Context>) -> Router {
    Router::new().route(PATH, get(upgrade)).with_state(context)
}

async fn upgrade(
    State(context): State<Arc<Context>>,
    Extension(slot): Extension<Slot>,
    request: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let request = match request {
        Ok(request) => request,
        Err(rejection) => return http::bad_request(rejection.body_text()),
    };
    let request = stream::terms(request, context.config.limits.packet_bytes_max as usize);
    if request.selected_protocol().is_none() {
        return http::bad_request(
            "MQTT over WebSocket needs the subprotocol \"mqtt\" (Sec-WebSocket-Protocol)",
        );
    }
    // One connection becomes one WebSocket: HTTP/2 could ask twice.
    let Some(door) = slot.take() else {
        return http::bad_request("this connection is a WebSocket already");
    };
    let serve = move |socket| connection::serve(context, WebSocketStream::new(socket), door);
    request.on_upgrade(serve).into_response()
}
