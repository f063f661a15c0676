//! What can be tried without starting anything.

use super::*;
use place::number;

#[test]
fn every_peer_has_a_name_of_its_own_that_is_read_back() {
    let mut names: Vec<_> = Peer::ALL.map(Peer::name).into();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Peer::ALL.len());
    for peer in Peer::ALL {
        assert_eq!(peer.name().parse::<Peer>().unwrap(), peer);
        assert_eq!(serde_json::to_string(&peer).unwrap(), format!("{:?}", peer.name()));
    }
    let error = "hivemq".parse::<Peer>().unwrap_err().to_string();
    assert!(error.contains("hivemq") && error.contains("mosquitto, rumqttd"), "{error}");
}

#[test]
fn versions_are_found_in_what_programs_say() {
    for (line, version) in [
        ("mosquitto version 2.0.11", "2.0.11"),
        ("rumqttd 0.20.0", "0.20.0"),
        ("nats-server: v2.15.1", "2.15.1"),
        ("rmqtt/0.24.0-20260101 rustc/1.95.0", "0.24.0-20260101"),
        ("3.10.8", "3.10.8"),
    ] {
        assert_eq!(number(line).as_deref(), Some(version), "{line}");
    }
    assert_eq!(number("Usage: rumqttd [OPTIONS]"), None);
}

#[test]
fn a_tree_is_found_and_killed_by_its_ids() {
    let mut shell = std::process::Command::new("sh");
    // `wait` keeps the shell from becoming the sleep itself.
    let mut shell = shell.args(["-c", "sleep 1000 & wait"]).spawn().unwrap();
    let mut members = tree::with_descendants(shell.id());
    while members.len() < 2 {
        members = tree::with_descendants(shell.id());
    }
    tree::kill(shell.id(), &members);
    shell.wait().unwrap();
    while members.iter().any(|&pid| tree::is_alive(pid)) {
        std::thread::yield_now();
    }
    assert!(!tree::is_alive(shell.id()));
}

#[test]
fn reserved_ports_are_distinct_and_can_be_listened_on() {
    let ports = ports::Ports::reserve(2).unwrap();
    assert_ne!(ports.port(0), ports.port(1));
    let listener = std::net::TcpListener::bind(ports.address(0)).unwrap();
    assert_eq!(
        ready::ask(ports.address(1), Version::V5).unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
    drop(listener);
}
