//! A device's place in the hub. One at a time has it: a connection, or whoever must keep connections out for a moment.

use crate::{
    context::Context,
    ledger::{Command, now_ms},
    peer::{Control, OutboxLimits, Peer},
};
use parlance_mqtt::ReasonCode;
use parlance_plugin_api::{
    UserId,
    identity::CredentialId,
    ledger::LedgerError,
    record::{DeviceId, SessionKey},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::oneshot, time::timeout};

/// How long one waits for whoever has the place.
const WAIT: Duration = Duration::from_secs(10);

/// A device that is not in its place yet.
pub(crate) fn newcomer(
    context: &Context,
    user: UserId,
    device: DeviceId,
    client_id: Arc<str>,
    credential: Option<CredentialId>,
) -> Arc<Peer> {
    let limits = &context.config.limits;
    let outbox = OutboxLimits {
        messages_max: limits.outbox_messages_max,
        bytes_max: limits.outbox_bytes_max,
        signals_max: limits.outbox_signals_max,
    };
    Arc::new(Peer::new(user, device, client_id, credential, outbox))
}

/// Takes the device's place. Whoever has it is closed with `reason`, writes down what it owes, and goes first.
/// `true`: the user has just come online. To be given back with [`leave`].
///
/// # Errors
/// [`LedgerError::Busy`] when the place does not become free in time.
pub(crate) async fn take(
    context: &Context,
    peer: &Arc<Peer>,
    reason: ReasonCode,
    words: &'static str,
) -> Result<bool, LedgerError> {
    let take = async {
        loop {
            match context.hub.attach(peer) {
                Ok(first) => return first,
                Err(other) => {
                    other.control(Control::Close(reason, words));
                    other.ended().await;
                }
            }
        }
    };
    let first = timeout(WAIT, take).await.map_err(|_| LedgerError::Busy)?;
    count(context);
    Ok(first)
}

/// Gives the place back: the next one may come.
pub(crate) fn leave(context: &Context, peer: &Arc<Peer>) {
    let gone = context.hub.detach(peer);
    peer.end();
    if gone {
        context.hub.presence(peer.user, now_ms());
    }
    count(context);
}

/// What free topics have of a session that has ended goes: subscriptions, queue, packet ids. Not if a connection has its
/// place: that one began anew, and has seen to it.
pub(crate) async fn clear_away(context: &Context, session: SessionKey) {
    let place = newcomer(context, session.user, session.device, "".into(), None);
    if context.hub.attach(&place).is_err() {
        return;
    }
    if let Err(error) = end_session(context, session).await {
        tracing::warn!(%error, "the queue of a session that ended was not cleared away; the next start does it");
    }
    leave(context, &place);
}

/// The same for whoever has the place of the session.
///
/// # Errors
/// [`LedgerError`] when that could not be made durable.
pub(crate) async fn end_session(context: &Context, session: SessionKey) -> Result<(), LedgerError> {
    let Some(subscriber) = context.topics.find(session) else { return Ok(()) };
    let (done, left) = oneshot::channel();
    context.ledger.push(Command::Leave { subscriber, whole: true, done: Some(done) }).await?;
    left.await.map_err(|_| LedgerError::Stopping)?
}

fn count(context: &Context) {
    metrics::gauge!("parlance_connections").set(context.hub.connections() as f64);
}
