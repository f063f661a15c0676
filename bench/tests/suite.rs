//! The suite as a whole, small: one case on Parlance alone.

use serde_json::Value;
use std::{env, fs, path::PathBuf, process::Command};

/// `PARLANCE_BIN`, else what was built beside this test.
fn parlance() -> PathBuf {
    let beside = || {
        let test = env::current_exe().expect("the test's own path");
        test.ancestors().nth(2).expect("a folder of cargo's").join("parlance")
    };
    let program = env::var_os("PARLANCE_BIN").map_or_else(beside, PathBuf::from);
    assert!(program.exists(), "{} is not there: cargo build -p parlance-server", program.display());
    program
}

#[test]
fn a_quick_chat_on_parlance_is_measured_and_reported() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let page = folder.path().join("page.md");
    let data = folder.path().join("data");
    let mut suite = Command::new(env!("CARGO_BIN_EXE_parlance-bench"));
    suite
        .env("PARLANCE_BIN", parlance())
        .args(["suite", "--quick", "--only", "parlance", "--case", "chat-16"]);
    let output = suite.arg("--out").arg(&page).arg("--data").arg(&data).output().expect("the suite runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let results = fs::read(folder.path().join("bench/results.json")).expect("the raw results");
    let results: Value = serde_json::from_slice(&results).expect("they are JSON");
    let outcome = &results["runs"][0]["outcome"];
    assert_eq!(outcome["faults"], Value::Array(Vec::new()), "{outcome}");
    for figure in ["messages_per_s", "cpu_s_per_million", "ack_p50_ms", "rss_bytes"] {
        assert!(outcome["values"][figure].as_f64().is_some_and(|figure| figure > 0.0), "{figure}: {outcome}");
    }
    let page = fs::read_to_string(page).expect("the page");
    assert!(page.contains("| **parlance** | synced before PUBACK |"), "{page}");
    assert_eq!(fs::read_dir(data).expect("its folder").count(), 0, "the broker's data are removed");
}
