//! The README's own commands, run as they stand there, in their order, in one shell, against a fresh server.
//!
//! What stands between `<!-- test: begin -->` and `<!-- test: end -->` is run: its `sh` block, whose output must be the
//! `text` block behind it, if there is one. Only the ports are others. A command that fails, or that is refused by the
//! broker, fails the test.

use parlance_tests::{Server, program};
use serde_json::{Value, json};
use std::{fs, path::Path, process::Stdio, time::Duration};
use tokio::{process::Command, time::timeout};

const BEGIN: &str = "<!-- test: begin -->";
const END: &str = "<!-- test: end -->";
const RUN_MAX: Duration = Duration::from_secs(120);

/// A tested part of the README.
struct Step {
    commands: String,
    expected: Option<String>,
}

/// The content of the first fenced block of a language.
fn block(text: &str, language: &str) -> Option<String> {
    let (_, behind) = text.split_once(&format!("```{language}\n"))?;
    let (content, _) = behind.split_once("```").expect("a fenced block ends");
    Some(content.to_owned())
}

fn steps(readme: &str) -> Vec<Step> {
    let parts = readme.split(BEGIN).skip(1);
    let parts = parts.map(|part| part.split_once(END).expect("every begin has its end").0);
    let step = |part| Step {
        commands: block(part, "sh").expect("a tested part has commands"),
        expected: block(part, "text"),
    };
    parts.map(step).collect()
}

/// Other ports; and mosquitto's tools, where they are not told, take theirs from their configuration files.
fn prepare(folder: &Path, server: &Server, commands: &str) -> String {
    let (host, port) = (server.mqtt().ip(), server.mqtt().port());
    for tool in ["mosquitto_pub", "mosquitto_sub", "mosquitto_rr"] {
        fs::write(folder.join(tool), format!("-h {host}\n-p {port}\n")).expect("a file in a folder of ours");
    }
    let ports =
        [(1883, server.mqtt()), (8883, server.mqtts()), (8080, server.http()), (8443, server.https())];
    ports.iter().fold(commands.to_owned(), |text, (there, here)| {
        let text = text.replace(&format!("127.0.0.1:{there}"), &here.to_string());
        text.replace(&format!("-p {there}"), &format!("-p {}", here.port()))
    })
}

/// One script: what a step says goes to a file of its own, variables stay from step to step.
fn script(folder: &Path, server: &Server, steps: &[Step]) -> String {
    let mut script = "set -euo pipefail\n".to_owned();
    for (number, step) in steps.iter().enumerate() {
        let commands = prepare(folder, server, &step.commands);
        script.push_str(&format!("{{\n{commands}\n}} > '{}/{number}.out'\n", folder.display()));
    }
    script
}

async fn run(folder: &Path, server: &Server, script: &str) {
    let path = std::env::var("PATH").unwrap_or_default();
    let tools = program().parent().expect("a program is in a folder").display().to_string();
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).current_dir(folder).kill_on_drop(true).stdin(Stdio::null());
    bash.env("XDG_CONFIG_HOME", folder).env("PATH", format!("{tools}:{path}"));
    bash.env("PARLANCE_SERVER", format!("http://{}", server.http()));
    let output =
        timeout(RUN_MAX, bash.output()).await.expect("the README's commands end").expect("bash is there");
    assert!(
        output.status.success(),
        "{}\n{}\n--- script\n{script}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn its_commands_do_what_it_says() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme).expect("the README");
    let steps = steps(&readme);
    assert!(steps.len() >= 4, "register, chat, ten messages, history: {} steps", steps.len());

    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("parlance-data");
    let server = Server::start(Server::options().data_dir(&data)).await;
    run(folder.path(), &server, &script(folder.path(), &server, &steps)).await;

    let mut everything = String::new();
    for (number, step) in steps.iter().enumerate() {
        let said =
            fs::read_to_string(folder.path().join(format!("{number}.out"))).expect("each step has its file");
        assert!(!said.contains("urn:parlance:error"), "{}\nwas refused: {said}", step.commands);
        if let Some(expected) = &step.expected {
            assert_eq!(said.trim_end(), expected.trim_end(), "{}", step.commands);
        }
        everything.push_str(&said);
    }
    let in_order = (1..=10).map(|number| format!("message {number}\n")).map(|text| everything.find(&text));
    let places: Vec<usize> = in_order.map(|place| place.expect("all ten came")).collect();
    assert!(places.is_sorted(), "{everything}");
    assert!(everything.contains(r#""messages":["#), "history is read: {everything}");
    assert_history(&server).await;
}

/// What the commands left behind: eleven messages in order, all of them delivered to bob and read by him.
async fn assert_history(server: &Server) {
    let bob = server.call("", "login", json!({"handle": "bob", "password": "battery staple"})).await;
    let token = bob["accessToken"].as_str().expect("a token");
    let history = server.history(token, "@alice").await;
    let texts: Vec<&str> =
        history.iter().map(|message| message["text"].as_str().unwrap_or_default()).collect();
    let numbered: Vec<String> = (1..=10).map(|number| format!("message {number}")).collect();
    let expected: Vec<&str> = ["hello bob"].into_iter().chain(numbered.iter().map(String::as_str)).collect();
    assert_eq!(texts, expected);
    let seqs: Vec<Option<u64>> = history.iter().map(|message| message["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=11).map(Some).collect::<Vec<_>>());
    let conversation = server.conversation(token, "@alice").await.unwrap_or(Value::Null);
    assert_eq!((&conversation["delivered"], &conversation["unread"]), (&json!(11), &json!(0)));
}
