//! Where a server is, and its HTTP API.

use crate::wait::{PATIENCE, eventually, in_time};
use parlance_schema::api::Problem;
use serde_json::{Value, json};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

/// The calls that are GET over HTTP; all others are POST.
const READING: [&str; 9] = [
    "me",
    "devices",
    "messages",
    "conversations",
    "members",
    "admin.users",
    "admin.apiKeys",
    "admin.accessRules",
    "admin.checkAccess",
];

/// Messages in a page of [`Broker::history`].
const PAGE: u32 = 200;

/// Where a server is. Cheap to clone, so that tasks can have their own; it stays true over restarts.
#[derive(Debug, Clone)]
pub struct Broker {
    mqtt: SocketAddr,
    mqtts: SocketAddr,
    http: SocketAddr,
    https: SocketAddr,
    data_dir: PathBuf,
    client: reqwest::Client,
    admin_token: Arc<OnceLock<String>>,
}

/// What an HTTP call answered.
pub type Answer = Result<Value, Box<Problem>>;

impl Broker {
    /// In the order MQTT, MQTTS, HTTP, HTTPS.
    pub(crate) fn new([mqtt, mqtts, http, https]: [SocketAddr; 4], data_dir: PathBuf) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
        Self { mqtt, mqtts, http, https, data_dir, client, admin_token: Arc::default() }
    }

    /// MQTT over TCP.
    pub fn mqtt(&self) -> SocketAddr {
        self.mqtt
    }

    /// MQTT over TLS.
    pub fn mqtts(&self) -> SocketAddr {
        self.mqtts
    }

    /// MQTT over QUIC, if it was asked for: the UDP port with the number of [`mqtt`](Self::mqtt).
    pub fn quic(&self) -> SocketAddr {
        self.mqtt
    }

    /// HTTP, and MQTT over WebSocket at `/mqtt`.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// The same over TLS.
    pub fn https(&self) -> SocketAddr {
        self.https
    }

    /// Its data folder.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// What its development certificate is signed with, PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.data_dir.join("certs").join("ca.pem")
    }

    /// The operator's token.
    pub fn admin_token(&self) -> &str {
        self.admin_token.get().expect("a server that has started")
    }

    /// The HTTP client and the address of a path such as `/ready`, for requests that the others here do not make.
    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.http))
    }

    /// Calls a method over HTTP by its name (`sendMessage`, `admin.users`), `token` being whoever calls.
    ///
    /// # Errors
    /// The problem document of a refusal.
    ///
    /// # Panics
    /// If there is no server, or its answer is no answer.
    pub async fn try_call(&self, token: &str, method: &str, request: Value) -> Answer {
        let response = in_time(method, self.call_request(token, method, &request).send()).await;
        let response = response.unwrap_or_else(|error| panic!("{method}: {error}"));
        let status = response.status();
        let body = in_time(method, response.text()).await.unwrap_or_else(|error| panic!("{method}: {error}"));
        if status.is_success() {
            Ok(serde_json::from_str(&body).unwrap_or_else(|error| panic!("{method}: {error}: {body}")))
        } else {
            Err(serde_json::from_str(&body)
                .unwrap_or_else(|error| panic!("{method}: {status}, {error}: {body}")))
        }
    }

    /// Calls a method that must work.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn call(&self, token: &str, method: &str, request: Value) -> Value {
        let answer = self.try_call(token, method, request.clone()).await;
        answer.unwrap_or_else(|problem| panic!("{method} {request}: {} {}", problem.code, problem.detail))
    }

    /// Calls a method of the operator.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn admin(&self, method: &str, request: Value) -> Value {
        self.call(self.admin_token(), &format!("admin.{method}"), request).await
    }

    fn call_request(&self, token: &str, method: &str, request: &Value) -> reqwest::RequestBuilder {
        let path = format!("/{}", method.replace('.', "/"));
        let built = if READING.contains(&method) {
            self.request(reqwest::Method::GET, &format!("{path}?{}", query(request)))
        } else {
            self.request(reqwest::Method::POST, &path).json(request)
        };
        if token.is_empty() { built } else { built.bearer_auth(token) }
    }

    /// All messages of a conversation that the token may read, the oldest first. A server that is busy is asked again.
    pub async fn history(&self, token: &str, conversation: &str) -> Vec<Value> {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let request = json!({"conversation": conversation, "after": after, "limit": PAGE});
            let page = eventually(PATIENCE, "a page of the history", async || {
                match self.try_call(token, "messages", request.clone()).await {
                    Ok(page) => Some(page),
                    Err(problem) if problem.code == "busy" => None,
                    Err(problem) => panic!("{request}: {} {}", problem.code, problem.detail),
                }
            })
            .await;
            let messages = page["messages"].as_array().expect("a list");
            all.extend(messages.iter().cloned());
            match (page["more"].as_bool(), messages.last().and_then(|last| last["seq"].as_u64())) {
                (Some(true), Some(last)) => after = last,
                _ => return all,
            }
        }
    }

    /// A conversation as the token's user sees it in `conversations`, by its id or its handle (`@bob`).
    pub async fn conversation(&self, token: &str, name: &str) -> Option<Value> {
        let mut request = json!({"limit": 500});
        loop {
            let page = self.call(token, "conversations", request).await;
            let all = page["conversations"].as_array().expect("a list");
            let is_it = |found: &&Value| {
                found["id"] == name
                    || found["handle"].as_str().is_some_and(|handle| name.strip_prefix('@') == Some(handle))
            };
            if let Some(found) = all.iter().find(is_it) {
                return Some(found.clone());
            }
            let next = page["next"].as_str()?;
            request = json!({"limit": 500, "after": next});
        }
    }

    /// The sum of a counter or gauge over all its labels, from `/metrics`; 0 if it is not there.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = in_time("/metrics", async {
            self.request(reqwest::Method::GET, "/metrics").send().await?.error_for_status()?.text().await
        });
        let text = text.await.unwrap_or_else(|error| panic!("/metrics: {error}"));
        let is_it = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        let values =
            text.lines().filter(is_it).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }

    pub(crate) async fn is_ready(&self) -> bool {
        let answer = self.request(reqwest::Method::GET, "/ready").send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    pub(crate) fn load_admin_token(&self) {
        let file = self.data_dir.join("admin.token");
        let token = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        // It is made once; after a restart it is still the same.
        self.admin_token.get_or_init(|| token.trim().to_owned());
    }

    pub(crate) fn listeners(&self) -> [(&'static str, SocketAddr); 4] {
        [("MQTT", self.mqtt), ("MQTTS", self.mqtts), ("HTTP", self.http), ("HTTPS", self.https)]
    }
}

/// The fields of a JSON object as the query of a URI.
fn query(request: &Value) -> String {
    let fields = request.as_object().expect("a request is an object");
    let encode = |value: &Value| match value {
        Value::String(text) => percent(text),
        other => percent(&other.to_string()),
    };
    fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&")
}

fn percent(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
