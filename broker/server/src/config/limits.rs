//! Every limit of the server, with its unit in its name.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Network, key::section};

fn this_machine() -> Vec<Network> {
    vec![Network::new(Ipv4Addr::new(127, 0, 0, 0).into(), 8), Network::new(Ipv6Addr::LOCALHOST.into(), 128)]
}

section! {
    /// What is bounded, and where.
    Limits = "limits" {
        /// Content of one message, bytes.
        message_bytes_max: usize = 262_144, in 1..=16_777_216;
        /// One MQTT packet from a client, bytes; at least message_bytes_max.
        packet_bytes_max: u32 = 1_048_576, in 1_024..=268_435_460;
        /// Body of one HTTP request, bytes; at least message_bytes_max.
        http_body_bytes_max: usize = 1_048_576, in 1_024..=1_073_741_824;
        /// How long one HTTP request may take, milliseconds.
        http_request_ms_max: u64 = 30_000, in 100..=600_000;
        /// HTTP calls in progress at once; more wait their turn.
        http_calls_max: usize = 1_024, in 1..=1_000_000;
        /// Connections at once, of every listener. One more is told that the server is busy. Fewer where the hard limit of
        /// open files (ulimit -Hn) does not leave that many: some are kept for the store.
        connections_max: usize = 100_000, in 1..=10_000_000;
        /// Those among them that are not logged in yet.
        handshakes_max: usize = 10_000, in 1..=10_000_000;
        /// The same for one address (IPv6: one /64); 0 for no limit.
        handshakes_per_address_max: u32 = 512, in 0..=10_000_000;
        /// Connections of one address at once; 0 for no limit. Raise it where a fleet stands behind one router.
        connections_per_address_max: u32 = 2_000, in 0..=10_000_000;
        /// New connections of one address in a second; 0 for no limit.
        connects_per_second_per_address: u32 = 100, in 0..=1_000_000;
        /// How many of them may come at once before that counts.
        connects_burst_per_address: u32 = 1_000, in 1..=1_000_000;
        /// Connections of one user at once.
        connections_per_user_max: usize = 256, in 1..=1_000_000;
        /// Packets of one connection in a second; beyond it, it is not read from until the second is over. 0 for no limit.
        packets_per_second_max: u32 = 20_000, in 0..=1_000_000_000;
        /// Bytes of one connection in a second, likewise.
        bytes_per_second_max: u32 = 67_108_864, in 0..=4_294_967_295;
        /// Seconds in a row that a connection may be held back by those two; then it is closed.
        over_rate_s_max: u32 = 30, in 1..=3_600;
        /// Memory of what all connections have on its way, in and out, bytes. Beyond it new ones are told to come back
        /// later, and those that hold most are closed.
        inflight_bytes_max: usize = 1_073_741_824, in 1_048_576..=1_099_511_627_776;
        /// For these the limits of an address and of a connection's packets and bytes do not hold. Default: this machine.
        trusted_addresses: Vec<Network> = this_machine();
        /// From the connection to a CONNECT that was let in, with TLS and WebSocket handshakes, milliseconds.
        connect_timeout_ms: u64 = 10_000, in 100..=600_000;
        /// How long a client may take nothing of what is written to it, milliseconds.
        write_timeout_ms: u64 = 30_000, in 100..=600_000;
        /// How long a stop waits for connections to end, milliseconds.
        stop_timeout_ms: u64 = 10_000, in 0..=600_000;
        /// Keep alive that an MQTT 5 client is told to use if it asks for more or none, seconds; 0 for as asked.
        keep_alive_s_max: u16 = 3_600, in 0..=65_535;
        /// Life of a session after its connection, seconds.
        session_expiry_s_max: u32 = 2_592_000, in 0..=4_294_967_294;
        /// Length of a client id, bytes.
        client_id_bytes_max: usize = 256, in 23..=65_535;
        /// Publishes of one client that may wait for their PUBACK at once.
        receive_maximum: u16 = 256, in 1..=65_535;
        /// Messages on their way to one client that it has not acknowledged.
        inflight_messages_max: u16 = 256, in 1..=65_535;
        /// Messages of one session in memory behind those; more are read from the log later.
        ready_messages_max: usize = 256, in 1..=65_536;
        /// Their size, bytes.
        ready_bytes_max: usize = 1_048_576, in 1_024..=1_073_741_824;
        /// Receipts, events and replies of one session in memory; more are dropped and counted.
        notes_max: usize = 256, in 1..=65_536;
        /// Messages that one read of the log brings to a session that catches up.
        page_messages_max: usize = 64, in 1..=4_096;
        /// Such reads of one session at once.
        reads_in_flight_max: usize = 4, in 1..=64;
        /// New messages that wait for one connection's task; more are read from the log later.
        outbox_messages_max: usize = 1_024, in 1..=1_048_576;
        /// Their size, bytes.
        outbox_bytes_max: usize = 1_048_576, in 1_024..=1_073_741_824;
        /// Signals (receipts, typing, events) that wait for one connection's task; more are dropped and counted.
        outbox_signals_max: usize = 1_024, in 1..=1_048_576;
        /// Topic filters of one session.
        subscriptions_per_session_max: usize = 256, in 1..=65_536;
        /// Devices of one user; one more takes the place of the one that was away longest.
        devices_per_user_max: usize = 64, in 1..=1_000;
        /// Sessions without a connection whose state stays in memory; others are read from the store.
        parked_sessions_max: usize = 100_000, in 1..=100_000_000;
        /// Members of one group.
        group_members_max: usize = 10_000, in 2..=1_000_000;
        /// Members up to which a conversation's receipts are told live; in larger ones they are asked for.
        receipts_live_members_max: usize = 32, in 0..=100_000;
        /// Conversations whose heads and members stay in memory.
        conversations_cached_max: usize = 65_536, in 16..=100_000_000;
        /// Commands that wait for the journal. Beyond it senders wait.
        ledger_queue_max: usize = 65_536, in 16..=16_777_216;
        /// Content of the messages among them, bytes. Beyond it senders wait.
        ledger_queue_bytes_max: usize = 67_108_864, in 65_536..=1_073_741_824;
    }
}
