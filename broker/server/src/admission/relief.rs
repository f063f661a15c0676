//! When all connections together hold more than they may: those that hold most go.

use crate::{context::Context, peer::Control};
use parlance_mqtt::ReasonCode;
use std::{sync::Arc, time::Duration};

/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Connections that are closed in one look.
const CLOSED_MAX: usize = 1_024;

/// Closes the connections that hold most while there is too much. Nothing is lost by it: a session reads on from the log.
pub(crate) async fn run(context: Arc<Context>) {
    let mut every = tokio::time::interval(LOOK_EVERY);
    loop {
        every.tick().await;
        let excess_bytes = context.admission.excess_bytes();
        if excess_bytes > 0 {
            relieve(&context, excess_bytes);
        }
    }
}

fn relieve(context: &Context, excess_bytes: usize) {
    let mut holders = context.hub.holders();
    holders.sort_by_key(|(held, _)| std::cmp::Reverse(*held));
    let (mut freed, mut closed) = (0usize, 0u64);
    for (held, peer) in holders.into_iter().take(CLOSED_MAX) {
        if freed >= excess_bytes {
            break;
        }
        let words = "the broker holds too much for its clients, and most for you; connect again in 10 s";
        peer.control(Control::Close(ReasonCode::QuotaExceeded, words));
        freed = freed.saturating_add(held);
        closed += 1;
    }
    if closed > 0 {
        metrics::counter!("parlance_closed_for_memory_total").increment(closed);
        tracing::warn!(
            excess_bytes,
            closed,
            "connections hold too much memory: those that hold most were closed"
        );
    }
}
