//! The steps of sessions that must be durable before the next packet leaves: QoS 2 in both directions, and what a client
//! has acknowledged of its queue.

use super::decider::Decider;
use crate::{
    peer::{Peer, Step},
    topics::HandOut,
};
use parlance_mqtt::PacketId;
use parlance_plugin_api::{
    record::{QueueRecord, SessionKey, queue_key, received_key},
    store::Table,
};
use prost::Message as _;
use std::sync::Arc;

impl Decider {
    /// The client has a QoS 2 entry: it is not sent again. What is left of it is its number.
    pub(super) fn release(&mut self, session: SessionKey, number: u64, packet_id: PacketId, peer: Arc<Peer>) {
        if let Some(removed) = self.free.queues.release(session, number) {
            self.delete_body(removed.body);
            let marker = QueueRecord { qos: 2, released: true, ..QueueRecord::default() };
            let key = queue_key(session, number);
            let written =
                self.running.batch.put(&*self.view.vault, Table::Queue, &key, &marker.encode_to_vec());
            if let Err(error) = written {
                self.broken(error);
            }
        }
        // Released before, or dropped for want of room: there is nothing to be written, and the client goes on.
        self.running.free.out.push(HandOut::Step(peer, Step::Released(packet_id)));
    }

    /// The client has released a QoS 2 publish: its packet id may be used again.
    pub(super) fn complete(&mut self, session: SessionKey, packet_id: PacketId, peer: Arc<Peer>) {
        if let Err(error) = self.write(Table::Received, &received_key(session, packet_id), None) {
            self.broken(error);
        }
        self.running.free.out.push(HandOut::Step(peer, Step::Completed(packet_id)));
    }

    /// The client is done with the entries of its queue up to a number.
    pub(super) fn acknowledged(&mut self, session: SessionKey, up_to: u64) {
        while let Some(removed) = self.free.queues.take_first(session, up_to) {
            self.delete_entry(session, removed);
        }
    }
}
