//! From the first byte to a connected session: CONNECT, login, takeover, the session's durable part.

use super::{
    Connection,
    io::{Stream, Transport},
    login::{TOKEN_METHOD, login},
    property,
};
use crate::{
    admission::{Pace, Refusal},
    api::ApiError,
    context::Context,
    door::Door,
    gate,
    peer::Peer,
    places,
    session_domain::{FREE_QOS1, FREE_QOS2, Messenger, Origin},
    sessions::{self, Opened, Owner, Terms},
    subscriptions::Subscriptions,
    sys::Tally,
    topics::Subscriber,
    who, wills,
};
use bytes::{Bytes, BytesMut};
use parlance_engine::{HandshakeLimits, Millis, Parked, Plan, Session, SessionConfig, connack, negotiate};
use parlance_mqtt::{
    ConnAck, ConnAckProperties, Connect, DecodeError, Decoder, Packet, QoS, ReasonCode, Version, encode,
};
use parlance_plugin_api::{
    identity::{AccountKind, Principal},
    ledger::Ledger,
    record::{DeviceId, SessionKey},
    store::StoreError,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// Largest CONNECT, bytes: who is not logged in yet gets little memory.
const CONNECT_BYTES_MAX: u32 = 128 * 1024;

/// Where calls are answered, for who asks (MQTT-3.2.2.3.15).
const RESPONSE_INFORMATION: &[u8] = b"me/json/reply/";

/// Everything up to CONNACK. `None`: refused or gone, and told so.
pub(super) async fn connect<S: Transport>(
    context: Arc<Context>,
    stream: S,
    mut door: Door,
) -> Option<Box<Connection<S>>> {
    let mut stream = Stream::new(stream);
    let mut decoder = Decoder::new(context.config.limits.packet_bytes_max.min(CONNECT_BYTES_MAX));
    let wait = door.permit.handshake_wait();
    let first = timeout(wait, first_packet(&mut stream, &mut decoder, &mut door)).await;
    let Ok(Some(first)) = first else {
        metrics::counter!("parlance_connects_refused_total", "why" => "no CONNECT in time").increment(1);
        return None;
    };
    let connect = match first {
        Ok(Packet::Connect(connect)) => connect,
        Ok(_) => return None, // MQTT-3.1.0-1: the first packet must be CONNECT; there is nobody to answer to
        Err(error) => {
            // In the form of the nearest version that is spoken here. Behind another protocol name there is nobody who
            // could read either (MQTT-3.1.2-1).
            if let DecodeError::UnsupportedProtocolVersion { level } = error {
                let version = if level > 5 { Version::V5 } else { Version::V3 };
                refuse(&mut stream, version, ReasonCode::UnsupportedProtocolVersion, String::new()).await;
            }
            metrics::counter!("parlance_malformed_packets_total").increment(1);
            return None;
        }
    };
    let version = connect.version;
    if let Some(refusal) = door.permit.refusal() {
        turn_away(&mut stream, version, refusal).await;
        return None;
    }
    match establish(&context, &connect, &door).await {
        Ok(established) => finish(context, stream, decoder, *connect, established, door).await,
        Err(Refused::Admission(refusal)) => {
            turn_away(&mut stream, version, refusal).await;
            None
        }
        Err(Refused::ConnAck(packet)) => {
            metrics::counter!("parlance_connects_refused_total", "why" => "protocol").increment(1);
            answer(&mut stream, version, packet).await;
            None
        }
        Err(Refused::Error(error)) => {
            metrics::counter!("parlance_connects_refused_total", "why" => error.code().as_str()).increment(1);
            error.log("CONNECT");
            refuse(&mut stream, version, error.code().connack_reason(), error.detail()).await;
            None
        }
    }
}

async fn first_packet<S: Transport>(
    stream: &mut Stream<S>,
    decoder: &mut Decoder,
    door: &mut Door,
) -> Option<Result<Packet, parlance_mqtt::DecodeError>> {
    loop {
        match decoder.next() {
            Ok(Some(packet)) => return Some(Ok(packet)),
            Ok(None) => {}
            Err(error) => return Some(Err(error)),
        }
        door.permit.hold(decoder.buffered());
        let read = std::future::poll_fn(|cx| stream.poll_read(cx, decoder)).await;
        if !matches!(read, Ok(count) if count > 0) {
            return None;
        }
    }
}

enum Refused {
    ConnAck(ConnAck),
    Admission(Refusal),
    Error(ApiError),
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self::Error(error)
    }
}

