//! Orders to a client and events from it: through the pipes of a program, or to a task of the test.

use super::{Kind, rumqttc, tools};
use crate::proxy::Connections;
use parlance_mqtt::Version;
use parlance_tests::Process;
use serde_json::Value;
use tokio::{sync::mpsc, task::JoinHandle};

/// The two ends of a task that behaves like a program.
pub(super) struct Port {
    pub(super) orders: mpsc::UnboundedReceiver<Value>,
    pub(super) events: mpsc::UnboundedSender<Value>,
}

impl Port {
    /// Tells what happened.
    pub(super) fn say(&self, event: Value) {
        // Nobody listens any more when the step is over.
        let _ = self.events.send(event);
    }
}

pub(super) enum Link {
    Program(Box<Process>),
    Task {
        orders: mpsc::UnboundedSender<Value>,
        events: mpsc::UnboundedReceiver<Value>,
        task: JoinHandle<()>,
    },
}

impl Link {
    pub(super) fn start(kind: Kind, version: Version, connections: Connections) -> Self {
        if let Some((program, arguments)) = kind.program() {
            let arguments: Vec<String> = arguments.iter().map(|path| path.display().to_string()).collect();
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            return Self::Program(Box::new(Process::start(program, &arguments, &[])));
        }
        let (orders, taken) = mpsc::unbounded_channel();
        let (said, events) = mpsc::unbounded_channel();
        let port = Port { orders: taken, events: said };
        let task = match (kind, version) {
            (Kind::Mosquitto, _) => tokio::spawn(tools::run(port, connections)),
            (_, Version::V3) => tokio::spawn(rumqttc::run::<rumqttc::Three>(port)),
            (_, Version::V5) => tokio::spawn(rumqttc::run::<rumqttc::Five>(port)),
        };
        Self::Task { orders, events, task }
    }

    pub(super) async fn tell(&mut self, order: Value) {
        match self {
            Self::Program(process) => process.tell(&order.to_string()).await,
            Self::Task { orders, .. } => orders.send(order).expect("the client runs"),
        }
    }

    pub(super) async fn event(&mut self) -> Value {
        match self {
            Self::Program(process) => process.json().await,
            Self::Task { events, .. } => events.recv().await.expect("the client runs"),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Self::Task { task, .. } = self {
            task.abort();
        }
    }
}
