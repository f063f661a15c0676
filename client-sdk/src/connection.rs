//! The one task of a client: holds a connection, and makes another when it is lost.
//!
//! Each connection gets a rumqttc event loop of its own. Within one, `poll` is never dropped half-way (that could
//! lose a packet that rumqttc already counts as sent), and nothing that it reports is waited on: so a slow
//! application never holds up acknowledgements.
//!
//! rumqttc 0.25 drops a DISCONNECT that ends behind its reason code (MQTT-3.14.2.2.1 allows that) without a word. Such
//! a goodbye looks like a lost connection here, and a takeover would be answered with another attempt; a broker
//! that adds a Reason String, as Parlance does, is understood.

use crate::{
    address::{Address, Scheme},
    core::{Core, Link},
    error::ConnectError,
    event::Event,
    inbox::Ack,
    limits::{PACKET_IDS, RECEIVE_MAX, REQUESTS_MAX, SENDS_IN_FLIGHT_MAX, STABLE_AFTER},
    options::Options,
    pending::Window,
    reconnect::{Backoff, random},
    wire::{self, Arrival},
};
use rumqttc::{
    Outgoing, TlsConfiguration, Transport,
    v5::{
        AsyncClient, Event as Reported, EventLoop, MqttOptions, Request,
        mqttbytes::{
            QoS,
            v5::{ConnAck, Packet, PubAck, PubAckReason, Publish, SubAck, SubscribeReasonCode},
        },
    },
};
use rustls::ClientConfig;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// Greatest packet that MQTT can express.
const PACKET_BYTES_UNBOUNDED: usize = 268_435_455 + 5;

/// How a connection ended.
#[derive(Debug)]
enum End {
    /// The application wanted it.
    Wanted,
    /// It failed, after having held this long.
    Lost(ConnectError, Duration),
}

/// Whether to read on.
#[derive(Debug, PartialEq, Eq)]
enum Flow {
    Continue,
    Goodbye,
}

/// One connection's own things.
struct Connection {
    number: u64,
    requests: AsyncClient,
    session_present: bool,
    ready_at: Option<Instant>,
}

/// The task.
pub(crate) struct Pump {
    core: Arc<Core>,
    address: Address,
    tls: Option<Arc<ClientConfig>>,
    /// Closed when the last handle is dropped.
    handles: mpsc::Receiver<()>,
    /// Who waits for the first connection.
    first: Option<oneshot::Sender<Result<(), ConnectError>>>,
    /// The broker acknowledged the subscriptions in this run: a session that it kept has them.
    subscribed: bool,
    connections: u64,
}

impl Pump {
    pub(crate) fn new(
        core: Arc<Core>,
        address: Address,
        tls: Option<Arc<ClientConfig>>,
        handles: mpsc::Receiver<()>,
        first: oneshot::Sender<Result<(), ConnectError>>,
    ) -> Self {
        Self { core, address, tls, handles, first: Some(first), subscribed: false, connections: 0 }
    }

    /// Runs until the application closes, drops its handles, or nothing more can be done.
    pub(crate) async fn run(mut self) {
        let options = &self.core.options;
        let mut backoff = Backoff::new(options.backoff_min, options.backoff_max);
        let reason = loop {
            let (reason, held) = match self.connect_once().await {
                End::Wanted => break None,
                End::Lost(reason, held) => (reason, held),
            };
            self.core.lost();
            if self.gives_up(&reason) {
                break Some(reason);
            }
            if held >= STABLE_AFTER {
                backoff.reset();
            }
            let retry_in = backoff.next(random());
            tracing::debug!(%reason, ?retry_in, "disconnected");
            self.core.inbox().put(Event::Disconnected { reason, retry_in }, None);
            if !self.pause(retry_in).await {
                break None;
            }
        };
        if let Some(first) = self.first.take() {
            let _ = first.send(Err(reason.clone().unwrap_or(ConnectError::Closed)));
        }
        self.core.end(reason);
    }

    /// The first attempt is somebody's call, who hears of its failure at once, unless patience was asked for.
    fn gives_up(&self, reason: &ConnectError) -> bool {
        reason.is_fatal() || (self.first.is_some() && !self.core.options.patient)
    }

    /// False when the application does not want to go on.
    async fn pause(&mut self, pause: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.core.stop.notified() => false,
            _ = self.handles.recv() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }

    async fn connect_once(&mut self) -> End {
        let options =
            mqtt_options(&self.core.options, &self.address, self.tls.clone(), self.connections == 0);
        let (requests, mut eventloop) = AsyncClient::new(options, REQUESTS_MAX);
        self.connections += 1;
        let number = self.connections;
        let mut connection = Connection { number, requests, session_present: false, ready_at: None };
        loop {
            let reported = tokio::select! {
                biased;
                () = self.core.stop.notified() => return End::Wanted,
                _ = self.handles.recv() => return End::Wanted,
                reported = eventloop.poll() => reported,
            };
            match reported {
                Ok(event) => {
                    if self.handle(event, &mut connection, &mut eventloop) == Flow::Goodbye {
                        return End::Wanted;
                    }
                }
                Err(error) => {
                    // rumqttc reads packets in batches: those before the failing one are still to be handled.
                    while let Some(event) = eventloop.state.events.pop_front() {
                        self.handle(event, &mut connection, &mut eventloop);
                    }
                    let held = connection.ready_at.map(|at| at.elapsed()).unwrap_or_default();
                    return End::Lost(error.into(), held);
                }
            }
        }
    }