struct Established {
    plan: Plan,
    principal: Principal,
    owner: Owner,
    peer: Arc<Peer>,
    subscriber: Arc<Subscriber>,
    opened: Opened,
}

fn limits(context: &Context) -> HandshakeLimits {
    let limits = &context.config.limits;
    HandshakeLimits {
        client_id_bytes_max: limits.client_id_bytes_max,
        keep_alive_s_max: limits.keep_alive_s_max,
        session_expiry_s_max: limits.session_expiry_s_max,
        receive_maximum: limits.receive_maximum,
        maximum_packet_size: limits.packet_bytes_max,
        inflight_messages_max: limits.inflight_messages_max,
        topic_alias_maximum: context.config.topics.topic_alias_maximum,
        authentication_methods: &[TOKEN_METHOD],
    }
}

async fn establish(context: &Arc<Context>, connect: &Connect, door: &Door) -> Result<Established, Refused> {
    let assign = || Bytes::from(format!("auto-{}", uuid::Uuid::new_v4().simple()));
    let mut plan = negotiate(connect, &limits(context), assign).map_err(Refused::ConnAck)?;
    if let Some(refusal) = will_is_refused(connect) {
        return Err(Refused::ConnAck(refusal));
    }
    // The engine has checked that it is UTF-8.
    let client_id: Arc<str> = String::from_utf8_lossy(&plan.client_id).into();
    let principal = login(context, connect, &client_id, door).await?;
    match principal.kind {
        AccountKind::Admin => leave_nothing(&mut plan, connect),
        AccountKind::Person | AccountKind::Service if connect.request_response_information == Some(true) => {
            plan.connack.response_information = Some(Bytes::from_static(RESPONSE_INFORMATION));
        }
        AccountKind::Person | AccountKind::Service | AccountKind::Anonymous => {}
    }
    let user = principal.user;
    let device = DeviceId::of(&*context.vault, user, client_id.as_bytes());
    let open = principal.kind == AccountKind::Anonymous;
    let owner = Owner { user, device, client_id: client_id.clone(), assigned: plan.assigned, open };
    context.admission.user(context.hub.other_devices(user, device)).map_err(Refused::Admission)?;
    let peer = places::newcomer(context, user, device, client_id, principal.credential);
    let words = "the same client id connected again";
    let first =
        places::take(context, &peer, ReasonCode::SessionTakenOver, words).await.map_err(ApiError::Ledger)?;
    match open_session(context, connect, &principal, &owner, &mut plan).await {
        Ok((opened, subscriber)) => {
            // Before anything of it is looked at: what is committed later is handed to the peer.
            subscriber.attach(peer.clone());
            if first {
                context.hub.presence(user, 0);
            }
            Ok(Established { plan, principal, owner, peer, subscriber, opened })
        }
        Err(error) => {
            places::leave(context, &peer);
            Err(error.into())
        }
    }
}

/// Messages of the messenger are not retained (MQTT-3.2.2-13). 3.1.1 has no way to say so: there the flag is not obeyed.
fn will_is_refused(connect: &Connect) -> Option<ConnAck> {
    let retained = connect.will.as_ref().is_some_and(|will| will.retain && !gate::is_free(&will.topic));
    let (reason, properties) = (ReasonCode::RetainNotSupported, ConnAckProperties::default());
    let refused = retained && connect.version == Version::V5;
    refused.then_some(ConnAck { session_present: false, reason, properties })
}

