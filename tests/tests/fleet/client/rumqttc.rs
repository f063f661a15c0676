//! rumqttc behind the line protocol, in a task of the test: its event loop runs while it is connected, and is kept
//! from one connection to the next.

mod five;
mod three;

pub(super) use self::{five::Five, three::Three};
use super::{letters, link::Port};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{sync::mpsc, task::JoinSet};

/// Requests that rumqttc takes before its caller waits.
const REQUESTS_MAX: usize = 64;
/// rumqttc refuses packets over 10 KiB unless told otherwise.
const PACKET_BYTES_MAX: u32 = 1 << 20;

/// rumqttc hands over each PUBLISH as it comes, also one that comes again: that a message of QoS 2 counts once is its
/// user's affair, by the packet id until the PUBREL.
#[derive(Default)]
pub(super) struct Once(HashSet<u16>);

impl Once {
    /// Whether this PUBLISH of QoS 2 is a new message.
    fn is_new(&mut self, packet_id: u16) -> bool {
        self.0.insert(packet_id)
    }

    /// PUBREL came.
    fn released(&mut self, packet_id: u16) {
        self.0.remove(&packet_id);
    }
}

/// One of rumqttc's two clients.
pub(super) trait Library: Sized + Send + 'static {
    /// Its event loop, which holds the session.
    type Events: Send + 'static;

    fn make(order: &Value) -> (Self, Self::Events);
    /// What the event loop tells next; an error is the end of the connection.
    fn poll(
        events: &mut Self::Events,
        once: &mut Once,
    ) -> impl Future<Output = Result<Option<Value>, String>> + Send;
    fn obey(&self, order: &Value) -> impl Future<Output = Result<(), String>> + Send;
}

/// Runs until nobody gives orders any more.
pub(super) async fn run<L: Library>(mut port: Port) {
    let leaving = Arc::new(AtomicBool::new(false));
    let mut client: Option<L> = None;
    let mut pumps: JoinSet<(L::Events, Once)> = JoinSet::new();
    while let Some(order) = port.orders.recv().await {
        if order["do"] == "connect" {
            let (events, once) = match pumps.join_next().await {
                Some(events) => events.expect("rumqttc does not panic"),
                None => {
                    let (made, events) = L::make(&order);
                    client = Some(made);
                    (events, Once::default())
                }
            };
            leaving.store(false, Ordering::Release);
            pumps.spawn(pump::<L>(events, once, port.events.clone(), Arc::clone(&leaving)));
            continue;
        }
        leaving.fetch_or(order["do"] == "disconnect", Ordering::AcqRel);
        let client = client.as_ref().expect("connected before");
        if let Err(error) = client.obey(&order).await {
            port.say(json!({"event": "error", "text": error}));
        }
    }
}

async fn pump<L: Library>(
    mut events: L::Events,
    mut once: Once,
    say: mpsc::UnboundedSender<Value>,
    leaving: Arc<AtomicBool>,
) -> (L::Events, Once) {
    loop {
        let event = match L::poll(&mut events, &mut once).await {
            Ok(None) => continue,
            Ok(Some(event)) => event,
            Err(_) => {
                let end = if leaving.load(Ordering::Acquire) { "disconnected" } else { "lost" };
                // Nobody listens any more when the step is over.
                let _ = say.send(json!({"event": end}));
                return (events, once);
            }
        };
        let _ = say.send(event);
    }
}

fn text(order: &Value, name: &str) -> String {
    order[name].as_str().unwrap_or_else(|| panic!("{name} of {order}")).to_owned()
}

fn number<T: TryFrom<u64>>(order: &Value, name: &str) -> Option<T> {
    T::try_from(order[name].as_u64()?).ok()
}

fn flag(order: &Value, name: &str) -> bool {
    order[name].as_bool().unwrap_or_default()
}

fn payload(order: &Value) -> Vec<u8> {
    match number(order, "bytes") {
        Some(length) => letters(length),
        None => text(order, "payload").into_bytes(),
    }
}
