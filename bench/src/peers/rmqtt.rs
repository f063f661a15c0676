//! rmqtt.

use super::{
    About,
    launch::{Ground, Launch, LaunchError, Plan},
};
use crate::Version;

pub(super) const ABOUT: About = About {
    name: "rmqtt",
    version: Version::V5,
    configuration: "The library as a program of its own (`bench/peers/rmqtt`): the daemon of the same version takes longer \
                    to compile than all of this to run, for its connectors to Kafka and Pulsar. Sessions and messages in \
                    memory, as by default there. Raised, so that it neither drops nor refuses: queues of 1,000,000 \
                    messages, 1,000 publishes in flight, messages that live for a day instead of five minutes, no refusal \
                    of clients when the CPU is busy; `nodelay`.",
    acknowledges: "The message is in the memory of the recipient's session.",
    durability: "in memory",
};

pub(super) fn plan(ground: &Ground<'_>) -> Result<Plan, LaunchError> {
    let data = ground.data()?;
    let address = ground.ports.address(0);
    let broker = Launch::new(ground.program).arg(address.to_string());
    Ok(Plan::new(broker, address, data))
}
