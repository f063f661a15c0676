//! Everything that a person with mosquitto's tools can do beside chatting: receipts, typing, presence, calls.

use parlance_tests::{Process, Server, User};
use serde_json::Value;

/// Arguments that log a tool in.
fn login(server: &Server, user: &User) -> Vec<String> {
    let (host, port) = (server.mqtt().ip().to_string(), server.mqtt().port().to_string());
    let words = ["-V", "5", "-h", &host, "-p", &port, "-u", &user.handle, "-P", &user.token, "-q", "1"];
    words.map(str::to_owned).to_vec()
}

/// Runs a tool to its end.
async fn run(tool: &str, server: &Server, user: &User, arguments: &[&str]) -> Vec<String> {
    let login = login(server, user);
    let arguments: Vec<&str> = login.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
    Process::start(tool, &arguments, &[]).finish().await
}

/// A `mosquitto_sub -v` that has subscribed: `-d` tells when, among lines that begin with "Client " or "Subscribed ".
async fn subscribed(server: &Server, user: &User, filters: &[&str]) -> Process {
    let login = login(server, user);
    let mut arguments: Vec<&str> = login.iter().map(String::as_str).chain(["-v", "-d"]).collect();
    arguments.extend(filters.iter().flat_map(|filter| ["-t", filter]));
    let mut process = Process::start("mosquitto_sub", &arguments, &[]);
    while !process.line().await.expect("mosquitto_sub runs").starts_with("Subscribed ") {}
    process
}

/// The next message of a `mosquitto_sub -v -d`.
async fn heard(process: &mut Process) -> String {
    loop {
        let line = process.line().await.expect("mosquitto_sub runs");
        if line.starts_with("me/") || line.starts_with("user/") {
            return line;
        }
    }
}

#[tokio::test]
async fn receipts_typing_and_presence() {
    let server = Server::start(Server::options()).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    run("mosquitto_pub", &server, &alice, &["-t", "user/@bob/text", "-m", "hello"]).await;

    let filters = ["me/text/receipts/#", "me/text/typing/#", "user/@bob/presence"];
    let mut watcher = subscribed(&server, &alice, &filters).await;
    assert_eq!(heard(&mut watcher).await, "user/@bob/presence offline");

    let inbox = ["-t", "me/text/inbox/#", "-i", "phone", "-C", "1", "-v"];
    assert_eq!(run("mosquitto_sub", &server, &bob, &inbox).await, ["me/text/inbox/@alice/@alice hello"]);
    let mut came = vec![heard(&mut watcher).await, heard(&mut watcher).await, heard(&mut watcher).await];
    came.sort();
    assert_eq!(came[0], "me/text/receipts/@bob/@bob delivered 1 read 0");
    assert!(came[1].starts_with("user/@bob/presence last seen "), "{came:?}");
    assert_eq!(came[2], "user/@bob/presence online");

    // Each of these connects for a moment: presence comes and goes around what is looked for.
    let quiet = async |watcher: &mut Process| loop {
        let line = heard(watcher).await;
        if !line.starts_with("user/@bob/presence") {
            return line;
        }
    };
    run("mosquitto_pub", &server, &bob, &["-t", "user/@alice/read", "-m", "1"]).await;
    assert_eq!(quiet(&mut watcher).await, "me/text/receipts/@bob/@bob delivered 1 read 1");
    run("mosquitto_pub", &server, &bob, &["-t", "user/@alice/typing", "-n"]).await;
    assert_eq!(quiet(&mut watcher).await, "me/text/typing/@bob/@bob typing");
    run("mosquitto_pub", &server, &bob, &["-t", "user/@alice/typing", "-m", "0"]).await;
    assert_eq!(quiet(&mut watcher).await, "me/text/typing/@bob/@bob stopped");
}

#[tokio::test]
async fn a_call_is_answered() {
    let server = Server::start(Server::options()).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    run("mosquitto_pub", &server, &alice, &["-t", "user/@bob/text", "-m", "hello"]).await;
    let call = async |method: &str, request: &str| {
        let topic = format!("rpc/{method}");
        let arguments = ["-t", &topic, "-e", "me/json/reply/here", "-m", request];
        let answer = run("mosquitto_rr", &server, &bob, &arguments).await.join("");
        serde_json::from_str::<Value>(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    };
    let page = call("messages", r#"{"conversation": "@alice"}"#).await;
    assert_eq!((&page["head"], &page["messages"][0]["text"]), (&1.into(), &"hello".into()));
    let sent = call("sendMessage", r#"{"to": "@alice", "text": "hello yourself"}"#).await;
    assert_eq!(sent["seq"], 2);
    let refused = call("messages", r#"{"conversation": "@nobody"}"#).await;
    assert_eq!((&refused["code"], &refused["status"]), (&"unknown_recipient".into(), &404.into()));
    assert_eq!(call("nothing", "{}").await["code"], "unknown_method");
}
