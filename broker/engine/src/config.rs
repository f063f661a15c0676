//! What a session was told when its connection began.

use parlance_mqtt::Version;

/// Limits and terms of one connection of a session. [`negotiate`](crate::negotiate) makes it; the server may
/// lower or raise the five memory limits before it hands the value to the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionConfig {
    /// Protocol version of the connection.
    pub version: Version,
    /// QoS 1 packets that may be unacknowledged by the client at once.
    pub send_window: u16,
    /// Largest packet that the client accepts, bytes; `None`: no limit.
    pub client_packet_max: Option<u32>,
    /// QoS 1 publishes of the client that may wait for their PUBACK at once.
    pub receive_maximum: u16,
    /// Keep alive that was agreed, milliseconds; 0 = off. The session grants one and a half times as much.
    pub keep_alive_ms: u64,
    /// How long the session outlives the connection, seconds; `u32::MAX` = for ever.
    pub session_expiry_s: u32,
    /// Greatest session expiry that a DISCONNECT may ask for, seconds.
    pub session_expiry_s_max: u32,
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
