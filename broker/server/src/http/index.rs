//! `GET /`: what this is and where to go on, for a person with a browser.

use axum::{
    http::header::CONTENT_SECURITY_POLICY,
    response::{Html, IntoResponse},
};

const PAGE: &str = concat!(
    r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Parlance</title>
<style>
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { max-width: 40rem; margin: 4rem auto; padding: 0 1rem }
code { font-family: ui-monospace, monospace }
</style>
<h1>Parlance</h1>
<p>A messenger on MQTT. Version "#,
    env!("CARGO_PKG_VERSION"),
    r#".</p>
<ul>
<li><a href="openapi.json">openapi.json</a>: every call of the HTTP API; the same calls work over MQTT on <code>rpc/{method}</code></li>
<li><code>/mqtt</code>: MQTT over WebSocket</li>
<li><a href="health">health</a>, <a href="ready">ready</a>, <a href="metrics">metrics</a></li>
</ul>
</html>
"#
);

/// The page. It loads nothing.
pub(super) async fn page() -> impl IntoResponse {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
    ([(CONTENT_SECURITY_POLICY, policy)], Html(PAGE))
}