/// The operator is no user, so it has no devices and no sessions: its connections are for calls.
fn leave_nothing(plan: &mut Plan, connect: &Connect) {
    plan.assigned = true;
    plan.session.session_expiry_s = 0;
    plan.session.durable = false;
    let asked = connect.session_expiry_s.is_some_and(|asked_s| asked_s > 0);
    plan.connack.session_expiry_s = (asked && plan.version == Version::V5).then_some(0);
}

/// Opens the session of a device that is in its place. What ended between its login and that was told to nobody here,
/// so the login is looked at again; what ends from now on closes the connection.
async fn open_session(
    context: &Context,
    connect: &Connect,
    principal: &Principal,
    owner: &Owner,
    plan: &mut Plan,
) -> Result<(Opened, Arc<Subscriber>), ApiError> {
    if !owner.open {
        context.authenticator.still_holds(principal)?;
    }
    let ledger: &dyn Ledger = &*context.ledger;
    let expiry_s = plan.session.session_expiry_s;
    let will = connect.will.as_ref().filter(|_| expiry_s > 0);
    let terms = Terms {
        clean_start: plan.clean_start,
        expiry_s,
        devices_max: context.config.limits.devices_per_user_max,
        will: will.and_then(|will| wills::stored(will, principal, &owner.client_id)),
    };
    let opened = sessions::open(ledger, &context.hub, owner, terms).await?;
    let key = owner.key();
    if opened.present {
        context.wills.cancel(key);
    } else {
        // The earlier session has ended, whatever it waited for.
        context.wills.session_ended(context, key).await;
        if opened.discarded || context.topics.find(key).is_some() {
            places::end_session(context, key).await.map_err(ApiError::Ledger)?;
        }
    }
    if let Some(device) = opened.forgotten {
        places::clear_away(context, SessionKey { device, ..key }).await;
    }
    // One that goes on keeps its queue, also if it is to end with this connection.
    plan.session.durable = expiry_s > 0 || opened.present;
    let subject = who::subject(principal, owner.client_id.clone());
    let subscriber = context.topics.enter(key, subject, owner.open, plan.session.durable);
    Ok((opened, subscriber))
}

/// The session's state machine where the last connection left it, and the last entry of its queue that may have been sent.
fn session(
    context: &Context,
    owner: &Owner,
    subscriber: &Arc<Subscriber>,
    opened: &Opened,
    config: SessionConfig,
) -> Result<(Session<Messenger>, u64), StoreError> {
    let parked = context.hub.unpark(&(owner.user, owner.device)).filter(|_| opened.present);
    if let Some(parked) = parked {
        let sent = opened.queue_sent.min(subscriber.queue().last);
        return Ok((Session::resume(parked, config, Millis(0)), sent));
    }
    if !opened.present || !subscriber.is_durable() {
        return Ok((Session::new(config, Millis(0)), 0));
    }
    let packets_max = 2 * usize::from(context.config.limits.inflight_messages_max);
    let (received, mut packets) = context.ledger.recovered(subscriber, packets_max)?;
    // What was not sent is not sent again, but for the first time.
    let sent = opened.queue_sent.min(subscriber.sent());
    packets.retain(|packet| packet.seq <= sent || packet.released);
    Ok((
        Session::resume(
            Parked::recovered(received, packets).maybe_sent(Origin::Queue, sent),
            config,
            Millis(0),
        ),
        sent,
    ))
}

