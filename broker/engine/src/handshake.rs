//! CONNECT → the terms of a session, or a refusal. Who the client is, is somebody else's question.

use bytes::Bytes;
use parlance_mqtt::{ConnAck, ConnAckProperties, Connect, PublishProperties, ReasonCode, Version};

use crate::SessionConfig;

/// What this server grants at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeLimits {
    /// Longest client identifier, bytes.
    pub client_id_bytes_max: usize,
    /// Longest keep alive, seconds: an MQTT 5 client that asks for none or for more is told to use this one.
    /// 0: as asked. 3.1.1 clients cannot be told, so theirs stays as asked.
    pub keep_alive_s_max: u16,
    /// Longest life of a session after its connection, seconds.
    pub session_expiry_s_max: u32,
    /// Publishes of a client with QoS 1 or 2 that may be open at once. At least 1.
    pub receive_maximum: u16,
    /// Largest packet that the server accepts, bytes.
    pub maximum_packet_size: u32,
    /// Packets with QoS 1 or 2 in flight to a client, whatever it allows; for 3.1.1 clients the window itself.
    /// At least 1.
    pub inflight_messages_max: u16,
    /// Greatest topic alias that clients may use; 0: none.
    pub topic_alias_maximum: u16,
    /// Authentication methods that the server knows.
    pub authentication_methods: &'static [&'static str],
}

/// The terms that were agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The client identifier, the client's own or an assigned one.
    pub client_id: Bytes,
    /// The server made the identifier.
    pub assigned: bool,
    /// Protocol version.
    pub version: Version,
    /// An earlier session is to be dropped.
    pub clean_start: bool,
    /// For [`Session::new`](crate::Session::new) or [`resume`](crate::Session::resume). The memory limits have
    /// their defaults; the server may change them.
    pub session: SessionConfig,
    /// For the CONNACK (5; empty in 3.1.1). Authentication Data and Response Information are the server's to add.
    pub connack: ConnAckProperties,
}

/// Agrees on the terms of a connection, or refuses with the CONNACK that says why.
/// `assigned_client_id` is called when the client brings no identifier of its own.
#[expect(clippy::result_large_err, reason = "once for each connection, and a plan is not smaller")]
pub fn negotiate(
    connect: &Connect,
    limits: &HandshakeLimits,
    assigned_client_id: impl FnOnce() -> Bytes,
) -> Result<Plan, ConnAck> {
    check_identifier(connect, limits).map_err(refusal)?;
    check_features(connect, limits).map_err(refusal)?;
    let assigned = connect.client_id.is_empty();
    let client_id = if assigned { assigned_client_id() } else { connect.client_id.clone() };
    let session = session_config(connect, limits);
    let connack = match connect.version {
        Version::V3 => ConnAckProperties::default(),
        Version::V5 => connack_properties(connect, limits, &session, assigned.then(|| client_id.clone())),
    };
    Ok(Plan {
        client_id,
        assigned,
        version: connect.version,
        clean_start: connect.clean_start,
        session,
        connack,
    })
}

/// The CONNACK that accepts a plan.
pub fn connack(plan: &Plan, session_present: bool) -> ConnAck {
    ConnAck { session_present, reason: ReasonCode::Success, properties: plan.connack.clone() }
}

fn refusal(reason: ReasonCode) -> ConnAck {
    // A refusal never carries Session Present (MQTT-3.2.2-6).
    ConnAck { session_present: false, reason, properties: ConnAckProperties::default() }
}

/// MQTT-3.1.3-5 to MQTT-3.1.3-8. Control characters are refused so that an identifier can be shown and logged.
fn check_identifier(connect: &Connect, limits: &HandshakeLimits) -> Result<(), ReasonCode> {
    let text = std::str::from_utf8(&connect.client_id).map_err(|_| ReasonCode::ClientIdentifierNotValid)?;
    // A 3.1.1 client without an identifier cannot come back to its session, and cannot be told one.
    let lost = text.is_empty() && connect.version == Version::V3 && !connect.clean_start;
    if lost || text.len() > limits.client_id_bytes_max || text.chars().any(char::is_control) {
        return Err(ReasonCode::ClientIdentifierNotValid);
    }
    Ok(())
}

