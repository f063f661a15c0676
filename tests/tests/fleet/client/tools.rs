//! mosquitto_sub, mosquitto_pub and mosquitto_rr behind the line protocol. What one client does in a library, these
//! do in one run each: a mosquitto_sub holds the session and its subscriptions, a mosquitto_pub publishes.

mod arguments;

use self::arguments::{Login, publish_arguments};
use super::{letters, link::Port};
use crate::proxy::Connections;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::mpsc,
    task::JoinSet,
};

/// Nothing is ever published there: mosquitto_sub must have a subscription, even to hold a will.
const NOTHING: &str = "app/nothing";

struct Tools {
    /// Knows when what a run sent has reached the server, or never will.
    connections: Connections,
    events: mpsc::UnboundedSender<Value>,
    login: Option<Login>,
    /// With the options of their subscriptions.
    filters: Vec<(String, Value)>,
    reader: Option<Reader>,
    /// The mosquitto_pub that keeps a topic alias between two messages.
    aliased: Option<(Child, ChildStdin)>,
    /// Runs that end by themselves.
    runs: JoinSet<()>,
}

/// A running mosquitto_sub.
struct Reader {
    child: Child,
    task: tokio::task::JoinHandle<()>,
}

/// Runs until nobody gives orders any more.
pub(super) async fn run(mut port: Port, connections: Connections) {
    let events = port.events.clone();
    let runs = JoinSet::new();
    let mut tools =
        Tools { connections, events, login: None, filters: Vec::new(), reader: None, aliased: None, runs };
    while let Some(order) = port.orders.recv().await {
        match order["do"].as_str() {
            Some("connect") => tools.connect(&order),
            Some("subscribe") => tools.subscribe(&order).await,
            Some("unsubscribe") => tools.unsubscribe(&order).await,
            Some("publish") => tools.publish(&order).await,
            Some("request") => tools.request(&order),
            _ => tools.disconnect().await,
        }
    }
}

impl Tools {
    fn say(&self, event: Value) {
        // Nobody listens any more when the step is over.
        let _ = self.events.send(event);
    }

    fn login(&self) -> &Login {
        self.login.as_ref().expect("connected before")
    }

    /// Starts a mosquitto_sub where there is something to subscribe to, or a will to hold. One that runs connects
    /// again by itself.
    fn connect(&mut self, order: &Value) {
        self.login = Some(Login::new(order));
        if self.reader.is_some() {
            return;
        }
        if self.filters.is_empty() && order["will"].is_null() {
            return self.say(json!({"event": "connected"}));
        }
        self.start_reader("connected");
    }

    async fn subscribe(&mut self, order: &Value) {
        self.stop_reader().await;
        self.filters.push((order["filter"].as_str().expect("a filter").to_owned(), order.clone()));
        self.start_reader("subscribed");
    }

    /// A run of its own: the filter is one more argument.
    async fn unsubscribe(&mut self, order: &Value) {
        self.stop_reader().await;
        let filter = order["filter"].as_str().expect("a filter");
        self.filters.retain(|(kept, _)| kept != filter);
        let mut command = self.login().command("mosquitto_sub");
        command.args(["-U", filter, "-t", NOTHING, "-E"]);
        ended(command.spawn().expect("mosquitto_sub: cargo xtask setup")).await;
        self.start_reader("unsubscribed");
    }

    /// What it does first is done when it has subscribed.
    fn start_reader(&mut self, first: &'static str) {
        let mut command = self.login().command("mosquitto_sub");
        command.args(["-d", "-F", "%j"]);
        let qos = self.filters.iter().filter_map(|(_, order)| order["qos"].as_u64()).max().unwrap_or(0);
        command.args(["-q", &qos.to_string()]);
        for (filter, order) in &self.filters {
            command.args(["-t", filter]);
            if let Some(id) = order["subscriptionId"].as_u64() {
                command.args(["-D", "SUBSCRIBE", "subscription-identifier", &id.to_string()]);
            }
        }
        if self.filters.is_empty() {
            command.args(["-t", NOTHING]);
        }
        let (child, lines) = started(&mut command);
        let task = tokio::spawn(read(lines, self.events.clone(), first));
        self.reader = Some(Reader { child, task });
    }

