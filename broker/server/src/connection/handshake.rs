//! From the first byte to a connected session: CONNECT, login, takeover, the session's durable part.

use super::{
    Connection,
    io::{Stream, Transport},
};
use crate::{
    api::ApiError,
    context::Context,
    peer::Peer,
    places,
    sessions::{self, Opened, Owner},
    subscriptions::Subscriptions,
};
use bytes::{Bytes, BytesMut};
use parlance_engine::{HandshakeLimits, Millis, Plan, Session, SessionConfig, connack, negotiate};
use parlance_mqtt::{ConnAck, ConnAckProperties, Connect, Decoder, Packet, ReasonCode, Version, encode};
use parlance_plugin_api::{
    identity::{AccountKind, Credential, Principal},
    ledger::{Ledger, LedgerError},
    record::DeviceId,
};
use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// Largest CONNECT, bytes: who is not logged in yet gets little memory.
const CONNECT_BYTES_MAX: u32 = 128 * 1024;

/// Everything up to CONNACK. `None`: refused or gone, and told so.
pub(super) async fn connect<S: Transport>(
    context: Arc<Context>,
    stream: S,
    from: IpAddr,
) -> Option<Connection<S>> {
    let mut stream = Stream::new(stream);
    let mut decoder = Decoder::new(context.config.limits.packet_bytes_max.min(CONNECT_BYTES_MAX));
    let wait = Duration::from_millis(context.config.limits.connect_timeout_ms);
    let first = timeout(wait, first_packet(&mut stream, &mut decoder)).await;
    let Ok(Some(first)) = first else {
        metrics::counter!("parlance_connects_refused_total", "why" => "no CONNECT in time").increment(1);
        return None;
    };
    let connect = match first {
        Ok(Packet::Connect(connect)) => connect,
        Ok(_) => return None, // MQTT-3.1.0-1: the first packet must be CONNECT; there is nobody to answer to
        Err(error) => {
            if error.reason() == ReasonCode::UnsupportedProtocolVersion {
                refuse(&mut stream, Version::V3, ReasonCode::UnsupportedProtocolVersion, String::new()).await;
            }
            metrics::counter!("parlance_malformed_packets_total").increment(1);
            return None;
        }
    };
    let version = connect.version;
    match establish(&context, &connect, from).await {
        Ok(established) => finish(context, stream, decoder, *connect, established, from).await,
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
) -> Option<Result<Packet, parlance_mqtt::DecodeError>> {
    loop {
        match decoder.next() {
            Ok(Some(packet)) => return Some(Ok(packet)),
            Ok(None) => {}
            Err(error) => return Some(Err(error)),
        }
        let read = std::future::poll_fn(|cx| stream.poll_read(cx, decoder)).await;
        if !matches!(read, Ok(count) if count > 0) {
            return None;
        }
    }
}

enum Refused {
    ConnAck(ConnAck),
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
    }
}

async fn establish(context: &Arc<Context>, connect: &Connect, from: IpAddr) -> Result<Established, Refused> {
    if context.hub.connections() >= context.config.limits.connections_max {
        return Err(ApiError::Ledger(LedgerError::Busy).into());
    }
    let assign = || Bytes::from(format!("auto-{}", uuid::Uuid::new_v4().simple()));
    let mut plan = negotiate(connect, &limits(context), assign).map_err(Refused::ConnAck)?;
    // The engine has checked that it is UTF-8.
    let client_id: Arc<str> = String::from_utf8_lossy(&plan.client_id).into();
    let principal = login(context, connect, &client_id, from).await?;
    if principal.kind == AccountKind::Admin {
        leave_nothing(&mut plan, connect);
    }
    let user = principal.user;
    let device = DeviceId::of(&*context.vault, user, client_id.as_bytes());
    let owner = Owner { user, device, client_id: client_id.clone(), assigned: plan.assigned };
    let peer = places::newcomer(context, user, device, client_id, principal.credential);
    let words = "the same client id connected again";
    let first =
        places::take(context, &peer, ReasonCode::SessionTakenOver, words).await.map_err(ApiError::Ledger)?;
    match open(context, &principal, &owner, &plan).await {
        Ok(opened) => {
            if first {
                context.hub.presence(user, 0);
            }
            Ok(Established { plan, principal, owner, peer, opened })
        }
        Err(error) => {
            places::leave(context, &peer);
            Err(error.into())
        }
    }
}

