//! Waiting for something, with an end.

use std::{future::Future, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// How long a test waits for what should happen at once. Generous: a test machine can be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Asks `check` until it answers, at most for `deadline`.
///
/// # Panics
/// After the deadline, naming `what` did not happen.
pub async fn eventually<T>(deadline: Duration, what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < end, "not within {deadline:?}: {what}");
        sleep(ASK_AGAIN).await;
    }
}

/// What a future becomes, at most after [`PATIENCE`].
///
/// # Panics
/// After that time, naming `what` did not happen.
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {PATIENCE:?}: {what}"),
    }
}
