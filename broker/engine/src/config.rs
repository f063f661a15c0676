//! What a session was told when its connection began.

use bytes::Bytes;
use parlance_mqtt::Version;

/// Limits and terms of one connection of a session. [`negotiate`](crate::negotiate) makes it; the server may
/// lower or raise the five memory limits before it hands the value to the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionConfig {
    /// Protocol version of the connection.
    pub version: Version,
    /// Packets with QoS 1 or 2 that may be unacknowledged by the client at once.
    pub send_window: u16,
    /// Largest packet that the client accepts, bytes; `None`: no limit.
    pub client_packet_max: Option<u32>,
    /// Publishes of the client that may be open at once: QoS 1 until PUBACK, QoS 2 until PUBCOMP (MQTT-4.9). In 3.1.1,
    /// which has no such limit, those that wait for the server.
    pub receive_maximum: u16,
    /// Keep alive that was agreed, milliseconds; 0 = off. The session grants one and a half times as much.
    pub keep_alive_ms: u64,
    /// How long the session outlives the connection, seconds; `u32::MAX` = for ever.
    pub session_expiry_s: u32,
    /// Greatest session expiry that a DISCONNECT may ask for, seconds.
    pub session_expiry_s_max: u32,
    /// The session outlives its connection: QoS 2 steps wait for the storage.
    pub durable: bool,
    /// Greatest topic alias that the client may use; 0: none.
    pub topic_alias_maximum: u16,
    /// Greatest topic alias that the client takes; 0: none.
    pub client_topic_alias_maximum: u16,
    /// Authentication Method that was agreed on; `None`: AUTH is a protocol error.
    pub authentication_method: Option<Bytes>,
    /// The client wants reason strings and user properties on acknowledgements (MQTT-3.1.2-29).
    pub problem_information: bool,
    /// Messages held in memory while they wait for the send window. More are read from the log later.
    pub ready_messages_max: usize,
    /// About how many bytes these messages may hold. One page of a read may go beyond it.
    pub ready_bytes_max: usize,
    /// Notes held while they wait for the send window. More are dropped, newest first.
    pub notes_max: usize,
    /// Messages asked for by one log read.
    pub page_messages_max: usize,
    /// Log reads under way at once.
    pub reads_in_flight_max: usize,
}

impl SessionConfig {
    /// Default of [`ready_messages_max`](Self::ready_messages_max).
    pub const READY_MESSAGES_MAX: usize = 256;
    /// Default of [`ready_bytes_max`](Self::ready_bytes_max).
    pub const READY_BYTES_MAX: usize = 1 << 20;
    /// Default of [`notes_max`](Self::notes_max).
    pub const NOTES_MAX: usize = 256;
    /// Default of [`page_messages_max`](Self::page_messages_max).
    pub const PAGE_MESSAGES_MAX: usize = 64;
    /// Default of [`reads_in_flight_max`](Self::reads_in_flight_max).
    pub const READS_IN_FLIGHT_MAX: usize = 4;
}