/// The operator is no user, so it has no devices and no sessions: its connections are for calls.
fn leave_nothing(plan: &mut Plan, connect: &Connect) {
    plan.assigned = true;
    plan.session.session_expiry_s = 0;
    let asked = connect.session_expiry_s.is_some_and(|asked_s| asked_s > 0);
    plan.connack.session_expiry_s = (asked && plan.version == Version::V5).then_some(0);
}

/// Opens the session of a device that is in its place. What ended between its login and that was told to nobody here,
/// so the login is looked at again; what ends from now on closes the connection.
async fn open(
    context: &Context,
    principal: &Principal,
    owner: &Owner,
    plan: &Plan,
) -> Result<Opened, ApiError> {
    context.authenticator.still_holds(principal)?;
    let ledger: &dyn Ledger = &*context.ledger;
    let expiry_s = plan.session.session_expiry_s;
    let devices_max = context.config.limits.devices_per_user_max;
    Ok(sessions::open(ledger, &context.hub, owner, plan.clean_start, expiry_s, devices_max).await?)
}

async fn login(
    context: &Context,
    connect: &Connect,
    client_id: &str,
    from: IpAddr,
) -> Result<Principal, ApiError> {
    let name = connect
        .username
        .as_ref()
        .and_then(|name| std::str::from_utf8(name).ok())
        .filter(|name| !name.is_empty());
    let credential = match (name, &connect.password) {
        (Some(name), Some(secret)) => Credential::NameAndSecret { name, secret },
        (None, Some(secret)) => Credential::Token(secret),
        _ => return Err(ApiError::NotAuthenticated),
    };
    // Also one that the server made up: a token that is bound to a device serves no other.
    Ok(context.authenticator.authenticate(credential, Some(client_id), from).await?)
}

async fn finish<S: Transport>(
    context: Arc<Context>,
    stream: Stream<S>,
    decoder: Decoder,
    connect: Connect,
    established: Established,
    from: IpAddr,
) -> Option<Connection<S>> {
    let Established { plan, principal, owner, peer, opened } = established;
    let mut decoder = decoder;
    decoder.set_max_packet_size(context.config.limits.packet_bytes_max);
    let epoch = Instant::now();
    let parked = context.hub.unpark(&(owner.user, owner.device)).filter(|_| opened.present);
    let limits = &context.config.limits;
    let config = SessionConfig {
        ready_messages_max: limits.ready_messages_max,
        ready_bytes_max: limits.ready_bytes_max,
        notes_max: limits.notes_max,
        page_messages_max: limits.page_messages_max,
        reads_in_flight_max: limits.reads_in_flight_max,
        ..plan.session.clone()
    };
    let session_expiry_s = config.session_expiry_s;
    let session = match parked {
        Some(parked) => Session::resume(parked, config, Millis(0)),
        None => Session::new(config, Millis(0)),
    };
    let mut connection = Connection {
        stream,
        decoder,
        session,
        session_expiry_s,
        version: plan.version,
        client_packet_max: connect.maximum_packet_size.map_or(usize::MAX, |max| max as usize),
        principal,
        owner,
        peer,
        from,
        session_ms: opened.began_ms,
        subscriptions: Subscriptions::default(),
        will: connect.will,
        out: BytesMut::new(),
        stalled: None,
        moves: HashMap::new(),
        moves_due: None,
        opening: None,
        reads: std::collections::VecDeque::new(),
        rpcs: 0,
        infos: HashMap::new(),
        epoch,
        timer: Box::pin(tokio::time::sleep_until(epoch)),
        timer_at: 0,
        ids: Vec::new(),
        last_typing: None,
        // Clients may send more before they have seen CONNACK (MQTT-3.1.4-5).
        undecoded: true,
        stuck_since: None,
        undecided: std::collections::BTreeMap::new(),
        unanswered: 0,
        draining: false,
        closing: None,
        context,
    };
    connection.send(&Packet::ConnAck(Box::new(connack(&plan, opened.present))));
    connection.restore_subscriptions(opened.subscriptions);
    metrics::counter!("parlance_connects_total").increment(1);
    Some(connection)
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
