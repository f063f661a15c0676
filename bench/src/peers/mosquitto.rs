//! mosquitto.

use super::{
    About, certificate,
    launch::{Ground, Launch, LaunchError, Plan},
};
use crate::Version;

pub(super) const ABOUT: About = About {
    name: "mosquitto",
    version: Version::V5,
    configuration: "`persistence true` with its usual `autosave_interval` of 30 minutes; `max_queued_messages 0` and \
                    `max_inflight_messages 0`, so that nothing is dropped and the clients decide the window; \
                    `set_tcp_nodelay true`; no log.",
    acknowledges: "The message is in memory. It reaches the disk with the next save: every 30 minutes and at an orderly \
                   stop.",
    durability: "saved every 30 minutes",
};

pub(super) fn plan(ground: &Ground<'_>) -> Result<Plan, LaunchError> {
    let data = ground.data()?;
    let tls = certificate::make(ground)?;
    let (plain, secure) = (ground.ports.port(0), ground.ports.port(1));
    let config = format!(
        "allow_anonymous true\npersistence true\npersistence_location {data}/\nmax_queued_messages 0\n\
         max_inflight_messages 0\nset_tcp_nodelay true\nlog_dest none\n\
         listener {plain} 127.0.0.1\n\
         listener {secure} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\n{user}",
        data = data.display(),
        certificate = tls.certificate.display(),
        key = tls.key.display(),
        user = user(),
    );
    let file = ground.write("mosquitto.conf", &config)?;
    let broker = Launch::new(ground.program).arg("-c").arg(file);
    let mut plan = Plan::new(broker, ground.ports.address(0), data);
    plan.target.mqtts = Some(ground.ports.address(1));
    plan.target.ca = Some(tls.certificate);
    Ok(plan)
}

/// Started by root it would change to a user who may not write in this folder.
fn user() -> &'static str {
    if rustix::process::geteuid().is_root() { "user root\n" } else { "" }
}