async fn finish<S: Transport>(
    context: Arc<Context>,
    mut stream: Stream<S>,
    decoder: Decoder,
    connect: Connect,
    established: Established,
    mut door: Door,
) -> Option<Box<Connection<S>>> {
    let Established { plan, principal, owner, peer, subscriber, opened } = established;
    let mut decoder = decoder;
    door.permit.settle();
    decoder.set_max_packet_size(context.config.limits.packet_bytes_max);
    let epoch = Instant::now();
    let limits = &context.config.limits;
    let config = SessionConfig {
        ready_messages_max: limits.ready_messages_max,
        ready_bytes_max: limits.ready_bytes_max,
        notes_max: limits.notes_max + context.config.topics.live_messages_max,
        page_messages_max: limits.page_messages_max,
        reads_in_flight_max: limits.reads_in_flight_max,
        ..plan.session.clone()
    };
    let (mut session, queue_sent) = match session(&context, &owner, &subscriber, &opened, config) {
        Ok(begun) => begun,
        Err(error) => {
            tracing::error!(%error, "the queue of a session could not be read");
            subscriber.detach(&peer);
            places::leave(&context, &peer);
            refuse(&mut stream, plan.version, ReasonCode::ServerUnavailable, String::new()).await;
            return None;
        }
    };
    session.set_channel_qos(FREE_QOS1, QoS::AtLeastOnce);
    session.set_channel_qos(FREE_QOS2, QoS::ExactlyOnce);
    let mut connection = Box::new(Connection {
        stream,
        decoder,
        session,
        version: plan.version,
        client_packet_max: connect.maximum_packet_size.map_or(usize::MAX, |max| max as usize),
        principal,
        owner,
        peer,
        subscriber,
        door,
        unsettled: BTreeMap::new(),
        pace: Pace::default(),
        session_ms: opened.began_ms,
        subscriptions: Subscriptions::default(),
        will: connect.will.map(Box::new),
        out: BytesMut::new(),
        stalled: None,
        moves: Vec::new(),
        begins: Vec::new(),
        follows: false,
        queue_moved: None,
        queue_sent,
        live_bytes: 0,
        renewing: false,
        tally: Tally::default(),
        moves_due: None,
        opening: None,
        reads: VecDeque::new(),
        rpcs: 0,
        infos: BTreeMap::new(),
        last_target: None,
        epoch,
        woken_ms: 0,
        timer: Box::pin(tokio::time::sleep_until(epoch)),
        timer_at: 0,
        stood: false,
        ids: Vec::new(),
        last_typing: None,
        // Clients may send more before they have seen CONNACK (MQTT-3.1.4-5).
        undecoded: true,
        stuck_since: None,
        undecided: BTreeMap::new(),
        unanswered: 0,
        draining: false,
        closing: None,
        context,
    });
    connection.send(&Packet::ConnAck(Box::new(connack(&plan, opened.present))));
    connection.restore_subscriptions(opened.subscriptions);
    connection.follows = opened.present && connection.subscriptions.has_inbox();
    connection.follow_queue();
    connection.tell_dropped();
    let transport = connection.door.transport.as_str();
    metrics::counter!("parlance_connects_total", "transport" => transport).increment(1);
    Some(connection)
}

/// Tells who is over a limit when to come back.
async fn turn_away<S: Transport>(stream: &mut Stream<S>, version: Version, refusal: Refusal) {
    metrics::counter!("parlance_connects_refused_total", "why" => refusal.as_str()).increment(1);
    let properties = ConnAckProperties {
        reason_string: Some(refusal.to_string().into()),
        user_properties: vec![property("retry-after", refusal.retry_after_s().to_string())],
        ..ConnAckProperties::default()
    };
    answer(stream, version, ConnAck { session_present: false, reason: refusal.reason(), properties }).await;
}

async fn refuse<S: Transport>(stream: &mut Stream<S>, version: Version, reason: ReasonCode, words: String) {
    let properties = ConnAckProperties {
        reason_string: (!words.is_empty()).then(|| words.into()),
        ..ConnAckProperties::default()
    };
    answer(stream, version, ConnAck { session_present: false, reason, properties }).await;
}

async fn answer<S: Transport>(stream: &mut Stream<S>, version: Version, packet: ConnAck) {
    let mut out = BytesMut::new();
    if encode(&Packet::ConnAck(Box::new(packet)), version, &mut out).is_err() {
        return;
    }
    let wait = Duration::from_secs(1);
    // Refused clients may have gone already: there is nobody to tell then.
    let _ = timeout(wait, stream.write_all(&out)).await;
    stream.shutdown(wait).await;
}
