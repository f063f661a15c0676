//! NATS with MQTT and JetStream's file store.

use super::{
    About,
    launch::{Ground, Launch, LaunchError, Plan},
};
use crate::Version;

pub(super) const AS_SHIPPED: About = About {
    name: "nats",
    version: Version::V311,
    configuration: "JetStream with its file store, and the MQTT listener, both with their defaults. MQTT 3.1.1: it knows \
                    no other.",
    acknowledges: "The message is written to a file that is synced every two minutes.",
    durability: "synced every 2 minutes",
};

pub(super) const SYNCED: About = About {
    name: "nats-synced",
    version: Version::V311,
    configuration: "As nats, with `sync_interval: always`.",
    acknowledges: "The message is written to a file, and the file is synced.",
    durability: "synced before PUBACK",
};

/// When it syncs what it has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    AsShipped,
    Always,
}

pub(super) fn plan(ground: &Ground<'_>, sync: Sync) -> Result<Plan, LaunchError> {
    let data = ground.data()?;
    let config = format!(
        "listen: \"{clients}\"\nserver_name: bench\n\
         jetstream {{\n  store_dir: \"{data}\"\n{interval}}}\n\
         mqtt {{\n  host: \"127.0.0.1\"\n  port: {mqtt}\n}}\n",
        clients = ground.ports.address(1),
        data = data.display(),
        interval = if sync == Sync::Always { "  sync_interval: always\n" } else { "" },
        mqtt = ground.ports.port(0),
    );
    let file = ground.write("nats.conf", &config)?;
    let broker = Launch::new(ground.program).arg("-c").arg(file);
    Ok(Plan::new(broker, ground.ports.address(0), data))
}