    /// SIGTERM: mosquitto_sub sends a DISCONNECT and ends. What it had printed is told.
    async fn stop_reader(&mut self) {
        let Some(Reader { child, task }) = self.reader.take() else { return };
        if let Some(id) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            kill_process(id, Signal::TERM).expect("a child can be signalled");
        }
        ended(child).await;
        task.await.expect("the lines of mosquitto_sub");
        // The next run must not overtake this one on its way to the server.
        self.connections.ended().await;
    }

    async fn publish(&mut self, order: &Value) {
        if let Some((child, mut stdin)) = self.aliased.take() {
            assert_eq!(order["topic"], "", "mosquitto_pub has one topic in a run");
            stdin.write_all(&line(order)).await.expect("mosquitto_pub listens");
            drop(stdin);
            ended(child).await;
            return self.say(json!({"event": "published"}));
        }
        let mut command = self.login().command("mosquitto_pub");
        command.args(publish_arguments(order)).stdin(Stdio::piped());
        let aliased = !order["alias"].is_null();
        if aliased {
            command.arg("-l");
        } else if order["payload"] == "" {
            command.arg("-n");
        } else {
            command.arg("-s");
        }
        let mut child = command.spawn().expect("mosquitto_pub: cargo xtask setup");
        let mut stdin = child.stdin.take().expect("piped");
        if aliased {
            stdin.write_all(&line(order)).await.expect("mosquitto_pub listens");
            self.aliased = Some((child, stdin));
            return self.say(json!({"event": "published"}));
        }
        let body = payload(order);
        let events = self.events.clone();
        // A run whose answer is held back must not keep the next order waiting.
        self.runs.spawn(async move {
            stdin.write_all(&body).await.expect("mosquitto_pub listens");
            drop(stdin);
            ended(child).await;
            let _ = events.send(json!({"event": "published"}));
        });
    }

    fn request(&mut self, order: &Value) {
        let mut command = self.login().command("mosquitto_rr");
        for (option, name) in [("-t", "topic"), ("-e", "reply"), ("-m", "payload")] {
            command.args([option, order[name].as_str().expect("text")]);
        }
        command.args(["-q", "1", "-F", "%j"]);
        let (child, lines) = started(&mut command);
        let events = self.events.clone();
        self.runs.spawn(async move {
            read(lines, events, "connected").await;
            ended(child).await;
        });
    }

    async fn disconnect(&mut self) {
        self.stop_reader().await;
        self.say(json!({"event": "disconnected"}));
    }
}

/// What mosquitto_sub says: `-d` between the messages, which are JSON. It subscribes each time that it has connected: the
/// `first` time is the end of what it was started for.
async fn read(
    mut lines: Lines<BufReader<ChildStdout>>,
    events: mpsc::UnboundedSender<Value>,
    first: &'static str,
) {
    // Nobody listens any more when the step is over.
    let say = |event: Value| drop(events.send(event));
    let (mut event, mut newest) = (first, String::new());
    while let Some(line) = lines.next_line().await.expect("text of mosquitto_sub") {
        if line.starts_with('{') {
            say(message(&serde_json::from_str(&line).expect("JSON of mosquitto_sub")));
        } else if let Some((id, codes)) =
            line.strip_prefix("Subscribed (mid: ").and_then(|rest| rest.split_once("): "))
        {
            // SIGTERM in the middle of a line makes mosquitto_sub write it twice.
            if id != newest {
                let code: Option<u64> = codes.rsplit(' ').next().and_then(|code| code.parse().ok());
                say(json!({"event": event, "code": code}));
                event = "connected";
                newest = id.to_owned();
            }
        }
    }
}

/// The JSON of mosquitto's tools in the words of the line protocol.
fn message(told: &Value) -> Value {
    let mut event = json!({
        "event": "message", "topic": told["topic"], "qos": told["qos"], "retain": told["retain"] == 1,
    });
    super::put_payload(&mut event, told["payload"].as_str().unwrap_or_default().as_bytes());
    let names = [
        ("content-type", "contentType"),
        ("response-topic", "responseTopic"),
        ("correlation-data", "correlation"),
        ("message-expiry-interval", "expiry"),
        ("user-properties", "user"),
    ];
    let properties = &told["properties"];
    for (theirs, ours) in names {
        if !properties[theirs].is_null() {
            event[ours] = properties[theirs].clone();
        }
    }
    if !properties["payload-format-indicator"].is_null() {
        event["utf8"] = (properties["payload-format-indicator"] == 1).into();
    }
    if !properties["subscription-identifier"].is_null() {
        event["subscriptionIds"] = json!([properties["subscription-identifier"]]);
    }
    event
}

fn payload(order: &Value) -> Vec<u8> {
    match order["bytes"].as_u64() {
        Some(length) => letters(usize::try_from(length).expect("a length")),
        None => order["payload"].as_str().expect("a payload").as_bytes().to_vec(),
    }
}

fn line(order: &Value) -> Vec<u8> {
    [payload(order), b"\n".to_vec()].concat()
}

fn started(command: &mut Command) -> (Child, Lines<BufReader<ChildStdout>>) {
    command.stdout(Stdio::piped());
    let mut child = command.spawn().expect("mosquitto's tools: cargo xtask setup");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    (child, lines)
}

async fn ended(mut child: Child) {
    let status = child.wait().await.expect("a child can be waited for");
    assert!(status.success(), "a tool of mosquitto: {status}");
}
