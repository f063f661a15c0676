//! The rmqtt library as a program, for the benchmarks.
//!
//! Its authors' own daemon of the same version carries connectors to Kafka, Pulsar and Redis and a Raft cluster: seven
//! hundred packages, which take longer to compile than the benchmarks to run. What serves clients is this library in
//! both. Sessions and messages are in memory, as they are in the daemon's usual configuration.
//!
//! `rmqtt-broker 127.0.0.1:1883`

use rmqtt::{Result, context::ServerContext, net::Builder, node::Node, server::MqttServer};
use std::{env, net::SocketAddr, num::NonZeroU16, time::Duration};

/// The one of their daemon.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Publishes to one client that it has not acknowledged.
const IN_FLIGHT: NonZeroU16 = NonZeroU16::new(1_000).expect("not zero");

/// Messages that wait for one client.
const QUEUE: usize = 1_000_000;

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::main]
async fn main() -> Result<()> {
    let argument = env::args().nth(1).unwrap_or_default();
    if argument == "--version" {
        println!("{}", Node::version());
        return Ok(());
    }
    let address: SocketAddr = argument.parse()?;
    let context = ServerContext::new()
        // As many as the daemon has.
        .task_exec_workers(1_000)
        .task_exec_queue_max(300_000)
        .busy_check_enable(false)
        .build()
        .await;
    let listener = Builder::new()
        .name("external/tcp")
        .laddr(address)
        .nodelay(true)
        .reuseaddr(Some(true))
        .backlog(4_096)
        .max_handshaking_limit(20_000)
        .allow_anonymous(true)
        .max_inflight(IN_FLIGHT)
        .max_mqueue_len(QUEUE)
        .session_expiry_interval(DAY)
        .message_expiry_interval(DAY);
    MqttServer::new(context).listener(listener.bind()?.tcp()?).build().run().await
}
