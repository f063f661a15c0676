//! Orders as arguments of mosquitto's tools.

use serde_json::Value;
use tokio::process::Command;

/// What every run is told: where to, who, which session.
pub(super) struct Login {
    arguments: Vec<String>,
    id: String,
    /// What only mosquitto_sub has.
    session: Vec<String>,
}

impl Login {
    pub(super) fn new(order: &Value) -> Self {
        let text = |name: &str| order[name].as_str().expect("text").to_owned();
        let number = |name: &str| order[name].as_u64().map(|number| number.to_string());
        let five = order["version"] == 5;
        let version = if five { "5" } else { "311" };
        let mut arguments: Vec<String> =
            ["-V", version, "-h", &text("host"), "-u", &text("user")].map(str::to_owned).into();
        arguments.extend(["-P".to_owned(), text("password")]);
        arguments.extend(["-p".to_owned(), number("port").expect("a port")]);
        arguments.extend(["-k".to_owned(), number("keepAlive").expect("seconds")]);
        let mut session = Vec::new();
        if order["clean"] == false {
            session.push("-c".to_owned());
            session.extend(number("expiry").into_iter().flat_map(|expiry| ["-x".to_owned(), expiry]));
        }
        for (name, property) in [("maxPacket", "maximum-packet-size"), ("aliases", "topic-alias-maximum")] {
            if let Some(value) = number(name) {
                session.extend(["-D", "CONNECT", property, &value].map(str::to_owned));
            }
        }
        if let will @ Value::Object(_) = &order["will"] {
            let text = |name: &str| will[name].as_str().expect("text").to_owned();
            session.extend([
                "--will-topic".to_owned(),
                text("topic"),
                "--will-payload".to_owned(),
                text("payload"),
            ]);
            session.extend(["--will-qos".to_owned(), will["qos"].to_string()]);
            session.extend((will["retain"] == true).then(|| "--will-retain".to_owned()));
        }
        Self { arguments, id: text("id"), session }
    }

    /// A tool with this login, its output still where the test's is. mosquitto_sub has the client id itself, and the
    /// session; mosquitto_pub one of its own beside it, as both may be connected at once.
    pub(super) fn command(&self, tool: &str) -> Command {
        // Into a pipe they would write their debug lines only when a page of them is full.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", tool]).args(&self.arguments).kill_on_drop(true);
        match tool {
            "mosquitto_sub" => command.args(["-i", &self.id]).args(&self.session),
            "mosquitto_pub" => {
                let session: Vec<&String> =
                    self.session.iter().take_while(|option| !option.starts_with("--will")).collect();
                command.args(["-i", &format!("{}-pub", self.id)]).args(session)
            }
            _ => command.args(["-i", &format!("{}-rr", self.id)]),
        };
        command
    }
}

/// The arguments of a publish, all but its payload.
pub(super) fn publish_arguments(order: &Value) -> Vec<String> {
    let topic = order["topic"].as_str().expect("a topic");
    let mut arguments = vec!["-t".to_owned(), topic.to_owned(), "-q".to_owned(), order["qos"].to_string()];
    arguments.extend((order["retain"] == true).then(|| "-r".to_owned()));
    let names = [
        ("contentType", "content-type"),
        ("responseTopic", "response-topic"),
        ("correlation", "correlation-data"),
        ("expiry", "message-expiry-interval"),
        ("alias", "topic-alias"),
    ];
    for (ours, theirs) in names {
        let value = match &order[ours] {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            number => number.to_string(),
        };
        arguments.extend(["-D".to_owned(), "publish".to_owned(), theirs.to_owned(), value]);
    }
    if order["utf8"] == true {
        arguments.extend(["-D", "publish", "payload-format-indicator", "1"].map(str::to_owned));
    }
    for (name, value) in order["user"].as_object().into_iter().flatten() {
        let value = value.as_str().expect("text");
        arguments.extend(["-D", "publish", "user-property", name, value].map(str::to_owned));
    }
    arguments
}
