//! RabbitMQ with its MQTT plugin: a node of its own beside whatever runs as the service of this machine.

use super::{
    About,
    launch::{Ground, Launch, LaunchError, Plan},
};
use crate::Version;
use std::{path::Path, time::Duration};

/// Erlang and its plugins take their time.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) const ABOUT: About = About {
    name: "rabbitmq",
    version: Version::V311,
    configuration: "The MQTT plugin alone, with durable queues as it makes them for sessions that are not clean. \
                    `mqtt.prefetch = 1000` instead of 10, so that the clients decide the window; `nodelay`; a backlog of \
                    4,096. MQTT 3.1.1: it knows no other.",
    acknowledges: "The message is in a durable queue, written and synced.",
    durability: "synced before PUBACK",
};

pub(super) fn plan(ground: &Ground<'_>) -> Result<Plan, LaunchError> {
    let data = ground.data()?;
    let config = format!(
        "listeners.tcp = none\nmqtt.listeners.tcp.1 = {mqtt}\nmqtt.allow_anonymous = true\n\
         mqtt.default_user = guest\nmqtt.default_pass = guest\nmqtt.subscription_ttl = 86400000\n\
         mqtt.prefetch = 1000\nmqtt.tcp_listen_options.backlog = 4096\nmqtt.tcp_listen_options.nodelay = true\n\
         log.console = false\nlog.file.level = error\n",
        mqtt = ground.ports.address(0),
    );
    let config = ground.write("rabbitmq.conf", &config)?;
    let plugins = ground.write("enabled_plugins", "[rabbitmq_mqtt].\n")?;
    let mapper = ground.ports.port(1).to_string();
    let broker = Launch::new(ground.program)
        // The cookie of the node is made there.
        .env("HOME", ground.folder)
        // Its script then becomes the node, instead of waiting beside it.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .env("ERL_EPMD_PORT", &mapper)
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        // The name that others would find it by is its port: no two of a machine are the same.
        .env("RABBITMQ_NODENAME", format!("bench{mapper}@localhost"))
        .env("RABBITMQ_DIST_PORT", ground.ports.port(2).to_string())
        .env("RABBITMQ_MNESIA_BASE", &data)
        .env("RABBITMQ_LOG_BASE", ground.folder.join("log"))
        .env("RABBITMQ_CONFIG_FILE", config)
        .env("RABBITMQ_CONF_ENV_FILE", ground.folder.join("none"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", plugins)
        .env("RABBITMQ_PID_FILE", ground.folder.join("pid"));
    let mut plan = Plan::new(broker, ground.ports.address(0), data);
    plan.beside = Some(mapper_of_nodes(&mapper));
    plan.patience = PATIENCE;
    Ok(plan)
}

/// Erlang starts one by itself if there is none, and leaves it running for ever.
fn mapper_of_nodes(port: &str) -> Launch {
    let mut launch = Launch::new(Path::new("epmd"));
    launch.log = "epmd.log";
    launch.arg("-port").arg(port).arg("-address").arg("127.0.0.1")
}
