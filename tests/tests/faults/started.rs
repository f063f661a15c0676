//! Starting a server that may not start.

use parlance_tests::{Options, Server};
use tokio::task::{JoinError, LocalSet, spawn_local};

/// Starts a server; one that does not start is a panic of the harness, and here what it said.
pub(crate) async fn started(options: Options) -> Result<Server, String> {
    let local = LocalSet::new();
    local.run_until(async { spawn_local(Server::start(options)).await }).await.map_err(panic_text)
}

fn panic_text(error: JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return String::new() };
    let text = panic.downcast::<String>().map(|text| *text);
    text.unwrap_or_else(|panic| panic.downcast::<&str>().map(|text| (*text).to_owned()).unwrap_or_default())
}