    fn handle(&mut self, event: Reported, connection: &mut Connection, eventloop: &mut EventLoop) -> Flow {
        match event {
            Reported::Outgoing(Outgoing::Publish(packet_id)) => self.core.written(packet_id),
            Reported::Outgoing(Outgoing::AwaitAck(packet_id)) => self.core.held_back(packet_id),
            Reported::Outgoing(Outgoing::Disconnect) => return Flow::Goodbye,
            Reported::Incoming(Packet::ConnAck(connack)) => self.connected(&connack, connection, eventloop),
            Reported::Incoming(Packet::SubAck(suback)) => self.subscribed(&suback, connection),
            Reported::Incoming(Packet::PubAck(ack)) => {
                release_held_back(&ack, eventloop);
                self.core.acknowledged(ack);
            }
            Reported::Incoming(Packet::Publish(publish)) => self.arrived(&publish, connection),
            _ => {}
        }
        Flow::Continue
    }

    fn connected(&mut self, connack: &ConnAck, connection: &mut Connection, eventloop: &mut EventLoop) {
        connection.session_present = connack.session_present;
        let kept = connack.session_present && self.subscribed;
        if !kept {
            // Goes into the channel before any publish does, so an answer never comes before its subscription.
            let filters = wire::filters(self.core.options.receive);
            let _ = connection.requests.try_subscribe_many(filters);
        }
        let link = Link {
            requests: connection.requests.clone(),
            connection: connection.number,
            window: window(connack),
        };
        let resend = self.core.connected(link, kept);
        eventloop.pending.extend(resend.into_iter().map(Request::Publish));
        if kept {
            self.ready(connection);
        }
    }

    fn subscribed(&mut self, suback: &SubAck, connection: &mut Connection) {
        let filters = wire::filters(self.core.options.receive);
        for (filter, code) in filters.iter().zip(&suback.return_codes) {
            if !matches!(code, SubscribeReasonCode::Success(_)) {
                // A key that may only send, say, has nothing to receive: no reason to end.
                tracing::warn!(filter = filter.path, ?code, "subscription refused");
            }
        }
        self.subscribed = true;
        self.ready(connection);
    }

    fn ready(&mut self, connection: &mut Connection) {
        connection.ready_at = Some(Instant::now());
        let session_present = connection.session_present;
        self.core.inbox().put(Event::Connected { session_present }, None);
        if let Some(first) = self.first.take() {
            let _ = first.send(Ok(()));
        }
    }

    fn arrived(&self, publish: &Publish, connection: &Connection) {
        let ack = Ack { connection: connection.number, packet_id: publish.pkid };
        let ack = (publish.qos != QoS::AtMostOnce).then_some(ack);
        match wire::parse(publish, &self.core.options.handle) {
            Arrival::Event(event) => return self.core.inbox().put(event, ack),
            Arrival::Answer { correlation, payload } => self.core.answered(correlation, payload),
            Arrival::Unknown(problem) => {
                let topic = String::from_utf8_lossy(&publish.topic);
                tracing::warn!(%topic, %problem, "arrived and cannot be used");
            }
        }
        // What the application never sees is acknowledged here: it would come again for ever.
        ack.into_iter().for_each(|ack| self.core.acknowledge(ack));
    }
}

/// rumqttc holds back a publish whose packet id is still taken, and forgets to release it when the one that had
/// it is refused.
fn release_held_back(ack: &PubAck, eventloop: &mut EventLoop) {
    let refused = !matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers);
    if refused && let Some(publish) = eventloop.state.collision.take_if(|held| held.pkid == ack.pkid) {
        eventloop.pending.push_back(Request::Publish(publish));
    }
}

fn window(connack: &ConnAck) -> Window {
    let properties = connack.properties.as_ref();
    let receive_max = properties.and_then(|p| p.receive_max).map_or(usize::MAX, usize::from);
    let packet_bytes_max = properties.and_then(|p| p.max_packet_size).map(|bytes| bytes as usize);
    Window {
        in_flight_max: SENDS_IN_FLIGHT_MAX.min(receive_max).max(1),
        packet_bytes_max: packet_bytes_max.unwrap_or(PACKET_BYTES_UNBOUNDED),
    }
}

fn mqtt_options(
    options: &Options,
    address: &Address,
    tls: Option<Arc<ClientConfig>>,
    first: bool,
) -> MqttOptions {
    let host = match address.scheme {
        Scheme::Mqtt | Scheme::Mqtts => &address.host,
        Scheme::Ws | Scheme::Wss => &address.url,
    };
    let mut mqtt = MqttOptions::new(&options.client_id, host, address.port);
    let tls = tls.map(TlsConfiguration::Rustls);
    match (address.scheme, tls) {
        (Scheme::Mqtts, Some(tls)) => mqtt.set_transport(Transport::Tls(tls)),
        (Scheme::Wss, Some(tls)) => mqtt.set_transport(Transport::Wss(tls)),
        (Scheme::Ws, _) => mqtt.set_transport(Transport::Ws),
        _ => mqtt.set_transport(Transport::Tcp),
    };
    mqtt.set_credentials(&options.handle, &options.secret.0)
        .set_clean_start(options.ephemeral || (options.clean_start && first))
        .set_session_expiry_interval(Some(options.session_expiry_s))
        .set_receive_maximum(Some(RECEIVE_MAX))
        .set_max_packet_size(Some(options.packet_bytes_max))
        .set_keep_alive(options.keep_alive)
        .set_connection_timeout(options.connect_timeout.as_secs())
        .set_manual_acks(true)
        .set_outgoing_inflight_upper_limit(PACKET_IDS);
    let mut network = mqtt.network_options();
    network.set_tcp_nodelay(true);
    mqtt.set_network_options(network);
    mqtt
}
