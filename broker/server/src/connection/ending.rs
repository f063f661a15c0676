//! The end of a connection: what must outlive it is written down, what must not goes, and the next one may come.

use super::{Closing, Connection, Ended, GOODBYE_MS, io::Transport};
use crate::{
    ledger::Command,
    peer::Peer,
    places,
    session_domain::{Messenger, Note},
    sessions::{self, Left},
    topics::FreeDelivery,
    wills::{self, LastWill},
};
use parlance_engine::{Output, Parked, WillFate};
use parlance_mqtt::{QoS, ReasonCode};
use parlance_plugin_api::ledger::Ledger;
use std::{sync::Arc, time::Duration};

impl<S: Transport> Connection<S> {
    /// Writes down what must outlive the connection, publishes the will, and lets the next connection of this session in.
    pub(super) async fn finish(mut self: Box<Self>, ended: Ended) {
        let closing = self.closing.take().unwrap_or_else(|| {
            self.session.close(ReasonCode::UnspecifiedError, None);
            let expiry = std::iter::from_fn(|| self.session.poll_output()).find_map(|output| match output {
                Output::Close { session_expiry_s, .. } => Some(session_expiry_s),
                _ => None,
            });
            Closing { give_up_at: 0, will: WillFate::Publish, session_expiry_s: expiry.unwrap_or_default() }
        });
        let ledger = self.context.ledger.clone();
        let waiting = self.stalled.take().map(|command| *command);
        for command in waiting.into_iter().chain(self.take_moves()) {
            // It fails only when the ledger stops: the positions are then a little older, and a message comes twice.
            let _ = ledger.push(command).await;
        }
        let will_waits = closing.will == WillFate::Publish && self.leave_will(closing.session_expiry_s).await;
        for subscription in self.subscriptions.iter() {
            if let crate::subscriptions::Wish::Presence { user, .. } = subscription.wish {
                self.context.hub.unwatch(user, &self.peer);
            }
        }
        self.subscriber.detach(&self.peer);
        self.leave_session(&closing, will_waits).await;
        let parked = self.session.park();
        if closing.session_expiry_s > 0 {
            self.context.hub.park((self.owner.user, self.owner.device), parked);
        } else if self.subscriptions.has_shared() {
            let deliveries = remaining(parked, &self.peer);
            let _ = ledger.push(Command::Redeliver { from: self.owner.key(), deliveries }).await;
        }
        self.context.sys.add(std::mem::take(&mut self.tally));
        // The next connection of the device does not wait for the goodbye; the end of the program does.
        let goodbye = Duration::from_millis(GOODBYE_MS);
        if ended == Ended::Closed && self.draining {
            self.stream.shutdown(goodbye).await;
        }
        places::leave(&self.context, &self.peer);
        if ended == Ended::Closed && !self.draining {
            self.stream.shutdown(goodbye).await;
        }
    }

    /// Publishes the will, or leaves it to whoever keeps those that wait. `true`: it waits.
    async fn leave_will(&mut self, session_expiry_s: u32) -> bool {
        let Some(will) = self.will.take() else { return false };
        let last = LastWill {
            principal: self.principal.clone(),
            owner: self.owner.clone(),
            subscriber: self.subscriber.clone(),
            session_ms: self.session_ms,
            kept: session_expiry_s > 0,
            // The end of the session does not wait for the delay (MQTT-3.1.2-8).
            delay_s: will.delay_s.unwrap_or_default().min(session_expiry_s),
            publish: wills::publish_of(*will),
        };
        self.context.wills.leave(&self.context, last).await
    }

    /// Keeps what outlives the connection of its session, or clears all of it away.
    async fn leave_session(&mut self, closing: &Closing, will_waits: bool) {
        let ledger = self.context.ledger.clone();
        let expiry_s = closing.session_expiry_s;
        let shared = expiry_s > 0 && self.subscriptions.has_shared();
        if shared {
            // What this member was handed and has not acknowledged goes to another one.
            let subscriber = self.subscriber.clone();
            let _ = ledger.push(Command::Leave { subscriber, whole: false, done: None }).await;
        }
        let nothing_kept =
            expiry_s == 0 && (self.owner.assigned || self.owner.open) && !self.subscriber.is_durable();
        if !nothing_kept {
            let left = Left { expiry_s, will_waits, queue_sent: self.queue_sent };
            if let Err(error) = sessions::close(&*ledger as &dyn Ledger, &self.owner, left).await {
                tracing::warn!(%error, "the end of a session was not written down");
            }
        }
        if expiry_s == 0 {
            // Also: positions reported just now must be seen by the user's next device.
            if let Err(error) = places::end_session(&self.context, self.owner.key()).await {
                tracing::debug!(%error, "the queue of a session was not cleared away; the next start does it");
            }
        }
    }
}

/// What a member of shared subscriptions was handed live and did not take, in its order.
fn remaining(parked: Parked<Messenger>, peer: &Peer) -> Vec<Arc<FreeDelivery>> {
    let held = parked.into_notes().filter_map(|note| match note {
        Note::Free(delivery) => Some(delivery),
        Note::Own(_) => None,
    });
    let unread = peer.take_live().into_iter().filter(|delivery| delivery.qos != QoS::AtMostOnce);
    held.chain(unread).filter(|delivery| delivery.share.is_some()).collect()
}
