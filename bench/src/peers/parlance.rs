//! Parlance, as it comes.

use super::{
    About,
    launch::{Ground, Launch, LaunchError, Plan},
};
use crate::{Dialect, Version};
use std::{fs, io, path::Path};

pub(super) const ABOUT: About = About {
    name: "parlance",
    version: Version::V5,
    configuration: "Defaults, with its data in a folder of its own. Clients log in with an access token each and speak \
                    the messenger's topics. The load generator is on this machine, which is a trusted address by \
                    default: the limits of an address and of one connection's packets do not hold for it. Access \
                    tokens live for a day instead of 15 minutes, so that none expires within a case.",
    acknowledges: "`fdatasync` of the journal has returned, for every message, before the PUBACK and before any \
                   recipient sees the message.",
    durability: "synced before PUBACK",
};

pub(super) fn plan(ground: &Ground<'_>) -> Result<Plan, LaunchError> {
    let data = ground.data()?;
    let ports = ground.ports;
    let listener = |index: usize| ports.address(index).to_string();
    let broker = Launch::new(ground.program)
        .arg("serve")
        .env("PARLANCE__DATA_DIR", &data)
        .env("PARLANCE__LISTEN__MQTT", listener(0))
        .env("PARLANCE__LISTEN__MQTTS", listener(1))
        .env("PARLANCE__LISTEN__HTTP", listener(2))
        .env("PARLANCE__LISTEN__HTTPS", "")
        .env("PARLANCE__AUTH__ACCESS_TTL_S", "86400")
        .env("PARLANCE__AUTH__REGISTRATIONS_PER_MINUTE", "0");
    let mut plan = Plan::new(broker, ports.address(0), data.clone());
    plan.target.dialect = Dialect::Parlance;
    plan.target.mqtts = Some(ports.address(1));
    plan.target.http = Some(ports.address(2));
    plan.target.ca = Some(data.join("certs/ca.pem"));
    Ok(plan)
}

/// The operator's token, which the server writes before it takes clients.
pub(super) fn admin_token(folder: &Path) -> io::Result<String> {
    Ok(fs::read_to_string(folder.join("data/admin.token"))?.trim().to_owned())
}
