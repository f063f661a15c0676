//! What is planned.

use super::*;
use clap::Parser;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

fn plan(args: &[&str]) -> Result<Plan, PlanError> {
    Plan::new(&Cli::parse_from(std::iter::once(&"suite").chain(args)).options)
}

fn steps(args: &[&str]) -> Vec<String> {
    let plan = plan(args).unwrap();
    let told = |place: &Place| format!("{} {} {}", place.round, place.peer, place.case);
    plan.steps(&plan.peers).iter().map(told).collect()
}

#[test]
fn each_round_begins_with_another_broker() {
    let steps = steps(&["--only", "parlance,mosquitto,rumqttd", "--case", "chat-16,rate", "--rounds", "2"]);
    assert_eq!(
        steps,
        [
            "1 parlance chat-16",
            "1 parlance rate-1000",
            "1 mosquitto chat-16",
            "1 mosquitto rate-1000",
            "1 rumqttd chat-16",
            "1 rumqttd rate-1000",
            "2 mosquitto chat-16",
            "2 mosquitto rate-1000",
            "2 rumqttd chat-16",
            "2 rumqttd rate-1000",
            "2 parlance chat-16",
            "2 parlance rate-1000",
        ]
    );
}

#[test]
fn a_name_is_a_case_or_the_beginning_of_some() {
    let cases = |word| steps(&["--only", "parlance", "--rounds", "1", "--case", word]);
    assert_eq!(cases("idle"), ["1 parlance idle"]);
    assert_eq!(cases("connects-"), ["1 parlance connects-tls"]);
    assert_eq!(cases("chat"), ["1 parlance chat-16", "1 parlance chat-1"]);
    let error = plan(&["--case", "chess"]).unwrap_err().to_string();
    assert!(error.contains("chess") && error.contains("fan-out-free-durable-8"), "{error}");
}

#[test]
fn what_a_broker_cannot_do_is_not_planned() {
    assert!(matches!(plan(&["--only", "mosquitto", "--case", "history"]), Err(PlanError::Nothing)));
    let connects = steps(&["--case", "connects-tls", "--rounds", "1"]);
    assert_eq!(connects, ["1 parlance connects-tls", "1 mosquitto connects-tls"]);
}

#[test]
fn only_the_whole_is_judged() {
    assert!(plan(&[]).unwrap().is_whole);
    for args in [["--case=chat"], ["--only=parlance"], ["--quick"]] {
        assert!(!plan(&args).unwrap().is_whole, "{args:?}");
    }
}

#[test]
fn what_is_quick_fills_no_large_store() {
    let quick = steps(&["--quick", "--only", "parlance"]);
    assert!(quick.contains(&"1 parlance conversation-cost-10000".to_owned()));
    assert!(!quick.iter().any(|step| step.contains("00000") || step.starts_with('2')), "{quick:?}");
}

#[test]
fn musts_have_five_rounds() {
    let steps = steps(&[]);
    for case in ["chat-16", "chat-1", "rate-1000", "fan-out-8", "idle", "idle-tls", "connects", "offline"] {
        assert!(steps.contains(&format!("5 parlance {case}")), "{case}");
    }
    for (peer, case) in [
        ("mosquitto", "chat-16"),
        ("rabbitmq", "chat-16"),
        ("rumqttd", "fan-out-8"),
        ("mosquitto", "offline"),
    ] {
        assert!(steps.contains(&format!("5 {peer} {case}")), "{case}");
    }
}

#[test]
fn a_broker_that_is_absent_has_its_reason() {
    let options = Cli::parse_from(["suite", "--absent", "rmqtt=no network = no crates"]).options;
    assert_eq!(options.absent, [(Peer::Rmqtt, "no network = no crates".to_owned())]);
    assert!(Cli::try_parse_from(["suite", "--absent", "hivemq=?"]).is_err());
}

#[test]
fn the_disk_is_measured_where_the_data_will_be() {
    let folder = tempfile::tempdir().unwrap();
    let environment = environment::describe(folder.path()).unwrap();
    assert!(environment.sync_growing.per_s > 0.0);
    assert!(environment.sync_preallocated.p50_ms <= environment.sync_preallocated.p99_ms);
    assert!((0.0..=1.0).contains(&environment.busy_before));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left there");
}