/// What a client asks for that this server has not, or that is not what it says it is.
fn check_features(connect: &Connect, limits: &HandshakeLimits) -> Result<(), ReasonCode> {
    if connect.version == Version::V3 {
        return Ok(());
    }
    let known = |method: &Bytes| limits.authentication_methods.iter().any(|it| it.as_bytes() == method);
    if connect.authentication_method.as_ref().is_some_and(|method| !known(method)) {
        // MQTT-4.12.0-1
        return Err(ReasonCode::BadAuthenticationMethod);
    }
    match &connect.will {
        // MQTT-3.1.3.2.3
        Some(will) if !is_as_indicated(&will.properties, &will.payload) => {
            Err(ReasonCode::PayloadFormatInvalid)
        }
        _ => Ok(()),
    }
}

/// Whether a payload that is said to be UTF-8 is (MQTT-3.3.2.3.2). That it is checked is the server's choice.
pub(crate) fn is_as_indicated(properties: &PublishProperties, payload: &[u8]) -> bool {
    properties.payload_is_utf8 != Some(true) || std::str::from_utf8(payload).is_ok()
}

fn session_config(connect: &Connect, limits: &HandshakeLimits) -> SessionConfig {
    let session_expiry_s = match (connect.version, connect.clean_start) {
        (Version::V3, true) => 0,
        (Version::V3, false) => limits.session_expiry_s_max,
        (Version::V5, _) => connect.session_expiry_s.unwrap_or(0).min(limits.session_expiry_s_max),
    };
    let client_window = match connect.version {
        Version::V3 => u16::MAX,
        Version::V5 => connect.receive_maximum.unwrap_or(u16::MAX),
    };
    let v5 = connect.version == Version::V5;
    SessionConfig {
        version: connect.version,
        send_window: client_window.min(limits.inflight_messages_max).max(1),
        client_packet_max: connect.maximum_packet_size,
        receive_maximum: limits.receive_maximum.max(1),
        keep_alive_ms: u64::from(keep_alive_s(connect, limits)) * 1000,
        session_expiry_s,
        session_expiry_s_max: limits.session_expiry_s_max,
        durable: session_expiry_s > 0,
        topic_alias_maximum: if v5 { limits.topic_alias_maximum } else { 0 },
        client_topic_alias_maximum: connect.topic_alias_maximum.unwrap_or(0),
        authentication_method: connect.authentication_method.clone().filter(|_| v5),
        problem_information: connect.request_problem_information.unwrap_or(true),
        ready_messages_max: SessionConfig::READY_MESSAGES_MAX,
        ready_bytes_max: SessionConfig::READY_BYTES_MAX,
        notes_max: SessionConfig::NOTES_MAX,
        page_messages_max: SessionConfig::PAGE_MESSAGES_MAX,
        reads_in_flight_max: SessionConfig::READS_IN_FLIGHT_MAX,
    }
}

fn keep_alive_s(connect: &Connect, limits: &HandshakeLimits) -> u16 {
    let (asked, max) = (connect.keep_alive_s, limits.keep_alive_s_max);
    if connect.version == Version::V5 && max != 0 && (asked == 0 || asked > max) { max } else { asked }
}

fn connack_properties(
    connect: &Connect,
    limits: &HandshakeLimits,
    session: &SessionConfig,
    assigned_client_id: Option<Bytes>,
) -> ConnAckProperties {
    let keep_alive_s = keep_alive_s(connect, limits);
    let asked_expiry_s = connect.session_expiry_s.unwrap_or(0);
    ConnAckProperties {
        session_expiry_s: (session.session_expiry_s != asked_expiry_s).then_some(session.session_expiry_s),
        receive_maximum: Some(session.receive_maximum),
        // Absent: 2 (MQTT-3.2.2.3.4).
        maximum_qos: None,
        retain_available: Some(true),
        maximum_packet_size: Some(limits.maximum_packet_size),
        assigned_client_id,
        topic_alias_maximum: Some(session.topic_alias_maximum),
        wildcard_subscription_available: Some(true),
        subscription_ids_available: Some(true),
        shared_subscription_available: Some(true),
        server_keep_alive_s: (keep_alive_s != connect.keep_alive_s).then_some(keep_alive_s),
        // MQTT-4.12.0-5 and MQTT-4.12.0-6.
        authentication_method: session.authentication_method.clone(),
        ..ConnAckProperties::default()
    }
}
