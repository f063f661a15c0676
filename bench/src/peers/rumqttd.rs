//! rumqttd.

use super::{
    About,
    launch::{Ground, Launch, LaunchError, Plan},
};
use crate::Version;

pub(super) const ABOUT: About = About {
    name: "rumqttd",
    version: Version::V5,
    configuration: "`rumqttd.toml` as its authors ship it (segments of 100 MiB, ten of them; 100 publishes in flight), \
                    with room for 20,000 connections and without the millisecond that it otherwise waits between two of \
                    them.",
    acknowledges: "Before the message has reached the memory from which it is delivered. Nothing is ever written to disk.",
    durability: "stores nothing",
};

pub(super) fn plan(ground: &Ground<'_>) -> Result<Plan, LaunchError> {
    let data = ground.data()?;
    let listener = |version: &str, index: usize| {
        format!(
            "[{version}.1]\nname = \"{version}\"\nlisten = \"{}\"\nnext_connection_delay_ms = 0\n\
             [{version}.1.connections]\nconnection_timeout_ms = 60000\nmax_payload_size = 20480\n\
             max_inflight_count = 100\ndynamic_filters = true\n",
            ground.ports.address(index)
        )
    };
    let config = format!(
        "id = 0\n[router]\nid = 0\nmax_connections = 20000\nmax_outgoing_packet_count = 200\n\
         max_segment_size = 104857600\nmax_segment_count = 10\n{}{}",
        listener("v4", 1),
        listener("v5", 0)
    );
    let file = ground.write("rumqttd.toml", &config)?;
    let broker = Launch::new(ground.program).arg("--quiet").arg("-c").arg(file);
    Ok(Plan::new(broker, ground.ports.address(0), data))
}
