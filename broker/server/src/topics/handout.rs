//! Handing out what a durable batch decided, in the order in which it was decided.

use super::{Counters, FreeDelivery, FreeMessage, Subscriber, Target};
use crate::peer::{Peer, Settled, Step};
use parlance_mqtt::QoS;
use std::sync::Arc;

/// Something that a session hears once it is durable.
pub(crate) enum HandOut {
    /// An entry of its queue.
    Queued(Arc<Subscriber>, u64, Arc<FreeDelivery>),
    /// A message that is told live.
    Live(Arc<Subscriber>, Arc<FreeDelivery>),
    /// Subscriptions are kept.
    Settled(Arc<Peer>, Settled),
    /// A step of QoS 2.
    Step(Arc<Peer>, Step),
}

/// Hands everything out.
pub(crate) fn hand_out(what: Vec<HandOut>, counters: &Counters) {
    for it in what {
        match it {
            HandOut::Queued(who, number, delivery) => {
                // Without a connection it waits in the queue.
                if let Some(peer) = who.peer() {
                    peer.queued(number, &delivery);
                }
            }
            HandOut::Live(who, delivery) => live(&who, &delivery, counters),
            HandOut::Settled(peer, settled) => peer.settled(settled),
            HandOut::Step(peer, step) => peer.step(step),
        }
    }
}

/// A session that is gone gets nothing: what is told live ends with its connection.
fn live(who: &Subscriber, delivery: &Arc<FreeDelivery>, counters: &Counters) {
    if who.peer().is_some_and(|peer| !peer.live(delivery)) {
        counters.live_dropped();
    }
}

/// Makes deliveries of one message, the same one for all sessions that get the same.
pub(crate) struct Live<'a> {
    message: &'a Arc<FreeMessage>,
    last: Option<Arc<FreeDelivery>>,
}

impl<'a> Live<'a> {
    pub(crate) fn new(message: &'a Arc<FreeMessage>) -> Self {
        Self { message, last: None }
    }

    /// The delivery of a target.
    pub(crate) fn delivery(&mut self, target: &mut Target) -> Arc<FreeDelivery> {
        let plain = target.subscription_ids.is_empty() && target.share.is_none();
        if !plain {
            return Arc::new(target.delivery(self.message));
        }
        let same = |last: &&Arc<FreeDelivery>| (last.qos, last.retain) == (target.qos, target.retain);
        if let Some(last) = self.last.as_ref().filter(same) {
            return last.clone();
        }
        self.last.insert(Arc::new(target.delivery(self.message))).clone()
    }

    /// Tells it to a session now.
    pub(super) fn hand(&mut self, mut target: Target, counters: &Counters) {
        debug_assert_eq!(target.qos, QoS::AtMostOnce, "what is acknowledged goes through the ledger");
        let delivery = self.delivery(&mut target);
        live(&target.who, &delivery, counters);
    }
}
